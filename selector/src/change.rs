//! What comes out: who has which position now, and why.

use std::fmt;
use std::time::Duration;

use arrayvec::ArrayVec;

use crate::{SLOTS_MAX, SourceId};

/// The main positions and the reserve.
pub(crate) const POSITIONS_MAX: usize = SLOTS_MAX + 1;

/// A position has another occupant now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// 0 to `slots - 1` are the main positions, `slots` is the reserve.
    pub position: usize,
    /// Who is there now; `None` if nobody.
    pub source: Option<SourceId>,
    /// Why.
    pub reason: Reason,
}

/// The changes of one call, at most one a position, in the order of positions.
pub type Changes = ArrayVec<Change, POSITIONS_MAX>;

/// The occupants: main positions first, the reserve last.
pub type Positions = ArrayVec<Option<SourceId>, POSITIONS_MAX>;

/// Why a position has another occupant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was free.
    Free,
    /// Its occupant was noise: steady, of bangs, no voice by its sender's word, or never heard otherwise since it came.
    Noise,
    /// Its occupant had been silent.
    Silent {
        /// For how long.
        silent_for: Duration,
    },
    /// Its occupant was less loud.
    Louder {
        /// By how much, in dB.
        by_db: u8,
        /// For how long the successor had been louder by the margin.
        challenged_for: Duration,
    },
    /// Its occupant was of a lower standing.
    Standing,
    /// The reserve: the source is the loudest of those without a position, or the last one was idle.
    NextInLine,
    /// The reserve: the source lost its main position while it was speaking.
    Displaced,
    /// Another selector of the room has given it.
    Claimed,
    /// Its occupant has another position now.
    Moved,
    /// Its occupant was not heard for long.
    Idle,
    /// Its occupant is muted, excluded, or has left.
    Gone,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Free => write!(f, "the position was free"),
            Reason::Noise => write!(f, "the occupant was noise"),
            Reason::Silent { silent_for } => {
                write!(f, "the occupant had been silent for {} ms", silent_for.as_millis())
            }
            Reason::Louder { by_db, challenged_for } => {
                write!(f, "louder than the occupant by {by_db} dB, for {} ms", challenged_for.as_millis())
            }
            Reason::Standing => write!(f, "the occupant was of a lower standing"),
            Reason::NextInLine => write!(f, "next in line"),
            Reason::Displaced => write!(f, "displaced while speaking"),
            Reason::Claimed => write!(f, "another selector of the room gave it"),
            Reason::Moved => write!(f, "the occupant has another position"),
            Reason::Idle => write!(f, "the occupant was not heard for long"),
            Reason::Gone => write!(f, "the occupant is muted, excluded, or left"),
        }
    }
}
