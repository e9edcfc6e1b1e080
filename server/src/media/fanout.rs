//! From a slot to the wire without str0m: header, seal, datagram.
//!
//! What a listener gets is the same packet under other numbers, and str0m's way for a packet of anybody's (queues, pacing,
//! statistics, a look at each of its timers) costs several times what sealing does. So str0m makes the connection,
//! and what is sent in the slots passes it by, under the keys that its handshake made
//! (docs/adr/0019-fan-out-beside-str0m.md).

use std::net::SocketAddr;
use std::time::Instant;

use str0m::media::Pt;
use str0m::net::Protocol;
use tercet_core::Forward;
use tercet_dtls::Sealer;

use super::lines::Downstream;
use super::stream::Stream;

/// RFC 3550, section 5.1: version 2; the bits for padding, extension and marker.
const VERSION: u8 = 2 << 6;
const PADDING: u8 = 1 << 5;
const EXTENSION: u8 = 1 << 4;
const MARKER: u8 = 1 << 7;

/// The most padding that a packet gets to be as long as its neighbour: its last octet counts it.
const PADDING_BYTES_MAX: usize = u8::MAX as usize;

/// From which of our addresses to which of a peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Path {
    pub(crate) protocol: Protocol,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

impl Path {
    #[cfg(test)]
    pub(crate) fn udp(source: SocketAddr, destination: SocketAddr) -> Path {
        Path { protocol: Protocol::Udp, source, destination }
    }
}

/// A packet on its way into a stream.
pub(super) struct Outgoing<'a> {
    /// Which of the lines that the peer receives on.
    pub(super) line: usize,
    /// Under which it is sealed: the sequence number with its roll-over counter.
    pub(super) index: u64,
    pub(super) pt: Pt,
    pub(super) payload: &'a [u8],
    pub(super) forward: Forward<'a>,
}

/// A peer's packets under its own keys.
pub(super) struct Fanout {
    sealer: Sealer,
    /// Where str0m would send something.
    path: Option<Path>,
}

impl Fanout {
    pub(super) fn new(sealer: Sealer) -> Fanout {
        Fanout { sealer, path: None }
    }

    /// Where the peer is, as far as that is known.
    pub(super) fn path(&self) -> Option<Path> {
        self.path
    }

    /// str0m sends to there, from now on.
    pub(super) fn learn_path(&mut self, path: Path) {
        self.path = Some(path);
    }

    /// Seals packets, and reports that are due with them, each into `datagram`, and hands them to `each`. The packets have
    /// the length of the longest, but for the last, which may be shorter: so the kernel takes them in one call (GSO).
    pub(super) fn seal(
        &mut self,
        now: Instant,
        packets: &[Outgoing<'_>],
        lines: &mut [Downstream],
        cname: &str,
        datagram: &mut Vec<u8>,
        mut each: impl FnMut(Path, &[u8]),
    ) {
        let Some(path) = self.path else {
            return;
        };
        // The lines' MIDs may differ in length.
        let length = |packet: &Outgoing<'_>, stream: &Stream| stream.extension_bytes() + packet.payload.len();
        let of_line = |packet: &Outgoing<'_>| Some(length(packet, &lines.get(packet.line)?.stream));
        let longest = packets.iter().filter_map(of_line).max().unwrap_or(0);
        for (n, packet) in packets.iter().enumerate() {
            let Some(Downstream { stream, .. }) = lines.get_mut(packet.line) else {
                continue;
            };
            let is_last = n + 1 == packets.len();
            let padding = if is_last { 0 } else { longest - length(packet, stream) };
            let header_bytes = compose(packet, stream, padding, datagram);
            self.sealer.seal(stream.ssrc, packet.index, header_bytes, datagram);
            stream.sent(packet.payload.len(), packet.forward.rewritten.timestamp, packet.forward.at);
            each(path, datagram);
        }
        for packet in packets {
            if let Some(Downstream { stream, .. }) = lines.get_mut(packet.line)
                && let Some(index) = stream.report(now, cname, datagram)
            {
                self.sealer.seal_rtcp(stream.ssrc, index, datagram);
                each(path, datagram);
            }
        }
    }
}

/// Writes a packet in the clear. Returns how long its header is.
fn compose(packet: &Outgoing<'_>, stream: &Stream, padding: usize, out: &mut Vec<u8>) -> usize {
    let Forward { rewritten, packet: audio, .. } = packet.forward;
    let padding = padding.min(PADDING_BYTES_MAX);
    out.clear();
    // One contributing source.
    out.extend([VERSION | 1, *packet.pt | if rewritten.marker { MARKER } else { 0 }]);
    out.extend((packet.index as u16).to_be_bytes());
    out.extend(rewritten.timestamp.to_be_bytes());
    out.extend(stream.ssrc.to_be_bytes());
    out.extend(audio.source.0.to_be_bytes());
    if stream.extend(audio.level, audio.voice, out) {
        out[0] |= EXTENSION;
    }
    let header_bytes = out.len();
    out.extend_from_slice(packet.payload);
    if padding > 0 {
        out[0] |= PADDING;
        out.resize(out.len() + padding - 1, 0);
        out.push(padding as u8);
    }
    header_bytes
}

#[cfg(test)]
mod tests {
    use selector::{Level, SourceId};
    use str0m::media::Mid;
    use tercet_core::{AudioPacket, Encoding, Rewritten, StreamEpoch};

