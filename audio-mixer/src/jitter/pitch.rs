//! Sound in, its period out: by the normalised autocorrelation.

/// The shortest and the longest period, in samples: 400 Hz and 67 Hz.
pub(super) const PERIOD_MIN: usize = 40;
pub(super) const PERIOD_MAX: usize = 240;

/// What is compared, in samples: 20 ms, as ITU-T G.711 Appendix I does.
pub(super) const WINDOW: usize = 320;

/// Bits of a sample that is compared: as many as let the sum of [`WINDOW`] products fit 32 bits.
const BITS: u32 = 11;

/// On which side of a window its like is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// In what was before.
    Before,
    /// In what comes after.
    After,
}

/// The shift at which sound is most like itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Period {
    /// In samples.
    pub(super) samples: usize,
    /// The normalised correlation of the two windows, 0 to 1: 1 is exactly periodic, 0 is silence or unlike.
    pub(super) likeness: f32,
}

/// The period by which `signal[at..at + WINDOW]` repeats on a side, on which there have to be [`PERIOD_MAX`] samples.
///
/// Coarse at half the rate first, then fine around the best, as G.711 Appendix I does.
pub(super) fn period(signal: &[i16], at: usize, side: Side) -> Period {
    let start = match side {
        Side::Before => at - PERIOD_MAX,
        Side::After => at,
    };
    let mut region: [i16; WINDOW + PERIOD_MAX] = [0; WINDOW + PERIOD_MAX];
    region.copy_from_slice(&signal[start..start + WINDOW + PERIOD_MAX]);
    let loudest = region.iter().fold(0, |loudest, sample| loudest | sample.unsigned_abs());
    let shift = (u16::BITS - loudest.leading_zeros()).saturating_sub(BITS);
    region.iter_mut().for_each(|sample| *sample >>= shift);
    // One search for both: what is looked for before a window is found after it, with time reversed.
    if side == Side::Before {
        region.reverse();
    }
    let mut halved: [i16; (WINDOW + PERIOD_MAX) / 2] = [0; (WINDOW + PERIOD_MAX) / 2];
    for (half, pair) in halved.iter_mut().zip(region.chunks_exact(2)) {
        *half = (pair[0] + pair[1]) >> 1;
    }
    let coarse = best_shift::<{ WINDOW / 2 }>(&halved, PERIOD_MIN / 2, PERIOD_MAX / 2).samples * 2;
    best_shift::<WINDOW>(&region, (coarse - 2).max(PERIOD_MIN), (coarse + 2).min(PERIOD_MAX))
}

/// The best shift of the first `LENGTH` samples, of those from `least` to `most`.
fn best_shift<const LENGTH: usize>(region: &[i16], least: usize, most: usize) -> Period {
    let window: &[i16; LENGTH] = region.first_chunk().expect("the region is longer than the window");
    let energy = product(window, window) as f32;
    let mut best = Period { samples: most, likeness: 0.0 };
    let mut shifted_energy = product_at::<LENGTH>(region, least, least);
    for shift in least..=most {
        let like = product_at::<LENGTH>(region, 0, shift);
        let norm = (energy * shifted_energy as f32).sqrt();
        let likeness = if norm > 0.0 { like as f32 / norm } else { 0.0 };
        if likeness > best.likeness {
            best = Period { samples: shift, likeness };
        }
        if shift < most {
            let (gone, come) = (i32::from(region[shift]), i32::from(region[shift + LENGTH]));
            shifted_energy += come * come - gone * gone;
        }
    }
    best
}

fn product_at<const LENGTH: usize>(region: &[i16], one: usize, other: usize) -> i32 {
    let at = |start: usize| region[start..].first_chunk::<LENGTH>().expect("shifts end within the region");
    product(at(one), at(other))
}

/// Of fixed length, so that it becomes vector instructions.
fn product<const LENGTH: usize>(one: &[i16; LENGTH], other: &[i16; LENGTH]) -> i32 {
    one.iter().zip(other).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn pulses(period: usize, amplitude: f64) -> Vec<i16> {
        let sample = |n: usize| {
            let phase = (n % period) as f64;
            amplitude * (-phase / 12.0).exp() * (TAU * phase / 20.0).cos()
        };
        (0..1200).map(|n| sample(n) as i16).collect()
    }

    #[test]
    fn periods_from_67_to_400_hz_are_found_on_either_side() {
        for samples in [40, 41, 57, 100, 133, 160, 239, 240] {
            for amplitude in [100.0, 30_000.0] {
                for side in [Side::Before, Side::After] {
                    let found = period(&pulses(samples, amplitude), 500, side);
                    assert_eq!(found.samples % samples, 0, "{samples} samples, {side:?}: {found:?}");
                    assert!(found.likeness > 0.99, "{samples} samples, {side:?}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn silence_is_like_nothing() {
        assert_eq!(period(&[0; 1200], 500, Side::Before).likeness, 0.0);
    }

    #[test]
    fn full_scale_fits() {
        let square: Vec<i16> = (0..1200).map(|n| if n / 40 % 2 == 0 { i16::MIN } else { i16::MAX }).collect();
        let found = period(&square, 500, Side::After);
        assert!(found.samples.is_multiple_of(80) && found.likeness > 0.99, "{found:?}");
    }
}
