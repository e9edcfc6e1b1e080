//! A video packet on its way through a node.

use std::sync::Arc;

use selector::SourceId;

use super::Layer;
use crate::StreamEpoch;

/// How pictures are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// AV1 (AOMedia's RTP payload format).
    Av1,
}

/// How pictures are encoded, as exactly as a decoder has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VideoFormat {
    /// The codec.
    pub codec: VideoCodec,
    /// H.264's `profile-level-id` (RFC 6184, section 8.1), the profile of VP9 and AV1; 0 for VP8.
    pub profile: u32,
    /// H.264's `packetization-mode`; 0 for others.
    pub mode: u8,
}

impl VideoFormat {
    /// How well a receiver that takes the `other` format is served by this one: the more the better; `None` if not at all.
    pub fn fit(self, other: VideoFormat) -> Option<u8> {
        if self.codec != other.codec {
            return None;
        }
        let same_profile = match self.codec {
            // The level is what the sender may use at most; its profile stands before it.
            VideoCodec::H264 => self.profile >> 8 == other.profile >> 8,
            _ => self.profile == other.profile,
        };
        match (self.codec, same_profile) {
            // Mode 1 may use what mode 0 doesn't know.
            (VideoCodec::H264, _) if self.mode > other.mode => None,
            // Decoders read more than they say: of the profiles of H.264 all that are in use.
            (VideoCodec::H264, same) => Some(u8::from(same) * 2 + u8::from(self.mode == other.mode)),
            (_, true) => Some(1),
            (_, false) => None,
        }
    }
}

/// Simulcast sends a camera's pictures in so many sizes at most.
pub const ENCODINGS_MAX: usize = 4;

/// One of the streams in which a camera's pictures come: with simulcast there are several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EncodingId {
    /// Whose pictures.
    pub source: SourceId,
    /// Which stream: 0 has the smallest pictures. One that isn't there stands for the largest that is.
    pub number: u8,
}

/// What a packet is a part of, as far as that stands in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Of its stream's layers.
    pub layer: Layer,
    /// It is the last packet of its layer's frame.
    pub ends_frame: bool,
    /// Bit by bit, up to which temporal layer whoever can decode this frame may get all from here on: nothing else that came before is
    /// needed for it. Whoever got slower ones only can decode it if the bit of its own layer is there.
    pub rises: u8,
    /// The numbers of its picture.
    pub picture: Option<PictureNumbers>,
}

/// Numbers of pictures that stand in packets: VP8's (RFC 7741, section 4.2), or of frames in AV1's dependency descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureNumbers {
    /// PictureID, or the frame's number.
    pub id: u16,
    /// How many bits it has.
    pub bits: u8,
    /// TL0PICIDX, if there is one.
    pub tl0: Option<u8>,
}

impl PictureNumbers {
    /// Of a short PictureID.
    pub const SHORT_BITS: u8 = 7;
    /// Of a long one.
    pub const LONG_BITS: u8 = 15;
    /// Of a frame's number. Frames name others by the difference to theirs: those that are left out keep their numbers.
    pub const FRAME_BITS: u8 = 16;
}

/// A video packet that passed the gate. Cloning copies the numbers and shares the payload.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoPacket {
    /// Whose it is, and the CSRC under which it is forwarded.
    pub source: SourceId,
    /// In which of the source's streams it came, the smallest pictures first.
    pub encoding: u8,
    /// How many streams the source may have.
    pub encodings: u8,
    /// To which numbering of the stream `seq` and `timestamp` belong.
    pub epoch: StreamEpoch,
    /// Sequence number without roll-over.
    pub seq: u64,
    /// RTP timestamp, 90 kHz.
    pub timestamp: u32,
    /// The last packet of a frame.
    pub marker: bool,
    /// How to read the payload.
    pub format: VideoFormat,
    /// A decoder can begin with it: the first packet of a keyframe.
    pub begins_keyframe: bool,
    /// What it is a part of.
    pub part: Part,
    /// The dependency descriptor, where a decoder needs it.
    pub descriptor: Option<Arc<[u8]>>,
    /// As the sender made it.
    pub payload: Arc<[u8]>,
}

impl VideoPacket {
    /// Whether it is of what was asked for: of the stream that was meant, or of a smaller one in place of it.
    pub fn serves(&self, wanted: EncodingId) -> bool {
        self.source == wanted.source && self.encoding <= wanted.number
    }

    /// In which stream it came.
    pub fn encoding_id(&self) -> EncodingId {
        EncodingId { source: self.source, number: self.encoding }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_gets_the_profile_that_it_names_first() {
        let h264 = |profile, mode| VideoFormat { codec: VideoCodec::H264, profile, mode };
        let sent = h264(0x0042_e01f, 1);
        let offers = [h264(0x0064_001f, 1), h264(0x0042_e01f, 0), h264(0x0042_e034, 1), h264(0x0042_001f, 1)];
        assert_eq!(offers.map(|offer| sent.fit(offer)), [Some(1), None, Some(3), Some(1)]);
        let (vp8, vp9) = (VideoCodec::Vp8, VideoCodec::Vp9);
        let of = |codec, profile| VideoFormat { codec, profile, mode: 0 };
        assert_eq!(of(vp8, 0).fit(of(vp9, 0)), None);
        assert_eq!((of(vp9, 0).fit(of(vp9, 2)), of(vp9, 2).fit(of(vp9, 2))), (None, Some(1)));
    }
}
