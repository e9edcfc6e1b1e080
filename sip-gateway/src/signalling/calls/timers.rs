//! What is to happen when: a queue of timers, with the time passed in.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use super::super::CallId;

/// What a timer is for. One that fires for what is over does nothing: each carries what tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Timer {
    /// Nobody answered the call.
    Ringing(CallId),
    /// A reliable response has not been confirmed (RFC 3262, section 3): send it again.
    Reliable(CallId, u32),
    /// Our turn to refresh the session (RFC 4028, section 7).
    Refresh(CallId),
    /// The session was not refreshed in time (section 10).
    Expired(CallId),
    /// An offer that met one of the peer's is tried again (RFC 3261, section 14.1).
    Reoffer(CallId),
    /// What is left of a call is forgotten, whether the peer confirms its end or not.
    Forget(CallId),
    /// A registration with a trunk is renewed, or tried again.
    Register(usize),
    /// A contact of a user may have run out.
    Contacts,
}

/// Timers in the order of their time. There is one of a kind, so that a peer who has us set it again and again takes no more
/// memory.
#[derive(Default)]
pub(super) struct Timers {
    queue: BTreeMap<(Instant, u64), Timer>,
    places: HashMap<Timer, (Instant, u64)>,
    added: u64,
}

impl Timers {
    /// Sets it, instead of when it was set to before.
    pub(super) fn set(&mut self, at: Instant, timer: Timer) {
        self.clear(timer);
        self.added += 1;
        self.queue.insert((at, self.added), timer);
        self.places.insert(timer, (at, self.added));
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(place) = self.places.remove(&timer) {
            self.queue.remove(&place);
        }
    }

    /// Clears all that a call has, but for what it repeats.
    pub(super) fn clear_call(&mut self, call: CallId) {
        let kinds = [Timer::Ringing, Timer::Refresh, Timer::Expired, Timer::Reoffer, Timer::Forget];
        for kind in kinds {
            self.clear(kind(call));
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.queue.len()
    }

    /// The next that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Timer> {
        let entry = self.queue.first_entry().filter(|entry| entry.key().0 <= now)?;
        let timer = entry.remove();
        self.places.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timer_that_is_set_again_fires_once_at_its_new_time() {
        let now = Instant::now();
        let (later, latest) = (now + Duration::from_secs(1), now + Duration::from_secs(2));
        let mut timers = Timers::default();
        timers.set(now, Timer::Expired(CallId(1)));
        timers.set(latest, Timer::Expired(CallId(1)));
        timers.set(later, Timer::Refresh(CallId(1)));
        timers.set(later, Timer::Expired(CallId(2)));
        assert_eq!(timers.next(), Some(later));
        assert_eq!(timers.pop(later), Some(Timer::Refresh(CallId(1))));
        timers.clear_call(CallId(2));
        assert_eq!((timers.pop(later), timers.next()), (None, Some(latest)));
        assert_eq!(timers.pop(latest), Some(Timer::Expired(CallId(1))));
        assert!(timers.queue.is_empty() && timers.places.is_empty());
    }
}
