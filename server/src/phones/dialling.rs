//! Calls out: orders of moderators in, calls to users and through trunks out; how each stands, to the control plane.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tercet_core::{Allowance, RoomId};
use tercet_protocol::{CallState, DialOrder, ErrorCode, Role, WireCall};
use tercet_sip_gateway::prompts::Language;
use tercet_sip_gateway::sdp::Direction;
use tercet_sip_gateway::signalling::{CallId, Dial, HangUp};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::call::Call;
use super::gateway::{CALL_EVENTS_MAX, Calls, Shared};
use super::routes::{Destination, shown_name};
use crate::access::display_name;
use crate::config::{SipConfig, SipDials, is_callable};
use crate::control::{Attached, ControlHandle, ControlInput};

/// Calls out a minute, and at once: a stolen token is not to empty anybody's account.
const DIALS_PER_MINUTE: u32 = 60;
const DIALS_BURST: u32 = 30;

/// Commands of the control plane under way; of more it is told that there is no place.
const COMMANDS_MAX: usize = 64;

/// Somebody to be called into a room, for one who moderates it.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) room: String,
    /// Whom they may have called.
    pub(crate) scope: SipDials,
    pub(crate) dial: DialOrder,
}

/// The client that wants somebody called, and the number of its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) from: Attached,
    pub(crate) re: Option<u32>,
}

/// What the control plane has phones do.
#[derive(Debug)]
pub(crate) enum PhoneCommand {
    /// Call somebody; the control plane is told what becomes of it.
    Dial { order: Order, asker: Asker },
    /// Hang up a call out.
    HangUp { call: u64 },
}

/// How the control plane reaches phones: bounded, and never waited for.
pub(crate) type PhoneCommands = mpsc::Sender<PhoneCommand>;

/// Why nobody is called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DialError {
    /// The caller's.
    #[error("{0}")]
    Bad(String),
    /// They may not.
    #[error("{0}")]
    Forbidden(&'static str),
    /// No phone that is on this node.
    #[error("the room has no such phone on this node")]
    NoSuchPhone,
    /// There is no such trunk, or none.
    #[error("{0}")]
    NoSuchTrunk(String),
    /// Too many at once.
    #[error("too many calls out: 60 a minute are made")]
    TooMany,
    /// Ours.
    #[error("no more calls can be made now: try again")]
    Overloaded,
}

impl DialError {
    pub(super) fn not_callable() -> DialError {
        let what = "a number, or the name of a user: 1 to 64 of letters, digits, and + * # . - _";
        DialError::Bad(format!("`to` is {what}"))
    }

    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            DialError::Bad(_) => ErrorCode::BadMessage,
            DialError::Forbidden(_) => ErrorCode::Forbidden,
            DialError::NoSuchPhone => ErrorCode::NoSuchParticipant,
            DialError::NoSuchTrunk(_) => ErrorCode::NoSuchTrunk,
            DialError::TooMany => ErrorCode::RateLimited,
            DialError::Overloaded => ErrorCode::Overloaded,
        }
    }
}

/// How a call out stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DialState {
    /// Nobody has answered in any way.
    Dialling,
    /// It rings there.
    Ringing,
    /// It was answered.
    Talking,
    /// It is over.
    Ended {
        /// A word: `rejected`, `not_answered`, `peer_hung_up`, ...
        reason: &'static str,
        /// The SIP status, where there was one.
        status: Option<u16>,
    },
}

/// Where a call's task says how it stands.
#[derive(Clone)]
pub(super) struct Report {
    control: ControlHandle,
    room: RoomId,
    call: CallId,
    /// How the one who is called is shown.
    name: String,
}

impl Report {
    pub(super) async fn set(&self, state: DialState, participant: Option<String>) {
        self.tell(self.view(state, participant), None).await;
    }

    async fn tell(&self, call: WireCall, asker: Option<Asker>) {
        self.control.send(ControlInput::CallChanged { room: self.room.clone(), call, asker }).await;
    }

    fn view(&self, state: DialState, participant: Option<String>) -> WireCall {
        let (state, reason, status) = match state {
            DialState::Dialling => (CallState::Dialling, None, None),
            DialState::Ringing => (CallState::Ringing, None, None),
            DialState::Talking => (CallState::Talking, None, None),
            DialState::Ended { reason, status } => (CallState::Ended, Some(reason.to_owned()), status),
        };
        WireCall { call: self.call.0, name: self.name.clone(), state, participant, reason, status }
    }
}

