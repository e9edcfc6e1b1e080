//! One call: its dialog, and what is unanswered in it.

use std::net::IpAddr;
use std::time::Instant;

use super::super::HangUp;
use super::super::message::{Request, Response};
use super::dialog::{Abilities, Dialog};
use super::session_timer::Interval;
use super::{Arrived, ClientTx, ServerTx};

/// Where a call is.
///
/// ```text
/// in:   Ringing ──answer──▶ Answered ──ACK──▶ Standing ──BYE──▶ Leaving
///          └──reject, CANCEL──▶ Leaving
/// out:  Calling ──2xx──▶ Standing
///          └──CANCEL──▶ Cancelling ──487, or 2xx and BYE──▶ Leaving
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// In, and not answered.
    Ringing,
    /// In, our answer not confirmed.
    Answered,
    /// Out, not answered.
    Calling,
    /// Out, given up; the peer may still answer.
    Cancelling,
    /// Both have it.
    Standing,
    /// Over but for the confirmation.
    Leaving,
}

/// A request of the peer that the application has to decide.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) tx: ServerTx,
    pub(super) request: Request,
}

/// A reliable response that waits for its PRACK (RFC 3262).
#[derive(Clone, Debug)]
pub(super) struct Unconfirmed {
    pub(super) sequence: u32,
    pub(super) response: Response,
    pub(super) first_sent: Instant,
    pub(super) interval: std::time::Duration,
    pub(super) has_sdp: bool,
}

/// An offer of ours in a call that stands.
#[derive(Clone, Debug)]
pub(super) struct OurOffer {
    pub(super) sdp: String,
    /// `None` while it waits for its turn.
    pub(super) tx: Option<ClientTx>,
    pub(super) tries: u32,
}

/// Reports on a transfer: one at a time, each when the one before it, or our 202, is with the peer.
#[derive(Clone, Debug)]
pub(super) struct Reports {
    /// `Event: refer;id=…`.
    pub(super) event: String,
    /// The response to the REFER, while it is on its way.
    pub(super) after: Option<ServerTx>,
    /// A NOTIFY has no response yet.
    pub(super) is_busy: bool,
    pub(super) waiting: Vec<u16>,
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) state: State,
    pub(super) dialog: Dialog,
    /// Which trunk, by its place in the configuration.
    pub(super) trunk: Option<usize>,
    /// For the limits of its source: as it is counted.
    pub(super) source: Option<IpAddr>,
    pub(super) abilities: Abilities,
    /// The event of its end has been told.
    pub(super) is_told_over: bool,
    /// The INVITE of the peer, until it has a final response.
    pub(super) invite: Option<Pending>,
    pub(super) invite_key: Option<(String, String, u32)>,
    /// Whether the peer's INVITE had an offer; if not, its ACK or PRACK has the answer to ours.
    pub(super) is_offer_ours: bool,
    /// The description of ours that holds, for refreshes.
    pub(super) our_sdp: Option<String>,
    /// The INVITE of ours, until it has a final response.
    pub(super) invited: Option<ClientTx>,
    /// Whether anything was heard of it: only then it can be cancelled (RFC 3261, section 9.1).
    pub(super) is_heard_of: bool,
    pub(super) hang_up_cause: HangUp,
    /// The number of our INVITE whose answer we confirm.
    pub(super) invite_cseq: u32,
    /// Our last reliable response.
    pub(super) reliable_sequence: u32,
    pub(super) unconfirmed: Option<Unconfirmed>,
    /// The description went out in a reliable response, so the answer has none.
    pub(super) is_described: bool,
    /// The application's answer, which waits for a PRACK.
    pub(super) held_answer: Option<String>,
    /// The peer's last reliable response to our INVITE.
    pub(super) heard_reliable: Option<u32>,
    /// The answer to our offer has come.
    pub(super) is_agreed: bool,
    /// A re-INVITE or UPDATE that the application has to answer.
    pub(super) offered: Option<Pending>,
    /// A re-INVITE of the peer with our answer, until its ACK; and whether the offer in it was ours.
    pub(super) unacknowledged: Option<(ServerTx, bool)>,
    /// A re-INVITE, UPDATE or REFER that came before the ACK that goes before it.
    pub(super) overtaking: Option<Arrived>,
    pub(super) our_offer: Option<OurOffer>,
    pub(super) session_timer: Option<Interval>,
    /// The peer's wish to transfer us, until it is answered.
    pub(super) asked_transfer: Option<Pending>,
    /// The peer hears how the call that it asked for goes.
    pub(super) reports: Option<Reports>,
    /// We asked the peer for a transfer, and hear how it goes.
    pub(super) is_transferring: bool,
}

impl Call {
    pub(super) fn new(state: State, dialog: Dialog) -> Call {
        Call {
            state,
            dialog,
            trunk: None,
            source: None,
            abilities: Abilities::default(),
            is_told_over: false,
            invite: None,
            invite_key: None,
            is_offer_ours: false,
            our_sdp: None,
            invited: None,
            is_heard_of: false,
            hang_up_cause: HangUp::Normal,
            invite_cseq: 0,
            reliable_sequence: 0,
            unconfirmed: None,
            is_described: false,
            held_answer: None,
            heard_reliable: None,
            is_agreed: false,
            offered: None,
            unacknowledged: None,
            overtaking: None,
            our_offer: None,
            session_timer: None,
            asked_transfer: None,
            reports: None,
            is_transferring: false,
        }
    }

    /// For the application.
    pub(super) fn is_over(&self) -> bool {
        self.is_told_over
    }

    /// Whether a request with our tag is of this call: it has the peer's tag too (RFC 3261, section 12.2.2).
    pub(super) fn is_of(&self, request: &Request) -> bool {
        self.dialog.remote_tag.is_none() || self.dialog.remote_tag == request.headers.tag_of("From")
    }

    /// Whether somebody waits for an answer to an offer, either way: another offer has to wait (RFC 6337, section 2.2).
    pub(super) fn has_open_offer(&self) -> bool {
        self.our_offer.as_ref().is_some_and(|offer| offer.tx.is_some()) || self.offered.is_some()
    }
}
