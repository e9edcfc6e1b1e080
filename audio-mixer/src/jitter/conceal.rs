//! Sound up to a loss in; sound in its place out, and how it passes over into what comes after.

use crate::jitter::pitch::{PERIOD_MAX, Side, WINDOW, period};
use crate::jitter::tape::HISTORY;

/// 10 ms.
const STEP: usize = 160;

/// What was made when nothing can be heard of it any more: 60 ms.
pub(super) const MUTE_AFTER: usize = 6 * STEP;

/// Sound that is less like itself has no pitch. Repeated quickly it would get one, so the longest period is.
const LIKENESS_MIN: f32 = 0.4;

/// Repeats the last periods of what was heard.
///
/// After ITU-T G.711 Appendix I (1999), at 16 kHz and for periods down to 2.5 ms: one period is repeated at first, two
/// after 10 ms and three after 20 ms, lest it sound like a machine; from 10 ms on it is attenuated by 20 % of the
/// beginning each 10 ms. Other than there, what was heard isn't delayed by 3.75 ms to be faded from: a step from the
/// last sample to the first one made is spread over a quarter of a period instead.
#[derive(Clone, Debug)]
pub(super) struct Concealer {
    history: [i16; HISTORY],
    period: usize,
    /// How many periods are repeated, 1 to 3, and where in them it is.
    periods: usize,
    phase: usize,
    /// Where it would be if the last change of `periods` had not been, for as long as the one fades into the other.
    phase_before: usize,
    /// Samples made since the loss began.
    made: usize,
    step: f32,
}

impl Concealer {
    pub(super) fn new() -> Concealer {
        Concealer {
            history: [0; HISTORY],
            period: PERIOD_MAX,
            periods: 1,
            phase: 0,
            phase_before: 0,
            made: 0,
            step: 0.0,
        }
    }

    /// Something is lost after these samples, of which there are at least [`HISTORY`].
    pub(super) fn begin(&mut self, heard: &[i16]) {
        self.history.copy_from_slice(&heard[heard.len() - HISTORY..]);
        let found = period(&self.history, HISTORY - WINDOW, Side::Before);
        self.period = if found.likeness < LIKENESS_MIN { PERIOD_MAX } else { found.samples };
        (self.periods, self.phase, self.phase_before, self.made) = (1, 0, 0, 0);
        let last = f32::from(self.history[HISTORY - 1]);
        self.step = last - f32::from(self.history[HISTORY - 1 - self.period]);
    }

    /// Appends so many samples.
    pub(super) fn append(&mut self, count: usize, samples: &mut Vec<i16>) {
        samples.extend(std::iter::repeat_with(|| self.sample() as i16).take(count));
    }

    /// Fades from what was made into what comes after, for longer the more was lost, up to 10 ms.
    pub(super) fn merge(&mut self, fresh: &mut [i16]) {
        let steps = self.made.saturating_sub(1) / STEP;
        // 4 ms more for each 10 ms.
        let length = (self.fade() + 2 * STEP / 5 * steps).min(STEP).min(fresh.len());
        for (n, sample) in fresh[..length].iter_mut().enumerate() {
            let share = (n + 1) as f32 / (length + 1) as f32;
            let made = self.sample();
            *sample = (made + (f32::from(*sample) - made) * share) as i16;
        }
    }

    /// Nothing can be heard of what is made.
    pub(super) fn is_mute(&self) -> bool {
        self.made >= MUTE_AFTER
    }

    fn sample(&mut self) -> f32 {
        if self.made == STEP || self.made == 2 * STEP {
            self.phase_before = self.phase;
            // The same place in the longer loop is a whole number of periods back.
            self.phase %= self.period;
            self.periods += 1;
        }
        let fade = self.fade();
        let mut sample = self.repeated(self.periods, self.phase);
        let since_change = self.made % STEP;
        if self.periods > 1 && self.made < 3 * STEP && since_change < fade {
            let share = (since_change + 1) as f32 / (fade + 1) as f32;
            let before = self.repeated(self.periods - 1, self.phase_before);
            sample = before + (sample - before) * share;
        }
        if self.made < fade {
            sample += self.step * (1.0 - (self.made + 1) as f32 / (fade + 1) as f32);
        }
        self.phase = following(self.phase, self.periods * self.period);
        self.phase_before = following(self.phase_before, (self.periods - 1).max(1) * self.period);
        let gain = 1.0 - 0.2 * self.made.saturating_sub(STEP) as f32 / STEP as f32;
        self.made += 1;
        (sample * gain.max(0.0)).clamp(i16::MIN.into(), i16::MAX.into())
    }