/// What a call out is for.
pub(super) struct Dialled {
    pub(super) destination: Destination,
    pub(super) name: String,
    /// Through which trunk; `None` is a user of ours.
    pub(super) trunk: Option<String>,
    pub(super) report: Report,
}

/// Makes calls out, whoever asks for them and how: the limits are those of the node.
#[derive(Clone)]
pub(crate) struct Dialler {
    pub(super) shared: Arc<Shared>,
    calls: Calls,
    pub(super) allowance: Arc<Mutex<Allowance>>,
}

impl Dialler {
    pub(super) fn new(shared: Arc<Shared>, calls: Calls) -> Dialler {
        let allowance = Allowance::new(DIALS_PER_MINUTE.div_ceil(60), DIALS_BURST, Instant::now());
        Dialler { shared, calls, allowance: Arc::new(Mutex::new(allowance)) }
    }

    /// Calls somebody into a room. Once this is through, the control plane knows of it.
    pub(crate) async fn dial(&self, order: Order, asker: Option<Asker>) -> Result<WireCall, DialError> {
        let sip = &self.shared.config.sip;
        let Order { room, scope, dial } = order;
        let trunk = way_out(sip, scope, &dial)?;
        let role = match dial.role.unwrap_or(Role::Speaker) {
            Role::Moderator => {
                let message =
                    "a phone is called as a speaker or a listener: make it a moderator once it is there";
                return Err(DialError::Bad(message.to_owned()));
            }
            role => role,
        };
        let language = dial.language.as_deref().unwrap_or(&sip.language);
        let language: Language = language.parse().map_err(|error| DialError::Bad(format!("{error}")))?;
        if !lock(&self.allowance).take(Instant::now()) {
            return Err(DialError::TooMany);
        }
        if self.shared.is_draining() || self.shared.lines.is_strained() {
            return Err(DialError::Overloaded);
        }
        let name = dial.name.as_deref().and_then(display_name);
        let name = shown_name(sip.caller_id, name.as_deref(), &dial.to);
        let (ports, mut session) = self.shared.media().map_err(|_| DialError::Overloaded)?;
        let offer = session.offer(Direction::SendRecv);
        let destination = Destination {
            room: room.clone(),
            role,
            pin: None,
            moderator_pin: None,
            waits_for_moderator: false,
            language,
        };
        let dial = Dial { to: dial.to, trunk: trunk.clone(), offer, ..Dial::default() };
        let (sender, events) = mpsc::channel(CALL_EVENTS_MAX);
        let call = {
            // Its events wait for the lock: none comes before its task is known.
            let mut calls = lock(&self.calls);
            let call = self.shared.sip.dial(dial).map_err(|_| DialError::Overloaded)?;
            calls.insert(call, sender);
            call
        };
        let control = self.shared.control.clone();
        let report = Report { control, room: RoomId::from(room.as_str()), call, name: name.clone() };
        let view = report.view(DialState::Dialling, None);
        let (begun, told) = oneshot::channel();
        let task = Call::new(self.shared.clone(), call, events);
        let first = view.clone();
        // The task tells it: whoever waits here for that may go away, and the call must not be without a task.
        tokio::spawn(async move {
            report.tell(first, asker).await;
            let _ = begun.send(());
            task.serve_out(Dialled { destination, name, trunk, report }, (ports, session)).await;
        });
        let _ = told.await;
        Ok(view)
    }

    /// Carries out what the control plane commands.
    async fn serve(self, mut commands: mpsc::Receiver<PhoneCommand>) {
        while let Some(command) = commands.recv().await {
            match command {
                PhoneCommand::Dial { order, asker } => {
                    if let Err(error) = self.dial(order, Some(asker)).await {
                        let error = (error.code(), error.to_string());
                        self.shared.control.send(ControlInput::NotDialled { asker, error }).await;
                    }
                }
                PhoneCommand::HangUp { call } => {
                    let _ = self.shared.sip.hang_up(CallId(call), HangUp::Normal);
                }
            }
        }
    }

    /// Begins to serve the control plane, by a task which has to be ended: either keeps the other.
    pub(super) async fn start(&self) -> JoinHandle<()> {
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        self.shared.control.send(ControlInput::ServeCalls { commands }).await;
        tokio::spawn(self.clone().serve(queue))
    }
}

