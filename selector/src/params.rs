//! What can be tuned, with units.

use std::time::Duration;

use crate::Level;

/// The most main positions a selector can have.
pub const SLOTS_MAX: usize = 8;

/// Parameters of a [`Selector`](crate::Selector).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Main positions, 1 to [`SLOTS_MAX`].
    pub slots: usize,
    /// Packets at or above this level count as activity. Speech at a usual distance is around
    /// -25 dBov, a quiet voice around -45, a quiet room below -60.
    pub active_level: Level,
    /// How much louder a packet must be to count when its voice bit says that there is no voice, in dB.
    pub unvoiced_penalty_db: u8,
    /// A source that has not been active for this long can be displaced by any active source:
    /// longer than the pauses within a sentence.
    pub yield_after: Duration,
    /// A source that has not been active for this long loses its position.
    pub release_after: Duration,
    /// By how much a challenger's smoothed level has to exceed that of an active source, in dB.
    pub margin_db: u8,
    /// For how long it has to do so.
    pub challenge_for: Duration,
    /// How long an active source keeps a position against any challenger.
    pub hold_for: Duration,
}

impl Params {
    /// The defaults, with a number of main positions, which is clamped to 1..=[`SLOTS_MAX`].
    pub fn with_slots(slots: usize) -> Params {
        Params {
            slots: slots.clamp(1, SLOTS_MAX),
            active_level: Level::from_dbov(-55),
            unvoiced_penalty_db: 15,
            yield_after: Duration::from_millis(400),
            release_after: Duration::from_millis(1200),
            margin_db: 6,
            challenge_for: Duration::from_millis(300),
            hold_for: Duration::from_millis(1000),
        }
    }
}

impl Default for Params {
    fn default() -> Self {
        Params::with_slots(3)
    }
}
