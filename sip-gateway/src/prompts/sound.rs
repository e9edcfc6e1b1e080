//! A WAV file in, its sound in one channel at the rate of the mix out. The build reads this file too: what espeak-ng
//! speaks and what an operator has recorded take the same way.

use std::ops::RangeInclusive;
use std::path::Path;

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler as _};

/// Samples a second of all that is played to phones, in Hz: the rate of the mix.
pub(crate) const RATE_HZ: u32 = 16_000;

/// From telephony to studio.
const RATES_HZ: RangeInclusive<u32> = 8_000..=48_000;

/// What is transformed at once, in chunks a second. Of usual rates this is an even number of samples, so that the filter
/// has a middle and delays by whole ones; it is long enough to be flat to the last hundred Hz.
const CHUNKS_HZ: f64 = 12.5;

/// Why a file can't be played. The operator's.
#[derive(Debug, thiserror::Error)]
pub enum SoundError {
    /// It can't be read, or is no WAV file.
    #[error("{0}")]
    Unreadable(#[from] hound::Error),
    /// Its rate is out of range.
    #[error("it has {0} samples a second; 8000 to 48000 can be played")]
    Rate(u32),
    /// It has more channels than two.
    #[error("it has {0} channels; one or two can be played")]
    Channels(u16),
    /// It would fill the memory.
    #[error("it is longer than {0} seconds")]
    TooLong(u32),
    /// It has no sample.
    #[error("it is empty")]
    Empty,
    /// One of its samples is infinite, or not a number.
    #[error("sample {0} is not a finite number")]
    NotFinite(usize),
}

/// The sound of a file of at most so many seconds, full scale at -1 and 1.
pub(crate) fn read(path: &Path, seconds_max: u32) -> Result<Vec<f64>, SoundError> {
    let mut wav = hound::WavReader::open(path)?;
    let spec = wav.spec();
    if !RATES_HZ.contains(&spec.sample_rate) {
        return Err(SoundError::Rate(spec.sample_rate));
    }
    if !(1..=2).contains(&spec.channels) {
        return Err(SoundError::Channels(spec.channels));
    }
    // The header is believed only to refuse: what follows is read sample by sample.
    if wav.duration() > seconds_max * spec.sample_rate {
        return Err(SoundError::TooLong(seconds_max));
    }
    let samples: Vec<f64> = match spec.sample_format {
        hound::SampleFormat::Float => {
            wav.samples::<f32>().map(|sample| sample.map(f64::from)).collect::<Result<_, _>>()?
        }
        hound::SampleFormat::Int => {
            let full_scale = f64::from(1_u32 << (spec.bits_per_sample - 1));
            wav.samples::<i32>()
                .map(|sample| sample.map(|sample| f64::from(sample) / full_scale))
                .collect::<Result<_, _>>()?
        }
    };
    if let Some(at) = samples.iter().position(|sample| !sample.is_finite()) {
        return Err(SoundError::NotFinite(at));
    }
    let mono: Vec<f64> = samples
        .chunks_exact(usize::from(spec.channels))
        .map(|frame| frame.iter().sum::<f64>() / frame.len() as f64)
        .collect();
    if mono.is_empty() {
        return Err(SoundError::Empty);
    }
    Ok(resampled(mono, spec.sample_rate))
}

/// At [`RATE_HZ`], as long as it was.
fn resampled(samples: Vec<f64>, rate_hz: u32) -> Vec<f64> {
    if rate_hz == RATE_HZ {
        return samples;
    }
    let (from, to) = (rate_hz as usize, RATE_HZ as usize);
    let chunk = (f64::from(rate_hz) / CHUNKS_HZ) as usize;
    let mut fft =
        Fft::new_custom(from, to, chunk, 1, 1, rubato::WindowFunction::BlackmanHarris2, FixedSync::Both)
            .expect("both rates are above zero");
    let input = SequentialSlice::new(&samples, 1, samples.len()).expect("the slice has its own length");
    fft.process_all(&input, samples.len(), None)
        .expect("the buffers are of process_all's own lengths")
        .take_data()
}

/// To the nearest, and to the ends of `i16` what is beyond them.
pub(crate) fn to_pcm(samples: &[f64]) -> Vec<i16> {
    samples.iter().map(|sample| (sample * 32_768.0).round() as i16).collect()
}
