//! What a client of tests films: who is meant by a picture in, pictures that say so out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ReceivedPacket;

const FRAME: Duration = Duration::from_millis(100);
/// Of 1/90,000 s.
pub(super) const FRAME_TICKS: u32 = 9_000;

/// VP8, the first packet of a frame (RFC 7741, section 4.2), which is a keyframe (section 4.3): whoever looks begins with any.
const KEYFRAME: [u8; 2] = [0x10, 0];

/// Pictures of one origin.
pub(super) struct Filming {
    number: Option<u8>,
    next_frame: Instant,
}

impl Filming {
    pub(super) fn new() -> Filming {
        Filming { number: None, next_frame: Instant::now() }
    }

    /// Pictures have this number from now on, or there are none.
    pub(super) fn film(&mut self, now: Instant, number: Option<u8>) {
        (self.number, self.next_frame) = (number, now);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.number.map(|_| self.next_frame)
    }

    /// The packets of the picture that is due, if one is.
    pub(super) fn next(&mut self, now: Instant) -> Option<Vec<Arc<[u8]>>> {
        let number = self.number.filter(|_| now >= self.next_frame)?;
        self.next_frame = now + FRAME;
        let [descriptor, header] = KEYFRAME;
        Some(vec![[descriptor, header, number, 0].into()])
    }
}

/// The number of the picture that a packet of a video slot is of, if a client of tests filmed it.
pub fn picture_in(packet: &ReceivedPacket) -> Option<u8> {
    match packet.payload[..] {
        [descriptor, header, number, 0] if [descriptor, header] == KEYFRAME => Some(number),
        _ => None,
    }
}
