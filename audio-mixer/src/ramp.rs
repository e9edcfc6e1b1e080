//! A source's frames in, some ticks without one; the same without edges where they begin and end out.

use crate::{FRAME_SAMPLES, Frame, SILENCE};

/// How long a source takes to come and to go: 5 ms.
pub const RAMP_SAMPLES: usize = 80;

/// What a continuation is predicted from: 10 ms, two periods of most voices.
const PAST_SAMPLES: usize = 160;

/// Of the prediction: a pair for each formant below 8 kHz, and as many for the rest.
const ORDER: usize = 16;

/// Lets a source begin and end in the mix without a click.
///
/// ```text
///         a frame: faded in                 a frame: as it is
///  silent ─────────────────────▶ sounding ───────┐
///     ▲                            │   ▲─────────┘
///     └────────────────────────────┘
///        none: 5 ms of how it would go on, faded out
/// ```
///
/// An end is not known before the frame is missing, and a frame that waited for the next one would be late. So what
/// follows the last frame is predicted from it: the waveform goes on for 5 ms, and fades.
#[derive(Clone, Debug)]
pub struct Ramp {
    /// The end of the last frame; `None` in silence.
    tail: Option<[i16; PAST_SAMPLES]>,
}

impl Ramp {
    /// Of a source that is silent.
    pub const fn new() -> Ramp {
        Ramp { tail: None }
    }

    /// What the source adds to the mix in this tick, if anything. This is the frame that it must not hear.
    pub fn shape(&mut self, frame: Option<&Frame>) -> Option<Frame> {
        let Some(frame) = frame else {
            return self.tail.take().map(|tail| faded_continuation(&tail));
        };
        let mut shaped = *frame;
        if self.tail.is_none() {
            fade_in(&mut shaped);
        }
        self.tail = frame.last_chunk().copied();
        Some(shaped)
    }

    /// Whether its last tick had a frame, so that the next one sounds in any case.
    pub const fn is_sounding(&self) -> bool {
        self.tail.is_some()
    }
}

impl Default for Ramp {
    fn default() -> Ramp {
        Ramp::new()
    }
}

/// Raises the first 5 ms of a frame from silence.
pub fn fade_in(frame: &mut Frame) {
    for (n, sample) in frame[..RAMP_SAMPLES].iter_mut().enumerate() {
        *sample = scaled(*sample, raised(n));
    }
}

/// Lowers the last 5 ms of a frame to silence.
pub fn fade_out(frame: &mut Frame) {
    for (n, sample) in frame[FRAME_SAMPLES - RAMP_SAMPLES..].iter_mut().enumerate() {
        *sample = scaled(*sample, raised(RAMP_SAMPLES - 1 - n));
    }
}

fn faded_continuation(tail: &[i16; PAST_SAMPLES]) -> Frame {
    let mut wave = [0.0; PAST_SAMPLES + RAMP_SAMPLES];
    for (wave, &sample) in wave.iter_mut().zip(tail) {
        *wave = f64::from(sample);
    }
    let (past, _) = wave.split_at(PAST_SAMPLES);
    let predictor = predictor(past);
    for n in PAST_SAMPLES..wave.len() {
        wave[n] = (0..ORDER).map(|k| predictor[k] * wave[n - 1 - k]).sum();
    }
    let mut frame = SILENCE;
    for (n, (sample, predicted)) in frame.iter_mut().zip(&wave[PAST_SAMPLES..]).enumerate() {
        *sample = (predicted * f64::from(raised(RAMP_SAMPLES - 1 - n))).round() as i16;
    }
    frame
}

/// What each of the last samples weighs in the next one, by Burg's method, which never grows (J. P. Burg, "Maximum
/// entropy spectral analysis", 1975).
fn predictor(past: &[f64]) -> [f64; ORDER] {
    let (mut forward, mut backward) = (past.to_vec(), past.to_vec());
    let mut weights = [0.0; ORDER];
    // What is left unpredicted is the rounding of samples in the end; silence isn't divided by.
    let rounding = past.len() as f64 / 12.0;
    for order in 0..ORDER {
        let errors = || forward[order + 1..].iter().zip(&backward[order..]);
        let energy: f64 = errors().map(|(f, b)| f * f + b * b).sum::<f64>() + rounding;
        let reflection = 2.0 * errors().map(|(f, b)| f * b).sum::<f64>() / energy;
        let before = weights;
        weights[order] = reflection;
        for k in 0..order {
            weights[k] -= reflection * before[order - 1 - k];
        }
        for n in (order + 1..past.len()).rev() {
            let (f, b) = (forward[n], backward[n - 1]);
            forward[n] = f - reflection * b;
            backward[n] = b - reflection * f;
        }
    }
    weights
}

