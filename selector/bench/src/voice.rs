//! How loud a voice is, frame by frame: synthetic syllables, or recorded speech.

use std::path::Path;

use anyhow::Context;
use rand::RngExt;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Normal};

/// One packet a frame.
pub const FRAME_MS: u32 = 20;

/// Frames of utterances, in dB relative to the loudest stretch of the voice.
#[derive(Clone, Debug)]
pub enum Voice {
    /// Syllables with consonants between them.
    Synthetic,
    /// Levels of recordings, one after the other.
    Recorded(Vec<Vec<i8>>),
}

impl Voice {
    /// So many frames of one utterance, in dB relative to the voice's loudness.
    pub fn utter(&self, rng: &mut StdRng, frames: usize) -> Vec<f64> {
        match self {
            Voice::Synthetic => syllables(rng, frames),
            Voice::Recorded(recordings) => {
                let mut uttered: Vec<f64> = Vec::with_capacity(frames);
                while uttered.len() < frames {
                    let recording = &recordings[rng.random_range(0..recordings.len())];
                    uttered.extend(recording.iter().map(|&db| f64::from(db)));
                }
                uttered.truncate(frames);
                uttered
            }
        }
    }
}

/// Vowels of 80 to 220 ms around 0 dB, that rise fast and fall slowly; between them, every third
/// time, the closure of a consonant 12 to 30 dB below.
fn syllables(rng: &mut StdRng, frames: usize) -> Vec<f64> {
    let stress = Normal::new(-3.0, 3.5).expect("a deviation is positive");
    let mut uttered = Vec::with_capacity(frames + 16);
    while uttered.len() < frames {
        let peak = stress.sample(rng);
        let length = rng.random_range(4..=11);
        for n in 0..length {
            let at = f64::from(n) / f64::from(length);
            uttered.push(peak - if at < 0.2 { 6.0 } else { 8.0 * at * at });
        }
        if rng.random_bool(0.35) {
            let depth = rng.random_range(12.0..30.0);
            uttered.extend(std::iter::repeat_n(peak - depth, rng.random_range(1..=4)));
        }
    }
    uttered.truncate(frames);
    uttered
}

/// The utterances of a folder of recordings, as levels relative to each recording's loudness.
///
/// # Errors
/// The folder, or a recording in it, can't be read.
pub fn recordings(folder: &Path) -> anyhow::Result<Vec<Vec<i8>>> {
    let mut utterances = Vec::new();
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .with_context(|| format!("{}: is asterisk-core-sounds-en-wav installed?", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "wav"))
        .collect();
    paths.sort();
    for path in paths {
        let levels = levels(&path).with_context(|| path.display().to_string())?;
        utterances.extend(split(&levels));
    }
    anyhow::ensure!(!utterances.is_empty(), "{}: no speech", folder.display());
    Ok(utterances)
}

/// The level of each frame in dBov, as RFC 6464 has it: RMS relative to the overload point.
fn levels(path: &Path) -> anyhow::Result<Vec<i8>> {
    let mut wav = hound::WavReader::open(path)?;
    let spec = wav.spec();
    anyhow::ensure!(spec.channels == 1 && spec.bits_per_sample == 16, "not 16 bit mono");
    let samples: Vec<i16> = wav.samples().collect::<Result<_, _>>()?;
    let frame = (spec.sample_rate * FRAME_MS / 1000) as usize;
    Ok(samples.chunks_exact(frame).map(level_dbov).collect())
}

fn level_dbov(frame: &[i16]) -> i8 {
    let power: f64 = frame.iter().map(|&sample| (f64::from(sample) / 32_768.0).powi(2)).sum();
    let rms = (power / frame.len() as f64).sqrt();
    (20.0 * rms.max(1e-7).log10()).round().clamp(-127.0, 0.0) as i8
}

/// Cuts a recording where it is silent, so that what is left is spoken from its first frame to its last.
fn split(levels: &[i8]) -> Vec<Vec<i8>> {
    const SILENCE_BELOW_LOUDNESS_DB: i8 = 30;
    const PAUSE_FRAMES: usize = 10;
    let mut sorted = levels.to_vec();
    sorted.sort_unstable();
    // The loudness of speech is that of its louder frames.
    let Some(&loudness) = sorted.get(sorted.len() * 9 / 10) else {
        return Vec::new();
    };
    let is_speech = |level: i8| level >= loudness.saturating_sub(SILENCE_BELOW_LOUDNESS_DB).max(-60);
    let (mut utterances, mut utterance, mut silent) = (Vec::new(), Vec::new(), 0);
    for &level in levels {
        if is_speech(level) {
            silent = 0;
        } else {
            silent += 1;
        }
        if silent == PAUSE_FRAMES {
            utterances.push(std::mem::take(&mut utterance));
        }
        if silent < PAUSE_FRAMES && (silent == 0 || !utterance.is_empty()) {
            utterance.push(level - loudness);
        }
    }
    utterances.push(utterance);
    let trailing =
        |utterance: &Vec<i8>| utterance.iter().rev().take_while(|&&db| !is_speech(db + loudness)).count();
    for utterance in &mut utterances {
        utterance.truncate(utterance.len() - trailing(utterance));
    }
    utterances.retain(|utterance| utterance.len() >= 5);
    utterances
}
