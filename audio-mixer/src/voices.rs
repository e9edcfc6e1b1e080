//! Tests: the voices of the load tester, as samples of the mix.

use std::fs::File;

use crate::Codec;

pub(crate) const NAMES: [&str; 6] = ["anna", "ben", "clara", "david", "emma", "frank"];

pub(crate) fn speech(name: &str) -> Vec<i16> {
    let path = format!("{}/../loadtest/speech/{name}.opus", env!("CARGO_MANIFEST_DIR"));
    let mut packets = ogg::PacketReader::new(File::open(path).unwrap());
    let mut decoder = Codec::Opus.decoder();
    let mut samples = Vec::new();
    // The first two are headers (RFC 7845, section 3).
    for _ in 0..2 {
        packets.read_packet().unwrap();
    }
    while let Some(packet) = packets.read_packet().unwrap() {
        decoder.decode(&packet.data, &mut samples).unwrap();
    }
    samples
}
