//! WAV files of any rate and any number of channels in, samples of the mix out; and back.

use std::path::Path;

use anyhow::{Context, Result};
use audio_mixer::{FRAME_SAMPLES, Frame, RATE_HZ};
use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use rubato::audioadapter_buffers::owned::InterleavedOwned;
use rubato::{Fft, FixedSync, Resampler};

/// Samples of the mix, of all channels of the file together.
pub(crate) fn read(path: &Path) -> Result<Vec<i16>> {
    let mut file = WavReader::open(path).with_context(|| format!("{} can't be read", path.display()))?;
    let spec = file.spec();
    let samples: Vec<f32> = match spec.sample_format {
        SampleFormat::Float => file.samples().collect::<Result<_, _>>()?,
        SampleFormat::Int => {
            let full = 2_f32.powi(i32::from(spec.bits_per_sample) - 1);
            file.samples::<i32>()
                .map(|sample| Ok(sample? as f32 / full))
                .collect::<Result<_, hound::Error>>()?
        }
    };
    let channels = usize::from(spec.channels);
    let mono: Vec<f32> =
        samples.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32).collect();
    let mono = if spec.sample_rate == RATE_HZ { mono } else { resampled(mono, spec.sample_rate)? };
    Ok(mono.iter().map(|sample| (sample * 32_768.0).round() as i16).collect())
}

/// Whole frames; the last one ends in silence.
pub(crate) fn frames(samples: &[i16]) -> impl Iterator<Item = Frame> {
    samples.chunks(FRAME_SAMPLES).map(|part| {
        let mut frame = [0; FRAME_SAMPLES];
        frame[..part.len()].copy_from_slice(part);
        frame
    })
}

pub(crate) fn write(path: &Path, samples: &[i16]) -> Result<()> {
    let spec =
        WavSpec { channels: 1, sample_rate: RATE_HZ, bits_per_sample: 16, sample_format: SampleFormat::Int };
    let mut file =
        WavWriter::create(path, spec).with_context(|| format!("{} can't be written", path.display()))?;
    samples.iter().try_for_each(|&sample| file.write_sample(sample))?;
    Ok(file.finalize()?)
}

fn resampled(samples: Vec<f32>, from_hz: u32) -> Result<Vec<f32>> {
    let length = samples.len();
    let mut resampler = Fft::<f32>::new(from_hz as usize, RATE_HZ as usize, 1_024, 1, FixedSync::Both)?;
    let input = InterleavedOwned::new_from(samples, 1, length)?;
    let output = resampler.process_all(&input, length, None)?;
    Ok(output.take_data())
}
