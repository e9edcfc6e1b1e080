//! Payloads of video in; what a packet is a part of out, and how large the pictures are that begin with it.

use bytes::{Buf, Bytes};
use h264_reader::annexb::AnnexBReader;
use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::nal::{Nal, RefNal, UnitType};
use h264_reader::push::NalInterest;
use rtc_rtp::codec::h264::H264Packet;
use rtc_rtp::codec::vp8::Vp8Packet;
use rtc_rtp::codec::vp9::Vp9Packet;
use rtc_rtp::packetizer::Depacketizer;
use str0m::format::{detect_av1_keyframe, detect_h264_keyframe, detect_h264_nalu};
use str0m::rtp::Vp8Descriptor;
use tercet_core::{Dependency, ENCODINGS_MAX, Layer, Part, PictureNumbers, VideoCodec};

/// What is looked at of a payload: payload descriptors are shorter, and so is what follows them and says how large a picture is.
const LOOKED_AT_BYTES: usize = 256;

/// RFC 6184, section 1.3: what a decoder has to know before the first picture.
const SEQUENCE_PARAMETER_SET: u8 = 7;

/// RFC 6386, section 9.1: a keyframe's frame tag and start code; two octets each for width and height follow, whose upper two bits
/// are about scaling.
const VP8_BEFORE_SIZE_BYTES: usize = 6;
const VP8_SIZE_MASK: u16 = (1 << 14) - 1;

/// What stands in a packet of video.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) part: Part,
    /// A decoder can begin with it.
    pub(super) begins_keyframe: bool,
    /// How high the pictures of each layer are, where that is said.
    pub(super) heights: [u32; ENCODINGS_MAX],
}

/// Reads a packet: its payload, and its dependency descriptor where nothing of layers stands in its payload. What can't be read
/// is of the one layer that there is.
pub(super) fn read(
    codec: VideoCodec,
    payload: &[u8],
    marker: bool,
    dependency: Option<&Dependency<'_>>,
) -> Read {
    let whole = Part { ends_frame: marker, ..Part::default() };
    let of_one_layer = |begins_keyframe| Read { part: whole, begins_keyframe, heights: [0; ENCODINGS_MAX] };
    match codec {
        VideoCodec::Vp8 => {
            let read = read_vp8(payload, marker).unwrap_or(of_one_layer(false));
            match dependency {
                // Where it is agreed on, browsers leave out of payloads what stands in it.
                Some(dependency) if read.part.picture.is_none() => {
                    Read { part: Part { picture: None, ..depending(dependency).part }, ..read }
                }
                _ => read,
            }
        }
        VideoCodec::Vp9 => read_vp9(payload).unwrap_or(of_one_layer(false)),
        VideoCodec::H264 => read_h264(payload, dependency.map_or(of_one_layer(false), depending)),
        VideoCodec::Av1 => dependency.map_or_else(|| of_one_layer(detect_av1_keyframe(payload)), depending),
    }
}

/// What the dependency descriptor says.
fn depending(dependency: &Dependency<'_>) -> Read {
    let layer = dependency.layer;
    let may_rise = |temporal: &u8| dependency.may_switch(Layer { temporal: *temporal, ..layer });
    let rises = (0..u8::BITS as u8).filter(may_rise).map(|temporal| 1 << temporal).sum();
    let mut heights = [0; ENCODINGS_MAX];
    if dependency.begins_sequence {
        for (height, said) in heights.iter_mut().zip(&dependency.structure.resolutions) {
            *height = said.height;
        }
    }
    let picture = PictureNumbers { id: dependency.frame_number, bits: PictureNumbers::FRAME_BITS, tl0: None };
    let part = Part { layer, ends_frame: dependency.ends_frame, rises, picture: Some(picture) };
    Read { part, begins_keyframe: dependency.begins_sequence && layer.spatial == 0, heights }
}

/// RFC 7741, sections 4.2 and 4.3.
fn read_vp8(payload: &[u8], marker: bool) -> Option<Read> {
    let mut descriptor = Vp8Packet::default();
    let mut frame = descriptor.depacketize(&beginning(payload)).ok()?;
    let begins_frame = descriptor.s == 1 && descriptor.pid == 0;
    let begins_keyframe = begins_frame && frame.first().is_some_and(|first| first & 1 == 0);
    let mut heights = [0; ENCODINGS_MAX];
    if begins_keyframe && frame.len() >= VP8_BEFORE_SIZE_BYTES + 4 {
        frame.advance(VP8_BEFORE_SIZE_BYTES + 2);
        heights[0] = (frame.get_u16_le() & VP8_SIZE_MASK).into();
    }
    let has_place =
        |id| Vp8Descriptor::parse(payload).is_ok_and(|it| it.patch().picture_id(id).build().is_ok());
    let is_long = has_place(1 << PictureNumbers::SHORT_BITS);
    let picture = (descriptor.i == 1).then(|| PictureNumbers {
        id: descriptor.picture_id,
        bits: if is_long { PictureNumbers::LONG_BITS } else { PictureNumbers::SHORT_BITS },
        tl0: (descriptor.l == 1).then_some(descriptor.tl0_pic_idx),
    });
    let temporal = if descriptor.t == 1 { descriptor.tid } else { 0 };
    let part = Part {
        layer: Layer { spatial: 0, temporal },
        ends_frame: marker,
        rises: if descriptor.t == 1 && descriptor.y == 1 { 1 << temporal } else { 0 },
        picture,
    };
    Some(Read { part, begins_keyframe, heights })
}

