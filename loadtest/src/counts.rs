//! What the load tester's threads count: packets both ways, gaps, how long packets were under way.

use std::time::Duration;

use serde::Serialize;

use crate::Histogram;
use crate::hearing::HeardCounts;
use crate::video::PictureCounts;

/// Counts of one window of time, of one thread or of all.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// RTP packets sent to the server.
    pub packets_in: u64,
    /// Their octets, without UDP and IP headers.
    pub bytes_in: u64,
    /// RTP packets received from the server.
    pub packets_out: u64,
    /// Their octets, without UDP and IP headers.
    pub bytes_out: u64,
    /// The streams of those who are there for the whole of the run.
    pub steady: StreamTotals,
    /// The streams of those who come and go.
    pub passing: StreamTotals,
    /// Of those who are there for the whole of the run, and have somebody to hear.
    pub silences: Silences,
    /// Datagrams that the kernel dropped because the tester didn't read them in time: no loss of the server's.
    pub dropped_here: u64,
    /// What the opened receivers heard.
    pub heard: HeardCounts,
    /// What the viewers of simulcast saw.
    pub(crate) pictures: PictureCounts,
    /// How much later than planned the publishers sent: the tester's own weakness.
    pub send_lag: Histogram,
    /// Datagrams that the kernel didn't take, or that weren't addressed to loopback.
    pub sends_failed: u64,
    /// Peers whose connection broke.
    pub peers_failed: u64,
}

impl Counts {
    /// The streams of those who stay, or of those who don't.
    pub fn streams_of(&mut self, stays: bool) -> &mut StreamTotals {
        if stays { &mut self.steady } else { &mut self.passing }
    }

    /// Adds the counts of another thread over the same window.
    pub fn merge(&mut self, other: &Counts) {
        self.packets_in += other.packets_in;
        self.bytes_in += other.bytes_in;
        self.packets_out += other.packets_out;
        self.bytes_out += other.bytes_out;
        self.steady.merge(&other.steady);
        self.passing.merge(&other.passing);
        self.silences.merge(&other.silences);
        self.dropped_here += other.dropped_here;
        self.heard.merge(&other.heard);
        self.pictures.merge(&other.pictures);
        self.send_lag.merge(&other.send_lag);
        self.sends_failed += other.sends_failed;
        self.peers_failed += other.peers_failed;
    }
}

/// How long receivers heard nothing while somebody talked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silences {
    /// How many receivers there were.
    pub receivers: u64,
    /// Those that heard nothing for more than a second, at the end or before.
    pub interrupted: u64,
    /// The longest of all.
    pub longest: Duration,
}

impl Silences {
    /// Longer than any pause between turns, and than a switch of speakers.
    pub const SILENCE_MAX: Duration = Duration::from_secs(1);

    /// Adds a receiver by its longest silence.
    pub fn add(&mut self, longest: Duration) {
        self.receivers += 1;
        self.interrupted += u64::from(longest > Silences::SILENCE_MAX);
        self.longest = self.longest.max(longest);
    }

    /// Adds others.
    pub fn merge(&mut self, other: &Silences) {
        self.receivers += other.receivers;
        self.interrupted += other.interrupted;
        self.longest = self.longest.max(other.longest);
    }
}

/// What receivers saw of streams, by their sequence numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamTotals {
    /// Packets that were sent from the first to the latest seen.
    pub expected: u64,
    /// Different packets that came.
    pub received: u64,
    /// Of these, those that came after a later one.
    pub reordered: u64,
    /// Packets that came once more.
    pub duplicates: u64,
}

impl StreamTotals {
    /// Adds one stream.
    pub fn add(&mut self, stream: &StreamCount) {
        self.expected += stream.expected();
        self.received += stream.received;
        self.reordered += u64::from(stream.reordered);
        self.duplicates += u64::from(stream.duplicates);
    }

    /// Adds others.
    pub fn merge(&mut self, other: &StreamTotals) {
        self.expected += other.expected;
        self.received += other.received;
        self.reordered += other.reordered;
        self.duplicates += other.duplicates;
    }

    /// Packets that didn't come.
    pub fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.received)
    }
}

