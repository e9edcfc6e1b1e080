//! Payloads that pass for Opus and say who sent them, which one it is and when.
//!
//! The first octet is a valid Opus TOC (RFC 6716, section 3.1), so that whoever looks at the frame
//! length sees 20 ms. The rest is ours: no decoder is meant to hear it.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Configuration 31 (CELT, fullband, 20 ms), mono, one frame.
const TOC: u8 = 31 << 3;

/// Tells our payloads from real ones.
const MAGIC: [u8; 4] = *b"tct1";

const HEADER_BYTES: usize = 1 + MAGIC.len() + 4 + 4 + 8;

/// One synthetic 20 ms frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntheticFrame {
    /// Who sends: the tester's own number of the publisher.
    pub publisher: u32,
    /// Counted from 0 by the publisher.
    pub count: u32,
    /// When it was sent, since [`epoch`].
    pub sent: Duration,
}

/// Time 0 of [`SyntheticFrame::sent`]: the same for all peers of the process, so that a receiver
/// can tell how long a frame was under way.
pub fn epoch() -> Instant {
    static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);
    *EPOCH
}

impl SyntheticFrame {
    /// Payloads are at least this long.
    pub const BYTES_MIN: usize = HEADER_BYTES;

    /// A frame that is sent at `now`.
    pub fn new(publisher: u32, count: u32, now: Instant) -> Self {
        SyntheticFrame { publisher, count, sent: now.saturating_duration_since(epoch()) }
    }

    /// The payload, of `bytes` octets or [`SyntheticFrame::BYTES_MIN`] if that is more.
    pub fn encode(&self, bytes: usize) -> Vec<u8> {
        let mut payload = Vec::with_capacity(bytes.max(HEADER_BYTES));
        payload.push(TOC);
        payload.extend_from_slice(&MAGIC);
        payload.extend_from_slice(&self.publisher.to_be_bytes());
        payload.extend_from_slice(&self.count.to_be_bytes());
        payload.extend_from_slice(&(self.sent.as_nanos() as u64).to_be_bytes());
        payload.resize(bytes.max(HEADER_BYTES), self.count as u8);
        payload
    }

    /// Reads a payload; `None` if it isn't one of ours.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let rest = payload.strip_prefix(&[TOC])?.strip_prefix(&MAGIC)?;
        let (publisher, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (sent, _) = rest.split_first_chunk()?;
        Some(SyntheticFrame {
            publisher: u32::from_be_bytes(*publisher),
            count: u32::from_be_bytes(*count),
            sent: Duration::from_nanos(u64::from_be_bytes(*sent)),
        })
    }

    /// How long the frame was under way when it arrives at `now`.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(epoch() + self.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_its_encoding() {
        let frame = SyntheticFrame { publisher: 7, count: 4711, sent: Duration::from_micros(123_456) };
        let payload = frame.encode(80);
        assert_eq!(payload.len(), 80);
        assert_eq!(SyntheticFrame::decode(&payload), Some(frame));
        assert_eq!(frame.age(epoch() + Duration::from_micros(123_956)), Duration::from_micros(500));
    }

    #[test]
    fn a_real_payload_is_not_one_of_ours() {
        assert_eq!(SyntheticFrame::decode(&[]), None);
        assert_eq!(SyntheticFrame::decode(&[TOC; 80]), None);
        assert_eq!(
            SyntheticFrame::decode(&SyntheticFrame::new(1, 2, epoch()).encode(0)[..HEADER_BYTES - 1]),
            None
        );
    }
}
