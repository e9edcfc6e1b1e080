//! Frames of a phone's leg in, the same at the loudness of a conference out.

use crate::level::{dbov, mean_square};
use crate::limiter::soft_limited;
use crate::{FRAME_SAMPLES, Frame};

/// The active speech level (ITU-T P.56) that all legs are brought to: what networks are planned for.
const TARGET_DBOV: f32 = -26.0;

/// What a leg is raised and lowered by at most.
const GAIN_DB_MAX: f32 = 18.0;
const GAIN_DB_MIN: f32 = -6.0;

/// A leg's noise is never raised above this.
const NOISE_DBOV_MAX: f32 = -50.0;

/// A frame so far above the leg's noise is speech.
const SPEECH_ABOVE_NOISE_DB: f32 = 9.0;

/// What is softer is neither speech nor a line's noise: a muted phone.
const MUTED_DBOV: f32 = -72.0;

/// Frames of speech in a row before it is believed: 100 ms, longer than a click, shorter than a syllable with its rest.
const ONSET_FRAMES: u32 = 5;

/// The level of speech is averaged over so many frames of it: 2 s.
const SPEECH_FRAMES: f32 = 100.0;

/// The noise is the softest frame of two windows of 1.5 s: nobody speaks for so long without a pause.
const NOISE_WINDOW_FRAMES: u32 = 75;

/// A gain moves by so much a frame while somebody speaks: 3 dB a second.
const STEP_DB: f32 = 0.06;

/// And down, where what was raised is far too loud: 50 dB a second.
const FAST_STEP_DB: f32 = 1.0;

/// A frame so far above the target, after the gain, is too loud.
const TOO_LOUD_DB: f32 = 12.0;

/// Automatic gain for a leg whose loudness nobody has set.
///
/// It follows speech alone. Its level is averaged over what is active, as ITU-T P.56 does, here by frames that stand
/// out from the leg's noise, which is the least of the last seconds (R. Martin, "Noise power spectral density estimation
/// based on optimal smoothing and minimum statistics", 2001, without the spectrum). The gain moves slowly, only while
/// somebody speaks, so that nothing pumps in pauses; and never so high that the noise becomes audible. The limits of its
/// speed and of the noise are those of the adaptive digital controller of WebRTC's AGC2. Within a frame the gain goes in
/// a line from where it was; peaks are bent, not clipped.
///
/// Adds no delay.
#[derive(Clone, Debug)]
pub struct GainControl {
    gain_db: f32,
    /// Mean square of speech, where 1 is the overload point; `None` before there was any.
    speech: Option<f32>,
    /// Frames that count in it.
    speech_frames: f32,
    run_frames: u32,
    noise: Noise,
}

impl GainControl {
    /// Of a leg that was not heard yet: nothing is changed.
    pub const fn new() -> GainControl {
        GainControl { gain_db: 0.0, speech: None, speech_frames: 0.0, run_frames: 0, noise: Noise::new() }
    }

    /// Changes the loudness of the leg's next frame.
    pub fn apply(&mut self, frame: &mut Frame) {
        let before_db = self.gain_db;
        self.listen(frame);
        if before_db != 0.0 || self.gain_db != 0.0 {
            scale(frame, amplitude(before_db), amplitude(self.gain_db));
        }
    }

    /// What frames are raised by now, in dB.
    pub const fn gain_db(&self) -> f32 {
        self.gain_db
    }

    fn listen(&mut self, frame: &Frame) {
        let power = mean_square(frame);
        let level_dbov = dbov(power);
        if level_dbov < MUTED_DBOV {
            self.run_frames = 0;
            return;
        }
        let noise_dbov = self.noise.follow(level_dbov);
        if level_dbov < noise_dbov + SPEECH_ABOVE_NOISE_DB {
            self.run_frames = 0;
            return;
        }
        self.run_frames += 1;
        if level_dbov + self.gain_db > TARGET_DBOV + TOO_LOUD_DB && self.gain_db > 0.0 {
            self.gain_db = (self.gain_db - FAST_STEP_DB).max(0.0);
        }
        if self.run_frames < ONSET_FRAMES {
            return;
        }
        self.follow_speech(power);
        self.approach(noise_dbov);
    }

    fn follow_speech(&mut self, power: f32) {
        // The first frames weigh equally, so that the average is right from the start.
        self.speech_frames = (self.speech_frames + 1.0).min(SPEECH_FRAMES);
        let speech = self.speech.unwrap_or(power);
        self.speech = Some(speech + (power - speech) / self.speech_frames);
    }

    fn approach(&mut self, noise_dbov: f32) {
        let Some(speech) = self.speech else { return };
        let for_noise = (NOISE_DBOV_MAX - noise_dbov).max(0.0);
        let wanted = (TARGET_DBOV - dbov(speech)).clamp(GAIN_DB_MIN, GAIN_DB_MAX.min(for_noise));
        self.gain_db += (wanted - self.gain_db).clamp(-STEP_DB, STEP_DB);
    }
}

impl Default for GainControl {
    fn default() -> GainControl {
        GainControl::new()
    }
}

/// The softest frame of the last seconds, in dBov.
#[derive(Clone, Debug)]
struct Noise {
    /// Of the current window and the one before it.
    least_dbov: [f32; 2],
    frames: u32,
}

impl Noise {
    const fn new() -> Noise {
        Noise { least_dbov: [0.0; 2], frames: 0 }
    }

    fn follow(&mut self, level_dbov: f32) -> f32 {
        self.least_dbov[0] = self.least_dbov[0].min(level_dbov);
        let least = self.least_dbov[0].min(self.least_dbov[1]);
        self.frames += 1;
        if self.frames == NOISE_WINDOW_FRAMES {
            self.frames = 0;
            self.least_dbov = [level_dbov, self.least_dbov[0]];
        }
        least
    }
}

fn amplitude(db: f32) -> f32 {
    10_f32.powf(db / 20.0)
}

fn scale(frame: &mut Frame, from: f32, to: f32) {
    let step = (to - from) / FRAME_SAMPLES as f32;
    for (n, sample) in frame.iter_mut().enumerate() {
        let scaled = f32::from(*sample) * (from + step * (n + 1) as f32);
        *sample = soft_limited(scaled.abs()).copysign(scaled).round() as i16;
    }
}

#[cfg(test)]
mod tests;
