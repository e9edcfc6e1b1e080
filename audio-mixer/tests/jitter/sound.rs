//! What phones say in tests, and how what is heard is judged.

use std::f64::consts::TAU;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::network::MS;

/// Like speech: syllables of glottal pulses through three formants, now and then hissing ones, with pauses of 300 ms
/// after each five.
pub(crate) fn speech(seed: u64, length_ms: usize) -> Vec<i16> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut sound: Vec<f64> = Vec::with_capacity(length_ms * MS);
    let mut syllable = 0;
    let mut formants = [Resonator::default(), Resonator::default(), Resonator::default()];
    let mut phase = 0.0;
    while sound.len() < length_ms * MS {
        syllable += 1;
        if syllable % 6 == 0 {
            sound.extend((0..300 * MS).map(|_| rng.random_range(-8.0..8.0)));
            continue;
        }
        let is_hiss = syllable % 5 == 0;
        let count = rng.random_range(140..260) * MS;
        let pitch_hz = rng.random_range(95.0..210.0);
        let glide = rng.random_range(-0.15..0.15);
        let vowel = [
            (700.0, 1200.0, 2600.0),
            (300.0, 2200.0, 2900.0),
            (350.0, 800.0, 2500.0),
            (500.0, 1500.0, 2500.0),
        ][rng.random_range(0..4)];
        for (formant, hz) in formants.iter_mut().zip([vowel.0, vowel.1, vowel.2]) {
            formant.tune(hz, 60.0 + hz / 20.0);
        }
        for n in 0..count {
            let done = n as f64 / count as f64;
            let loudness = (TAU * done / 2.0).sin().powf(0.6);
            phase += pitch_hz * (1.0 + glide * done) / 16_000.0;
            let is_pulse = phase >= 1.0;
            phase -= phase.floor();
            let noise = rng.random_range(-1.0..1.0);
            let source = if is_hiss { 0.0 } else { f64::from(is_pulse) * 6.0 - 0.04 + noise * 0.02 };
            let voiced: f64 = formants.iter_mut().map(|formant| formant.filter(source)).sum();
            sound.push(loudness * if is_hiss { noise * 1500.0 } else { voiced * 9000.0 });
        }
    }
    sound.truncate(length_ms * MS);
    sound.into_iter().map(|sample| sample.clamp(-32_000.0, 32_000.0) as i16).collect()
}

/// A resonance of the vocal tract.
#[derive(Default)]
struct Resonator {
    gain: f64,
    feedback: (f64, f64),
    last: (f64, f64),
}

impl Resonator {
    fn tune(&mut self, hz: f64, width_hz: f64) {
        let radius = (-TAU / 2.0 * width_hz / 16_000.0).exp();
        self.feedback = (2.0 * radius * (TAU * hz / 16_000.0).cos(), -radius * radius);
        self.gain = 1.0 - radius;
    }

    fn filter(&mut self, source: f64) -> f64 {
        let sample = self.gain * source + self.feedback.0 * self.last.0 + self.feedback.1 * self.last.1;
        self.last = (sample, self.last.0);
        sample
    }
}

/// By how many samples what is heard comes after what was said.
pub(crate) fn lag(said: &[i16], heard: &[i16], lag_max: usize) -> usize {
    let likeness = |lag: usize| -> f64 {
        said.iter().zip(&heard[lag..]).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    (0..lag_max).max_by(|&a, &b| likeness(a).total_cmp(&likeness(b))).unwrap_or(0)
}

/// Segmental signal-to-noise ratio over frames of 20 ms that aren't silent, each within -10..35 dB, in dB.
pub(crate) fn segmental_snr_db(said: &[i16], heard: &[i16]) -> f64 {
    let of = |(said, heard): (&[i16], &[i16])| {
        let energy = energy(said);
        let noise: f64 = said.iter().zip(heard).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
        (energy > 320.0 * 1e4).then(|| (10.0 * (energy / noise.max(1.0)).log10()).clamp(-10.0, 35.0))
    };
    mean(said.chunks_exact(320).zip(heard.chunks_exact(320)).filter_map(of))
}

/// Distance of log spectra (bands of 100 Hz to 4 kHz), over frames of 20 ms that aren't silent, in dB.
pub(crate) fn spectral_distance_db(said: &[i16], heard: &[i16]) -> f64 {
    let of = |(said, heard): (&[i16], &[i16])| {
        (energy(said) > 320.0 * 1e4).then(|| {
            let squares =
                bands_db(said).into_iter().zip(bands_db(heard)).map(|(a, b): (f64, f64)| (a - b).powi(2));
            mean(squares).sqrt()
        })
    };
    mean(said.chunks_exact(320).zip(heard.chunks_exact(320)).filter_map(of))
}

fn bands_db(frame: &[i16]) -> Vec<f64> {
    let bin = |k: usize| {
        let turn = TAU * k as f64 / frame.len() as f64;
        let (mut re, mut im) = (0.0, 0.0);
        for (n, &sample) in frame.iter().enumerate() {
            let window = 0.5 - 0.5 * (TAU * (n as f64 + 0.5) / frame.len() as f64).cos();
            let sample = f64::from(sample) * window;
            re += sample * (turn * n as f64).cos();
            im += sample * (turn * n as f64).sin();
        }
        re * re + im * im
    };
    // 50 Hz a bin. The floor is 60 dB below full scale: what is below isn't heard beside speech.
    (1..41).map(|band| 10.0 * (bin(2 * band) + bin(2 * band + 1) + 3e7).log10()).collect()
}

/// At how many seams (in samples) second differences hold more than four times the energy, within 1 ms, of all that is said
/// and heard within 25 ms: what is heard as a click.
pub(crate) fn clicks(said: &[i16], heard: &[i16], seams: &[usize]) -> usize {
    let (said, heard) = (roughness(said), roughness(heard));
    let blocks = |block: usize, from: usize, to: usize| block.saturating_sub(to)..block.saturating_sub(from);
    let is_click = |&block: &usize| {
        let own = said[blocks(block + 26, 0, 51)].iter();
        let before = heard[blocks(block, 1, 25)].iter();
        let after = heard[blocks(block + 27, 0, 25)].iter();
        let around = own.chain(before).chain(after).copied().fold(0.0, f64::max);
        let at_seam = heard[block].max(heard[block.saturating_sub(1)]);
        at_seam > 4.0 * around + 16.0 * 400.0
    };
    seams.iter().map(|seam| seam / MS).filter(|block| block + 27 < said.len()).filter(is_click).count()
}

/// Energy of second differences, by blocks of 1 ms.
fn roughness(sound: &[i16]) -> Vec<f64> {
    let second = |w: &[i16]| (f64::from(w[0]) - 2.0 * f64::from(w[1]) + f64::from(w[2])).powi(2);
    let seconds: Vec<f64> = sound.windows(3).map(second).collect();
    seconds.chunks_exact(MS).map(|block| block.iter().sum()).collect()
}

fn energy(sound: &[i16]) -> f64 {
    sound.iter().map(|&sample| f64::from(sample).powi(2)).sum()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}
