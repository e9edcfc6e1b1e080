//! The RTP of a camera or a screen in; packets that may be seen out, numbered without the sender's padding.

use std::sync::Arc;
use std::time::Instant;

use selector::SourceId;

use super::{CLOCK_HZ, Content, ENCODINGS_MAX, LayerMeter, Part, SourceLayers, VideoFormat, VideoPacket};
use crate::numbering::{Numbering, RtpNumbers};
use crate::{Allowance, Dropped, Gate};

/// Small ones cost as much as large ones: enough for the packets of a large keyframe at once.
const RATE_PACKETS_PER_S: u32 = 3_000;
const BURST_PACKETS: u32 = 3_000;

/// The longest payload that is forwarded, with its dependency descriptor: encoders fill packets up to what most networks take, and none can be cut in two here. With
/// what it takes between nodes (numbers, two seals, UDP and IPv6) it fits the 1,500 bytes of an Ethernet, and so with an RTP header,
/// extensions and SRTP's tag.
pub const VIDEO_PAYLOAD_BYTES_MAX: usize = 1_320;

/// A video packet as the transport decrypted it.
#[derive(Clone, Debug)]
pub struct IncomingVideo {
    /// In which of the track's streams it came, the smallest pictures first.
    pub encoding: u8,
    /// How many streams the track may have.
    pub encodings: u8,
    /// The sender's synchronization source.
    pub ssrc: u32,
    /// Sequence number, extended beyond 16 bits.
    pub seq: u64,
    /// RTP timestamp, 90 kHz.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// How to read the payload.
    pub format: VideoFormat,
    /// Whether it is the first packet of a keyframe.
    pub begins_keyframe: bool,
    /// What it is a part of.
    pub part: Part,
    /// The dependency descriptor, where a decoder needs it.
    pub descriptor: Option<Arc<[u8]>>,
    /// How high the keyframe's pictures are that it begins, by layer, in pixels; 0 where that isn't said.
    pub heights: [u32; ENCODINGS_MAX],
    /// Without header and padding.
    pub payload: Arc<[u8]>,
}

/// The receiving side of one published video track.
pub struct VideoIngest {
    source: SourceId,
    content: Content,
    gate: Gate,
    numberings: [Numbering; ENCODINGS_MAX],
    meter: LayerMeter,
    packets: Allowance,
    bytes: Allowance,
}

impl VideoIngest {
    /// The receiving side of a track that nothing arrived on yet, which may have so many kbit/s, and what they are in a second at
    /// once.
    pub fn new(source: SourceId, content: Content, gate: Gate, kbps_max: u32, now: Instant) -> VideoIngest {
        let packets = Allowance::new(RATE_PACKETS_PER_S, BURST_PACKETS, now);
        let bytes_per_s = kbps_max.saturating_mul(1_000 / 8);
        let bytes = Allowance::new(bytes_per_s, bytes_per_s, now);
        let numberings = std::array::from_fn(|_| Numbering::of_video(CLOCK_HZ));
        VideoIngest { source, content, gate, numberings, meter: LayerMeter::default(), packets, bytes }
    }

    /// Whose pictures they are.
    pub fn source(&self) -> SourceId {
        self.source
    }

    /// Opens or shuts the gate.
    pub fn set_gate(&mut self, gate: Gate) {
        if gate == Gate::Open && self.gate != Gate::Open {
            // Nothing was forwarded meanwhile: the numbering starts anew.
            self.restart();
        }
        self.gate = gate;
    }

    /// Starts a new numbering: the transport was replaced.
    pub fn restart(&mut self) {
        self.numberings.iter_mut().for_each(Numbering::restart);
        self.meter = LayerMeter::default();
    }

    /// What is known of the track's layers, as they were in the last seconds.
    pub fn layers(&self, now: Instant) -> SourceLayers {
        SourceLayers { content: self.content, ..self.meter.layers(now) }
    }

    /// Which stream is meant: one of which nothing comes, or that there isn't, stands for the largest one below of which something does.
    pub fn sent_encoding(&self, now: Instant, number: u8) -> u8 {
        let sent = self.meter.encodings(now);
        sent.clone().filter(|sent| *sent <= number).max().or(sent.min()).unwrap_or(0)
    }

