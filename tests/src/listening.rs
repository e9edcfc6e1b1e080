//! What a client hears: whose voices, and in what kind of stream.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tercet_loadtest::{Client, ReceivedPacket, SyntheticFrame};

/// Long enough for a selection to settle and for some packets of it.
pub const A_WHILE: Duration = Duration::from_millis(1500);

/// The number of the voice in a packet; none in a packet of something else.
pub fn publisher(packet: &ReceivedPacket) -> Option<u32> {
    Some(SyntheticFrame::decode(packet.frame()?)?.publisher)
}

/// Whose voices are in the packets.
pub fn voices(packets: &[ReceivedPacket]) -> BTreeSet<u32> {
    packets.iter().filter_map(publisher).collect()
}

/// Whom a client hears from now on, for [`A_WHILE`].
pub async fn hears(client: &mut Client) -> BTreeSet<u32> {
    client.skip_packets();
    voices(&client.packets_for(A_WHILE).await)
}

/// What a receiver relies on: on each SSRC, sequence numbers without a hole or a repetition, and
/// timestamps that only grow.
///
/// # Panics
/// A stream is not continuous.
pub fn assert_continuous(packets: &[ReceivedPacket]) {
    let mut streams: BTreeMap<u32, Vec<(u64, u32)>> = BTreeMap::new();
    for packet in packets {
        streams.entry(packet.ssrc).or_default().push((packet.sequence, packet.timestamp));
    }
    for (ssrc, mut numbers) in streams {
        numbers.sort();
        for pair in numbers.windows(2) {
            assert_eq!(pair[1].0, pair[0].0 + 1, "SSRC {ssrc}: a hole or a repetition in {numbers:?}");
            let ticks = pair[1].1.wrapping_sub(pair[0].1) as i32;
            assert!(ticks > 0, "SSRC {ssrc}: time stands still or goes back in {numbers:?}");
        }
    }
}
