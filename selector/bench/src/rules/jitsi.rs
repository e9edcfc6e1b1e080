//! The loudest N by smoothed level, as in Jitsi Videobridge's loudest-N audio routing.

use std::collections::BTreeMap;

use super::{Rule, settle};
use crate::trace::Packet;

/// A level counts for so long.
const EXPIRY_US: u64 = 150_000;

struct Loudness {
    /// Exponentially smoothed, half of each new level, in dB above -127 dBov.
    smooth: f64,
    heard_us: u64,
}

/// At each packet the loudest N of those heard within 150 ms; there is no hysteresis.
pub(crate) struct LoudestOfAll {
    sources: BTreeMap<u32, Loudness>,
    slots: Vec<Option<u32>>,
}

impl LoudestOfAll {
    /// Nobody heard yet.
    pub(crate) fn new(slots: usize) -> LoudestOfAll {
        LoudestOfAll { sources: BTreeMap::new(), slots: vec![None; slots] }
    }
}

impl Rule for LoudestOfAll {
    fn packet(&mut self, packet: &Packet) {
        let level = f64::from(packet.level_dbov) + 127.0;
        let source = self.sources.entry(packet.source);
        let source = source.or_insert(Loudness { smooth: level, heard_us: packet.at_us });
        source.smooth = (source.smooth + level) / 2.0;
        source.heard_us = packet.at_us;
        let heard = self.sources.iter().filter(|(_, s)| packet.at_us - s.heard_us <= EXPIRY_US);
        let mut ranked: Vec<(f64, u32)> = heard.map(|(&id, s)| (s.smooth, id)).collect();
        let louder = |a: &(f64, u32), b: &(f64, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if ranked.len() > self.slots.len() {
            ranked.select_nth_unstable_by(self.slots.len(), louder);
            ranked.truncate(self.slots.len());
        }
        ranked.sort_by(louder);
        let chosen: Vec<u32> = ranked.iter().map(|&(_, id)| id).collect();
        settle(&mut self.slots, &chosen);
    }

    fn slots(&self) -> &[Option<u32>] {
        &self.slots
    }
}
