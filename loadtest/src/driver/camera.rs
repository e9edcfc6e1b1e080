//! What a camera sends: a frame of VP8 every 33 ms, of as many packets as its bitrate makes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::epoch;

const FPS: u32 = 30;
pub(super) const FRAME: Duration = Duration::from_nanos(1_000_000_000 / FPS as u64);
/// Of 1/90,000 s.
pub(super) const FRAME_TICKS: u32 = 90_000 / FPS;

/// A payload of browsers, some bytes less than a datagram takes.
pub(crate) const PACKET_BYTES: usize = 1_100;

/// How many times as large as others a keyframe is.
const KEYFRAME_TIMES: usize = 4;

/// RFC 7741, section 4.2: the first packet of a frame begins a partition.
const BEGINS_FRAME: u8 = 0x10;

/// A camera of a bitrate.
pub(super) struct Camera {
    frame_bytes: usize,
    /// `None` before the connection.
    next_frame: Option<Instant>,
    wants_keyframe: bool,
}

/// A frame that is due.
pub(super) struct DueFrame {
    pub(super) payloads: Vec<Arc<[u8]>>,
    pub(super) ticks: u32,
}

impl Camera {
    pub(super) fn new(bitrate_kbps: u32) -> Camera {
        let frame_bytes = (bitrate_kbps * 1_000 / 8 / FPS) as usize;
        Camera { frame_bytes: frame_bytes.max(16), next_frame: None, wants_keyframe: true }
    }

    /// Begins on a grid that all cameras share.
    pub(super) fn start(&mut self, now: Instant) {
        let passed = (now.saturating_duration_since(epoch()).as_nanos() / FRAME.as_nanos()) as u32;
        self.next_frame = Some(epoch() + FRAME * (passed + 1));
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.next_frame
    }

    pub(super) fn want_keyframe(&mut self) {
        self.wants_keyframe = true;
    }

    /// The frame that is due, if one is. Frames that are late are sent one after another.
    pub(super) fn next(&mut self, now: Instant) -> Option<DueFrame> {
        let due = self.next_frame.filter(|due| *due <= now)?;
        self.next_frame = Some(due + FRAME);
        let is_keyframe = std::mem::take(&mut self.wants_keyframe);
        let bytes = self.frame_bytes * if is_keyframe { KEYFRAME_TIMES } else { 1 };
        let packets = bytes.div_ceil(PACKET_BYTES);
        // As encoders do, of equal size.
        let mut payload = vec![0x55; bytes.div_ceil(packets).max(2)];
        let payloads = (0..packets).map(|number| {
            payload[0] = if number == 0 { BEGINS_FRAME } else { 0 };
            // Section 4.3: the first bit of the frame's header, inverse.
            payload[1] = u8::from(!is_keyframe);
            Arc::from(&payload[..])
        });
        Some(DueFrame { payloads: payloads.collect(), ticks: FRAME_TICKS })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_sends_its_bitrate_and_a_keyframe_when_one_is_wanted() {
        let (mut camera, start) = (Camera::new(1_500), epoch());
        assert!(camera.next(start).is_none());
        camera.start(start);
        let mut bytes = 0;
        for frame in 1..=u64::from(FPS) {
            let at = start + Duration::from_millis(34) * frame as u32;
            let DueFrame { payloads, ticks } = camera.next(at).expect("it is time");
            assert_eq!((ticks, payloads[0][0], payloads[1][0]), (3_000, BEGINS_FRAME, 0));
            assert_eq!(payloads[0][1], u8::from(frame > 1), "the first is a keyframe");
            assert!(payloads.iter().all(|payload| payload.len() <= PACKET_BYTES));
            bytes += payloads.iter().map(|payload| payload.len()).sum::<usize>();
        }
        assert!((180_000..220_000).contains(&bytes), "{bytes}");
        camera.want_keyframe();
        let frame = camera.next(start + Duration::from_secs(9)).expect("it is late");
        assert!(frame.payloads.len() > 20 && frame.payloads[0][1] == 0);
    }
}
