//! When something is to happen without a key: at most one instant a timer.

use std::time::{Duration, Instant};

/// What a menu waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The question was heard, and no key came: ask again.
    NoKey,
    /// A digit came, and no other: what was entered is the PIN.
    PinPause,
    /// The star key came, and no other: it was no code.
    Code,
    /// However many keys came: the PIN isn't asked for forever.
    Asking,
    /// The room hasn't answered whether the caller is in.
    Answer,
    /// The farewell hasn't been played: the call ends without.
    Farewell,
}

impl Timer {
    pub(super) const ALL: [Timer; 6] =
        [Timer::NoKey, Timer::PinPause, Timer::Code, Timer::Asking, Timer::Answer, Timer::Farewell];

    /// How long it runs.
    pub(super) const fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Timer::NoKey => 10,
            Timer::PinPause => 5,
            Timer::Code => 3,
            Timer::Asking => 120,
            Timer::Answer => 15,
            Timer::Farewell => 20,
        })
    }
}

/// Which timers run, and until when.
#[derive(Debug, Default)]
pub(super) struct Timers {
    at: [Option<Instant>; Timer::ALL.len()],
}

impl Timers {
    /// Runs from now on, whether it ran before or not.
    pub(super) fn start(&mut self, now: Instant, timer: Timer) {
        self.at[timer as usize] = Some(now + timer.duration());
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.at[timer as usize] = None;
    }

    pub(super) fn stop_all(&mut self) {
        self.at = Default::default();
    }

    pub(super) fn is_running(&self, timer: Timer) -> bool {
        self.at[timer as usize].is_some()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.at.iter().flatten().min().copied()
    }

    /// One that has run out, the earliest first; it runs no more.
    pub(super) fn expired(&mut self, now: Instant) -> Option<Timer> {
        let timer = Timer::ALL
            .into_iter()
            .filter(|&timer| self.at[timer as usize].is_some_and(|at| at <= now))
            .min_by_key(|&timer| self.at[timer as usize])?;
        self.stop(timer);
        Some(timer)
    }
}
