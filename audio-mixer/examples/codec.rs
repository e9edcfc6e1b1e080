//! Sends a WAV file through a codec, and says what is left of it.
//!
//! ```text
//! cargo run -p audio-mixer --example codec -- ada.wav --codec g722 --output heard.wav
//! ```

mod wav;

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use audio_mixer::{Codec, FRAME_SAMPLES, Frame};
use clap::Parser;

/// How far apart what was sent and what was heard may be, in samples: 60 ms.
const DELAY_MAX: usize = 960;

/// Sends a WAV file of any rate through a codec, and prints what it takes and what it costs in quality.
#[derive(Parser)]
struct Arguments {
    /// What is said.
    input: PathBuf,
    /// PCMU, PCMA, G722 or opus; all of them if it isn't given.
    #[arg(long, value_parser = codec)]
    codec: Option<Codec>,
    /// What is heard, of the last codec.
    #[arg(long)]
    output: Option<PathBuf>,
}

fn codec(name: &str) -> Result<Codec> {
    Codec::from_encoding_name(name).ok_or_else(|| anyhow!("there is PCMU, PCMA, G722 and opus"))
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut frames: Vec<Frame> = wav::frames(&wav::read(&arguments.input)?).collect();
    let sent = frames.concat();
    // What is late comes with silence behind.
    frames.extend([[0; FRAME_SAMPLES]; DELAY_MAX / FRAME_SAMPLES]);
    for codec in Codec::ALL.into_iter().filter(|codec| arguments.codec.is_none_or(|wanted| wanted == *codec))
    {
        let (heard, bytes) = sent_through(codec, &frames)?;
        let (delay, snr_db) = (0..DELAY_MAX)
            .map(|delay| (delay, snr_db(&sent, &heard[delay..])))
            .max_by(|(_, a), (_, b)| a.total_cmp(b))
            .context("delays were tried")?;
        let seconds = frames.len() as f64 / 50.0;
        println!(
            "{:5} SNR {snr_db:5.1} dB, {:.1} ms late, {:.1} kbit/s",
            codec.encoding_name(),
            delay as f64 / 16.0,
            bytes as f64 * 8.0 / 1_000.0 / seconds
        );
        if let Some(path) = &arguments.output {
            wav::write(path, &heard)?;
        }
    }
    Ok(())
}

fn sent_through(codec: Codec, frames: &[Frame]) -> Result<(Vec<i16>, usize)> {
    let (mut encoder, mut decoder) = (codec.encoder(), codec.decoder());
    let (mut packet, mut heard, mut bytes) = (Vec::new(), Vec::new(), 0);
    for frame in frames {
        encoder.encode(frame, &mut packet);
        bytes += packet.len();
        decoder.decode(&packet, &mut heard)?;
    }
    Ok((heard, bytes))
}

/// Of the whole, without regard to gain: for Opus, which keeps no waveform, this says little.
fn snr_db(sent: &[i16], heard: &[i16]) -> f64 {
    let power = |samples: &mut dyn Iterator<Item = f64>| samples.map(|sample| sample * sample).sum::<f64>();
    let signal = power(&mut sent.iter().map(|&sample| f64::from(sample)));
    let noise = power(&mut sent.iter().zip(heard).map(|(&sent, &heard)| f64::from(heard) - f64::from(sent)));
    10.0 * (signal / noise.max(1.0)).log10()
}
