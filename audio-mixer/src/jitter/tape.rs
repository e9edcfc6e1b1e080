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
    /// After the end so much is silence that nobody has looked at: most phones are silent most of the time.
    passed: usize,
}

impl Tape {
    pub(super) fn new() -> Tape {
        let mut samples = Vec::with_capacity(HISTORY + 2 * SLACK + 8 * FRAME_SAMPLES);
        samples.resize(HISTORY, 0);
        Tape { samples, head: HISTORY, silent: HISTORY, passed: 0 }
    }

    /// Samples between the head and the end.
    pub(super) fn unplayed(&self) -> usize {
        self.samples.len() - self.head + self.passed
    }

    /// All there is, at least [`HISTORY`] of it before the head.
    pub(super) fn samples(&mut self) -> &[i16] {
        self.end()
    }

    /// Where the head is in [`Tape::samples`].
    pub(super) fn head(&self) -> usize {
        self.head
    }

    /// The end, to append to and for nothing else.
    pub(super) fn end(&mut self) -> &mut Vec<i16> {
        let passed = std::mem::take(&mut self.passed);
        self.samples.resize(self.samples.len() + passed, 0);
        &mut self.samples
    }

    /// What is not played yet, and all that can be looked back at, is silence.
    pub(super) fn is_silent(&self) -> bool {
        self.silent >= HISTORY && self.samples.len() == self.head
    }

    /// Appends so much silence to a tape that [is silent](Tape::is_silent).
    pub(super) fn pass(&mut self, count: usize) {
        debug_assert!(self.is_silent());
        self.passed += count;
    }

    /// What is not played yet.
    pub(super) fn unplayed_mut(&mut self) -> &mut [i16] {
        let head = self.head;
        &mut self.end()[head..]
    }

    /// Cuts some unplayed samples out, from so many behind the head on.
    pub(super) fn cut(&mut self, from: usize, count: usize) {
        let start = self.head + from;
        self.end().drain(start..start + count);
    }

    /// Opens a gap right at the head, which is the caller's to fill.
    pub(super) fn open(&mut self, count: usize) {
        let end = self.end().len();
        self.samples.resize(end + count, 0);
        self.samples.copy_within(self.head..end, self.head + count);
    }

    /// Plays a frame; silence where there is nothing.
    pub(super) fn play(&mut self, frame: &mut Frame) {
        if self.is_silent() {
            *frame = SILENCE;
            self.passed = self.passed.saturating_sub(FRAME_SAMPLES);
            return;
        }
        let end = self.head + FRAME_SAMPLES;
        if self.end().len() < end {
            self.samples.resize(end, 0);
        }
        frame.copy_from_slice(&self.samples[self.head..end]);
        self.silent = if *frame == SILENCE { self.silent + FRAME_SAMPLES } else { 0 };
        self.head = end;
        if self.silent >= HISTORY && self.samples[end..].iter().all(|&sample| sample == 0) {
            self.passed = self.samples.len() - end;
            self.samples.truncate(end);
        }
        if self.head > HISTORY + SLACK {
            self.samples.drain(..self.head - HISTORY);
            self.head = HISTORY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(tape: &mut Tape, frames: usize) -> Vec<i16> {
        let mut frame = SILENCE;
        let frames = (0..frames).flat_map(|_| {
            tape.play(&mut frame);
            frame
        });
        frames.collect()
    }

    #[test]
    fn long_silence_takes_nothing_of_the_tape_and_what_follows_it_is_whole() {
        let mut tape = Tape::new();
        let spoken: Vec<i16> = (1..=1000).collect();
        for _ in 0..2 {
            tape.end().extend(&spoken);
            assert_eq!(played(&mut tape, 4)[..1000], spoken);
            let head = tape.head();
            let behind = &tape.samples()[head - HISTORY..head];
            assert_eq!(behind[..500], spoken[500..], "it can be looked back at");
            assert!(!tape.is_silent());
            tape.end().extend([0; HISTORY.next_multiple_of(FRAME_SAMPLES)]);
            played(&mut tape, HISTORY.div_ceil(FRAME_SAMPLES));
            assert!(tape.is_silent());
            let (head, length) = (tape.head(), tape.samples.len());
            for _ in 0..40 {
                tape.pass(FRAME_SAMPLES);
                assert_eq!((tape.unplayed(), played(&mut tape, 1)), (FRAME_SAMPLES, SILENCE.to_vec()));
            }
            assert_eq!((tape.head(), tape.samples.len(), tape.unplayed()), (head, length, 0));
        }
        tape.pass(100);
        let end = tape.samples().len();
        assert!(tape.samples()[end - HISTORY..].iter().all(|&sample| sample == 0), "it can be looked at");
        assert_eq!(tape.unplayed(), 100);
    }

    #[test]
    fn what_follows_silence_that_was_passed_comes_after_it() {
        let mut tape = Tape::new();
        tape.pass(FRAME_SAMPLES);
        tape.end().extend([7; FRAME_SAMPLES]);
        assert!(!tape.is_silent());
        assert_eq!(played(&mut tape, 3), [[0; FRAME_SAMPLES], [7; FRAME_SAMPLES], SILENCE].concat());
        tape.end().extend([0; HISTORY + 2 * FRAME_SAMPLES + 100]);
        while tape.unplayed() > FRAME_SAMPLES {
            played(&mut tape, 1);
        }
        assert!(tape.is_silent() && tape.unplayed() > 0, "what is left of it is no more than silence");
    }
}
