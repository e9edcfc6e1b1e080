//! The tolerances of ITU-T Q.24, and voices.

use std::f32::consts::TAU;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::{Codec, FRAME_SAMPLES, Signal, TonePlayer, voices};

/// Tones as a phone might send them.
#[derive(Clone, Copy)]
struct Keypress {
    digit: Digit,
    /// Root of the mean square, of the low tone and the high one.
    dbov: [f32; 2],
    /// By what part both are beside their frequencies.
    deviation: [f32; 2],
    ms: f32,
}

impl Keypress {
    fn of(digit: Digit) -> Keypress {
        Keypress { digit, dbov: [-16.0; 2], deviation: [0.0; 2], ms: 50.0 }
    }

    /// With 30 ms of silence before, and so many samples more, and enough behind.
    fn samples(self, offset: usize) -> Vec<i16> {
        let mut samples = vec![0; 480 + offset];
        samples.extend((0..(self.ms * 16.0) as usize).map(|n| {
            let tone = |k: usize| {
                let hz = self.digit.tones_hz()[k] * (1.0 + self.deviation[k]);
                let peak = 32_768.0 * 2_f32.sqrt() * 10_f32.powf(self.dbov[k] / 20.0);
                peak * (hz * n as f32 / RATE_HZ as f32 * TAU).sin()
            };
            (tone(0) + tone(1)) as i16
        }));
        samples.resize(samples.len() + 1_280, 0);
        samples
    }

    fn heard_at(self, offset: usize) -> Vec<Digit> {
        heard(&self.samples(offset))
    }

    fn is_heard_anywhere(self) -> bool {
        (0..FRAME_SAMPLES).step_by(29).all(|offset| self.heard_at(offset) == [self.digit])
    }

    fn is_heard_nowhere(self) -> bool {
        (0..FRAME_SAMPLES).step_by(29).all(|offset| self.heard_at(offset).is_empty())
    }
}

fn heard(samples: &[i16]) -> Vec<Digit> {
    let mut detector = DtmfDetector::new();
    samples.as_chunks().0.iter().filter_map(|frame| detector.hear(frame)).collect()
}

fn with_noise(samples: &[i16], dbov: f32, seed: u64) -> Vec<i16> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let peak = 32_768.0 * 3_f32.sqrt() * 10_f32.powf(dbov / 20.0);
    samples.iter().map(|&sample| (f32::from(sample) + peak * rng.random_range(-1.0..1.0)) as i16).collect()
}

#[test]
fn all_keys_are_told_once_each_in_order() {
    let mut detector = DtmfDetector::new();
    let mut told = Vec::new();
    for digit in Digit::all().flat_map(|digit| [digit, digit]) {
        let mut player = TonePlayer::new(Signal::Digit(digit));
        told.extend(std::iter::from_fn(|| player.frame()).filter_map(|frame| detector.hear(&frame)));
    }
    assert_eq!(told, Digit::all().flat_map(|digit| [digit, digit]).collect::<Vec<_>>());
}

#[test]
fn keys_survive_every_codec() {
    for codec in Codec::ALL {
        let (mut encoder, mut decoder) = (codec.encoder(), codec.decoder());
        let mut samples = Vec::new();
        for digit in Digit::all() {
            let mut player = TonePlayer::new(Signal::Digit(digit));
            while let Some(frame) = player.frame() {
                let mut packet = Vec::new();
                encoder.encode(&frame, &mut packet);
                decoder.decode(&packet, &mut samples).unwrap();
            }
        }
        assert_eq!(heard(&samples), Digit::all().collect::<Vec<_>>(), "{codec:?}");
    }
}

#[test]
fn forty_ms_are_enough_and_twenty_two_are_not() {
    for digit in Digit::all() {
        let press = Keypress::of(digit);
        assert!(Keypress { ms: 40.0, ..press }.is_heard_anywhere(), "{digit}");
        assert!(Keypress { ms: 22.0, ..press }.is_heard_nowhere(), "{digit}");
    }
}

#[test]
fn a_pause_of_forty_ms_parts_two_keys_and_a_break_of_ten_does_not() {
    let press = Keypress::of(Digit::from_char('5').unwrap());
    let (sent, tone) = (press.samples(0), 480..480 + 800);
    for (gap_ms, keys) in [(40, 2), (10, 1)] {
        let gap = vec![0; gap_ms * 16];
        for offset in (0..FRAME_SAMPLES).step_by(29) {
            let samples = [&vec![0; offset], &sent[tone.clone()], &gap, &sent[tone.clone()], &gap, &gap]
                .map(|s| s.to_vec());
            assert_eq!(heard(&samples.concat()).len(), keys, "{gap_ms} ms at {offset}");
        }
    }
}

#[test]
fn frequencies_within_1_5_percent_are_heard_and_from_3_5_percent_on_not() {
    for digit in Digit::all() {
        for (low, high) in [(0.015, 0.015), (-0.015, -0.015), (0.015, -0.015), (-0.015, 0.015)] {
            let press = Keypress { deviation: [low, high], ..Keypress::of(digit) };
            assert!(press.is_heard_anywhere(), "{digit} at {low}, {high}");
        }
        for deviation in [[0.035, 0.0], [-0.035, 0.0], [0.0, 0.035], [0.0, -0.035]] {
            let press = Keypress { deviation, ..Keypress::of(digit) };
            assert!(press.is_heard_nowhere(), "{digit} at {deviation:?}");
        }
    }
}

