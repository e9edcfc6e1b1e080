//! One stream that a peer receives: under which index each packet is sealed, and what its sender reports say.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arrayvec::ArrayVec;
use rtcp_types::{Compound, RtcpPacketWriter, RtcpPacketWriterExt, Sdes, SdesChunk, SdesItem, SenderReport};
use selector::Level;
use str0m::media::{Mid, Pt};
use tercet_core::{AudioPacket, Encoding};

/// RFC 3550, section 6.2: how far reports are apart; each by half of it more or less (section 6.3.1).
const REPORT_INTERVAL_MS: u64 = 5_000;

/// RFC 3711, section 3.3.1: a receiver that misses 2^15 indexes can't tell the roll-over counter any more.
pub(super) const JUMP_MAX: u64 = 1 << 14;

const CLOCK_HZ: u128 = 48_000;

/// RFC 8285, section 4.2: what a block of elements with one-octet headers begins with; its length, in words, follows.
const ONE_OCTET_HEADERS: [u8; 2] = [0xBE, 0xDE];
const EXTENSION_HEADER_BYTES: usize = 4;

/// The headers, a level, and a MID of 16 octets.
const EXTENSION_BYTES_MAX: usize = EXTENSION_HEADER_BYTES + 20;

/// Where the level is in an extension that has it: it is the first element.
const LEVEL_AT: usize = EXTENSION_HEADER_BYTES + 1;

/// From the beginning of NTP's time, 1900, to that of Unix's (RFC 5905, figure 4).
const NTP_TO_UNIX_S: u64 = 2_208_988_800;

/// What the client calls the parts of a packet on this line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    pub(super) opus_pt: Pt,
    pub(super) red_pt: Option<Pt>,
    /// Of the header extensions, as far as the client wants them.
    pub(super) level_id: Option<u8>,
    pub(super) mid_id: Option<u8>,
}

impl Numbers {
    /// The packet as this client can read it. Redundant audio passes untouched where the client
    /// negotiated it with the sender's number for Opus, which stands inside the payload; anybody
    /// else gets the primary block, which is the sender's Opus, untouched.
    pub(super) fn encode<'a>(&self, packet: &'a AudioPacket) -> (Pt, &'a [u8]) {
        match (packet.encoding, self.red_pt) {
            (Encoding::Opus, _) => (self.opus_pt, &packet.payload),
            (Encoding::Red { opus_pt, .. }, Some(red_pt)) if opus_pt == *self.opus_pt => {
                (red_pt, &packet.payload)
            }
            (Encoding::Red { primary_at, .. }, _) => {
                (self.opus_pt, packet.payload.get(primary_at..).unwrap_or_default())
            }
        }
    }
}

/// A stream that a peer receives: an m-line's, as long as the line keeps its place.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) ssrc: u32,
    pub(super) mid: Mid,
    pub(super) numbers: Numbers,
    extension: Extension,
    /// What a packet's number in its slot has beyond its index.
    base: u64,
    used: UsedIndexes,
    sent: Sent,
}

/// The header extension of the stream's packets, which differ in their level only; empty if the client wants none.
type Extension = ArrayVec<u8, EXTENSION_BYTES_MAX>;

/// What sender reports tell.
#[derive(Debug, Default)]
struct Sent {
    packets: u32,
    payload_octets: u32,
    /// The newest packet's timestamp, and when it arrived.
    newest: Option<(u32, Instant)>,
    report_at: Option<Instant>,
    reports: u32,
}

impl Stream {
    /// RFC 3550, section 8.1: an SSRC is random. Nobody had it before, so its indexes begin anew.
    pub(super) fn new(mid: Mid, numbers: Numbers) -> Stream {
        let (ssrc, extension) = (rand::random(), extension(mid, numbers));
        Stream { ssrc, mid, numbers, extension, base: 0, used: UsedIndexes::default(), sent: Sent::default() }
    }

    /// The line was negotiated again.
    pub(super) fn renumber(&mut self, numbers: Numbers) {
        (self.numbers, self.extension) = (numbers, extension(self.mid, numbers));
    }

    /// How long the header extension of each packet is.
    pub(super) fn extension_bytes(&self) -> usize {
        self.extension.len()
    }

    /// Appends the header extension of a packet. Returns whether there is one.
    pub(super) fn extend(&self, level: Level, voice: Option<bool>, out: &mut Vec<u8>) -> bool {
        let begin = out.len();
        out.extend_from_slice(&self.extension);
        if self.numbers.level_id.is_some() {
            // RFC 6464, section 3: the voice bit, and how far below overload.
            let voice = if voice == Some(true) { 1 << 7 } else { 0 };
            out[begin + LEVEL_AT] = voice | level.dbov().unsigned_abs().min(127);
        }
        !self.extension.is_empty()
    }

