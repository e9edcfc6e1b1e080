//! Sums of frames in, frames that are not clipped out.

use crate::{FRAME_SAMPLES, Frame, Sum};

/// How late a limiter is: 2 ms, in which it sees a peak come.
pub const LIMITER_DELAY_SAMPLES: usize = 32;

/// Up to here, 2.5 dB below full scale, nothing is changed.
const THRESHOLD: f32 = 24_576.0;

/// What nothing exceeds.
const CEILING: f32 = 32_767.0;

/// By this part a sample the gain comes back: 80 ms.
const RELEASE: f32 = 1.0 / 1_280.0;

/// Closer to 1 than this is 1: below half a step of the loudest sample that passes unchanged.
const UNITY_WITHIN: f32 = 1.0 / 65_536.0;

/// A sample and those ahead of it.
const WINDOW: usize = LIMITER_DELAY_SAMPLES + 1;

/// A frame and what is delayed before it.
const SPAN: usize = LIMITER_DELAY_SAMPLES + FRAME_SAMPLES;

/// Keeps a stream of sums within `i16`: what is not loud passes bit by bit, 2 ms late; what is too loud is made less
/// loud, smoothly, rather than clipped.
///
/// A soft knee says what gain each peak takes. The gain falls to it ahead of the peak and comes back slowly: the least
/// of the next 2 ms, averaged over 2 ms, is never above what the sample itself takes, so nothing overshoots and no step
/// is heard. (A look-ahead limiter, as in U. Zölzer (ed.), *DAFX*, 2nd edition, section 4.2.2.)
///
/// One for each stream: it remembers 2 ms of it.
#[derive(Clone, Debug)]
pub struct Limiter {
    delayed: [i32; LIMITER_DELAY_SAMPLES],
    /// What gain each of the delayed samples takes.
    taken: [f32; LIMITER_DELAY_SAMPLES],
    /// The gains before they are averaged, of the last 2 ms.
    released: [f32; LIMITER_DELAY_SAMPLES],
}

impl Limiter {
    /// Of a stream that was silent.
    pub const fn new() -> Limiter {
        Limiter {
            delayed: [0; LIMITER_DELAY_SAMPLES],
            taken: [1.0; LIMITER_DELAY_SAMPLES],
            released: [1.0; LIMITER_DELAY_SAMPLES],
        }
    }

    /// The next frame of the stream, [`LIMITER_DELAY_SAMPLES`] late.
    pub fn limit(&mut self, sum: &Sum) -> Frame {
        let peak = sum.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0);
        if peak as f32 <= THRESHOLD && self.is_at_rest() {
            return self.pass(sum);
        }
        let delayed = self.delay(sum);
        let gains = self.gains(sum);
        std::array::from_fn(|n| (delayed[n] as f32 * gains[n]).round() as i16)
    }

    /// Whether no gain is below 1, nor has been within the window.
    fn is_at_rest(&self) -> bool {
        self.taken.iter().chain(&self.released).all(|&gain| gain >= 1.0)
    }

    fn pass(&mut self, sum: &Sum) -> Frame {
        self.delay(sum).map(|sample| sample as i16)
    }

    fn delay(&mut self, sum: &Sum) -> Sum {
        let mut delayed = [0; FRAME_SAMPLES];
        let (old, new) = delayed.split_at_mut(LIMITER_DELAY_SAMPLES);
        let (passed, kept) = sum.split_at(new.len());
        old.copy_from_slice(&self.delayed);
        new.copy_from_slice(passed);
        self.delayed.copy_from_slice(kept);
        delayed
    }

    /// The gains of the delayed samples.
    fn gains(&mut self, sum: &Sum) -> [f32; FRAME_SAMPLES] {
        let mut taken = [1.0; SPAN];
        taken[..LIMITER_DELAY_SAMPLES].copy_from_slice(&self.taken);
        for (taken, &sample) in taken[LIMITER_DELAY_SAMPLES..].iter_mut().zip(sum) {
            *taken = gain_for(sample);
        }
        self.taken.copy_from_slice(&taken[FRAME_SAMPLES..]);
        let least = over_window(taken, f32::min);

        let mut released = [1.0; SPAN];
        released[..LIMITER_DELAY_SAMPLES].copy_from_slice(&self.released);
        for n in 0..FRAME_SAMPLES {
            let last = released[n + LIMITER_DELAY_SAMPLES - 1];
            let risen = last + (1.0 - last) * RELEASE;
            let risen = if risen > 1.0 - UNITY_WITHIN { 1.0 } else { risen };
            released[n + LIMITER_DELAY_SAMPLES] = risen.min(least[n]);
        }
        self.released.copy_from_slice(&released[FRAME_SAMPLES..]);
        over_window(released, |a, b| a + b).map(|sum| sum / WINDOW as f32)
    }
}

impl Default for Limiter {
    fn default() -> Limiter {
        Limiter::new()
    }
}

/// Of each sample and the 32 after it. Twice as many at each step: 6 steps instead of 32.
fn over_window(mut values: [f32; SPAN], join: impl Fn(f32, f32) -> f32) -> [f32; FRAME_SAMPLES] {
    let single = values;
    let mut joined = 1;
    while joined < LIMITER_DELAY_SAMPLES {
        for n in 0..SPAN - joined {
            values[n] = join(values[n], values[n + joined]);
        }
        joined *= 2;
    }
    std::array::from_fn(|n| join(values[n], single[n + LIMITER_DELAY_SAMPLES]))
}

