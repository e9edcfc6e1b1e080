//! What is to be signalled in; frames of tones out.

use crate::ramp::{RAMP_SAMPLES, raised};
use crate::{Digit, Frame, RATE_HZ, SILENCE};

/// What a phone is told by tones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// A key: 100 ms of its tones, and 100 ms of pause.
    Digit(Digit),
    /// Somebody came: two notes upward.
    Joined,
    /// Somebody went: two notes downward.
    Left,
    /// The other end rings, until the player is dropped.
    Ringback(TonePlan),
    /// The other end is busy, until the player is dropped.
    Busy(TonePlan),
}

/// Whose tones are familiar (ITU-T E.180, supplement 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TonePlan {
    /// 425 Hz, as in most of Europe.
    #[default]
    Europe,
    /// Pairs of tones, as in the United States and Canada.
    NorthAmerica,
}

/// Plays a signal, frame by frame. Each tone begins and ends without a click.
#[derive(Clone, Debug)]
pub struct TonePlayer {
    notes: [Note; 2],
    repeats: bool,
    /// Which note, and how many samples of it have been.
    note: usize,
    at: usize,
}

/// One or two tones, or none, for a while.
#[derive(Clone, Copy, Debug)]
struct Note {
    hz: [f32; 2],
    /// Root of the mean square of each tone.
    dbov: [f32; 2],
    samples: usize,
}

impl Note {
    const fn new(hz: [f32; 2], dbov: [f32; 2], ms: usize) -> Note {
        Note { hz, dbov, samples: ms * RATE_HZ as usize / 1000 }
    }

    const fn pause(ms: usize) -> Note {
        Note::new([0.0; 2], [-127.0; 2], ms)
    }

    fn sample(&self, at: usize) -> f32 {
        let edge = at.min(self.samples - 1 - at);
        let envelope = if edge < RAMP_SAMPLES { raised(edge) } else { 1.0 };
        let tone = |(&hz, &dbov): (&f32, &f32)| {
            // A sine's peak is 3 dB above its root of the mean square. Double precision: notes last for seconds.
            let peak = 32_768.0 * 10_f32.powf((dbov + 3.01) / 20.0);
            let turns = f64::from(hz) * at as f64 / f64::from(RATE_HZ);
            peak * (turns.fract() as f32 * std::f32::consts::TAU).sin()
        };
        envelope * self.hz.iter().zip(&self.dbov).filter(|(hz, _)| **hz > 0.0).map(tone).sum::<f32>()
    }
}

/// -9 dBm0 and 2 dB more for the high one, which lines weaken (ITU-T Q.24 has 0 to -25 dBm accepted).
const DIGIT_DBOV: [f32; 2] = [-15.0, -13.0];

/// Of networks' tones: about as loud as speech.
const PROGRESS_DBOV: [f32; 2] = [-24.0; 2];

/// Of what comes between words: below speech.
const CHIME_DBOV: [f32; 2] = [-32.0; 2];

/// Of chimes, each with its fifth.
const LOW_NOTE_HZ: [f32; 2] = [523.3, 784.0];
const HIGH_NOTE_HZ: [f32; 2] = [698.5, 1_046.5];

impl TonePlayer {
    /// From the beginning of a signal.
    pub fn new(signal: Signal) -> TonePlayer {
        let (first, second, repeats) = match signal {
            Signal::Digit(digit) => (Note::new(digit.tones_hz(), DIGIT_DBOV, 100), Note::pause(100), false),
            Signal::Joined => (chime(LOW_NOTE_HZ), chime(HIGH_NOTE_HZ), false),
            Signal::Left => (chime(HIGH_NOTE_HZ), chime(LOW_NOTE_HZ), false),
            Signal::Ringback(TonePlan::Europe) => (progress([425.0, 0.0], 1_000), Note::pause(4_000), true),
            Signal::Ringback(TonePlan::NorthAmerica) => {
                (progress([440.0, 480.0], 2_000), Note::pause(4_000), true)
            }
            Signal::Busy(TonePlan::Europe) => (progress([425.0, 0.0], 500), Note::pause(500), true),
            Signal::Busy(TonePlan::NorthAmerica) => (progress([480.0, 620.0], 500), Note::pause(500), true),
        };
        TonePlayer { notes: [first, second], repeats, note: 0, at: 0 }
    }

    /// The next 20 ms; `None` after the end.
    pub fn frame(&mut self) -> Option<Frame> {
        self.notes.get(self.note)?;
        let mut frame = SILENCE;
        for sample in &mut frame {
            let Some(note) = self.notes.get(self.note) else { break };
            *sample = note.sample(self.at).round() as i16;
            self.advance(note.samples);
        }
        Some(frame)
    }

    fn advance(&mut self, samples: usize) {
        self.at += 1;
        if self.at == samples {
            self.at = 0;
            self.note += 1;
        }
        if self.repeats {
            self.note %= self.notes.len();
        }
    }
}

const fn progress(hz: [f32; 2], ms: usize) -> Note {
    Note::new(hz, PROGRESS_DBOV, ms)
}

const fn chime(hz: [f32; 2]) -> Note {
    Note::new(hz, CHIME_DBOV, 120)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level_dbov;

    fn played(signal: Signal, frames: usize) -> Vec<Frame> {
        let mut player = TonePlayer::new(signal);
        (0..frames).map_while(|_| player.frame()).collect()
    }

    #[test]
    fn ringback_and_busy_have_their_cadence() {
        for (signal, on_ms, off_ms) in [
            (Signal::Ringback(TonePlan::Europe), 1_000, 4_000),
            (Signal::Ringback(TonePlan::NorthAmerica), 2_000, 4_000),
            (Signal::Busy(TonePlan::Europe), 500, 500),
            (Signal::Busy(TonePlan::NorthAmerica), 500, 500),
        ] {
            let frames = played(signal, 700);
            assert_eq!(frames.len(), 700, "it goes on");
            for (n, frame) in frames.iter().enumerate() {
                let sounds = n * 20 % (on_ms + off_ms) < on_ms;
                assert_eq!(level_dbov(frame) > -40, sounds, "{signal:?} at {} ms", n * 20);
            }
        }
    }

    #[test]
    fn chimes_end_and_are_softer_than_speech() {
        for signal in [Signal::Joined, Signal::Left] {
            let frames = played(signal, 100);
            assert_eq!(frames.len(), 12);
            assert!(frames.iter().all(|frame| level_dbov(frame) < -27));
            assert!(frames.iter().any(|frame| level_dbov(frame) > -31));
        }
    }

    #[test]
    fn no_signal_begins_or_ends_with_an_edge() {
        let digits = Digit::all().map(Signal::Digit);
        for signal in digits.chain([Signal::Joined, Signal::Left, Signal::Busy(TonePlan::NorthAmerica)]) {
            let samples: Vec<i16> = [vec![SILENCE], played(signal, 50), vec![SILENCE]].concat().concat();
            let bend = |w: &[i16]| (i32::from(w[0]) - 2 * i32::from(w[1]) + i32::from(w[2])).abs();
            let most = samples.windows(3).map(bend).max().unwrap();
            let steady = played(signal, 4)[2].windows(3).map(bend).max().unwrap();
            assert!(
                most <= 2 * steady.max(200),
                "{signal:?} bends by {most}, and by {steady} while it sounds"
            );
        }
    }
}
