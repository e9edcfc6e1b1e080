//! Who holds a position, as they are compared with everybody else.

use std::time::Duration;

use crate::candidate::{Candidate, Heard, Standing};
use crate::{Params, SourceId};

/// Who spoke for less than this since they have the position said no more than a word, or slammed a door: no pause of
/// a sentence is to be waited for.
const BRIEF: Duration = Duration::from_millis(300);

/// Who holds a position. What ranks an occupant is copied at each packet of theirs: they are compared at
/// each packet of everybody else.
#[derive(Clone, Debug)]
pub(crate) struct Occupant {
    pub(crate) source: SourceId,
    pub(crate) standing: Standing,
    pub(crate) since: Duration,
    pub(crate) turn: u64,
    pub(crate) loudness: i32,
    /// When it last spoke; `None` for one that never did.
    pub(crate) active_at: Option<Duration>,
    /// When it was last to be heard, be it speech or not.
    pub(crate) sounded_at: Option<Duration>,
    /// When it was last worth hearing.
    pub(crate) heard_at: Duration,
    pub(crate) noise: bool,
}

impl Occupant {
    pub(crate) fn new(now: Duration, turn: u64, candidate: &Candidate) -> Occupant {
        let mut occupant = Occupant {
            source: candidate.source,
            standing: candidate.standing,
            since: now,
            turn,
            loudness: candidate.loudness,
            active_at: None,
            sounded_at: None,
            heard_at: now,
            noise: false,
        };
        occupant.refresh(now, candidate);
        occupant
    }

    pub(crate) fn refresh(&mut self, now: Duration, candidate: &Candidate) {
        self.standing = candidate.standing;
        self.loudness = candidate.loudness;
        self.noise = candidate.is_noise();
        if candidate.heard == Heard::Active && !candidate.is_denied {
            self.active_at = Some(now);
        }
        if candidate.heard != Heard::Quiet {
            self.sounded_at = Some(now);
        }
        if candidate.heard != Heard::Quiet || candidate.standing == Standing::Pinned {
            self.heard_at = now;
        }
    }

    pub(crate) fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.active_at.unwrap_or(self.since))
    }

    pub(crate) fn was_brief(&self) -> bool {
        self.active_at.unwrap_or(self.since).saturating_sub(self.since) < BRIEF
    }

    pub(crate) fn is_speaking(&self, now: Duration, params: &Params) -> bool {
        self.active_at.is_some_and(|at| now.saturating_sub(at) < params.yield_to_bang_after)
    }
}
