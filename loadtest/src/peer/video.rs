//! A peer's camera, the picture of its screen, and what it watches.

use std::sync::Arc;
use std::time::Instant;

use str0m::format::Codec;
use str0m::media::{Direction, KeyframeRequest, MediaAdded, MediaKind, Rid, Simulcast, SimulcastLayer};
use str0m::rtp::RtpWrite;
use tercet_protocol::VideoOrigin;

use super::{MediaStream, Peer, PeerError};

/// The streams of a camera with simulcast, as our SDK names them: those of the smallest pictures first.
const RIDS: [&str; 3] = ["l", "m", "h"];

/// As it is offered.
pub(super) fn layers() -> Simulcast {
    let mut layers = Simulcast::new();
    RIDS.into_iter().for_each(|rid| layers.add_send_layer(SimulcastLayer::new(rid)));
    layers
}

/// Where the streams of a camera are, or of a screen.
pub(super) struct Picture {
    mid: MediaStream,
    /// The smallest pictures first.
    streams: Vec<Stream>,
}

struct Stream {
    rid: Option<Rid>,
    sequence: u64,
    timestamp: u32,
}

impl Picture {
    pub(super) fn new(mid: MediaStream, is_simulcast: bool) -> Picture {
        let stream = |rid| Stream { rid, sequence: 1, timestamp: rand::random() };
        let streams = match is_simulcast {
            true => RIDS.into_iter().map(|rid| stream(Some(Rid::from(rid)))).collect(),
            false => vec![stream(None)],
        };
        Picture { mid, streams }
    }
}

impl Peer {
    /// Sends a frame of the camera, cut into payloads, which is `ticks` of 1/90,000 s after the one before.
    pub fn send_video(
        &mut self,
        now: Instant,
        payloads: Vec<Arc<[u8]>>,
        ticks: u32,
    ) -> Result<(), PeerError> {
        self.send_picture(now, 0, payloads, ticks)
    }

    /// As [`Peer::send_video`], in one of the camera's sizes, of which 0 is the smallest.
    pub fn send_picture(
        &mut self,
        now: Instant,
        size: usize,
        payloads: Vec<Arc<[u8]>>,
        ticks: u32,
    ) -> Result<(), PeerError> {
        self.send_picture_of(now, VideoOrigin::Camera, size, payloads, ticks)
    }

    /// As [`Peer::send_picture`], of the camera or of the screen.
    pub fn send_picture_of(
        &mut self,
        now: Instant,
        origin: VideoOrigin,
        size: usize,
        payloads: Vec<Arc<[u8]>>,
        ticks: u32,
    ) -> Result<(), PeerError> {
        let params = self.rtc.codec_config().params().iter();
        let vp8 = params.filter(|params| params.spec().codec == Codec::Vp8).map(|params| params.pt()).next();
        let (vp8, picture) = vp8.zip(self.pictures[origin].as_mut()).ok_or(PeerError::NotNegotiated)?;
        let of_size = picture.streams.get_mut(size).ok_or(PeerError::NotNegotiated)?;
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(picture.mid, of_size.rid).ok_or(PeerError::NotNegotiated)?;
        let is_nackable = of_size.rid.is_some();
        of_size.timestamp = of_size.timestamp.wrapping_add(ticks);
        let last = payloads.len().saturating_sub(1);
        for (number, payload) in payloads.into_iter().enumerate() {
            let packet = RtpWrite::new(vp8, of_size.sequence.into(), of_size.timestamp, now, payload);
            stream.write_rtp(packet.marker(number == last).nackable(is_nackable));
            of_size.sequence += 1;
        }
        self.handle_timeout(now)
    }

    /// A peer that answers watches every picture that it is offered.
    pub(super) fn watch_what_is_offered(&mut self, added: &MediaAdded) {
        if added.kind == MediaKind::Video
            && added.direction == Direction::RecvOnly
            && !self.is_video(added.mid)
        {
            self.watched.push(added.mid);
        }
    }

    /// Of which of the camera's sizes a keyframe is wanted; `None` of a stream that isn't the camera's.
    pub(super) fn keyframe_wanted(&self, request: &KeyframeRequest) -> Option<u8> {
        let camera = self.pictures.camera.as_ref().filter(|camera| camera.mid == request.mid)?;
        let size = camera.streams.iter().position(|stream| stream.rid == request.rid)?;
        Some(size as u8)
    }

    /// The m-lines of the video slots, in the order of the slots, as the server's answer names them.
    pub fn set_video_slots(&mut self, mids: impl Iterator<Item = MediaStream>) {
        self.watched = mids.collect();
    }

    /// Which video slot an m-line is.
    pub fn video_slot(&self, mid: MediaStream) -> Option<usize> {
        self.watched.iter().position(|watched| *watched == mid)
    }

    /// Whether an m-line is for video.
    pub fn is_video(&self, mid: MediaStream) -> bool {
        self.watched.contains(&mid)
    }
}
