//! What the server keeps of those who are not heard yet: packets in; those it sends once their source is heard, out.
//!
//! A rule decides at a packet, so what came before that packet is lost to the listener. The server keeps a ring of the
//! last packets of each source that has no slot, and sends them when it gets one: late, but they are there.

use std::collections::VecDeque;

use crate::trace::Packet;
use crate::voice::FRAME_MS;

/// The server goes by RTP timestamps, this by arrivals: less than half a packet between them is jitter.
const JITTER_MAX_MS: u32 = 9;

/// The server reaches back by one packet more than to the onset.
const ATTACK_MS: u32 = FRAME_MS;

/// The rings of a room.
pub(crate) struct PreRoll {
    length_ms: u32,
    /// By source: sources are numbered from 0.
    rings: Vec<VecDeque<Packet>>,
}

impl PreRoll {
    /// Rings of this length of speech each.
    pub(crate) fn new(pre_roll_ms: u32) -> PreRoll {
        PreRoll { length_ms: pre_roll_ms, rings: Vec::new() }
    }

    /// A packet of a source that has no slot.
    pub(crate) fn keep(&mut self, packet: &Packet) {
        let source = packet.source as usize;
        if self.rings.len() <= source {
            self.rings.resize_with(source + 1, VecDeque::new);
        }
        let ring = &mut self.rings[source];
        ring.push_back(*packet);
        if ring.len() > (self.length_ms / FRAME_MS) as usize {
            ring.pop_front();
        }
    }

    /// The packets that are sent when a source takes a slot, the oldest first: as far back as its onset.
    pub(crate) fn take(
        &mut self,
        source: u32,
        now_us: u64,
        onset_age_ms: u32,
    ) -> impl Iterator<Item = Packet> {
        let ring = self.rings.get_mut(source as usize).map(std::mem::take).unwrap_or_default();
        let reach_ms = self.length_ms.min(onset_age_ms.saturating_add(ATTACK_MS)) + JITTER_MAX_MS;
        ring.into_iter().filter(move |packet| now_us - packet.at_us <= u64::from(reach_ms) * 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(at_ms: u64) -> Packet {
        Packet { at_us: at_ms * 1000, source: 4, level_dbov: -30, voice: None, spurt: None }
    }

    fn taken_ms(pre_roll_ms: u32, arrivals_ms: &[u64], now_ms: u64, onset_age_ms: u32) -> Vec<u64> {
        let mut pre_roll = PreRoll::new(pre_roll_ms);
        for &at_ms in arrivals_ms {
            pre_roll.keep(&packet(at_ms));
        }
        pre_roll.take(4, now_ms * 1000, onset_age_ms).map(|packet| packet.at_us / 1000).collect()
    }

    #[test]
    fn the_last_packets_are_sent_back_to_one_before_the_onset() {
        assert_eq!(taken_ms(60, &[0, 20, 40, 60, 80], 100, 1000), [40, 60, 80]);
        assert_eq!(taken_ms(60, &[0, 20, 40, 60, 80], 100, 20), [60, 80]);
        assert_eq!(taken_ms(60, &[0, 20, 40, 60, 80], 100, 0), [80]);
        assert_eq!(taken_ms(0, &[0, 20, 40], 60, 1000), [0; 0]);
    }

    #[test]
    fn what_is_from_before_a_pause_is_not_sent() {
        assert_eq!(taken_ms(60, &[0, 31, 40], 100, 1000), [31, 40]);
    }

    #[test]
    fn what_was_sent_is_not_sent_again() {
        let mut pre_roll = PreRoll::new(60);
        pre_roll.keep(&packet(0));
        assert_eq!(pre_roll.take(4, 20_000, 1000).count(), 1);
        assert_eq!(pre_roll.take(4, 20_000, 1000).count(), 0);
    }
}
