//! What becomes of calls, as the application hears it.

use std::net::SocketAddr;

use super::{CallId, Transport};

/// One end of a call, as a message names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// The display name, without its quotes.
    pub display: Option<String>,
    /// Before the `@`: a number or a name, unescaped; empty if there is none.
    pub user: String,
    /// After it, without a port.
    pub host: String,
}

/// Whom a call comes from, as far as it was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A trunk, by its source address or its password.
    Trunk(String),
    /// A user, by their password.
    User(String),
    /// Anybody.
    Anonymous,
}

/// A call that wants in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Which call.
    pub call: CallId,
    /// Who calls, as `From` says: whatever the peer likes, unless `peer` vouches for it.
    pub from: Party,
    /// Who is called, as the request URI says.
    pub to: Party,
    /// Who was called before somebody diverted the call, as `To` says.
    pub to_header: Party,
    /// From whom.
    pub peer: Peer,
    /// From where.
    pub source: SocketAddr,
    /// By what.
    pub transport: Transport,
    /// Those that [`Config::headers`](super::Config::headers) asks for and that were there, by the name in the
    /// configuration, in the order of the message.
    pub headers: Vec<(String, String)>,
    /// The offer; without one, [`Handle::answer`](super::Handle::answer) takes our offer, and
    /// [`Event::Confirmed`] brings the answer (RFC 3261, section 13.2.1).
    pub offer: Option<String>,
    /// The `Call-ID` of its messages, for records and logs.
    pub sip_call_id: String,
}

/// Why a call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The peer hung up.
    PeerHungUp,
    /// We hung up.
    HungUp,
    /// The caller gave up before the answer.
    Cancelled,
    /// We refused it; or, dialled, the peer did: the status says why.
    Rejected,
    /// Nobody answered in time.
    NotAnswered,
    /// The peer never confirmed our answer (RFC 3261, section 13.3.1.4).
    NotConfirmed,
    /// The peer has gone: its session timer ran out (RFC 4028, section 10), or it answers nothing any more.
    PeerGone,
    /// It was transferred to somebody else.
    Transferred,
    /// The peer broke the protocol beyond repair.
    Protocol,
    /// The gateway stops.
    ShutDown,
}

/// How a registration with a trunk stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrationState {
    /// It holds for so long, and is renewed before.
    Registered {
        /// Seconds.
        expires_s: u32,
    },
    /// It was refused, or nobody answered (408); it is tried again in so long.
    Failed {
        /// Of the refusal.
        status: u16,
        /// Seconds.
        retry_s: u32,
    },
    /// It was taken back.
    Unregistered,
}

/// Something became of a call, or of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A call wants in: [`ring`](super::Handle::ring), [`answer`](super::Handle::answer) or
    /// [`reject`](super::Handle::reject) it.
    Incoming(Box<Incoming>),
    /// A call that we dialled gets on: 180 rings, 183 with a description has sound before the answer.
    Progress {
        /// Which call.
        call: CallId,
        /// 180, 181, 182 or 183.
        status: u16,
        /// The answer to our offer, if this has it already.
        sdp: Option<String>,
    },
    /// A call that we dialled was answered.
    Answered {
        /// Which call.
        call: CallId,
        /// The answer to our offer; `None` if a reliable response before has brought it.
        sdp: Option<String>,
    },
    /// The peer has our answer, of the call or of an offer in it (its ACK arrived).
    Confirmed {
        /// Which call.
        call: CallId,
        /// Its answer, where the offer was ours.
        sdp: Option<String>,
    },
    /// The peer offers something else (re-INVITE or UPDATE): [`answer_offer`](super::Handle::answer_offer) it.
    Offered {
        /// Which call.
        call: CallId,
        /// The offer; `None` wants one from us in the answer.
        sdp: Option<String>,
    },
    /// What the peer says to [`reoffer`](super::Handle::reoffer).
    Reoffered {
        /// Which call.
        call: CallId,
        /// Its answer, or the status of its refusal: then what held before still holds. 491 has been tried again
        /// before it comes here.
        answer: Result<String, u16>,
    },
    /// A key was pressed, told by INFO (`application/dtmf-relay` or `application/dtmf`).
    Dtmf {
        /// Which call.
        call: CallId,
        /// `0` to `9`, `*`, `#`, `A` to `D`, or `!` for a hook flash.
        digit: char,
        /// How long, if it says so.
        duration_ms: Option<u16>,
    },
    /// The peer asks us to call somebody else in its place (REFER, RFC 3515):
    /// [`answer_transfer`](super::Handle::answer_transfer).
    TransferAsked {
        /// Which call.
        call: CallId,
        /// The URI of `Refer-To`, without its headers.
        target: String,
        /// Who asks, if it says so (RFC 3892).
        referred_by: Option<String>,
        /// The call that the new one is to replace, if it is an attended transfer (RFC 3891), unescaped.
        replaces: Option<String>,
    },
    /// How [`transfer`](super::Handle::transfer) goes on at the peer.
    TransferProgress {
        /// Which call.
        call: CallId,
        /// Of the peer's call to the target: 100 and 18x on the way, 200 when it stands. A refusal of the transfer itself is
        /// its final status too.
        status: u16,
        /// Whether nothing more comes.
        is_final: bool,
    },
    /// It is over. The last event of a call.
    Ended {
        /// Which call.
        call: CallId,
        /// Why.
        reason: EndReason,
        /// The status, where one was sent or received.
        status: Option<u16>,
    },
    /// A registration of ours changed.
    Registration {
        /// Of which trunk.
        trunk: String,
        /// How it stands.
        state: RegistrationState,
    },
    /// A softphone came, renewed or left.
    UserRegistered {
        /// Who.
        user: String,
        /// How many contacts they have now; with 0 they can't be called.
        contacts: usize,
    },
}
