//! What can be tuned, with units.

use std::time::Duration;

use crate::Level;

/// The most main positions a selector can have.
pub const SLOTS_MAX: usize = 8;

/// Parameters of a [`Selector`](crate::Selector).
///
/// The defaults are those of docs/selection.md, where the bench has each of them at half and at double.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Main positions, 1 to [`SLOTS_MAX`].
    pub slots: usize,
    /// Packets below this level are never activity. Speech at a usual distance is around -25 dBov, a
    /// quiet voice around -45, a quiet room below -65.
    pub active_level: Level,
    /// Packets count as activity when they are this much louder than the source's own noise, in dB:
    /// less hears breath, more loses the ends of words.
    pub active_above_floor_db: u8,
    /// A source whose level stays within [`Params::steady_within_db`] for this long is no talker but a tone, a fan, or a
    /// client that claims a level: its level is its noise.
    pub steady_after: Duration,
    /// As [`Params::steady_after`], for a source that was never heard otherwise since it came.
    pub steady_after_arrival: Duration,
    /// How far a steady level strays, in dB. Speech strays further with each syllable.
    pub steady_within_db: u8,
    /// Steady sounds from this level on may take positions that are free.
    pub steady_level: Level,
    /// Runs of activity that are shorter are bangs, such as keystrokes; a source of several is believed only
    /// when it has been active for longer. Syllables last from 100 ms.
    pub bang_below: Duration,
    /// Somebody who begins to speak takes the position of somebody who has been silent for this long:
    /// longer than the gaps within a word.
    pub yield_to_onset_after: Duration,
    /// Whose silence is shorter than this yields only to somebody active for [`Params::believed_after`].
    pub yield_to_bang_after: Duration,
    /// Activity of this length is no bang.
    pub believed_after: Duration,
    /// For how long somebody who begins to speak is at the onset.
    pub onset_within: Duration,
    /// Somebody who has been speaking unheard takes the position of somebody silent for this long:
    /// longer than the pauses within a sentence, so that many talkers don't take turns within each other's.
    pub yield_after: Duration,
    /// A source that has not been active for this long loses its position: longer than most pauses, for each
    /// release costs a change when the talker goes on.
    pub release_after: Duration,
    /// By how much a challenger has to be louder than an active source, in dB.
    pub margin_db: u8,
    /// For how long it has to be louder.
    pub challenge_for: Duration,
    /// How long an active source keeps a position against any challenger.
    pub hold_for: Duration,
}

impl Params {
    /// The defaults, with a number of main positions, which is clamped to 1..=[`SLOTS_MAX`].
    pub fn with_slots(slots: usize) -> Params {
        Params {
            slots: slots.clamp(1, SLOTS_MAX),
            active_level: Level::from_dbov(-62),
            active_above_floor_db: 8,
            steady_after: Duration::from_millis(3000),
            steady_after_arrival: Duration::from_millis(300),
            steady_within_db: 8,
            steady_level: Level::from_dbov(-50),
            bang_below: Duration::from_millis(80),
            yield_to_onset_after: Duration::from_millis(160),
            yield_to_bang_after: Duration::from_millis(200),
            believed_after: Duration::from_millis(100),
            onset_within: Duration::from_millis(250),
            yield_after: Duration::from_millis(700),
            release_after: Duration::from_millis(2500),
            margin_db: 6,
            challenge_for: Duration::from_millis(500),
            hold_for: Duration::from_millis(1500),
        }
    }
}

impl Default for Params {
    fn default() -> Self {
        Params::with_slots(3)
    }
}
