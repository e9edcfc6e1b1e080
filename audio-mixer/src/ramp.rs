//! A source's frames in, some ticks without one; the same without edges where they begin and end out.

use crate::{FRAME_SAMPLES, Frame, SILENCE};

/// How long a source takes to come and to go: 5 ms.
pub const RAMP_SAMPLES: usize = 80;

/// Lets a source begin and end in the mix without a click.
///
/// ```text
///         a frame: faded in                 a frame: as it is
///  silent ─────────────────────▶ sounding ───────┐
///     ▲                            │   ▲─────────┘
///     └────────────────────────────┘
///        none: 5 ms of what was last, backwards, faded out
/// ```
///
/// An end is not known before the frame is missing, and a frame that waited for the next one would be late. So what
/// follows the last frame is its mirror: it begins with the sample that was the last, and fades within 5 ms.
#[derive(Clone, Debug)]
pub struct Ramp {
    /// The end of the last frame; `None` in silence.
    tail: Option<[i16; RAMP_SAMPLES]>,
}

impl Ramp {
    /// Of a source that is silent.
    pub const fn new() -> Ramp {
        Ramp { tail: None }
    }

    /// What the source adds to the mix in this tick, if anything. This is the frame that it must not hear.
    pub fn shape(&mut self, frame: Option<&Frame>) -> Option<Frame> {
        let Some(frame) = frame else {
            return self.tail.take().map(|tail| mirrored(&tail));
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

fn mirrored(tail: &[i16; RAMP_SAMPLES]) -> Frame {
    let mut frame = SILENCE;
    for (n, (sample, &last)) in frame.iter_mut().zip(tail.iter().rev()).enumerate() {
        *sample = scaled(last, raised(RAMP_SAMPLES - 1 - n));
    }
    frame
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
