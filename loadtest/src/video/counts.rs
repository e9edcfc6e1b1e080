//! What viewers saw, in numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::continuity::Faults;
use crate::Histogram;

/// As many video slots as a room can have.
pub(crate) const SLOTS_MAX: usize = 16;

/// Counts of all viewers of a thread, or of all threads.
#[derive(Clone, Debug, Default)]
pub(crate) struct PictureCounts {
    /// Of each slot, all viewers together.
    pub(crate) slots: [SlotCounts; SLOTS_MAX],
    pub(crate) faults: Faults,
    /// Frames that a keyframe of another source or size cut short: nothing that a decoder minds.
    pub(crate) cut_short: u64,
    /// Packets of the viewer's own camera.
    pub(crate) own: u64,
    /// Packets without a source, or of one that the slot was not said to show.
    pub(crate) foreign: u64,
    /// From the message that says whom a slot shows to the first packet of their keyframe.
    pub(crate) switches: Histogram,
    /// The same, to the first packet of a keyframe of the size that was asked for, in the first slot.
    pub(crate) sharp: Histogram,
    /// Slots that were said to show somebody and didn't for two seconds.
    pub(crate) unseen: u64,
    /// Viewers who are there for the whole of the run, and those of them who saw nobody, or not all that they were said to.
    pub(crate) viewers: u64,
    pub(crate) blind: u64,
    pub(crate) partly_blind: u64,
    /// Slots that show somebody, those that stood still for more than a second, and the longest of these times.
    pub(crate) watched: u64,
    pub(crate) frozen: u64,
    pub(crate) longest_freeze: Duration,
    /// What publishers did: keyframes sent because they were asked for, and frames of sizes that rested.
    pub(crate) keyframes_sent: u64,
    pub(crate) frames_rested: u64,
}

/// Of one slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlotCounts {
    pub(crate) packets: u64,
    /// Of payload.
    pub(crate) bytes: u64,
    pub(crate) frames: u64,
    pub(crate) keyframes: u64,
    /// Viewers who saw somebody in it.
    pub(crate) in_use: u64,
    /// Frames by their height, where the slot had shown the same for a while.
    pub(crate) heights: BTreeMap<u16, u64>,
}

impl PictureCounts {
    /// Adds the counts of another thread over the same window.
    pub(crate) fn merge(&mut self, other: &PictureCounts) {
        for (slot, other) in self.slots.iter_mut().zip(&other.slots) {
            slot.merge(other);
        }
        self.faults += other.faults;
        self.cut_short += other.cut_short;
        self.own += other.own;
        self.foreign += other.foreign;
        self.switches.merge(&other.switches);
        self.sharp.merge(&other.sharp);
        self.unseen += other.unseen;
        self.viewers += other.viewers;
        self.blind += other.blind;
        self.partly_blind += other.partly_blind;
        self.watched += other.watched;
        self.frozen += other.frozen;
        self.longest_freeze = self.longest_freeze.max(other.longest_freeze);
        self.keyframes_sent += other.keyframes_sent;
        self.frames_rested += other.frames_rested;
    }
}

impl SlotCounts {
    /// Adds another.
    pub(crate) fn merge(&mut self, other: &SlotCounts) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.frames += other.frames;
        self.keyframes += other.keyframes;
        self.in_use += other.in_use;
        for (height, frames) in &other.heights {
            *self.heights.entry(*height).or_default() += frames;
        }
    }
}