/// Half a period of a raised cosine, which has no edge at either end.
pub(crate) fn raised(n: usize) -> f32 {
    let phase = (n as f32 + 0.5) / RAMP_SAMPLES as f32 * std::f32::consts::PI;
    0.5 - 0.5 * phase.cos()
}

fn scaled(sample: i16, gain: f32) -> i16 {
    (f32::from(sample) * gain).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(frame: usize) -> Frame {
        std::array::from_fn(|n| {
            let t = (frame * FRAME_SAMPLES + n) as f32 / crate::RATE_HZ as f32;
            // The phase is at its peak where a frame begins: the worst place.
            (20_000.0 * (t * 400.0 * std::f32::consts::TAU).cos()) as i16
        })
    }

    /// What is above 6 kHz, in dB of full scale: of a tone at 400 Hz only its clicks are there. A high-pass of 31 taps
    /// that is 60 dB down at 4 kHz.
    fn click_db(samples: &[i16]) -> f32 {
        let taps: Vec<f32> = (0..31)
            .map(|n| {
                let x = n as f32 - 15.0;
                let low = if x == 0.0 {
                    0.69
                } else {
                    (0.69 * std::f32::consts::PI * x).sin() / (std::f32::consts::PI * x)
                };
                let window = 0.42 - 0.5 * (std::f32::consts::TAU * n as f32 / 30.0).cos()
                    + 0.08 * (2.0 * std::f32::consts::TAU * n as f32 / 30.0).cos();
                (if x == 0.0 { 1.0 } else { 0.0 }) - low * window
            })
            .collect();
        let high =
            |w: &[i16]| w.iter().zip(&taps).map(|(&sample, tap)| f32::from(sample) * tap).sum::<f32>().abs();
        20.0 * (samples.windows(31).map(high).fold(0.0, f32::max) / 32_768.0).log10()
    }

    fn heard(shape: impl FnMut(Option<&Frame>) -> Option<Frame>) -> Vec<i16> {
        let mut shape = shape;
        (0..20)
            .map(|n| (5..12).contains(&n).then(|| tone(n)))
            .flat_map(|frame| shape(frame.as_ref()).unwrap_or(SILENCE))
            .collect()
    }

    #[test]
    fn neither_beginning_nor_end_clicks() {
        let mut ramp = Ramp::new();
        let (raw, ramped) =
            (click_db(&heard(|frame| frame.copied())), click_db(&heard(|frame| ramp.shape(frame))));
        assert!(raw > -25.0, "{raw:.1} dB without");
        assert!(ramped < -60.0, "{ramped:.1} dB with a ramp");
    }

    #[test]
    fn a_source_that_goes_on_is_unchanged() {
        let mut ramp = Ramp::new();
        ramp.shape(Some(&tone(0)));
        for n in 1..5 {
            assert_eq!(ramp.shape(Some(&tone(n))), Some(tone(n)));
            assert!(ramp.is_sounding());
        }
        let tail = ramp.shape(None).expect("5 ms follow the end");
        assert_eq!(tail[RAMP_SAMPLES..], SILENCE[RAMP_SAMPLES..]);
        assert_eq!(ramp.shape(None), None);
        assert!(!ramp.is_sounding());
    }

    #[test]
    fn faded_frames_join_silence() {
        let (mut begins, mut ends) = (tone(0), tone(1));
        fade_in(&mut begins);
        fade_out(&mut ends);
        let samples: Vec<i16> = [SILENCE, begins, ends, SILENCE].concat();
        assert!(click_db(&samples) < -60.0, "{:.1} dB", click_db(&samples));
    }
}
