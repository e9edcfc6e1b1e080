//! What a client hears: whose voices, and in what kind of stream.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tercet_loadtest::{Client, ReceivedPacket, SyntheticFrame};

use crate::SOON;

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

/// Waits until a client hears these voices, and no others, for [`A_WHILE`]: who came first and who is loudest
/// takes a moment to settle, and longer where a machine is busy.
///
/// # Panics
/// It doesn't come to that within [`SOON`].
pub async fn assert_settles_on<const N: usize>(client: &mut Client, expected: [u32; N]) {
    let deadline = Instant::now() + SOON;
    loop {
        let heard = hears(client).await;
        if heard == expected.into() {
            return;
        }
        assert!(Instant::now() < deadline, "hears {heard:?}, not {expected:?}");
    }
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