/// RFC 6184, section 5: of layers nothing stands in the payload.
fn read_h264(payload: &[u8], layers: Read) -> Read {
    let has_parameters = detect_h264_nalu(payload, SEQUENCE_PARAMETER_SET);
    let begins_keyframe = has_parameters || detect_h264_keyframe(payload);
    let mut heights = layers.heights;
    if has_parameters && let Some(height) = h264_height(payload) {
        heights[0] = height;
    }
    // Frame numbers are of no use to whoever gets the payload alone.
    Read { part: Part { picture: None, ..layers.part }, begins_keyframe, heights }
}

/// How high the pictures are of a sequence parameter set (H.264, section 7.4.2.1.1), if there is one.
fn h264_height(payload: &[u8]) -> Option<u32> {
    let units = H264Packet::default().depacketize(&Bytes::copy_from_slice(payload)).ok()?;
    let mut height = None;
    let read = |unit: RefNal<'_>| {
        let is_whole = unit.is_complete()
            && unit.header().is_ok_and(|it| it.nal_unit_type() == UnitType::SeqParameterSet);
        if is_whole && let Ok(parameters) = SeqParameterSet::from_bits(unit.rbsp_bits()) {
            height = parameters.pixel_dimensions().ok().map(|(_, height)| height);
        }
        NalInterest::Buffer
    };
    let mut reader = AnnexBReader::accumulate(read);
    reader.push(&units);
    reader.reset();
    height
}

/// RFC 9628, section 4.2.
fn read_vp9(payload: &[u8]) -> Option<Read> {
    let mut descriptor = Vp9Packet::default();
    descriptor.depacketize(&beginning(payload)).ok()?;
    let mut heights = [0; ENCODINGS_MAX];
    if descriptor.v && descriptor.y {
        for (height, said) in heights.iter_mut().zip(&descriptor.height) {
            *height = (*said).into();
        }
    }
    let layer = Layer { spatial: descriptor.sid, temporal: descriptor.tid };
    let rises = if descriptor.u { 1 << descriptor.tid } else { 0 };
    let part = Part { layer, ends_frame: descriptor.e, rises, picture: None };
    // Larger pictures that begin so need the smaller one before them.
    let begins_keyframe = descriptor.b && !descriptor.p && descriptor.sid == 0;
    Some(Read { part, begins_keyframe, heights })
}

fn beginning(payload: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&payload[..payload.len().min(LOOKED_AT_BYTES)])
}

#[cfg(test)]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyframe_of_vp8_tells_its_layer_its_numbers_and_its_size() {
        // X; I, L, T; PictureID 0x1234, TL0PICIDX 7, TID 2 with Y; a keyframe of 640 by 360, scaled.
        let tag = [0x10, 0x02, 0x00, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0x68, 0x41];
        let payload = [&[0x90, 0xE0, 0x92, 0x34, 0x07, 0xA0][..], &tag].concat();
        let read = read(VideoCodec::Vp8, &payload, true, None);
        let picture = PictureNumbers { id: 0x1234, bits: 15, tl0: Some(7) };
        let layer = Layer { spatial: 0, temporal: 2 };
        assert_eq!(read.part, Part { layer, ends_frame: true, rises: 1 << 2, picture: Some(picture) });
        assert_eq!((read.begins_keyframe, read.heights[0]), (true, 360));
        let short = [&[0x90, 0x80, 0x12][..], &tag].concat();
        let short_id = super::read(VideoCodec::Vp8, &short, false, None).part.picture;
        assert_eq!(short_id, Some(PictureNumbers { id: 0x12, bits: 7, tl0: None }));
    }

    #[test]
    fn scalable_vp9_begins_with_its_smallest_picture() {
        // I, L, B, E, V: PictureID 5, layer indices, TL0PICIDX; two sizes, 320 by 180 and 640 by 360.
        let structure = [0x30, 0x01, 0x40, 0x00, 0xB4, 0x02, 0x80, 0x01, 0x68];
        let small = [&[0xAE, 0x05, 0x00, 0x00][..], &structure, &[1]].concat();
        let one = read(VideoCodec::Vp9, &small, false, None);
        assert!(one.begins_keyframe && one.part.ends_frame);
        assert_eq!(one.heights[..2], [180, 360]);
        // SID 1, of the same picture: D.
        let large = [0xAC, 0x05, 0x03, 0x00, 1];
        let other = read(VideoCodec::Vp9, &large, true, None);
        assert_eq!((other.begins_keyframe, other.part.layer), (false, Layer { spatial: 1, temporal: 0 }));
    }

    #[test]
    fn a_parameter_set_of_h264_tells_how_high_pictures_are() {
        // Constrained baseline, level 3.1, 640 by 360; by itself, and with a picture parameter set (STAP-A).
        let parameters =
            [0x67, 0x42, 0xC0, 0x1F, 0x8C, 0x8D, 0x40, 0x50, 0x17, 0xFC, 0xB0, 0x0F, 0x08, 0x84, 0x6A];
        let size = (parameters.len() as u16).to_be_bytes();
        let both = [&[0x78][..], &size, &parameters, &[0, 4, 0x68, 0xCE, 0x3C, 0x80]].concat();
        for payload in [&parameters[..], &both] {
            let read = read(VideoCodec::H264, payload, false, None);
            assert_eq!((read.begins_keyframe, read.heights[0]), (true, 360));
        }
    }

    #[test]
    fn garbage_is_of_the_one_layer_that_there_is() {
        for codec in [VideoCodec::Vp8, VideoCodec::Vp9, VideoCodec::H264, VideoCodec::Av1] {
            assert_eq!(read(codec, &[], true, None).part.layer, Layer::default());
            let _ = read(codec, &[0xFF; 5], true, None);
        }
    }
}
