//! Packets on their way to a room's listeners: written down once, for each to take in their turn.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use arrayvec::ArrayVec;
use selector::{SLOTS_MAX, SourceId};

use crate::AudioPacket;

/// The packets that some listener has yet to take, numbered in their order.
pub(super) struct Log {
    /// The number of the oldest.
    first: u64,
    entries: VecDeque<Entry>,
    entries_max: usize,
    /// The numbers of those that were pushed out last, one after another.
    lost: Range<u64>,
    /// The number after the last that isn't in the reserve.
    common_end: u64,
}

/// A packet, and who hears it.
pub(super) struct Entry {
    pub(super) packet: AudioPacket,
    /// When it arrived, or, if it is from before that, when its source got the position.
    pub(super) at: Instant,
    /// Where everybody hears it who hears what the room hears.
    pub(super) position: Option<Occupied>,
    /// For a packet from before its source had the position: who has heard it.
    pub(super) heard_by: Option<Vec<SourceId>>,
}

/// A position as it was when a packet came in it.
pub(super) struct Occupied {
    pub(super) position: usize,
    /// Which occupation of it.
    pub(super) tenure: u64,
    /// In the reserve: who holds the slots, in which it is heard by its holder, and which occupation of each that is.
    pub(super) holders: ArrayVec<(Option<SourceId>, u64), SLOTS_MAX>,
}

impl Log {
    /// One that holds so many packets.
    pub(super) fn new(entries_max: usize) -> Log {
        Log { first: 0, entries: VecDeque::new(), entries_max, lost: 0..0, common_end: 0 }
    }

    /// Writes a packet down, in place of the oldest if there are too many: late audio is worse than lost audio.
    pub(super) fn push(&mut self, entry: Entry) {
        if self.entries.len() == self.entries_max {
            self.entries.pop_front();
            if self.lost.end != self.first {
                self.lost.start = self.first;
            }
            self.first += 1;
            self.lost.end = self.first;
        }
        let is_common = entry.position.as_ref().is_none_or(|occupied| occupied.holders.is_empty());
        self.entries.push_back(entry);
        if is_common {
            self.common_end = self.end();
        }
    }

    /// The number that the next packet will have.
    pub(super) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Whether there is something for a listener who has the packets before that number. What is in the reserve is for those
    /// who hold the slots alone.
    pub(super) fn has_news(&self, number: u64, own: SourceId) -> bool {
        let is_for_them = |entry: &Entry| {
            let holders = entry.position.iter().flat_map(|occupied| &occupied.holders);
            holders.into_iter().any(|(holder, _)| *holder == Some(own))
        };
        number < self.common_end || self.since(number).any(is_for_them)
    }

    /// The packets of that number and after it.
    pub(super) fn since(&self, number: u64) -> impl Iterator<Item = &Entry> {
        let skipped = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.entries.iter().skip(skipped)
    }

    /// How many packets of that number and after it were pushed out.
    pub(super) fn lost_since(&self, number: u64) -> u64 {
        self.lost.end.saturating_sub(number.max(self.lost.start))
    }

    /// Everybody has the packets before this number.
    pub(super) fn forget_before(&mut self, number: u64) {
        while self.first < number && self.entries.pop_front().is_some() {
            self.first += 1;
        }
    }

    /// When the oldest packet came.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.entries.front().map(|entry| entry.at)
    }
}
