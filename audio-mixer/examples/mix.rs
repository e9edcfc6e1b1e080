//! Mixes WAV files as a room does, and writes what each of them would hear: everybody else.
//!
//! ```text
//! cargo run -p audio-mixer --example mix -- ada.wav ben.wav clara.wav --output heard/
//! ```

mod wav;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use audio_mixer::{
    FRAME_SAMPLES, Frame, GainControl, LIMITER_DELAY_SAMPLES, Limiter, MixMinus, Ramp, level_dbov,
};
use clap::Parser;

/// Mixes WAV files of any rate, and writes what who spoke each of them would hear, and what a listener would.
#[derive(Parser)]
struct Arguments {
    /// One voice each.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// The directory for `NAME.wav` of each input, without that input, and for `all.wav`.
    #[arg(long, default_value = ".")]
    output: PathBuf,
    /// Brings all voices to the same loudness.
    #[arg(long)]
    gain_control: bool,
}

/// Who speaks, and what they hear.
struct Voice {
    name: String,
    frames: Vec<Frame>,
    gain: Option<GainControl>,
    ramp: Ramp,
    limiter: Limiter,
    heard: Vec<i16>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let voices = arguments.inputs.iter().map(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let frames = wav::frames(&wav::read(path)?).collect();
        let gain = arguments.gain_control.then(GainControl::new);
        Ok(Voice { name, frames, gain, ramp: Ramp::new(), limiter: Limiter::new(), heard: Vec::new() })
    });
    let mut voices: Vec<Voice> = voices.collect::<Result<_>>()?;
    let mut names: Vec<&str> = voices.iter().map(|voice| voice.name.as_str()).chain(["all"]).collect();
    names.sort_unstable();
    ensure!(names.windows(2).all(|pair| pair[0] != pair[1]), "two outputs would have the same name");

    let all = mix(&mut voices);
    std::fs::create_dir_all(&arguments.output)?;
    let heard = voices.iter().map(|voice| (voice.name.as_str(), voice.heard.as_slice()));
    for (name, samples) in heard.chain([("all", all.as_slice())]) {
        let samples = &samples[LIMITER_DELAY_SAMPLES.min(samples.len())..];
        let path = arguments.output.join(format!("{name}.wav"));
        wav::write(&path, samples)?;
        println!(
            "{}: {:.1} s, {} dBov",
            path.display(),
            samples.len() as f64 / 16_000.0,
            level_dbov(samples)
        );
    }
    Ok(())
}

/// What a listener hears.
fn mix(voices: &mut [Voice]) -> Vec<i16> {
    // One frame more than the longest voice, for what follows its end, and what is still in the limiters.
    let ticks = voices.iter().map(|voice| voice.frames.len() + 1).max().unwrap_or(0);
    let mut limiter = Limiter::new();
    let mut all = Vec::with_capacity(ticks * FRAME_SAMPLES);
    for tick in 0..ticks {
        let mut mix = MixMinus::new();
        let spoken: Vec<Option<Frame>> = voices.iter_mut().map(|voice| voice.speak(tick)).collect();
        spoken.iter().flatten().for_each(|frame| mix.add(frame));
        for (voice, own) in voices.iter_mut().zip(spoken) {
            let sum = own.map_or(*mix.all(), |own| mix.without(&own));
            voice.heard.extend(voice.limiter.limit(&sum));
        }
        all.extend(limiter.limit(mix.all()));
    }
    all
}

impl Voice {
    fn speak(&mut self, tick: usize) -> Option<Frame> {
        let mut frame = self.frames.get(tick).copied();
        if let (Some(gain), Some(frame)) = (&mut self.gain, &mut frame) {
            gain.apply(frame);
        }
        self.ramp.shape(frame.as_ref())
    }
}
