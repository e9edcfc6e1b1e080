//! VP8 in RTP (RFC 7741): frames in, payloads out, and payloads in, what stands in them out.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use rtc_rtp::codec::vp8::{VP8_HEADER_SIZE, Vp8Packet, Vp8Payloader};
use rtc_rtp::packetizer::{Depacketizer, Payloader};

/// So that no datagram is longer than 1,200 octets, as browsers have it: RTP header, extensions and the tag take the rest.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 1_140;

/// RFC 7741, section 4.2: the octet that all have; which of the others there are; PictureID of 15 bits; TL0PICIDX; TID and Y.
const DESCRIPTOR_BYTES: usize = 6;
const EXTENDED: u8 = 0x80;
const HAS_PICTURE_ID_TL0_AND_TID: u8 = 0xE0;
const PICTURE_ID_IS_LONG: u8 = 0x80;
pub(super) const PICTURE_ID_MASK: u16 = 0x7FFF;

/// RFC 6386, section 9.1: frame tag and start code of a keyframe, width, height.
const BEFORE_HEIGHT_BYTES: usize = 8;
const HEIGHT_MASK: u16 = (1 << 14) - 1;
/// More than descriptor and keyframe header are long.
const LOOKED_AT_BYTES: usize = 32;

/// What a frame is among the temporal layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its layer.
    pub(crate) temporal: u8,
    /// Y: it needs nothing but layer 0.
    pub(crate) is_sync: bool,
}

/// Numbers the pictures of one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packetizer {
    picture_id: u16,
    tl0: u8,
}

impl Packetizer {
    /// Begins anywhere: "The PictureID SHOULD start on a random number" (section 4.2).
    pub(crate) fn new(first_picture_id: u16) -> Packetizer {
        Packetizer { picture_id: first_picture_id & PICTURE_ID_MASK, tl0: first_picture_id as u8 }
    }

    /// The payloads of the next frame.
    pub(crate) fn packetize(&mut self, frame: &Bytes, place: Place) -> Vec<Arc<[u8]>> {
        self.picture_id = (self.picture_id + 1) & PICTURE_ID_MASK;
        if place.temporal == 0 {
            self.tl0 = self.tl0.wrapping_add(1);
        }
        let [high, low] = self.picture_id.to_be_bytes();
        let layer = place.temporal << 6 | u8::from(place.is_sync) << 5;
        let mtu = PAYLOAD_BYTES_MAX - DESCRIPTOR_BYTES + VP8_HEADER_SIZE;
        // It knows of no layers: of what it makes, the first octet says where a frame begins.
        let parts = Vp8Payloader::default().payload(mtu, frame).unwrap_or_default();
        let with_numbers = |part: Bytes| {
            let (first, contents) = part.split_first()?;
            let descriptor = [
                first | EXTENDED,
                HAS_PICTURE_ID_TL0_AND_TID,
                high | PICTURE_ID_IS_LONG,
                low,
                self.tl0,
                layer,
            ];
            Some([&descriptor, contents].concat().into())
        };
        parts.into_iter().filter_map(with_numbers).collect()
    }
}

/// What stands in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PictureReader {
    /// The frame begins here.
    pub(super) begins: bool,
    /// Of a frame that begins here, if it is a keyframe: how high it is.
    pub(super) keyframe_height: Option<u16>,
    pub(super) picture_id: u16,
    pub(super) tl0: u8,
    pub(super) place: Place,
}

impl PictureReader {
    /// `None` for what isn't VP8 with PictureID, TL0PICIDX and TID, as our cameras send it.
    pub(super) fn read(payload: &[u8]) -> Option<PictureReader> {
        let mut descriptor = Vp8Packet::default();
        let beginning = Bytes::copy_from_slice(&payload[..payload.len().min(LOOKED_AT_BYTES)]);
        let mut frame = descriptor.depacketize(&beginning).ok()?;
        if [descriptor.x, descriptor.i, descriptor.l, descriptor.t] != [1; 4] {
            return None;
        }
        let begins = descriptor.s == 1 && descriptor.pid == 0;
        let is_keyframe = begins && frame.first()? & 1 == 0;
        let keyframe_height = if is_keyframe {
            if frame.len() < BEFORE_HEIGHT_BYTES + 2 {
                return None;
            }
            frame.advance(BEFORE_HEIGHT_BYTES);
            Some(frame.get_u16_le() & HEIGHT_MASK)
        } else {
            None
        };
        Some(PictureReader {
            begins,
            keyframe_height,
            picture_id: descriptor.picture_id,
            tl0: descriptor.tl0_pic_idx,
            place: Place { temporal: descriptor.tid, is_sync: descriptor.y == 1 },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::sizes;
    use super::*;

    #[test]
    fn what_is_packetized_is_read_again() {
        let clip = &sizes()[2];
        let mut packetizer = Packetizer::new(u16::MAX);
        let mut tl0 = Vec::new();
        for at in 0..8 {
            let (frame, place) = clip.frame(at);
            let payloads = packetizer.packetize(frame, place);
            assert!(payloads.iter().all(|payload| payload.len() <= PAYLOAD_BYTES_MAX));
            let octets: Vec<u8> =
                payloads.iter().flat_map(|payload| payload[DESCRIPTOR_BYTES..].to_vec()).collect();
            assert_eq!(&octets[..], &frame[..], "nothing is added or lost");
            for (number, payload) in payloads.iter().enumerate() {
                let read = PictureReader::read(payload).expect("it is one of ours");
                assert_eq!((read.begins, read.place), (number == 0, place));
                assert_eq!(read.picture_id, at as u16, "it goes on at 0 after 15 bits");
                assert_eq!(read.keyframe_height, (at == 0 && number == 0).then_some(720));
                tl0.push(read.tl0);
            }
        }
        tl0.dedup();
        assert_eq!(tl0, [0, 1], "one for each frame of layer 0");
    }

    #[test]
    fn garbage_and_other_descriptors_are_not_read() {
        assert_eq!(PictureReader::read(&[]), None);
        assert_eq!(PictureReader::read(&[0x10, 0, 0, 0, 0]), None, "no numbers");
        assert_eq!(
            PictureReader::read(&[0x90, 0xE0, 0x80, 1, 2, 0, 0, 0]),
            None,
            "half of a keyframe's header"
        );
        for length in 0..12 {
            let _ = PictureReader::read(&vec![0xFF; length]);
            let _ = PictureReader::read(&vec![0x90; length]);
        }
    }
}
