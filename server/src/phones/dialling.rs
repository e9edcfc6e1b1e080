//! Calls out: orders of moderators in, calls through trunks out, and how each stands.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tercet_core::Allowance;
use tercet_protocol::Role;
use tercet_sip_gateway::prompts::Language;
use tercet_sip_gateway::sdp::Direction;
use tercet_sip_gateway::signalling::{CallId, Dial, HangUp};
use tokio::sync::mpsc;

use super::call::Call;
use super::gateway::{CALL_EVENTS_MAX, Calls, Shared};
use super::routes::{Destination, shown_name};

/// Who is dialled, at most: E.164 has 15 digits, extensions and names of users are longer.
const TO_CHARS_MAX: usize = 64;

/// Calls out a minute, and at once: a stolen token is not to empty anybody's account.
const DIALS_PER_MINUTE: u32 = 60;
const DIALS_BURST: u32 = 30;

/// How long one can see how a call ended, and of how many.
const ENDED_SHOWN_FOR: Duration = Duration::from_secs(60);
const SHOWN_MAX: usize = 1000;

/// Somebody to be called into a room.
#[derive(Clone, Debug)]
pub(crate) struct DialOrder {
    pub(crate) room: String,
    /// A number, or a user of ours.
    pub(crate) to: String,
    /// Through which trunk; if there is only one, it need not be named.
    pub(crate) trunk: Option<String>,
    /// How they are shown to others.
    pub(crate) name: Option<String>,
    pub(crate) role: Role,
    pub(crate) language: Option<String>,
}

/// Why nobody is called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DialError {
    /// The caller's.
    #[error("{0}")]
    Bad(String),
    /// There is no such trunk, and no such user.
    #[error("{0}")]
    NotFound(String),
    /// Too many at once.
    #[error("too many calls out: 60 a minute are made")]
    TooMany,
    /// Ours.
    #[error("no more calls can be made now: try again")]
    Overloaded,
}

/// How a call out stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub(crate) enum DialState {
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

/// A call out, as its room's moderators see it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CallView {
    /// Which call.
    pub(crate) call: u64,
    /// How the one who is called is shown.
    name: String,
    #[serde(flatten)]
    state: DialState,
    /// Whom they are in the room, once they are.
    participant: Option<String>,
}

struct Shown {
    room: String,
    view: CallView,
    ended_at: Option<Instant>,
}

type Board = Arc<Mutex<BTreeMap<u64, Shown>>>;

/// Where a call's task says how it stands.
#[derive(Clone)]
pub(super) struct Report {
    call: u64,
    board: Board,
}

impl Report {
    pub(super) fn set(&self, state: DialState, participant: Option<String>) {
        if let Some(shown) = lock(&self.board).get_mut(&self.call) {
            shown.view.state = state;
            shown.view.participant = participant;
            shown.ended_at = matches!(state, DialState::Ended { .. }).then(Instant::now);
        }
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

/// Makes calls out.
#[derive(Clone)]
pub(crate) struct Dialler {
    shared: Arc<Shared>,
    calls: Calls,
    board: Board,
    allowance: Arc<Mutex<Allowance>>,
}

impl Dialler {
    pub(super) fn new(shared: Arc<Shared>, calls: Calls) -> Dialler {
        let allowance = Allowance::new(DIALS_PER_MINUTE.div_ceil(60), DIALS_BURST, Instant::now());
        Dialler { shared, calls, board: Board::default(), allowance: Arc::new(Mutex::new(allowance)) }
    }

    /// Calls somebody into a room.
    pub(crate) fn dial(&self, order: DialOrder) -> Result<CallView, DialError> {
        let sip = &self.shared.config.sip;
        let is_callable = |c: char| c.is_ascii_alphanumeric() || "+*#.-_".contains(c);
        if order.to.is_empty() || order.to.len() > TO_CHARS_MAX || !order.to.chars().all(is_callable) {
            let what = "a number, or the name of a user: 1 to 64 of letters, digits, and + * # . - _";
            return Err(DialError::Bad(format!("`to` is {what}")));
        }
        let is_user = sip.user.iter().any(|user| user.name == order.to);
        let trunk = match (&order.trunk, &sip.trunk[..]) {
            (None, _) if is_user => None,
            (Some(name), trunks) if trunks.iter().any(|trunk| trunk.name == *name) => Some(name.clone()),
            (Some(name), _) => return Err(DialError::NotFound(format!("there is no trunk {name}"))),
            (None, [only]) => Some(only.name.clone()),
            (None, []) => {
                let message = "no trunk is configured, and `to` is no user: see [[sip.trunk]]";
                return Err(DialError::NotFound(message.to_owned()));
            }
            (None, _) => return Err(DialError::Bad("several trunks are configured: name one".to_owned())),
        };
        let language = order.language.as_deref().unwrap_or(&sip.language);
        let language: Language = language.parse().map_err(|error| DialError::Bad(format!("{error}")))?;
        if !lock(&self.allowance).take(Instant::now()) {
            return Err(DialError::TooMany);
        }
        if self.shared.is_draining() || self.shared.lines.is_strained() {
            return Err(DialError::Overloaded);
        }
        let name = shown_name(sip.caller_id, order.name.as_deref(), &order.to);
        let (ports, mut session) = self.shared.media().map_err(|_| DialError::Overloaded)?;
        let offer = session.offer(Direction::SendRecv);
        let destination = Destination {
            room: order.room.clone(),
            role: order.role,
            pin: None,
            moderator_pin: None,
            waits_for_moderator: false,
            language,
        };
        let dial = Dial { to: order.to, trunk: trunk.clone(), offer, ..Dial::default() };
        let (sender, events) = mpsc::channel(CALL_EVENTS_MAX);
        // Its events wait for the lock: none comes before its task is known.
        let mut calls = lock(&self.calls);
        let call = self.shared.sip.dial(dial).map_err(|_| DialError::Overloaded)?;
        calls.insert(call, sender);
        drop(calls);
        let view =
            CallView { call: call.0, name: name.clone(), state: DialState::Dialling, participant: None };
        self.show(order.room, view.clone());
        let report = Report { call: call.0, board: self.board.clone() };
        let dialled = Dialled { destination, name, trunk, report };
        tokio::spawn(Call::new(self.shared.clone(), call, events).serve_out(dialled, (ports, session)));
        Ok(view)
    }

    fn show(&self, room: String, view: CallView) {
        let mut board = lock(&self.board);
        let is_old = |shown: &Shown| shown.ended_at.is_some_and(|at| at.elapsed() > ENDED_SHOWN_FOR);
        board.retain(|_, shown| !is_old(shown));
        if board.len() >= SHOWN_MAX {
            board.pop_first();
        }
        board.insert(view.call, Shown { room, view, ended_at: None });
    }

    /// The calls out of a room: those that stand, and those that ended just now.
    pub(crate) fn list(&self, room: &str) -> Vec<CallView> {
        let board = lock(&self.board);
        board.values().filter(|shown| shown.room == room).map(|shown| shown.view.clone()).collect()
    }

    /// Hangs up a call out of a room, if it has it.
    pub(crate) fn hang_up(&self, room: &str, call: u64) -> bool {
        let is_there = lock(&self.board).get(&call).is_some_and(|shown| shown.room == room);
        if is_there {
            let _ = self.shared.sip.hang_up(CallId(call), HangUp::Normal);
        }
        is_there
    }
}

/// What a panic left half done is no worse than what is current.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
