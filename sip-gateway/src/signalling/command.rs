//! What the application tells calls to do.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::CallId;
use super::counters::Tally;
use super::ids::CallIds;

/// The queue of commands is full: the gateway has more to do than it can. Counted; try again, or let the call go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gateway has more commands waiting than it can take")]
pub struct Overloaded;

/// How a call in, or a transfer, is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// 300 to 699.
    pub status: u16,
    /// When the peer may try again (RFC 3261, section 20.33), with 503, 480, 486, 404, 500, 600 or 603.
    pub retry_after_s: Option<u32>,
}

impl Rejection {
    /// With this status.
    pub fn with(status: u16) -> Rejection {
        Rejection { status, retry_after_s: None }
    }
}

/// Why we hang up, as the peer is told (`Reason`, RFC 3326).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HangUp {
    /// The talk is over (Q.850 cause 16).
    #[default]
    Normal,
    /// No media has come for too long (RTP timeout; Q.850 cause 41).
    MediaLost,
    /// Somebody took them out of the room (cause 21).
    Removed,
    /// The node stops (cause 38).
    ShuttingDown,
}

impl HangUp {
    /// The value of `Reason`.
    pub(super) fn reason(self) -> &'static str {
        match self {
            HangUp::Normal => "Q.850;cause=16;text=\"Normal call clearing\"",
            HangUp::MediaLost => "Q.850;cause=41;text=\"No media\"",
            HangUp::Removed => "Q.850;cause=21;text=\"Removed\"",
            HangUp::ShuttingDown => "Q.850;cause=38;text=\"Shutting down\"",
        }
    }
}

/// A call out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dial {
    /// A number or name at the trunk; without a trunk a whole URI (`sip:ada@198.51.100.7`), or a registered user.
    pub to: String,
    /// Through which trunk.
    pub trunk: Option<String>,
    /// Who calls: the user part of `From`.
    pub caller: Option<String>,
    /// Their name, as phones show it.
    pub display: Option<String>,
    /// Our offer. A call out always has one.
    pub offer: String,
    /// More headers of the INVITE; names and values that are none are left out.
    pub headers: Vec<(String, String)>,
}

/// What a [`Handle`] sends.
#[derive(Debug)]
pub(super) enum Command {
    Ring(CallId),
    EarlyMedia(CallId, String),
    Answer(CallId, String),
    Reject(CallId, Rejection),
    HangUp(CallId, HangUp),
    Dial(CallId, Dial),
    AnswerOffer(CallId, Result<String, u16>),
    Reoffer(CallId, String),
    Transfer(CallId, String),
    AnswerTransfer(CallId, bool),
    ReportTransfer(CallId, u16),
}

/// Commands to the gateway: cheap to clone, never blocking. A command to a call that has ended meanwhile, or that doesn't
/// fit its state, does nothing.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    call_ids: Arc<CallIds>,
    tally: Arc<Tally>,
}

impl Handle {
    pub(super) fn new(commands: mpsc::Sender<Command>, call_ids: Arc<CallIds>, tally: Arc<Tally>) -> Handle {
        Handle { commands, call_ids, tally }
    }

    fn send(&self, command: Command) -> Result<(), Overloaded> {
        self.commands.try_send(command).map_err(|_| {
            self.tally.commands_refused.add(1);
            Overloaded
        })
    }

    /// What was counted so far.
    pub fn counters(&self) -> super::Counters {
        self.tally.snapshot()
    }

    /// Tells the caller that it rings (180).
    ///
    /// # Errors
    /// The gateway has too much to do.
    pub fn ring(&self, call: CallId) -> Result<(), Overloaded> {
        self.send(Command::Ring(call))
    }

    /// Lets the caller hear us before the answer (183 with our description), reliably (RFC 3262) if the caller can.
    ///
    /// # Errors
    /// The gateway has too much to do.
    pub fn early_media(&self, call: CallId, sdp: String) -> Result<(), Overloaded> {
        self.send(Command::EarlyMedia(call, sdp))
    }

    /// Takes the call: our answer to its offer, or our offer if it had none.
    ///
    /// # Errors
    /// The gateway has too much to do.
    pub fn answer(&self, call: CallId, sdp: String) -> Result<(), Overloaded> {
        self.send(Command::Answer(call, sdp))
    }

    /// Refuses the call.
    ///
    /// # Errors
    /// The gateway has too much to do.
    pub fn reject(&self, call: CallId, rejection: Rejection) -> Result<(), Overloaded> {
        self.send(Command::Reject(call, rejection))
    }

    /// Ends the call, in whatever state it is: BYE, CANCEL, or 480 to a call in that rings.
    ///
    /// # Errors
    /// The gateway has too much to do.
    pub fn hang_up(&self, call: CallId, cause: HangUp) -> Result<(), Overloaded> {
        self.send(Command::HangUp(call, cause))
    }

    /// Calls somebody. What can't be dialled at all (no such trunk, no such user) ends at once, with 404.
    ///
    /// # Errors
    /// The gateway has too much to do.
    pub fn dial(&self, dial: Dial) -> Result<CallId, Overloaded> {
        let call = self.call_ids.next();
        self.send(Command::Dial(call, dial))?;
        Ok(call)
    }

    /// Answers [`Event::Offered`](super::Event::Offered): our description, or the status of the refusal, such as 488.
    ///
    /// # Errors
    /// The gateway has too much to do.
    pub fn answer_offer(&self, call: CallId, answer: Result<String, u16>) -> Result<(), Overloaded> {
        self.send(Command::AnswerOffer(call, answer))
    }

    /// Offers something else in a call that stands: hold, another codec, another address.
    ///
    /// # Errors
    /// The gateway has too much to do.
    pub fn reoffer(&self, call: CallId, sdp: String) -> Result<(), Overloaded> {
        self.send(Command::Reoffer(call, sdp))
    }

    /// Asks the peer to call `target` in our place (REFER): a URI; or a number or name, at the trunk of the call, or else where
    /// the peer reaches us.
    ///
    /// # Errors
    /// The gateway has too much to do.
    pub fn transfer(&self, call: CallId, target: String) -> Result<(), Overloaded> {
        self.send(Command::Transfer(call, target))
    }

    /// Answers [`Event::TransferAsked`](super::Event::TransferAsked): 202, or 603.
    ///
    /// # Errors
    /// The gateway has too much to do.
    pub fn answer_transfer(&self, call: CallId, is_accepted: bool) -> Result<(), Overloaded> {
        self.send(Command::AnswerTransfer(call, is_accepted))
    }

    /// Tells the peer how the call that it asked for goes (NOTIFY with `message/sipfrag`): a final status is the last.
    ///
    /// # Errors
    /// The gateway has too much to do.
    pub fn report_transfer(&self, call: CallId, status: u16) -> Result<(), Overloaded> {
        self.send(Command::ReportTransfer(call, status))
    }
}
