//! Who sent a packet, which one it is and when, inside an Opus packet that stays valid.
//!
//! Any Opus packet of one frame can be written with code 3, which allows padding (RFC 6716, section 3.2.5). A
//! decoder "MUST accept any value for the padding bytes": there the stamp travels, through every server that
//! forwards payloads untouched, to receivers of any kind.

use std::time::{Duration, Instant};

use crate::epoch;

/// The two low bits of the TOC byte: how many frames there are (RFC 6716, section 3.1).
const CODE_MASK: u8 = 0b11;
const ONE_FRAME: u8 = 0;
const ANY_NUMBER: u8 = 3;
/// The frame count byte of code 3: not VBR, padding, one frame (RFC 6716, figure 5).
const ONE_FRAME_PADDED: u8 = 0b0100_0001;

/// Of publisher, count, time, turn and frame of the turn; and a checksum over these and the Opus frame.
const STAMP_BYTES: usize = 4 + 4 + 6 + 2 + 2 + CHECKSUM_BYTES;
const CHECKSUM_BYTES: usize = 4;
/// The TOC byte, the frame count byte, and one byte for the length of the padding, which is below 255.
const PREFIX_BYTES: usize = 3;

/// [`Stamp::frame_of_turn`] of frames between turns.
pub(crate) const QUIET: u16 = u16::MAX;

/// What a packet says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The tester's number of the publisher.
    pub publisher: u32,
    /// Counted from 0 by the publisher.
    pub count: u32,
    /// When it was sent, since [`epoch`], in µs.
    pub sent_us: u64,
    /// Which turn of the publisher's, modulo 2^16.
    pub turn: u16,
    /// Frames since the turn began; the largest number between turns.
    pub frame_of_turn: u16,
}

/// What a stamped packet turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As it was sent.
    Intact(Stamp),
    /// It has the form of one of ours, and other content.
    Damaged,
    /// No packet of ours.
    Foreign,
}

impl Stamp {
    /// How long after the epoch `now` is, for [`Stamp::sent_us`].
    pub fn time_us(now: Instant) -> u64 {
        now.saturating_duration_since(epoch()).as_micros() as u64
    }

    /// The packet with its stamp: `opus` has to be a packet of one frame (code 0), as encoders make of 20 ms.
    pub fn seal(&self, opus: &[u8]) -> Vec<u8> {
        let (toc, frame) = opus.split_first().expect("an Opus packet has a TOC byte");
        debug_assert_eq!(toc & CODE_MASK, ONE_FRAME);
        let mut packet = Vec::with_capacity(PREFIX_BYTES + frame.len() + STAMP_BYTES);
        packet.extend_from_slice(&[toc | ANY_NUMBER, ONE_FRAME_PADDED, STAMP_BYTES as u8]);
        packet.extend_from_slice(frame);
        packet.extend_from_slice(&self.publisher.to_be_bytes());
        packet.extend_from_slice(&self.count.to_be_bytes());
        packet.extend_from_slice(&self.sent_us.to_be_bytes()[2..]);
        packet.extend_from_slice(&self.turn.to_be_bytes());
        packet.extend_from_slice(&self.frame_of_turn.to_be_bytes());
        packet.extend_from_slice(&checksum(&packet).to_be_bytes());
        packet
    }

    /// Reads a packet.
    pub fn read(packet: &[u8]) -> Reading {
        let [toc, ONE_FRAME_PADDED, padding, ..] = *packet else { return Reading::Foreign };
        let length = packet.len();
        let is_ours = toc & CODE_MASK == ANY_NUMBER && usize::from(padding) == STAMP_BYTES;
        if !is_ours || length < PREFIX_BYTES + STAMP_BYTES {
            return Reading::Foreign;
        }
        let (content, sum) = packet.split_at(length - CHECKSUM_BYTES);
        if checksum(content).to_be_bytes() != sum {
            return Reading::Damaged;
        }
        let mut rest = &packet[length - STAMP_BYTES..];
        let mut take = |bytes: usize| {
            let (number, after) = rest.split_at(bytes);
            rest = after;
            number.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
        };
        Reading::Intact(Stamp {
            publisher: take(4) as u32,
            count: take(4) as u32,
            sent_us: take(6),
            turn: take(2) as u16,
            frame_of_turn: take(2) as u16,
        })
    }

    /// How long the packet was under way when it arrives at `at`.
    pub fn age(&self, at: Instant) -> Duration {
        at.saturating_duration_since(epoch() + Duration::from_micros(self.sent_us))
    }

    /// When its turn began, by its place in it; `None` between turns.
    pub fn turn_began(&self) -> Option<Instant> {
        let since = (self.frame_of_turn != QUIET)
            .then(|| Duration::from_millis(20) * u32::from(self.frame_of_turn))?;
        (epoch() + Duration::from_micros(self.sent_us)).checked_sub(since)
    }
}

/// FNV-1a: a packet that was changed by accident doesn't keep it.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp =
        Stamp { publisher: 0x1_0007, count: 4_711, sent_us: 1 << 40, turn: 9, frame_of_turn: 3 };

    /// Configuration 9 (SILK, wideband, 20 ms), mono, one frame.
    fn opus() -> Vec<u8> {
        [&[9 << 3], &[0x5a; 60][..]].concat()
    }

    #[test]
    fn a_stamp_survives_the_way() {
        assert_eq!(Stamp::read(&STAMP.seal(&opus())), Reading::Intact(STAMP));
        assert_eq!(STAMP.age(epoch() + Duration::from_micros((1 << 40) + 500)), Duration::from_micros(500));
    }

    #[test]
    fn a_stamped_packet_is_the_same_frame_with_padding() {
        let (plain, stamped) = (opus(), STAMP.seal(&opus()));
        assert_eq!(stamped[0], plain[0] | 3, "same configuration, code 3");
        assert_eq!(stamped[1] & 0x3f, 1, "one frame");
        let padding = usize::from(stamped[2]);
        assert_eq!(&stamped[3..stamped.len() - padding], &plain[1..]);
    }

    #[test]
    fn what_was_changed_on_the_way_is_noticed() {
        let packet = STAMP.seal(&opus());
        for position in [0, 5, 40, packet.len() - 10, packet.len() - 1] {
            let mut changed = packet.clone();
            changed[position] ^= 0x40;
            assert_eq!(Stamp::read(&changed), Reading::Damaged, "octet {position}");
        }
    }

    #[test]
    fn other_packets_are_not_ours() {
        let packet = STAMP.seal(&opus());
        for other in [&[][..], &[0xf8], &opus(), &packet[..20]] {
            assert_eq!(Stamp::read(other), Reading::Foreign);
        }
    }

    #[test]
    fn the_beginning_of_a_turn_is_known_from_any_of_its_frames() {
        let began = STAMP.turn_began().unwrap();
        assert_eq!(epoch() + Duration::from_micros(1 << 40) - began, Duration::from_millis(60));
        assert_eq!(Stamp { frame_of_turn: QUIET, ..STAMP }.turn_began(), None);
    }
}
