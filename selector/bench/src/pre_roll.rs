//! What the server keeps of those who are not heard yet: packets in; those it sends once their source is heard, out.
//!
//! A rule decides at a packet, so what came before that packet is lost to the listener. The server keeps a ring of the
//! last packets of each source that has no slot, and sends them when it gets one: late, but they are there.

use std::collections::VecDeque;
use std::time::Duration;

use crate::trace::Packet;
use crate::voice::FRAME_MS;

/// What arrived longer ago would come too late: a source with DTX sends seldom, its ring is old.
const AGE_MAX: Duration = Duration::from_millis(100);

/// The rings of a room.
pub(crate) struct PreRoll {
    packets_max: usize,
    /// By source: sources are numbered from 0.
    rings: Vec<VecDeque<Packet>>,
}

impl PreRoll {
    /// Rings of this length of speech each.
    pub(crate) fn new(pre_roll_ms: u32) -> PreRoll {
        PreRoll { packets_max: (pre_roll_ms / FRAME_MS) as usize, rings: Vec::new() }
    }

    /// A packet of a source that has no slot.
    pub(crate) fn keep(&mut self, packet: &Packet) {
        let source = packet.source as usize;
        if self.rings.len() <= source {
            self.rings.resize_with(source + 1, VecDeque::new);
        }
        let ring = &mut self.rings[source];
        ring.push_back(*packet);
        if ring.len() > self.packets_max {
            ring.pop_front();
        }
    }

    /// The packets that are sent when a source takes a slot, the oldest first.
    pub(crate) fn take(&mut self, source: u32, now_us: u64) -> impl Iterator<Item = Packet> {
        let ring = self.rings.get_mut(source as usize).map(std::mem::take).unwrap_or_default();
        ring.into_iter().filter(move |packet| u128::from(now_us - packet.at_us) <= AGE_MAX.as_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(at_ms: u64) -> Packet {
        Packet { at_us: at_ms * 1000, source: 4, level_dbov: -30, voice: None, spurt: None }
    }

    fn taken_ms(pre_roll_ms: u32, arrivals_ms: &[u64], now_ms: u64) -> Vec<u64> {
        let mut pre_roll = PreRoll::new(pre_roll_ms);
        for &at_ms in arrivals_ms {
            pre_roll.keep(&packet(at_ms));
        }
        pre_roll.take(4, now_ms * 1000).map(|packet| packet.at_us / 1000).collect()
    }

    #[test]
    fn the_last_60_ms_are_sent() {
        assert_eq!(taken_ms(60, &[0, 20, 40, 60, 80], 100), [40, 60, 80]);
        assert_eq!(taken_ms(0, &[0, 20, 40], 60), [0; 0]);
    }

    #[test]
    fn what_is_older_than_100_ms_is_not_sent() {
        assert_eq!(taken_ms(60, &[0, 1, 20], 101), [1, 20]);
    }

    #[test]
    fn what_was_sent_is_not_sent_again() {
        let mut pre_roll = PreRoll::new(60);
        pre_roll.keep(&packet(0));
        assert_eq!(pre_roll.take(4, 20_000).count(), 1);
        assert_eq!(pre_roll.take(4, 20_000).count(), 0);
    }
}