/// One stream as its receiver sees it: which packets came, and how many should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamCount {
    first: u64,
    highest: u64,
    /// Which of the latest 64 packets came: bit 0 is `highest`.
    seen: u64,
    received: u64,
    reordered: u32,
    duplicates: u32,
}

impl StreamCount {
    /// A stream whose first packet has this sequence number.
    pub fn new(sequence: u16) -> Self {
        // One cycle up, so that a packet older than the first has a number too.
        let first = u64::from(sequence) + (1 << 16);
        StreamCount { first, highest: first, seen: 1, received: 1, reordered: 0, duplicates: 0 }
    }

    /// Notes a packet. Sequence numbers are continued beyond 16 bits (RFC 3550, appendix A.1).
    #[inline]
    pub fn note(&mut self, sequence: u16) {
        let step = sequence.wrapping_sub(self.highest as u16) as i16;
        if step > 0 {
            self.highest += step as u64;
            self.seen = self.seen.checked_shl(step as u32).unwrap_or(0) | 1;
            self.received += 1;
            return;
        }
        let age = u32::from(step.unsigned_abs());
        let bit = 1_u64.checked_shl(age).unwrap_or(0);
        // What is older than the window counts as late, not as heard twice.
        if self.seen & bit != 0 {
            self.duplicates += 1;
            return;
        }
        self.seen |= bit;
        self.first = self.first.min(self.highest - u64::from(age));
        self.received += 1;
        self.reordered += 1;
    }

    /// How many packets the sender sent from the first to the latest seen: "extended_max -
    /// base_seq + 1" (RFC 3550, appendix A.3).
    pub fn expected(&self) -> u64 {
        self.highest - self.first + 1
    }

    /// How many different packets came.
    pub fn received(&self) -> u64 {
        self.received
    }
}

/// SSRC and sequence number of an RTP packet, which SRTP leaves readable; `None` for anything else
/// that comes on the same port (RFC 7983: RTP and RTCP are 128 to 191; RFC 5761, section 4: of
/// these, a second octet of 192 to 223 is RTCP).
pub(crate) fn rtp_header(datagram: &[u8]) -> Option<(u32, u16)> {
    let [0x80..=0xbf, kind, s0, s1, _, _, _, _, a, b, c, d, ..] = *datagram else { return None };
    if (192..=223).contains(&kind) {
        return None;
    }
    Some((u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([s0, s1])))
}

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(sequences: &[u16]) -> u64 {
        let mut stream = StreamCount::new(sequences[0]);
        for sequence in &sequences[1..] {
            stream.note(*sequence);
        }
        stream.expected()
    }

    #[test]
    fn gaps_are_expected_packets() {
        assert_eq!(expected(&[10, 11, 12]), 3);
        assert_eq!(expected(&[10, 13]), 4);
    }

    #[test]
    fn the_sequence_number_wraps() {
        assert_eq!(expected(&[65_534, 65_535, 0, 1]), 4);
        assert_eq!(expected(&[65_535, 3]), 5);
    }

    #[test]
    fn reordered_packets_are_counted_once() {
        assert_eq!(expected(&[10, 12, 11, 13]), 4);
        assert_eq!(expected(&[0, 65_535, 1]), 3, "older than the first packet seen");
    }

    #[test]
    fn late_packets_are_told_from_those_that_came_before() {
        let mut stream = StreamCount::new(65_534);
        for sequence in [65_535, 1, 0, 1, 65_535, 2, 2] {
            stream.note(sequence);
        }
        let mut totals = StreamTotals::default();
        totals.add(&stream);
        assert_eq!(totals, StreamTotals { expected: 5, received: 5, reordered: 1, duplicates: 3 });
        assert_eq!(totals.lost(), 0);
    }

    #[test]
    fn rtp_is_told_from_everything_else() {
        let rtp = [0x90, 0xef, 0x12, 0x34, 0, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef, 0];
        assert_eq!(rtp_header(&rtp), Some((0xdead_beef, 0x1234)));
        let mut rtcp = rtp;
        rtcp[1] = 201;
        assert_eq!(rtp_header(&rtcp), None);
        let mut stun = rtp;
        stun[0] = 0;
        assert_eq!(rtp_header(&stun), None);
        assert_eq!(rtp_header(&rtp[..11]), None);
    }
}