    /// The index of a packet, from its number in its slot; `None` for one that was used. A receiver takes the first
    /// roll-over counter for zero, so the first index is far from the next; and can't follow a jump, such as after a pause
    /// in which the line was stopped.
    pub(super) fn take_index(&mut self, seq: u64) -> Option<u64> {
        match self.used.newest {
            None => self.base = seq - seq % JUMP_MAX,
            Some(newest) if seq > self.base + newest + JUMP_MAX => self.base = seq - newest - 1,
            Some(_) => {}
        }
        let index = seq.checked_sub(self.base)?;
        self.used.take(index).then_some(index)
    }

    /// A packet was sent, which had arrived at that time.
    pub(super) fn sent(&mut self, payload_octets: usize, timestamp: u32, at: Instant) {
        self.sent.packets = self.sent.packets.wrapping_add(1);
        self.sent.payload_octets = self.sent.payload_octets.wrapping_add(payload_octets as u32);
        self.sent.newest = Some((timestamp, at));
    }

    /// Writes the stream's sender report, if one is due (RFC 3550, section 6.4.1), and returns its number.
    pub(super) fn report(&mut self, now: Instant, cname: &str, out: &mut Vec<u8>) -> Option<u32> {
        let (timestamp, at) = self.sent.newest?;
        if self.sent.report_at.is_some_and(|due| now < due) {
            return None;
        }
        let interval = rand::random_range(REPORT_INTERVAL_MS / 2..=REPORT_INTERVAL_MS * 3 / 2);
        self.sent.report_at = Some(now + Duration::from_millis(interval));
        let since = now.saturating_duration_since(at).as_micros();
        let ticks = (since * CLOCK_HZ / 1_000_000) as u32;
        let sender = SenderReport::builder(self.ssrc)
            .ntp_timestamp(ntp(SystemTime::now()))
            .rtp_timestamp(timestamp.wrapping_add(ticks))
            .packet_count(self.sent.packets)
            .octet_count(self.sent.payload_octets);
        let source = SdesChunk::builder(self.ssrc).add_item(SdesItem::builder(SdesItem::CNAME, cname));
        let report = Compound::builder().add_packet(sender).add_packet(Sdes::builder().add_chunk(source));
        out.clear();
        out.resize(report.calculate_size().expect("a name and two reports are a valid packet"), 0);
        report.write_into(out).expect("it has the size that was asked for");
        self.sent.reports += 1;
        // RFC 3711, section 3.4: the index of a report has 31 bits, which last for centuries.
        Some(self.sent.reports - 1)
    }
}

fn extension(mid: Mid, numbers: Numbers) -> Extension {
    let mut extension = Extension::new();
    if numbers.level_id.is_none() && numbers.mid_id.is_none() {
        return extension;
    }
    extension.extend(ONE_OCTET_HEADERS);
    extension.extend([0, 0]);
    if let Some(id) = numbers.level_id {
        extension.extend([id << 4, 0]);
    }
    if let Some(id) = numbers.mid_id {
        // RFC 9143, section 15: on every packet, for a receiver that tells streams apart by nothing else.
        extension.push(id << 4 | (mid.len() - 1) as u8);
        extension.extend(mid.bytes());
    }
    while !extension.len().is_multiple_of(4) {
        extension.push(0);
    }
    extension[3] = ((extension.len() - EXTENSION_HEADER_BYTES) / 4) as u8;
    extension
}