    use super::*;
    use crate::media::stream::Numbers;

    fn stream(ssrc: u32, mid: &str, level_id: Option<u8>, mid_id: Option<u8>) -> Stream {
        let numbers = Numbers { opus_pt: 111.into(), red_pt: None, level_id, mid_id };
        let mut stream = Stream::new(Mid::from(mid), numbers);
        stream.ssrc = ssrc;
        stream
    }

    fn composed(stream: &Stream, padding: usize) -> (usize, Vec<u8>) {
        let audio = AudioPacket {
            source: SourceId(0x0809_0A0B),
            epoch: StreamEpoch(0),
            seq: 7,
            timestamp: 8,
            marker: false,
            encoding: Encoding::Opus,
            level: Level::from_dbov(-42),
            voice: Some(true),
            payload: [1, 2, 3].into(),
        };
        let rewritten = Rewritten { seq: 9, timestamp: 0x0405_0607, marker: true };
        let forward = Forward { slot: 0, rewritten, packet: &audio, at: Instant::now() };
        let packet = Outgoing { line: 0, index: 0x1_0203, pt: 111.into(), payload: &audio.payload, forward };
        let mut out = vec![0xFF; 3];
        let header_bytes = compose(&packet, stream, padding, &mut out);
        (header_bytes, out)
    }

    #[test]
    fn a_packet_has_the_clients_numbers_for_level_and_mid() {
        let stream = stream(0x1122_3344, "3", Some(1), Some(4));
        let (header_bytes, packet) = composed(&stream, 0);
        let fixed = [0x91, 0xEF, 2, 3, 4, 5, 6, 7, 0x11, 0x22, 0x33, 0x44, 8, 9, 10, 11];
        let extension = [0xBE, 0xDE, 0, 1, 0x10, 0x80 | 42, 0x40, b'3'];
        assert_eq!(packet, [&fixed[..], &extension, &[1, 2, 3]].concat());
        assert_eq!(header_bytes, 24);
    }

    #[test]
    fn an_extension_that_is_not_wanted_is_not_there() {
        let with_mid = stream(1, "mid_4", None, Some(14));
        let (header_bytes, packet) = composed(&with_mid, 0);
        assert_eq!(packet[16..header_bytes], [0xBE, 0xDE, 0, 2, 0xE4, b'm', b'i', b'd', b'_', b'4', 0, 0]);
        let bare = stream(1, "0", None, None);
        let (header_bytes, packet) = composed(&bare, 0);
        assert_eq!((header_bytes, packet[0]), (16, 0x81));
    }

    #[test]
    fn padding_counts_itself() {
        let stream = stream(1, "0", None, None);
        let (_, packet) = composed(&stream, 4);
        assert_eq!((packet[0], &packet[16..]), (0xA1, &[1, 2, 3, 0, 0, 0, 4][..]));
        let (_, packet) = composed(&stream, 1_000);
        assert_eq!((packet.len(), packet.last()), (16 + 3 + 255, Some(&255)));
    }
}
