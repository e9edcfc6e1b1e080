//! A camera in three sizes: the time comes in, and what the server wants; the frames that are due go out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::camera::{DueFrame, FRAME, FRAME_TICKS};
use crate::epoch;
use crate::video::{Packetizer, SIZES, sizes};

/// A camera that is further behind than this leaves frames out instead of sending many at once.
const LAG_MAX: Duration = Duration::from_millis(200);

/// A camera of real pictures.
pub(super) struct Simulcast {
    streams: [Stream; SIZES],
    phase: Duration,
    /// `None` before the connection.
    next_frame: Option<Instant>,
    /// How many of the sizes somebody wants, the smallest first.
    layers_wanted: usize,
}

/// One size.
struct Stream {
    /// Which frame of the clip is next.
    at: usize,
    packetizer: Packetizer,
    wants_keyframe: bool,
    /// Since the latest frame.
    ticks: u32,
}

/// The frames of one time.
pub(super) struct DuePictures {
    /// By size, the smallest first; `None` of one that rests.
    pub(super) frames: [Option<DueFrame>; SIZES],
    /// Those of them that are keyframes, and were asked for.
    pub(super) keyframes: u64,
    /// How late it is.
    pub(super) lag: Duration,
}

impl Simulcast {
    /// That of a participant: real cameras don't send in step.
    pub(super) fn new(participant: u32) -> Simulcast {
        let stream =
            || Stream { at: 0, packetizer: Packetizer::new(rand::random()), wants_keyframe: false, ticks: 0 };
        Simulcast {
            streams: [(); SIZES].map(|()| stream()),
            // The golden ratio spreads any number of them evenly.
            phase: FRAME.mul_f64(f64::from(participant) * 0.618_034 % 1.0),
            next_frame: None,
            layers_wanted: SIZES,
        }
    }

    /// Begins on the grid that all cameras share, at its own phase.
    pub(super) fn start(&mut self, now: Instant) {
        let passed = (now.saturating_duration_since(epoch()).as_nanos() / FRAME.as_nanos()) as u32;
        self.next_frame = Some(epoch() + FRAME * (passed + 1) + self.phase);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.next_frame
    }

    /// A keyframe of one size is wanted, with its next frame.
    pub(super) fn want_keyframe(&mut self, size: u8) {
        if let Some(stream) = self.streams.get_mut(usize::from(size)) {
            stream.wants_keyframe = true;
        }
    }

    /// So many sizes are wanted.
    pub(super) fn want_layers(&mut self, layers: u8) {
        self.layers_wanted = usize::from(layers).clamp(1, SIZES);
    }

    /// The frames that are due, if some are.
    pub(super) fn next(&mut self, now: Instant) -> Option<DuePictures> {
        let due = self.next_frame.filter(|due| *due <= now)?;
        let lag = now.saturating_duration_since(due);
        let frames = if lag > LAG_MAX { (lag.as_nanos() / FRAME.as_nanos()) as u32 } else { 1 };
        self.next_frame = Some(due + FRAME * frames);
        let (mut keyframes, wanted) = (0, self.layers_wanted);
        let mut size = 0;
        let frames = self.streams.each_mut().map(|stream| {
            let is_sent = size < wanted;
            size += 1;
            stream.ticks = stream.ticks.wrapping_add(FRAME_TICKS * frames);
            if !is_sent {
                stream.wants_keyframe = true;
                return None;
            }
            let clip = &sizes()[size - 1];
            if std::mem::take(&mut stream.wants_keyframe) {
                stream.at = 0;
                keyframes += 1;
            }
            let (frame, place) = clip.frame(stream.at);
            stream.at = clip.after(stream.at);
            let payloads: Vec<Arc<[u8]>> = stream.packetizer.packetize(frame, place);
            Some(DueFrame { payloads, ticks: std::mem::take(&mut stream.ticks) })
        });
        Some(DuePictures { frames, keyframes, lag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7741: the descriptor has six octets, and RFC 6386: the first bit behind it is 0 in keyframes.
    fn is_keyframe(frame: &DueFrame) -> bool {
        frame.payloads[0][6] & 1 == 0
    }

    struct Watch {
        camera: Simulcast,
        at: Instant,
    }

    impl Watch {
        fn new() -> Watch {
            let mut camera = Simulcast::new(5);
            let at = epoch();
            assert!(camera.next(at).is_none(), "not before the connection");
            camera.start(at);
            Watch { camera, at }
        }

        fn next(&mut self) -> DuePictures {
            self.at += FRAME;
            self.camera.next(self.at + FRAME).expect("it is time")
        }
    }

    #[test]
    fn all_sizes_begin_with_a_keyframe_and_send_another_when_it_is_wanted() {
        let mut watch = Watch::new();
        let first = watch.next();
        assert!(first.frames.iter().flatten().all(is_keyframe) && first.keyframes == 0);
        assert_eq!(first.frames.iter().flatten().count(), SIZES);
        assert!((0..100).all(|_| !watch.next().frames.iter().flatten().any(is_keyframe)));
        watch.camera.want_keyframe(1);
        watch.camera.want_keyframe(9);
        let next = watch.next();
        let keyframes = next.frames.each_ref().map(|frame| frame.as_ref().is_some_and(is_keyframe));
        assert_eq!((keyframes, next.keyframes), ([false, true, false], 1));
    }

    #[test]
    fn sizes_that_nobody_wants_rest_and_come_back_with_a_keyframe_and_the_time_that_has_passed() {
        let mut watch = Watch::new();
        watch.next();
        watch.camera.want_layers(0);
        for _ in 0..9 {
            let sent = watch.next().frames.map(|frame| frame.is_some());
            assert_eq!(sent, [true, false, false], "one is always sent");
        }
        watch.camera.want_layers(3);
        let [small, _, large] = watch.next().frames.map(|frame| frame.expect("all are sent"));
        assert_eq!((is_keyframe(&small), small.ticks), (false, FRAME_TICKS));
        assert_eq!((is_keyframe(&large), large.ticks), (true, 10 * FRAME_TICKS));
    }

    #[test]
    fn a_late_camera_leaves_frames_out() {
        let mut watch = Watch::new();
        watch.next();
        let late = watch.at + Duration::from_secs(2);
        let next = watch.camera.next(late).expect("it is time");
        let ticks = next.frames[0].as_ref().map_or(0, |frame| frame.ticks);
        assert!((58..=60).contains(&(ticks / FRAME_TICKS)), "{ticks}");
        assert!(watch.camera.next(late).is_some() && watch.camera.next(late).is_none());
    }
}
