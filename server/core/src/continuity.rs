//! One stream's packets after another's in; numbers of one continuous stream out. What [`Slot`](crate::Slot) and
//! [`VideoSlot`](crate::VideoSlot) have in common.

use std::time::{Duration, Instant};

use crate::left_out::LeftOut;

/// A stream that is made of others, one at a time. `K` tells these apart.
#[derive(Clone, Debug)]
pub(crate) struct Continuity<K> {
    current: Option<Current<K>>,
    last: Option<Last>,
    first_seq: u64,
    first_timestamp: u32,
}

/// Whose packets pass now, and by how much their numbers are moved.
#[derive(Clone, Debug)]
struct Current<K> {
    key: K,
    first_in_seq: u64,
    first_out_seq: u64,
    timestamp_offset: u32,
    left_out: LeftOut,
}

/// So many packets that were left out have a place to themselves: what is older than all of them comes too late.
const LEFT_OUT_PACKETS: usize = 512;

/// The newest packet that passed.
#[derive(Clone, Debug)]
pub(crate) struct Last {
    pub(crate) seq: u64,
    pub(crate) timestamp: u32,
    pub(crate) at: Instant,
}

impl<K: PartialEq> Continuity<K> {
    /// A stream that begins with these numbers. RFC 3550, section 5.1, wants both random.
    pub(crate) fn new(first_seq: u16, first_timestamp: u32) -> Continuity<K> {
        Continuity { current: None, last: None, first_seq: u64::from(first_seq), first_timestamp }
    }

    /// Whose packets pass now.
    pub(crate) fn current(&self) -> Option<&K> {
        self.current.as_ref().map(|current| &current.key)
    }

    /// Nobody's do any more.
    pub(crate) fn interrupt(&mut self) {
        self.current = None;
    }

    /// The newest packet that passed, if any did.
    pub(crate) fn last(&self) -> Option<&Last> {
        self.last.as_ref()
    }

    /// The numbers here of a packet of the stream that passes now; `None` for one from before its first, and of any other stream.
    pub(crate) fn moved(&self, key: &K, seq: u64, timestamp: u32) -> Option<(u64, u32)> {
        let current = self.current.as_ref().filter(|current| current.key == *key)?;
        let since_first = current.left_out.place(seq.checked_sub(current.first_in_seq)?)?;
        Some((current.first_out_seq + since_first, timestamp.wrapping_add(current.timestamp_offset)))
    }

    /// A packet of the stream that passes now, the newest, doesn't: those behind it move up.
    pub(crate) fn leave_out(&mut self, seq: u64) {
        if let Some(current) = &mut self.current
            && let Some(since_first) = seq.checked_sub(current.first_in_seq)
        {
            current.left_out.leave_out(since_first);
        }
    }

    /// A packet has passed which is the newest.
    pub(crate) fn passed(&mut self, now: Instant, (seq, timestamp): (u64, u32)) {
        self.last = Some(Last { seq, timestamp, at: now });
    }

    /// The packet becomes the first of another stream here: numbers go on by one, and the timestamp by what `ticks` makes of
    /// the time that has passed. Returns its numbers.
    pub(crate) fn switch(
        &mut self,
        now: Instant,
        key: K,
        (seq, timestamp): (u64, u32),
        ticks: impl FnOnce(Duration) -> u32,
    ) -> (u64, u32) {
        let moved = match &self.last {
            None => (self.first_seq, self.first_timestamp),
            Some(last) => {
                let elapsed = now.saturating_duration_since(last.at);
                (last.seq + 1, last.timestamp.wrapping_add(ticks(elapsed)))
            }
        };
        self.current = Some(Current {
            key,
            first_in_seq: seq,
            first_out_seq: moved.0,
            timestamp_offset: moved.1.wrapping_sub(timestamp),
            left_out: LeftOut::new(LEFT_OUT_PACKETS),
        });
        self.passed(now, moved);
        moved
    }
}
