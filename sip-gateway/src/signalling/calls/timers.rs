//! What is to happen when: a queue of timers, with the time passed in.

use std::collections::BTreeMap;
use std::time::Instant;

use super::super::CallId;

/// What a timer is for. One that fires for what is over does nothing: each carries what tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// Nobody answered the call.
    Ringing(CallId),
    /// A reliable response has not been confirmed (RFC 3262, section 3): send it again.
    Reliable(CallId, u32),
    /// Our turn to refresh the session (RFC 4028, section 7), in this generation of it.
    Refresh(CallId, u32),
    /// The session was not refreshed in time (section 10).
    Expired(CallId, u32),
    /// An offer that met one of the peer's is tried again (RFC 3261, section 14.1).
    Reoffer(CallId),
    /// What is left of a call is forgotten, whether the peer confirms its end or not.
    Forget(CallId),
    /// A registration with a trunk is renewed, or tried again.
    Register(usize),
    /// A contact of a user may have run out.
    Contacts,
}

/// Timers in the order of their time.
#[derive(Default)]
pub(super) struct Timers {
    queue: BTreeMap<(Instant, u64), Timer>,
    added: u64,
}

impl Timers {
    pub(super) fn set(&mut self, at: Instant, timer: Timer) {
        self.added += 1;
        self.queue.insert((at, self.added), timer);
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Timer> {
        let entry = self.queue.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(entry.remove())
    }
}
