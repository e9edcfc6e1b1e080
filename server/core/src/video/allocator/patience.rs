//! Estimates and congestion in; by how much, and when, more may be given out.

use std::time::{Duration, Instant};

/// For how long at least, and at most, more has to fit before it is given.
pub(super) const HOLD_MIN: Duration = Duration::from_secs(1);
pub(super) const HOLD_MAX: Duration = Duration::from_secs(8);

/// A network that has become wide is seen by estimates of so long.
const LATELY: Duration = Duration::from_millis(500);

/// The first estimates of a network that has fallen to less than half are made of what passed before, too: until congestion may be over
/// a part of them counts.
const FALLEN_FOR: Duration = HOLD_MIN;
const FALLEN_PARTS: u64 = 8;

/// What was given has lasted after so long: congestion that comes later has another reason.
const LASTED_AFTER: Duration = Duration::from_secs(10);

/// More is given by the lowest estimate of a while, and not for as long after congestion. Each time that what was given doesn't last,
/// the while is twice as long. But what takes less than half of what the network is taken for doesn't wait: it has become wide.
///
/// ```text
///            congestion         ┌───────────────────────┐
///  ┌────────┐ ────────────────▶ │ waits for 1 s;        │
///  │ may    │                   │ for twice as long as  │ ──┐
///  │ rise   │                   │ before, 8 s at most,  │   │ congestion
///  └────────┘ ◀──────────────── │ if a rise lasted less │ ◀─┘
///            it is over         │ than 10 s             │
///                               └───────────────────────┘
/// ```
#[derive(Clone, Debug)]
pub(super) struct Patience {
    hold: Duration,
    congested_at: Option<Instant>,
    /// When somebody got more, since then.
    raised_at: Option<Instant>,
    lowest: Lowest,
    lately: Lowest,
    former_kbps: Option<u64>,
    fallen_at: Option<Instant>,
}

/// The lowest estimate of a while.
#[derive(Clone, Debug, Default)]
struct Lowest {
    /// When the present span began, and the lowest estimate of it.
    span: Option<(Instant, u64)>,
    /// The lowest of the span before.
    former_kbps: u64,
}

impl Default for Patience {
    fn default() -> Patience {
        let (lowest, lately) = Default::default();
        let (former_kbps, fallen_at) = (None, None);
        Patience {
            hold: HOLD_MIN,
            congested_at: None,
            raised_at: None,
            lowest,
            lately,
            former_kbps,
            fallen_at,
        }
    }
}

impl Patience {
    /// The lowest estimate of the while, with one that has just come.
    pub(super) fn lowest(&mut self, now: Instant, kbps: u64) -> u64 {
        self.lowest.with(now, kbps, self.hold)
    }

    /// The lowest estimate of just now, with one that has just come: what passes without a doubt is half of it.
    pub(super) fn beyond_doubt(&mut self, now: Instant, kbps: u64) -> u64 {
        self.lately.with(now, kbps, LATELY) / 2
    }

    /// What is to be believed of an estimate that has just come, if there is one: less, where it has fallen.
    pub(super) fn believed(&mut self, now: Instant, kbps: Option<u64>) -> u64 {
        let former = std::mem::replace(&mut self.former_kbps, kbps);
        if kbps.zip(former).is_some_and(|(kbps, former)| kbps < former / 2) {
            self.fallen_at = Some(now);
        }
        let has_fallen = self.fallen_at.is_some_and(|at| now.saturating_duration_since(at) < FALLEN_FOR);
        kbps.map_or(u64::MAX, |kbps| if has_fallen { kbps / FALLEN_PARTS } else { kbps })
    }

    /// What slots have doesn't fit any more.
    pub(super) fn congested(&mut self, now: Instant) {
        // While it gets worse, nobody got more: it is one congestion.
        if let Some(at) = self.raised_at.take() {
            let has_lasted = now.saturating_duration_since(at) >= LASTED_AFTER;
            self.hold = if has_lasted { HOLD_MIN } else { HOLD_MAX.min(self.hold * 2) };
        }
        self.congested_at = Some(now);
    }

    /// Somebody got more.
    pub(super) fn raised(&mut self, now: Instant) {
        self.raised_at = Some(now);
    }

    /// Whether it is too soon after congestion.
    pub(super) fn is_waiting(&self, now: Instant) -> bool {
        self.congested_at.is_some_and(|at| now.saturating_duration_since(at) < self.hold)
    }
}

impl Lowest {
    /// Of the while, or of half of it at least.
    fn with(&mut self, now: Instant, kbps: u64, length: Duration) -> u64 {
        let (began_at, lowest_kbps) = self.span.unwrap_or((now, kbps));
        let elapsed = now.saturating_duration_since(began_at);
        if self.span.is_none() || elapsed >= length {
            (self.span, self.former_kbps) = (Some((now, kbps)), kbps);
        } else if elapsed >= length / 2 {
            (self.span, self.former_kbps) = (Some((now, kbps)), lowest_kbps);
        } else {
            self.span = Some((began_at, lowest_kbps.min(kbps)));
        }
        self.span.map_or(kbps, |(_, lowest_kbps)| lowest_kbps.min(self.former_kbps))
    }
}
