//! What a speaker sends: a frame every 20 ms, on time.

use std::time::{Duration, Instant};

use crate::{Audio, SyntheticFrame, Turns};

const FRAME: Duration = Duration::from_millis(20);
/// A publisher that is further behind than this skips frames instead of catching up in a burst.
const LAG_MAX: Duration = Duration::from_millis(200);
/// Octets of an Opus frame at 32 kbit/s.
const PAYLOAD_BYTES: usize = 80;

pub(super) struct Speech {
    speaker: u32,
    turns: Turns,
    /// `None` before the connection.
    next_frame: Option<Instant>,
    frames: u32,
}

impl Speech {
    pub(super) fn new(speaker: u32, turns: Turns) -> Speech {
        Speech { speaker, turns, next_frame: None, frames: 0 }
    }

    /// The first frame after the connection. Spread over 20 ms: real clients don't send in step.
    pub(super) fn start(&mut self, now: Instant) {
        let phase = FRAME * (self.speaker % self.turns.speakers.max(1)) / self.turns.speakers.max(1);
        let since_epoch = now.saturating_duration_since(crate::epoch()).as_millis() as u32;
        let grid = crate::epoch() + FRAME * (since_epoch / FRAME.as_millis() as u32 + 1);
        self.next_frame = Some(grid + phase);
    }

    /// When the next frame is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next_frame
    }

    /// The frame that is due, if one is, and how late it is.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Audio, Duration)> {
        let due = self.next_frame?;
        let lag = now.checked_duration_since(due)?;
        // Whole frames are skipped: the grid stays.
        let skipped = if lag > LAG_MAX { (lag.as_millis() / FRAME.as_millis()) as u32 } else { 0 };
        self.next_frame = Some(due + FRAME * (skipped + 1));
        let frame = SyntheticFrame::new(self.speaker, self.frames, now);
        self.frames = self.frames.wrapping_add(1);
        let level_dbov = self.turns.level_dbov(self.speaker, frame.sent);
        Some((Audio::new(frame.encode(PAYLOAD_BYTES), level_dbov), lag))
    }
}