/// What makes a sample no louder than the ceiling.
fn gain_for(sample: i32) -> f32 {
    let magnitude = sample.unsigned_abs() as f32;
    if magnitude <= THRESHOLD { 1.0 } else { soft_limited(magnitude) / magnitude }
}

/// A magnitude within the ceiling: the same up to the threshold, then a curve that leaves it without an edge.
pub(crate) fn soft_limited(magnitude: f32) -> f32 {
    if magnitude <= THRESHOLD {
        return magnitude;
    }
    let room = CEILING - THRESHOLD;
    CEILING - room * (-(magnitude - THRESHOLD) / room).exp()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sine(start: usize, hz: f32, peak: f32) -> Sum {
        std::array::from_fn(|n| {
            let t = (start + n) as f32 / crate::RATE_HZ as f32;
            (peak * (t * hz * std::f32::consts::TAU).sin()).round() as i32
        })
    }

    fn limited(sums: &[Sum]) -> Vec<i16> {
        let mut limiter = Limiter::new();
        sums.iter().flat_map(|sum| limiter.limit(sum)).collect()
    }

    fn is_delayed(out: &[i16], sums: &[Sum]) -> bool {
        let sent = sums.iter().flatten();
        out[LIMITER_DELAY_SAMPLES..].iter().zip(sent).all(|(&out, &sent)| i32::from(out) == sent)
    }

    #[test]
    fn what_is_not_loud_passes_bit_by_bit() {
        let sums: Vec<Sum> = (0..50).map(|n| sine(n * FRAME_SAMPLES, 437.0, THRESHOLD)).collect();
        assert!(is_delayed(&limited(&sums), &sums));
    }

    #[test]
    fn a_peak_is_over_within_a_second_and_all_passes_again() {
        let mut sums: Vec<Sum> = (0..100).map(|n| sine(n * FRAME_SAMPLES, 437.0, 9_000.0)).collect();
        sums[10] = sine(10 * FRAME_SAMPLES, 437.0, 200_000.0);
        let out = limited(&sums);
        assert!(is_delayed(&out[..10 * FRAME_SAMPLES], &sums));
        assert!(
            out[12 * FRAME_SAMPLES..][..FRAME_SAMPLES].iter().all(|sample| sample.abs() < 5_000),
            "released slowly"
        );
        assert!(is_delayed(&out[60 * FRAME_SAMPLES..], &sums[60..]), "and wholly");
    }

    #[test]
    fn the_gain_takes_small_steps_within_frames_and_between() {
        // What jumps up and down, at other places of each frame, and is never zero.
        let sample = |n: usize| if (n / 1_777).is_multiple_of(2) { 9_000 } else { 16 * 32_767 };
        let sums: Vec<Sum> =
            (0..60).map(|f| std::array::from_fn(|n| sample(f * FRAME_SAMPLES + n))).collect();
        let out = limited(&sums);
        let sent = sums.iter().flatten();
        let gains: Vec<f32> = out[LIMITER_DELAY_SAMPLES..]
            .iter()
            .zip(sent)
            .map(|(&out, &sent)| f32::from(out) / sent as f32)
            .collect();
        let step = gains.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(step < 1.0 / 32.0, "{step}");
    }

    #[test]
    fn a_steady_overload_is_a_clean_tone() {
        // Two voices at full scale: distortion is what is not the tone.
        let sums: Vec<Sum> = (0..150).map(|n| sine(n * FRAME_SAMPLES, 500.0, 65_534.0)).collect();
        let out = limited(&sums);
        let steady: Vec<f64> = out[100 * FRAME_SAMPLES..].iter().map(|&sample| f64::from(sample)).collect();
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in steady.iter().enumerate() {
            let phase = n as f64 * 500.0 / 16_000.0 * std::f64::consts::TAU;
            re += sample * phase.cos();
            im += sample * phase.sin();
        }
        let total: f64 = steady.iter().map(|sample| sample * sample).sum();
        let tone = 2.0 * (re * re + im * im) / steady.len() as f64;
        let distortion_db = 10.0 * ((total - tone) / total).log10();
        assert!(distortion_db < -40.0, "{distortion_db:.1} dB");
        assert!(out.iter().any(|&sample| sample > 31_000), "it is still loud");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_sum_of_sixteen_wraps(
            sums in prop::collection::vec(prop::collection::vec(-16 * 32_768..=16 * 32_767, FRAME_SAMPLES), 1..4),
        ) {
            let sums: Vec<Sum> = sums.into_iter().map(|sum| sum.try_into().unwrap()).collect();
            let out = limited(&sums);
            for (&sent, &out) in sums.iter().flatten().zip(&out[LIMITER_DELAY_SAMPLES..]) {
                prop_assert!(out.unsigned_abs() <= 32_767);
                prop_assert!(i32::from(out).signum() * sent.signum() >= 0, "{} became {}", sent, out);
                prop_assert!(i32::from(out).abs() <= sent.abs());
            }
        }
    }
}