/// Seconds and their fractions in 32 bits each (RFC 5905, section 6).
fn ntp(time: SystemTime) -> u64 {
    let unix = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
    (unix.as_secs() + NTP_TO_UNIX_S) << 32 | fraction
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

#[cfg(test)]
mod tests {
    use rtcp_types::Packet;

    use super::*;

    fn numbers() -> Numbers {
        Numbers { opus_pt: 111.into(), red_pt: None, level_id: None, mid_id: None }
    }

    fn stream() -> Stream {
        Stream::new(Mid::from("0"), numbers())
    }

    #[test]
    fn redundant_audio_goes_to_those_who_number_opus_as_its_sender_does() {
        let packet = |encoding| AudioPacket {
            source: selector::SourceId(1),
            epoch: tercet_core::StreamEpoch(0),
            seq: 0,
            timestamp: 0,
            marker: false,
            encoding,
            level: selector::Level::from_dbov(-30),
            voice: None,
            payload: [1, 2, 3].into(),
        };
        let red = packet(Encoding::Red { opus_pt: 111, primary_at: 2 });
        let with_red = Numbers { red_pt: Some(63.into()), ..numbers() };
        let (other, none) = (Numbers { opus_pt: 96.into(), ..with_red }, numbers());
        let encoded = |numbers: &Numbers, packet| {
            let (pt, payload) = numbers.encode(packet);
            (*pt, payload.to_vec())
        };
        assert_eq!(encoded(&with_red, &red), (63, vec![1, 2, 3]));
        assert_eq!(encoded(&other, &red), (96, vec![3]));
        assert_eq!(encoded(&none, &red), (111, vec![3]));
        assert_eq!(encoded(&with_red, &packet(Encoding::Opus)), (111, vec![1, 2, 3]));
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

    #[test]
    fn a_stream_that_begins_late_begins_without_a_roll_over() {
        let mut stream = stream();
        assert_eq!(stream.take_index(7 << 16 | 500), Some(500));
        assert_eq!(stream.take_index(7 << 16 | 499), Some(499));
        for step in 1..9 {
            let index = 500 + step * JUMP_MAX;
            assert_eq!(stream.take_index((7 << 16) + index), Some(index));
        }
    }

    #[test]
    fn a_stream_that_begins_late_bears_the_loss_of_its_first_packets() {
        // The number in the slot is about to roll over: a receiver that misses two would never know that it did.
        let mut stream = stream();
        let first = stream.take_index(u64::from(u16::MAX) - 1).expect("it is new");
        assert!(first < JUMP_MAX, "{first}");
        assert_eq!(stream.take_index(u64::from(u16::MAX) + 1), Some(first + 2));
    }

    #[test]
    fn a_pause_in_which_numbers_went_on_leaves_no_gap_that_a_receiver_can_not_follow() {
        let mut stream = stream();
        assert_eq!(stream.take_index(500), Some(500));
        assert_eq!(stream.take_index(500 + JUMP_MAX), Some(500 + JUMP_MAX));
        let after_the_pause = 500 + 2 * JUMP_MAX + 1;
        assert_eq!(stream.take_index(after_the_pause), Some(501 + JUMP_MAX));
        assert_eq!(stream.take_index(after_the_pause + 1), Some(502 + JUMP_MAX));
        // From before the pause, and of before.
        assert_eq!(stream.take_index(500 + JUMP_MAX), None);
        assert_eq!(stream.take_index(after_the_pause), None);
    }

    #[test]
    fn reports_count_what_was_sent_and_tell_the_time_of_now() {
        let (mut stream, mut out, now) = (stream(), vec![1, 2, 3], Instant::now());
        assert_eq!(stream.report(now, "name", &mut out), None);
        stream.sent(80, 1_000, now);
        stream.sent(40, 1_960, now + Duration::from_millis(20));
        let later = now + Duration::from_millis(30);
        assert_eq!(stream.report(later, "name", &mut out), Some(0));
        let packets: Vec<_> = Compound::parse(&out).expect("RTCP").collect();
        let [Ok(Packet::Sr(sender)), Ok(Packet::Sdes(source))] = &packets[..] else {
            panic!("a sender report and a description: {packets:?}");
        };
        assert_eq!((sender.ssrc(), sender.packet_count(), sender.octet_count()), (stream.ssrc, 2, 120));
        assert_eq!(sender.rtp_timestamp(), 1_960 + 480);
        let age = ntp(SystemTime::now()).abs_diff(sender.ntp_timestamp()) >> 32;
        assert!(age < 60, "{age} s off");
        let chunk = source.chunks().next().expect("one");
        assert_eq!(chunk.ssrc(), stream.ssrc);
        assert_eq!(chunk.items().next().map(|item| item.value()), Some(&b"name"[..]));
    }

    #[test]
    fn reports_are_half_an_interval_apart_or_more() {
        let (mut stream, mut out, start) = (stream(), Vec::new(), Instant::now());
        stream.sent(80, 0, start);
        let ms: Vec<u64> = (0..60_000)
            .filter(|&ms| stream.report(start + Duration::from_millis(ms), "name", &mut out).is_some())
            .collect();
        assert!(ms.windows(2).all(|pair| (2_500..=7_500).contains(&(pair[1] - pair[0]))), "{ms:?}");
        assert_eq!((ms[0], stream.sent.reports as usize), (0, ms.len()));
    }

    #[test]
    fn ntp_counts_from_1900() {
        // RFC 5905, figure 4: the first day of Unix.
        assert_eq!(ntp(UNIX_EPOCH), 2_208_988_800 << 32);
        assert_eq!(ntp(UNIX_EPOCH + Duration::from_millis(500)) as u32, 1 << 31);
    }
}