    /// One packet from the transport.
    ///
    /// # Errors
    /// Why it goes no further.
    pub fn handle(&mut self, now: Instant, rtp: IncomingVideo) -> Result<VideoPacket, Dropped> {
        self.gate.pass()?;
        let descriptor_bytes = rtp.descriptor.as_ref().map_or(0, |descriptor| descriptor.len());
        if rtp.payload.len() + descriptor_bytes > VIDEO_PAYLOAD_BYTES_MAX {
            return Err(Dropped::Oversized);
        }
        if !self.packets.take(now) || !self.bytes.take_many(now, rtp.payload.len() as u32) {
            return Err(Dropped::Flood);
        }
        let is_padding = rtp.payload.is_empty();
        let numbers = RtpNumbers { ssrc: rtp.ssrc, seq: rtp.seq, timestamp: rtp.timestamp, is_padding };
        let numbering = self.numberings.get_mut(usize::from(rtp.encoding)).ok_or(Dropped::Flood)?;
        let seq = numbering.place(now, numbers)?;
        // Whoever began with one that comes late would lack those that follow it: they passed before.
        let begins_keyframe = rtp.begins_keyframe && numbering.is_newest(rtp.seq);
        let (source, epoch) = (self.source, numbering.epoch());
        self.meter.add(now, &rtp);
        let IncomingVideo {
            encoding, encodings, timestamp, marker, format, part, descriptor, payload, ..
        } = rtp;
        Ok(VideoPacket {
            source,
            encoding,
            encodings,
            epoch,
            seq,
            timestamp,
            marker,
            format,
            begins_keyframe,
            part,
            descriptor,
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::VideoCodec;
    use super::*;

    fn rtp(seq: u64, begins_keyframe: bool) -> IncomingVideo {
        IncomingVideo {
            encoding: 0,
            encodings: 1,
            ssrc: 1,
            seq,
            timestamp: 0,
            marker: false,
            format: VideoFormat { codec: VideoCodec::Vp8, profile: 0, mode: 0 },
            begins_keyframe,
            part: Part::default(),
            descriptor: None,
            heights: [0; ENCODINGS_MAX],
            payload: [1].into(),
        }
    }

    #[test]
    fn nobody_begins_with_a_packet_that_comes_after_those_that_follow_it() {
        let now = Instant::now();
        let mut ingest = VideoIngest::new(SourceId(1), Content::Camera, Gate::Open, 6_000, now);
        let mut begins = |seq, begins| ingest.handle(now, rtp(seq, begins)).map(|it| it.begins_keyframe);
        assert_eq!(begins(10, true), Ok(true));
        assert_eq!((begins(13, false), begins(14, false)), (Ok(false), Ok(false)));
        assert_eq!(begins(12, true), Ok(false), "sent again");
        assert_eq!(begins(15, true), Ok(true));
    }
    #[test]
    fn a_payload_passes_here_if_it_does_between_nodes() {
        let now = Instant::now();
        let mut ingest = VideoIngest::new(SourceId(1), Content::Camera, Gate::Open, 6_000, now);
        let payload = |bytes: usize| IncomingVideo { payload: vec![1; bytes].into(), ..rtp(1, false) };
        assert!(ingest.handle(now, payload(VIDEO_PAYLOAD_BYTES_MAX)).is_ok());
        assert_eq!(ingest.handle(now, payload(VIDEO_PAYLOAD_BYTES_MAX + 1)), Err(Dropped::Oversized));
    }

    #[test]
    fn a_camera_has_so_many_bytes_a_second() {
        let start = Instant::now();
        let mut ingest = VideoIngest::new(SourceId(1), Content::Camera, Gate::Open, 800, start);
        let mut passed = 0;
        for seq in 0..10_000_u64 {
            let timestamp = seq as u32 * 90;
            let packet = IncomingVideo { timestamp, payload: [1; 1_000].into(), ..rtp(seq, false) };
            let now = start + std::time::Duration::from_millis(seq);
            passed += u32::from(ingest.handle(now, packet).is_ok());
        }
        assert!((1_098..=1_102).contains(&passed), "ten seconds of 100 kB, and a second's at once: {passed}");
    }
}