/// The trunk of a call, or none where it is one of our users who is called.
fn way_out(sip: &SipConfig, scope: SipDials, dial: &DialOrder) -> Result<Option<String>, DialError> {
    if !is_callable(&dial.to) {
        return Err(DialError::not_callable());
    }
    let is_user = sip.user.iter().any(|user| user.name == dial.to);
    if scope == SipDials::Nobody {
        return Err(DialError::Forbidden("calls are made with the token of a moderator"));
    }
    if dial.trunk.is_none() && is_user {
        return Ok(None);
    }
    // A trunk costs money, whatever its name is and whether there is one.
    if scope != SipDials::Anybody {
        return Err(DialError::Forbidden(
            "without the token of a moderator, only users of this server are called",
        ));
    }
    match (&dial.trunk, &sip.trunk[..]) {
        (Some(name), trunks) if trunks.iter().any(|trunk| trunk.name == *name) => Ok(Some(name.clone())),
        (Some(name), _) => Err(DialError::NoSuchTrunk(format!("there is no trunk {name}"))),
        (None, [only]) => Ok(Some(only.name.clone())),
        (None, []) => {
            let message = "no trunk is configured, and `to` is no user: see [[sip.trunk]]";
            Err(DialError::NoSuchTrunk(message.to_owned()))
        }
        (None, _) => Err(DialError::Bad("several trunks are configured: name one".to_owned())),
    }
}

/// What a panic left half done is no worse than what is current.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "[[trunk]]\nname = 'a'\nhost = 'a.example'\n";
    const B: &str = "[[trunk]]\nname = 'b'\nhost = 'b.example'\n";
    const USER: &str = "[[user]]\nname = 'ada'\npassword = 'a-long-password'\n";

    fn sip(text: &str) -> SipConfig {
        toml::from_str(text).expect("a configuration")
    }

    fn way(
        sip: &SipConfig,
        scope: SipDials,
        to: &str,
        trunk: Option<&str>,
    ) -> Result<Option<String>, ErrorCode> {
        let trunk = trunk.map(str::to_owned);
        let dial = DialOrder { to: to.to_owned(), trunk, name: None, role: None, language: None };
        way_out(sip, scope, &dial).map_err(|error| error.code())
    }

    #[test]
    fn a_user_is_called_without_a_trunk_and_a_number_through_the_one_that_is_named() {
        let both = sip(&format!("{A}{B}{USER}"));
        let all = SipDials::Anybody;
        assert_eq!(way(&both, all, "ada", None), Ok(None));
        assert_eq!(way(&both, all, "ada", Some("b")), Ok(Some("b".to_owned())));
        assert_eq!(way(&both, all, "+4930", Some("a")), Ok(Some("a".to_owned())));
        assert_eq!(way(&both, all, "+4930", None), Err(ErrorCode::BadMessage));
        assert_eq!(way(&both, all, "+4930", Some("c")), Err(ErrorCode::NoSuchTrunk));
        assert_eq!(way(&sip(USER), all, "+4930", None), Err(ErrorCode::NoSuchTrunk));
    }

    #[test]
    fn nothing_but_a_number_or_a_name_is_called() {
        let both = sip(&format!("{A}{B}{USER}"));
        for wrong in ["", "sip:ada@192.0.2.1", "ada@b", "a b", "+49;ext=1", "\u{0661}", &"1".repeat(65)] {
            assert_eq!(
                way(&both, SipDials::Anybody, wrong, Some("a")),
                Err(ErrorCode::BadMessage),
                "{wrong}"
            );
        }
        assert_eq!(way(&both, SipDials::Anybody, &"1".repeat(64), Some("a")), Ok(Some("a".to_owned())));
    }

    #[test]
    fn without_a_token_no_trunk_is_used_whichever_way_it_is_asked_for() {
        let (both, one) = (sip(&format!("{A}{B}{USER}")), sip(A));
        assert_eq!(way(&both, SipDials::Users, "ada", None), Ok(None));
        for (sip, to, trunk) in [
            (&both, "ada", Some("a")),
            (&both, "+4930", Some("a")),
            (&both, "+4930", Some("c")),
            (&one, "1", None),
        ] {
            assert_eq!(way(sip, SipDials::Users, to, trunk), Err(ErrorCode::Forbidden), "{to} by {trunk:?}");
        }
        assert_eq!(way(&both, SipDials::Nobody, "ada", None), Err(ErrorCode::Forbidden));
    }
}
