//! Short sounds that say what needs no words, in any language.

use std::f64::consts::TAU;
use std::iter;

use super::sound::{self, RATE_HZ};

/// A short sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tone {
    /// Somebody is in the room now: two notes up.
    Join,
    /// Somebody has left: two notes down.
    Leave,
    /// The volume is another now.
    Volume,
}

/// Of notes that are struck, and of the tick.
const AMPLITUDE: f64 = 0.14;

/// No tone begins or ends with a click.
const FADE_S: f64 = 0.005;

/// A fifth, E5 and B5: within what a phone carries, and not a pair that stands for a key.
const LOW_HZ: f64 = 659.26;
const HIGH_HZ: f64 = 987.77;

impl Tone {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Tone; 3] = [Tone::Join, Tone::Leave, Tone::Volume];

    /// Its samples, at [`audio_mixer::RATE_HZ`].
    pub fn samples(self) -> Vec<i16> {
        let sound = match self {
            Tone::Join => [note(LOW_HZ, 0.11), note(HIGH_HZ, 0.22)].concat(),
            Tone::Leave => [note(HIGH_HZ, 0.11), note(LOW_HZ, 0.22)].concat(),
            Tone::Volume => note(HIGH_HZ, 0.05),
        };
        sound::to_pcm(&sound)
    }
}

/// A note of so many seconds, softer towards its end.
fn note(frequency_hz: f64, seconds: f64) -> Vec<f64> {
    let rate_hz = f64::from(RATE_HZ);
    let count = (seconds * rate_hz).round();
    iter::successors(Some(0.0), |n| Some(n + 1.0))
        .take_while(|&n| n < count)
        .map(|n| {
            let fade = (n.min(count - 1.0 - n) / (FADE_S * rate_hz)).min(1.0);
            let decay = (-1.5 * n / count).exp();
            AMPLITUDE * fade * decay * (TAU * frequency_hz * n / rate_hz).sin()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often the sound crosses zero upwards, a second.
    fn pitch_hz(samples: &[i16]) -> f64 {
        let crossings = samples.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
        crossings as f64 * f64::from(RATE_HZ) / samples.len() as f64
    }

    #[test]
    fn joining_goes_up_and_leaving_goes_down() {
        for (tone, is_up) in [(Tone::Join, true), (Tone::Leave, false)] {
            let samples = tone.samples();
            let (first, second) = samples.split_at(samples.len() / 3);
            assert_eq!(pitch_hz(first) < pitch_hz(second), is_up, "{tone:?}");
        }
    }

    #[test]
    fn tones_begin_and_end_without_a_click() {
        for tone in Tone::ALL {
            let samples = tone.samples();
            assert_eq!((samples[0], samples[samples.len() - 1]), (0, 0), "{tone:?}");
            let step_max = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).max().unwrap();
            // The steepest sine of this loudness has steps of 0.14 * 2 pi * 988 / 16000 of full scale.
            assert!(step_max < 1_900, "{tone:?}: {step_max}");
            assert!(samples.len() < 16_000 / 2, "{tone:?}");
        }
    }

    #[test]
    fn discriminants_are_places_in_all() {
        assert!(Tone::ALL.into_iter().enumerate().all(|(at, tone)| tone as usize == at));
    }
}
