//! What the load tester's threads count: packets both ways, gaps, how long packets were under way.

use std::time::Duration;

use crate::Histogram;

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
    /// RTP packets that should have been received, by the sequence numbers of their streams.
    pub packets_expected: u64,
    /// RTP packets that were decrypted, authenticated and looked into.
    pub packets_opened: u64,
    /// From the send call of the publisher to the receive call of a receiver, of the opened ones.
    pub latency: Histogram,
    /// The same, of those that the server kept until their source was chosen.
    pub pre_roll: Histogram,
    /// How much later than planned the publishers sent: the tester's own weakness.
    pub send_lag: Histogram,
    /// Datagrams that the kernel didn't take, or that weren't addressed to loopback.
    pub sends_failed: u64,
    /// Peers whose connection broke.
    pub peers_failed: u64,
}

impl Counts {
    /// Adds the counts of another thread over the same window.
    pub fn merge(&mut self, other: &Counts) {
        self.packets_in += other.packets_in;
        self.bytes_in += other.bytes_in;
        self.packets_out += other.packets_out;
        self.bytes_out += other.bytes_out;
        self.packets_expected += other.packets_expected;
        self.packets_opened += other.packets_opened;
        self.latency.merge(&other.latency);
        self.pre_roll.merge(&other.pre_roll);
        self.send_lag.merge(&other.send_lag);
        self.sends_failed += other.sends_failed;
        self.peers_failed += other.peers_failed;
    }
}

/// One stream as its receiver sees it: which packets came, and how many should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamCount {
    first: u64,
    highest: u64,
}

impl StreamCount {
    /// A stream whose first packet has this sequence number.
    pub fn new(sequence: u16) -> Self {
        // One cycle up, so that a packet older than the first has a number too.
        let first = u64::from(sequence) + (1 << 16);
        StreamCount { first, highest: first }
    }

    /// Notes a packet. Sequence numbers are continued beyond 16 bits (RFC 3550, appendix A.1).
    pub fn note(&mut self, sequence: u16) {
        let step = sequence.wrapping_sub(self.highest as u16) as i16;
        let extended = self.highest.saturating_add_signed(step.into());
        self.highest = self.highest.max(extended);
        self.first = self.first.min(extended);
    }

    /// How many packets the sender sent from the first to the latest seen: "extended_max -
    /// base_seq + 1" (RFC 3550, appendix A.3).
    pub fn expected(&self) -> u64 {
        self.highest - self.first + 1
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

/// Share of packets lost, in percent; 0 where nothing was expected. Duplicates don't make up for
/// losses below 0.
pub(crate) fn loss_percent(expected: u64, received: u64) -> f64 {
    if expected == 0 { 0.0 } else { expected.saturating_sub(received) as f64 * 100.0 / expected as f64 }
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
        assert_eq!(loss_percent(4, 2), 50.0);
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
    fn duplicates_are_no_negative_loss() {
        assert_eq!(loss_percent(10, 12), 0.0);
        assert_eq!(loss_percent(0, 0), 0.0);
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
