//! A peer's camera, and what it watches.

use std::sync::Arc;
use std::time::Instant;

use str0m::format::Codec;
use str0m::media::{Direction, MediaAdded, MediaKind};
use str0m::rtp::RtpWrite;

use super::{MediaStream, Peer, PeerError};

/// Where the stream of a camera is.
pub(super) struct Camera {
    mid: MediaStream,
    sequence: u64,
    timestamp: u32,
}

impl Camera {
    pub(super) fn new(mid: MediaStream) -> Camera {
        Camera { mid, sequence: 1, timestamp: rand::random() }
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
        let params = self.rtc.codec_config().params().iter();
        let vp8 = params.filter(|params| params.spec().codec == Codec::Vp8).map(|params| params.pt()).next();
        let (vp8, camera) = vp8.zip(self.camera.as_mut()).ok_or(PeerError::NotNegotiated)?;
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(camera.mid, None).ok_or(PeerError::NotNegotiated)?;
        camera.timestamp = camera.timestamp.wrapping_add(ticks);
        let last = payloads.len().saturating_sub(1);
        for (number, payload) in payloads.into_iter().enumerate() {
            let packet = RtpWrite::new(vp8, camera.sequence.into(), camera.timestamp, now, payload);
            stream.write_rtp(packet.marker(number == last));
            camera.sequence += 1;
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

    /// Whether an m-line is for video.
    pub fn is_video(&self, mid: MediaStream) -> bool {
        self.watched.contains(&mid)
    }
}