    /// Of the last periods, whose end fades into what was before their beginning.
    fn repeated(&self, periods: usize, phase: usize) -> f32 {
        let length = periods * self.period;
        let sample = f32::from(self.history[HISTORY - length + phase]);
        let fade = self.fade();
        let Some(faded) = (phase + fade).checked_sub(length) else { return sample };
        let share = (faded + 1) as f32 / (fade + 1) as f32;
        let before = f32::from(self.history[HISTORY + phase - 2 * length]);
        sample + (before - sample) * share
    }

    /// A quarter of a period.
    fn fade(&self) -> usize {
        self.period / 4
    }
}

/// The next phase of a loop. Divisions would be most of the cost of a sample.
fn following(phase: usize, length: usize) -> usize {
    if phase + 1 >= length { 0 } else { phase + 1 }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    fn tone(hz: f32, range: std::ops::Range<usize>) -> Vec<i16> {
        range.map(|n| (8000.0 * (TAU * hz * n as f32 / 16_000.0).sin()) as i16).collect()
    }

    fn concealed(heard: &[i16], count: usize) -> Vec<i16> {
        let mut concealer = Concealer::new();
        concealer.begin(heard);
        let mut samples = Vec::new();
        concealer.append(count, &mut samples);
        samples
    }

    #[test]
    fn a_tone_goes_on_for_10_ms_as_it_was() {
        for hz in [80.0, 200.0, 390.0] {
            let made = concealed(&tone(hz, 0..1000), STEP);
            for (made, lost) in made.iter().zip(tone(hz, 1000..1160)) {
                assert!((made - lost).abs() < 600, "{hz} Hz: {made} for {lost}");
            }
        }
    }

    #[test]
    fn it_fades_by_a_fifth_each_10_ms_and_ends_after_60() {
        let made = concealed(&tone(200.0, 0..1000), 1200);
        let peak = |step: usize| made[step * STEP..][..STEP].iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!((7600..=8000).contains(&peak(0)));
        for step in 1..6 {
            let start = 8000 - 1600 * (step as u16 - 1);
            assert!((start - 1600..=start).contains(&peak(step)), "step {step}: {}", peak(step));
        }
        assert_eq!(peak(6), 0);
    }

    #[test]
    fn no_seam_is_steeper_than_the_sound_itself() {
        for hz in [67.0, 133.7, 250.0, 399.0] {
            let mut sound = tone(hz, 0..1000);
            let steepest = |sound: &[i16]| sound.windows(2).map(|w| w[0].abs_diff(w[1])).max().unwrap();
            let own = steepest(&sound);
            let mut concealer = Concealer::new();
            concealer.begin(&sound);
            concealer.append(400, &mut sound);
            // What comes after is in no phase that could be foreseen.
            let mut fresh = tone(hz, 1437..2000);
            concealer.merge(&mut fresh);
            sound.extend(fresh);
            assert!(
                steepest(&sound[900..]) <= own * 3 / 2 + 1,
                "{hz} Hz: {} of {own}",
                steepest(&sound[900..])
            );
        }
    }

    #[test]
    fn silence_and_full_scale_are_no_trouble() {
        assert!(concealed(&[0; 1000], 1000).iter().all(|&sample| sample == 0));
        let square: Vec<i16> = (0..1000).map(|n| if n / 60 % 2 == 0 { i16::MIN } else { i16::MAX }).collect();
        assert_eq!(concealed(&square, 1000).len(), 1000);
    }
}
