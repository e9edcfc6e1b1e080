//! What a room's selector sees, and what was true: packets in the order of their arrival, and who spoke when.

use std::ops::Range;

/// A packet as it arrives.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Arrival, microseconds from the start.
    pub at_us: u64,
    /// Who sent it.
    pub source: u32,
    /// RFC 6464.
    pub level_dbov: i8,
    /// RFC 6464's V bit, where the sender gives it.
    pub voice: Option<bool>,
    /// Which spurt it belongs to, if it was spoken.
    pub spurt: Option<u32>,
}

/// An uninterrupted utterance.
#[derive(Clone, Debug)]
pub struct Spurt {
    /// Who speaks.
    pub source: u32,
    /// From when to when, milliseconds from the start.
    pub ms: Range<u32>,
}

/// One room for some minutes.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// In the order of arrival.
    pub packets: Vec<Packet>,
    /// Milliseconds.
    pub length_ms: u32,
}

impl Trace {
    /// The CSV that the `trace` example of `selector` replays.
    pub fn to_csv(&self) -> String {
        let mut csv = String::from("t_ms,source,level_dbov,vad\n");
        for packet in &self.packets {
            let voice = packet.voice.map_or("", |voice| if voice { "1" } else { "0" });
            csv += &format!("{},{},{},{voice}\n", packet.at_us / 1000, packet.source, packet.level_dbov);
        }
        csv
    }
}
