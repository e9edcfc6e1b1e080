//! Decoded sound in at the end, frames out at the head; what was played stays behind it for a while, for pitch and
//! concealment look back.

use crate::jitter::pitch::PERIOD_MAX;
use crate::{FRAME_SAMPLES, Frame, SILENCE};

/// What stays behind the head, in samples: three of the longest periods, and a quarter to fade (ITU-T G.711 Appendix I
/// keeps as much: 48.75 ms).
pub(super) const HISTORY: usize = 3 * PERIOD_MAX + PERIOD_MAX / 4;

/// What was played is thrown away when there is so much more of it, in samples: 200 ms, so that moving costs little.
const SLACK: usize = 10 * FRAME_SAMPLES;

#[derive(Clone, Debug)]
pub(super) struct Tape {
    samples: Vec<i16>,
    head: usize,
    /// Right before the head so much is silence; counted up to [`HISTORY`].
    silent: usize,
}

impl Tape {
    pub(super) fn new() -> Tape {
        let mut samples = Vec::with_capacity(HISTORY + 2 * SLACK + 8 * FRAME_SAMPLES);
        samples.resize(HISTORY, 0);
        Tape { samples, head: HISTORY, silent: HISTORY }
    }

    /// Samples between the head and the end.
    pub(super) fn unplayed(&self) -> usize {
        self.samples.len() - self.head
    }

    /// All there is, at least [`HISTORY`] of it before the head.
    pub(super) fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// Where the head is in [`Tape::samples`].
    pub(super) fn head(&self) -> usize {
        self.head
    }

    /// The end, to append to and for nothing else.
    pub(super) fn end(&mut self) -> &mut Vec<i16> {
        &mut self.samples
    }

    /// What is not played yet.
    pub(super) fn unplayed_mut(&mut self) -> &mut [i16] {
        &mut self.samples[self.head..]
    }

    /// Cuts some unplayed samples out, from so many behind the head on.
    pub(super) fn cut(&mut self, from: usize, count: usize) {
        let start = self.head + from;
        self.samples.drain(start..start + count);
    }

    /// Opens a gap right at the head, which is the caller's to fill.
    pub(super) fn open(&mut self, count: usize) {
        let end = self.samples.len();
        self.samples.resize(end + count, 0);
        self.samples.copy_within(self.head..end, self.head + count);
    }

    /// Plays a frame; silence where there is nothing.
    pub(super) fn play(&mut self) -> Frame {
        if self.unplayed() < FRAME_SAMPLES {
            self.samples.resize(self.head + FRAME_SAMPLES, 0);
        }
        let mut frame = SILENCE;
        frame.copy_from_slice(&self.samples[self.head..self.head + FRAME_SAMPLES]);
        if frame != SILENCE {
            self.silent = 0;
        } else if self.silent >= HISTORY {
            // What is behind the head is what it was, and always the same memory: most phones are silent most of the time.
            self.samples.drain(self.head..self.head + FRAME_SAMPLES);
            return frame;
        } else {
            self.silent += FRAME_SAMPLES;
        }
        self.head += FRAME_SAMPLES;
        if self.head > HISTORY + SLACK {
            self.samples.drain(..self.head - HISTORY);
            self.head = HISTORY;
        }
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_silence_takes_no_more_of_the_tape_and_what_follows_it_is_whole() {
        let mut tape = Tape::new();
        let spoken: Vec<i16> = (1..=1000).collect();
        for _ in 0..2 {
            tape.end().extend(&spoken);
            let played: Vec<i16> = (0..4).flat_map(|_| tape.play()).collect();
            assert_eq!(&played[..1000], &spoken);
            let behind = &tape.samples()[tape.head() - HISTORY..tape.head()];
            assert_eq!(behind[..500], spoken[500..], "it can be looked back at");
            for _ in 0..40 {
                tape.end().extend([0; FRAME_SAMPLES]);
                assert_eq!(tape.play(), SILENCE);
            }
            let (head, length) = (tape.head(), tape.samples().len());
            tape.end().extend([0; FRAME_SAMPLES]);
            tape.play();
            assert_eq!((tape.head(), tape.samples().len()), (head, length));
            assert!(tape.samples()[head - HISTORY..head].iter().all(|&sample| sample == 0));
        }
    }
}
