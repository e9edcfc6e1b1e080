//! What is said of a source, from its packets or from those who run the room: what positions are given by.

use std::time::Duration;

use crate::SourceId;

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Loud enough above the source's noise to be speech.
    Active,
    /// Loud, but always the same.
    Steady,
    /// Neither.
    Quiet,
}

/// How a source stands among the others, whatever its level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Never has a position: muted for this listener, or not one of theirs; audio that is forwarded outside the
    /// ranking, such as that of a shared screen.
    Excluded,
    /// Competes by its level.
    #[default]
    Ordinary,
    /// Takes the position of an ordinary source as soon as it speaks, and loses none to one while it does: an
    /// interpreter, a moderator.
    Priority,
    /// Has a position for as long as it sends, whether it speaks or not, and before any other: music, a stage.
    Pinned,
}

/// A packet, judged by all that its source sent before: everything by which it is ranked. Where the packets of a room
/// arrive at several selectors, each judges its own, and the others rank what was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Whose packet.
    pub source: SourceId,
    /// Given by those who run the room.
    pub standing: Standing,
    /// What the packet is.
    pub heard: Heard,
    /// The loudness of the source's voice, in 1/256 dB above -127 dBov, smoothed.
    pub loudness: i32,
    /// How long ago the spurt began that the source is in.
    pub spurt_age: Duration,
    /// Whether the source was quiet since it came, or its level moved: a fan wasn't, and didn't.
    pub is_proven: bool,
    /// Whether it is to be taken for a bang, such as a keystroke, after others that were.
    pub is_bang: bool,
    /// Whether its sender, who tells voice from other sounds, says that it is none, and did before.
    pub is_denied: bool,
    /// Whether its activity has lasted for longer than any bang.
    pub is_believed: bool,
    /// The position that the selector it came from has given it.
    pub claim: Option<Claim>,
}

impl Candidate {
    /// For how long its source has been saying what it is heard with; zero where that is no speech.
    pub fn speech_age(&self) -> Duration {
        let is_speech = self.heard == Heard::Active && !self.is_denied;
        if is_speech { self.spurt_age } else { Duration::ZERO }
    }

    /// Whether it is worth hearing only where nobody speaks.
    pub fn is_noise(&self) -> bool {
        let is_no_speech = self.is_denied || !self.is_proven;
        self.is_bang || self.heard == Heard::Steady || (self.heard == Heard::Active && is_no_speech)
    }
}

/// A position as one of a room's selectors has given it. Of two claims to a position the later wins, by turn and then
/// by source: with it the selectors agree as soon as they heard of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// 0 to `slots - 1` are the main positions, `slots` is the reserve.
    pub position: usize,
    /// Counts the changes that the selector had heard of (Lamport, "Time, Clocks, and the Ordering of Events in a
    /// Distributed System", 1978).
    pub turn: u64,
}
