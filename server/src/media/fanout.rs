//! From a slot to the wire without str0m: header, seal, datagram.
//!
//! What a listener gets is the same packet under other numbers, and str0m's way for a packet of anybody's (queues, pacing,
//! statistics, a look at each of its timers) costs several times what sealing does. So str0m makes the connection,
//! and packets pass it by, under the keys that its handshake made. It still writes one now and then, which tells what
//! only str0m knows: where the peer is, and, for its sender reports, which time the stream has come to
//! (docs/adr/0019-fan-out-beside-str0m.md).

use std::net::SocketAddr;
use std::sync::Arc;

use arrayvec::ArrayVec;
use selector::Level;
use str0m::media::Pt;
use tercet_core::Rewritten;
use tercet_dtls::Sealer;

use super::lines::Line;

/// How often str0m writes a packet of a stream: each 5.12 s, of 20 ms each, about as often as it reports.
const PACKETS_A_REPORT: u64 = 256;

/// RFC 3550, section 5.1: version 2; the bits for padding, extension and marker.
const VERSION: u8 = 2 << 6;
const PADDING: u8 = 1 << 5;
const EXTENSION: u8 = 1 << 4;
const MARKER: u8 = 1 << 7;

/// RFC 8285, section 4.2: what a block of elements with one-octet headers begins with, and the ids that they can have.
const ONE_OCTET_HEADERS: [u8; 2] = [0xBE, 0xDE];
const EXTENSION_IDS: std::ops::RangeInclusive<u8> = 1..=14;

/// What one element can hold.
const MID_BYTES_MAX: usize = 16;

/// The most padding that a packet gets to be as long as its neighbour: its last octet counts it.
const PADDING_BYTES_MAX: usize = u8::MAX as usize;

/// From which of our addresses to which of a peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

/// A packet that waits for the next flush.
pub(super) struct Written {
    /// Which of the peer's lines.
    pub(super) line: usize,
    pub(super) rewritten: Rewritten,
    pub(super) pt: Pt,
    pub(super) level: Level,
    pub(super) voice: Option<bool>,
    /// Whose voice it is: the contributing source.
    pub(super) csrc: u32,
    pub(super) payload: Arc<[u8]>,
}

/// What is known of a stream that a peer receives.
#[derive(Debug)]
pub(super) struct Stream {
    ssrc: u32,
    mid: ArrayVec<u8, MID_BYTES_MAX>,
    /// The peer's numbers for the header extensions, as far as it wants them.
    level_id: Option<u8>,
    mid_id: Option<u8>,
    /// Whether the peer's numbers for extensions fit the form that is written here.
    fits: bool,
    used: UsedIndexes,
}

impl Stream {
    pub(super) fn new(ssrc: u32, mid: &str, level_id: Option<u8>, mid_id: Option<u8>) -> Stream {
        let ids_fit = level_id.into_iter().chain(mid_id).all(|id| EXTENSION_IDS.contains(&id));
        let mid: ArrayVec<u8, MID_BYTES_MAX> = mid.as_bytes().try_into().unwrap_or_default();
        Stream { ssrc, fits: ids_fit && !mid.is_empty(), mid, level_id, mid_id, used: UsedIndexes::default() }
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// What was sent of a stream stays sent, whatever is negotiated anew.
    pub(super) fn continue_from(&mut self, former: Stream) {
        debug_assert_eq!(self.ssrc, former.ssrc);
        self.used = former.used;
    }

    /// Whether a packet may be sealed under this index, which it may once.
    pub(super) fn use_index(&mut self, index: u64) -> bool {
        self.used.take(index)
    }
}

/// Which packet indexes of a stream were used: none is sealed twice (RFC 7714, section 9.1).
#[derive(Debug, Default)]
struct UsedIndexes {
    newest: Option<u64>,
    /// Bit n: the one n before the newest.
    window: u64,
}

impl UsedIndexes {
    /// Uses an index, unless it was, or is too old to tell.
    fn take(&mut self, index: u64) -> bool {
        let Some(newest) = self.newest else {
            (self.newest, self.window) = (Some(index), 1);
            return true;
        };
        match newest.checked_sub(index) {
            None => {
                let ahead = u32::try_from(index - newest).unwrap_or(u32::MAX);
                self.window = self.window.checked_shl(ahead).unwrap_or(0) | 1;
                self.newest = Some(index);
                true
            }
            Some(behind) => {
                let bit = u32::try_from(behind).ok().and_then(|behind| 1_u64.checked_shl(behind));
                let is_free = bit.is_some_and(|bit| self.window & bit == 0);
                self.window |= bit.unwrap_or(0);
                is_free
            }
        }
    }
}

/// A peer's packets under its own keys.
pub(super) struct Fanout {
    sealer: Sealer,
    /// Where str0m's last datagram went, as long as nothing has come that may change it.
    path: Option<Path>,
}

impl Fanout {
    pub(super) fn new(sealer: Sealer) -> Fanout {
        Fanout { sealer, path: None }
    }

