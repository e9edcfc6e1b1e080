//! What the server keeps of those who are not heard yet: packets in; those it sends once their source is heard, out.
//!
//! A rule decides at a packet, so what came before that packet is lost to the listener. The server keeps a ring of the
//! last packets of each source that has no slot, and sends them when it gets one: late, but they are there.

use std::collections::VecDeque;

use crate::trace::Packet;
use crate::voice::FRAME_MS;

/// The server goes by RTP timestamps, this by arrivals: less than half a packet between them is jitter.
const JITTER_MAX_MS: u32 = 9;

/// What is so much louder than its source's noise is no pause.
const FAINT_DB: i8 = 4;

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

    /// The packets that are sent when a source takes a slot, the oldest first: as far back as its onset, and as what
    /// came before that was louder than its noise.
    pub(crate) fn take(
        &mut self,
        source: u32,
        now_us: u64,
        onset_age_ms: u32,
        noise_dbov: i8,
    ) -> Vec<Packet> {
        let mut ring = self.rings.get_mut(source as usize).map(std::mem::take).unwrap_or_default();
        let is_within = |packet: &Packet, ms: u32| {
            now_us - packet.at_us <= u64::from(ms.min(self.length_ms) + JITTER_MAX_MS) * 1000
        };
        let is_sent = |packet: &&Packet| {
            let is_speech = packet.level_dbov >= noise_dbov.saturating_add(FAINT_DB);
            is_within(packet, onset_age_ms) || (is_speech && is_within(packet, self.length_ms))
        };
        let sent = ring.iter().rev().take_while(is_sent).count();
        ring.split_off(ring.len() - sent).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISE_DBOV: i8 = -60;

    fn packet(at_ms: u64, level_dbov: i8) -> Packet {
        Packet { at_us: at_ms * 1000, source: 4, level_dbov, voice: None, spurt: None }
    }

    /// The last of the packets are faint, those before are silence.
    fn taken_ms(pre_roll_ms: u32, arrivals_ms: &[u64], faint: usize, onset_age_ms: u32) -> Vec<u64> {
        let mut pre_roll = PreRoll::new(pre_roll_ms);
        for (n, &at_ms) in arrivals_ms.iter().enumerate() {
            let is_faint = n + faint >= arrivals_ms.len();
            pre_roll.keep(&packet(at_ms, if is_faint { NOISE_DBOV + 4 } else { NOISE_DBOV + 3 }));
        }
        let taken = pre_roll.take(4, 100_000, onset_age_ms, NOISE_DBOV);
        taken.iter().map(|packet| packet.at_us / 1000).collect()
    }

    #[test]
    fn the_last_packets_are_sent_back_to_the_onset_and_what_was_faint_before() {
        let arrivals_ms = [0, 20, 40, 60, 80];
        assert_eq!(taken_ms(60, &arrivals_ms, 0, 1000), [40, 60, 80]);
        assert_eq!(taken_ms(60, &arrivals_ms, 0, 20), [80]);
        assert_eq!(taken_ms(60, &arrivals_ms, 0, 0), [0; 0]);
        assert_eq!(taken_ms(60, &arrivals_ms, 2, 0), [60, 80]);
        assert_eq!(taken_ms(60, &arrivals_ms, 5, 0), [40, 60, 80]);
        assert_eq!(taken_ms(0, &arrivals_ms, 5, 1000), [0; 0]);
    }

    #[test]
    fn what_is_from_before_a_pause_is_not_sent() {
        assert_eq!(taken_ms(60, &[0, 31, 40], 3, 1000), [31, 40]);
    }

    #[test]
    fn what_was_sent_is_not_sent_again() {
        let mut pre_roll = PreRoll::new(60);
        pre_roll.keep(&packet(0, -30));
        assert_eq!(pre_roll.take(4, 20_000, 1000, NOISE_DBOV).len(), 1);
        assert_eq!(pre_roll.take(4, 20_000, 1000, NOISE_DBOV).len(), 0);
    }
}
