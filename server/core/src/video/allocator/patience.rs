//! Estimates and congestion in; by how much, and when, more may be given out.

use std::time::{Duration, Instant};

/// For how long at least, and at most, more has to fit before it is given.
pub(super) const HOLD_MIN: Duration = Duration::from_secs(1);
pub(super) const HOLD_MAX: Duration = Duration::from_secs(8);

/// What was given has lasted after so long: congestion that comes later has another reason.
const LASTED_AFTER: Duration = Duration::from_secs(10);

/// More is given by the lowest estimate of a while, and not for as long after congestion. Each time that what was given doesn't last,
/// the while is twice as long.
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
    /// When the present span began, and the lowest estimate of it.
    span: Option<(Instant, u64)>,
    /// The lowest of the span before.
    former_kbps: u64,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { hold: HOLD_MIN, congested_at: None, raised_at: None, span: None, former_kbps: 0 }
    }
}

impl Patience {
    /// The lowest estimate of the while, or of half of it at least, with one that has just come.
    pub(super) fn lowest(&mut self, now: Instant, kbps: u64) -> u64 {
        let (began_at, lowest_kbps) = self.span.unwrap_or((now, kbps));
        let elapsed = now.saturating_duration_since(began_at);
        if self.span.is_none() || elapsed >= self.hold {
            (self.span, self.former_kbps) = (Some((now, kbps)), kbps);
        } else if elapsed >= self.hold / 2 {
            (self.span, self.former_kbps) = (Some((now, kbps)), lowest_kbps);
        } else {
            self.span = Some((began_at, lowest_kbps.min(kbps)));
        }
        self.span.map_or(kbps, |(_, lowest_kbps)| lowest_kbps.min(self.former_kbps))
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
