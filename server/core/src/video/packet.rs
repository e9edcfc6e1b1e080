//! A video packet on its way through a node.

use std::sync::Arc;

use selector::SourceId;

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

/// A video packet that passed the gate. Cloning copies the numbers and shares the payload.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoPacket {
    /// Whose it is, and the CSRC under which it is forwarded.
    pub source: SourceId,
    /// To which numbering `seq` and `timestamp` belong.
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
    /// As the sender made it.
    pub payload: Arc<[u8]>,
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