    /// str0m has sent something.
    pub(super) fn learn_path(&mut self, path: Path) {
        self.path = Some(path);
    }

    /// str0m may choose another path from here on.
    pub(super) fn forget_path(&mut self) {
        self.path = None;
    }

    /// Where to seal packets for; `None` if it is str0m's turn to write them.
    pub(super) fn path_of(&self, written: &[Written], lines: &[Line]) -> Option<Path> {
        let is_for_str0m = |packet: &Written| {
            let stream = lines.get(packet.line).and_then(|line| line.stream.as_ref());
            let fits = stream.is_some_and(|stream| stream.fits);
            !fits || packet.rewritten.seq.is_multiple_of(PACKETS_A_REPORT)
        };
        self.path.filter(|_| !written.iter().any(is_for_str0m))
    }

    /// Seals packets, each into `datagram`, and hands them to `each`. All have the length of the longest, but for the
    /// last, which may be shorter: so the kernel takes them in one call (GSO).
    pub(super) fn seal(
        &self,
        written: &[Written],
        lines: &[Line],
        datagram: &mut Vec<u8>,
        mut each: impl FnMut(&[u8]),
    ) {
        let longest = written.iter().map(|w| w.payload.len()).max().unwrap_or(0);
        for (n, packet) in written.iter().enumerate() {
            let Some(stream) = lines.get(packet.line).and_then(|line| line.stream.as_ref()) else {
                continue;
            };
            let is_last = n + 1 == written.len();
            let padding = if is_last { 0 } else { longest - packet.payload.len() };
            let header_bytes = compose(packet, stream, padding, datagram);
            self.sealer.seal(stream.ssrc, packet.rewritten.seq, header_bytes, datagram);
            each(datagram);
        }
    }
}

/// Writes a packet in the clear. Returns how long its header is.
fn compose(packet: &Written, stream: &Stream, padding: usize, out: &mut Vec<u8>) -> usize {
    let padding = padding.min(PADDING_BYTES_MAX);
    let has_extension = stream.level_id.is_some() || stream.mid_id.is_some();
    let flags = if padding > 0 { PADDING } else { 0 } | if has_extension { EXTENSION } else { 0 };
    out.clear();
    // One contributing source.
    out.extend([VERSION | flags | 1, *packet.pt | if packet.rewritten.marker { MARKER } else { 0 }]);
    out.extend((packet.rewritten.seq as u16).to_be_bytes());
    out.extend(packet.rewritten.timestamp.to_be_bytes());
    out.extend(stream.ssrc.to_be_bytes());
    out.extend(packet.csrc.to_be_bytes());
    if has_extension {
        out.extend(ONE_OCTET_HEADERS);
        let length_at = out.len();
        out.extend([0, 0]);
        if let Some(id) = stream.level_id {
            // RFC 6464, section 3: the voice bit, and how far below overload.
            let voice = if packet.voice == Some(true) { 1 << 7 } else { 0 };
            out.extend([id << 4, voice | packet.level.dbov().unsigned_abs().min(127)]);
        }
        if let Some(id) = stream.mid_id {
            // RFC 9143, section 15: on every packet, for a receiver that tells streams apart by nothing else.
            out.push(id << 4 | (stream.mid.len() - 1) as u8);
            out.extend_from_slice(&stream.mid);
        }
        let words = (out.len() - length_at - 2).div_ceil(4);
        out.resize(length_at + 2 + 4 * words, 0);
        out[length_at + 1] = words as u8;
    }
    let header_bytes = out.len();
    out.extend_from_slice(&packet.payload);
    if padding > 0 {
        out.resize(out.len() + padding - 1, 0);
        out.push(padding as u8);
    }
    header_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(payload: &[u8]) -> Written {
        Written {
            line: 0,
            rewritten: Rewritten { seq: 0x1_0203, timestamp: 0x0405_0607, marker: true },
            pt: 111.into(),
            level: Level::from_dbov(-42),
            voice: Some(true),
            csrc: 0x0809_0A0B,
            payload: payload.into(),
        }
    }

    fn composed(stream: &Stream, padding: usize) -> (usize, Vec<u8>) {
        let mut out = vec![0xFF; 3];
        let header_bytes = compose(&written(&[1, 2, 3]), stream, padding, &mut out);
        (header_bytes, out)
    }

    #[test]
    fn a_packet_has_the_clients_numbers_for_level_and_mid() {
        let stream = Stream::new(0x1122_3344, "3", Some(1), Some(4));
        let (header_bytes, packet) = composed(&stream, 0);
        let fixed = [0x91, 0xEF, 2, 3, 4, 5, 6, 7, 0x11, 0x22, 0x33, 0x44, 8, 9, 10, 11];
        let extension = [0xBE, 0xDE, 0, 1, 0x10, 0x80 | 42, 0x40, b'3'];
        assert_eq!(packet, [&fixed[..], &extension, &[1, 2, 3]].concat());
        assert_eq!(header_bytes, 24);
    }

    #[test]
    fn an_extension_that_is_not_wanted_is_not_there() {
        let with_mid = Stream::new(1, "mid-4", None, Some(14));
        let (header_bytes, packet) = composed(&with_mid, 0);
        assert_eq!(packet[16..header_bytes], [0xBE, 0xDE, 0, 2, 0xE4, b'm', b'i', b'd', b'-', b'4', 0, 0]);
        let bare = Stream::new(1, "0", None, None);
        let (header_bytes, packet) = composed(&bare, 0);
        assert_eq!((header_bytes, packet[0]), (16, 0x81));
        let fits = |level_id| Stream::new(1, "0", Some(level_id), None).fits;
        assert!(fits(14) && !fits(15) && !fits(0));
    }

    #[test]
    fn padding_counts_itself() {
        let stream = Stream::new(1, "0", None, None);
        let (_, packet) = composed(&stream, 4);
        assert_eq!((packet[0], &packet[16..]), (0xA1, &[1, 2, 3, 0, 0, 0, 4][..]));
        let (_, packet) = composed(&stream, 1_000);
        assert_eq!((packet.len(), packet.last()), (16 + 3 + 255, Some(&255)));
    }

    #[test]
    fn no_index_is_used_twice() {
        let mut used = UsedIndexes::default();
        assert!(used.take(100) && !used.take(100));
        assert!(used.take(102) && used.take(101) && !used.take(101) && !used.take(100));
        assert!(used.take(102 + 63) && used.take(103) && !used.take(102));
        assert!(used.take(1 << 40) && !used.take(1 << 40) && used.take((1 << 40) - 63));
        // Too old to tell.
        assert!(!used.take((1 << 40) - 64) && !used.take(1));
    }
}