#[test]
fn levels_and_twist_of_lines_are_heard() {
    for digit in Digit::all() {
        // 0 dBm0 is -6 dBov; -25 dBm0 is -31. The high tone 8 dB below, and 4 dB above.
        for dbov in [[-7.0, -7.0], [-31.0, -31.0], [-16.0, -24.0], [-20.0, -16.0], [-7.0, -15.0]] {
            let press = Keypress { dbov, ..Keypress::of(digit) };
            assert!(press.is_heard_anywhere(), "{digit} at {dbov:?} dBov");
        }
        for dbov in [[-12.0, -32.0], [-26.0, -16.0], [-55.0, -55.0], [-16.0, -90.0]] {
            let press = Keypress { dbov, ..Keypress::of(digit) };
            assert!(press.is_heard_nowhere(), "{digit} at {dbov:?} dBov");
        }
    }
}

#[test]
fn keys_are_heard_in_noise() {
    for (n, digit) in Digit::all().enumerate() {
        // 12 dB below the tones; lines have 23 (ITU-T Q.24).
        for offset in (0..FRAME_SAMPLES).step_by(29) {
            let samples = with_noise(&Keypress::of(digit).samples(offset), -28.0, n as u64);
            assert_eq!(heard(&samples), [digit]);
        }
    }
}

#[test]
fn neither_noise_nor_a_tone_nor_ringback_is_a_key() {
    let mut rng = SmallRng::seed_from_u64(1);
    let noise: Vec<i16> = (0..60 * 16_000).map(|_| rng.random()).collect();
    assert_eq!(heard(&noise), []);
    for hz in (300..3_400).step_by(10) {
        let tone: Vec<i16> =
            (0..8_000).map(|n| (10_000.0 * (hz as f32 * n as f32 / 16_000.0 * TAU).sin()) as i16).collect();
        assert_eq!(heard(&tone), [], "{hz} Hz");
    }
}

/// Vowels of a formant synthesizer: pulses of a gliding pitch and some breath, through three resonances in cascade
/// (D. Klatt, "Software for a cascade/parallel formant synthesizer", 1980).
#[test]
fn vowels_of_any_pitch_are_hardly_ever_keys() {
    let mut rng = SmallRng::seed_from_u64(2);
    let mut false_keys = 0;
    for _ in 0..400 {
        let (pitch_hz, glide) = (rng.random_range(80.0..400.0_f32), rng.random_range(0.7..1.4_f32));
        let formants = [300.0..900.0, 900.0..2_200.0, 2_300.0..3_000.0].map(|range| rng.random_range(range));
        let mut resonators = [0, 1, 2].map(|n| Resonator::new(formants[n], [80.0, 100.0, 140.0][n]));
        let (mut phase, mut glottis) = (0.0_f32, 0.0_f32);
        let vowel: Vec<f32> = (0..8_000)
            .map(|n| {
                phase += pitch_hz * glide.powf(n as f32 / 8_000.0) / 16_000.0;
                let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
                phase = phase.fract();
                // The fall of the glottis, less what lips radiate: 6 dB an octave.
                glottis = 0.95 * glottis + pulse + 0.02 * rng.random_range(-1.0..1.0);
                resonators.iter_mut().fold(glottis, |sample, resonator| resonator.next(sample))
            })
            .collect();
        let peak = vowel.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        let vowel: Vec<i16> = vowel.iter().map(|sample| (sample / peak * 20_000.0) as i16).collect();
        false_keys += heard(&vowel).len();
    }
    // Held for half a second each, with nothing else: what no speech is.
    assert!(false_keys <= 1, "{false_keys} in 200 seconds");
}

/// Two poles.
struct Resonator {
    gains: [f32; 3],
    past: [f32; 2],
}

impl Resonator {
    fn new(hz: f32, bandwidth_hz: f32) -> Resonator {
        let radius = (-std::f32::consts::PI * bandwidth_hz / 16_000.0).exp();
        let (b, c) = (2.0 * radius * (hz / 16_000.0 * TAU).cos(), -radius * radius);
        Resonator { gains: [1.0 - b - c, b, c], past: [0.0; 2] }
    }

    fn next(&mut self, sample: f32) -> f32 {
        let [a, b, c] = self.gains;
        let next = a * sample + b * self.past[0] + c * self.past[1];
        self.past = [next, self.past[0]];
        next
    }
}

/// The load tester's voices, at several speeds, so that six of them are 30.
#[test]
fn speech_is_no_key() {
    let mut seconds = 0;
    for name in voices::NAMES {
        let speech = voices::speech(name);
        for percent in [80, 90, 100, 110, 125] {
            let played: Vec<i16> = (0..(speech.len() - 2) * 100 / percent)
                .map(|n| {
                    let at = n * percent;
                    let (whole, part) = (at / 100, (at % 100) as f32 / 100.0);
                    (f32::from(speech[whole]) * (1.0 - part) + f32::from(speech[whole + 1]) * part) as i16
                })
                .collect();
            seconds += played.len() / 16_000;
            assert_eq!(heard(&played), [], "{name} at {percent} %");
        }
    }
    assert!(seconds > 200, "{seconds} s were heard");
}
