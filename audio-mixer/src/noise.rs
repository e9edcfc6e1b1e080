//! A level in, noise as loud as that out.

use crate::{Frame, RATE_HZ};

/// From here on the noise falls by 6 dB an octave, as that of lines does: white noise hisses.
const CORNER_HZ: f32 = 1_500.0;

/// What is heard where nobody sends anything, so that a pause doesn't sound like a lost call.
///
/// The level is RFC 3389's: in dBov, relative to a square wave at full scale, so what [`level_dbov`](crate::level_dbov)
/// says of its frames. Beside the level nothing of RFC 3389's spectrum is followed. One multiplication a sample.
#[derive(Clone, Debug)]
pub struct ComfortNoise {
    state: u32,
    low: f32,
    /// Peak of the white noise that becomes as loud as is asked for.
    peak: f32,
}

impl ComfortNoise {
    /// Noise at a level in dBov, -127 to 0. Two with other seeds are other noise.
    pub fn new(level_dbov: i8, seed: u32) -> ComfortNoise {
        // Zero is what the generator never leaves.
        let mut noise = ComfortNoise { state: (seed ^ 0x9E37_79B9).max(1), low: 0.0, peak: 0.0 };
        noise.set_level_dbov(level_dbov);
        noise
    }

    /// Another level, from the next frame on.
    pub fn set_level_dbov(&mut self, level_dbov: i8) {
        let rms = 32_768.0 * 10_f32.powf(f32::from(level_dbov.clamp(-127, 0)) / 20.0);
        // The filter lets through k / (2 - k) of the power of white noise, which is a third of its peak's square.
        let k = smoothing();
        self.peak = rms * (3.0 * (2.0 - k) / k).sqrt();
    }

    /// The next 20 ms.
    pub fn frame(&mut self) -> Frame {
        let k = smoothing();
        std::array::from_fn(|_| {
            self.low += k * (self.white() * self.peak - self.low);
            self.low.round() as i16
        })
    }

    /// Uniform from -1 to 1, by xorshift (G. Marsaglia, "Xorshift RNGs", 2003).
    fn white(&mut self) -> f32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        (self.state as i32) as f32 / 2_147_483_648.0
    }
}

/// What part of each sample the low-pass of one pole takes.
fn smoothing() -> f32 {
    1.0 - (-std::f32::consts::TAU * CORNER_HZ / RATE_HZ as f32).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level_dbov;

    fn second(level_dbov: i8, seed: u32) -> Vec<i16> {
        let mut noise = ComfortNoise::new(level_dbov, seed);
        (0..50).flat_map(|_| noise.frame()).collect()
    }

    #[test]
    fn it_is_as_loud_as_is_asked_for() {
        for asked in [-75, -70, -60, -50, -40, -30, -20] {
            let heard = level_dbov(&second(asked, 1));
            assert!((heard - asked).abs() <= 1, "{asked} asked for, {heard} heard");
        }
        assert_eq!(level_dbov(&second(-127, 1)), -127);
    }

    #[test]
    fn it_has_more_low_than_high() {
        let samples = second(-40, 3);
        let power =
            |samples: &mut dyn Iterator<Item = f32>| samples.map(|sample| sample * sample).sum::<f32>();
        let low = power(&mut samples.windows(2).map(|w| f32::from(w[0]) + f32::from(w[1])));
        let high = power(&mut samples.windows(2).map(|w| f32::from(w[0]) - f32::from(w[1])));
        assert!(low > 2.0 * high);
    }

    #[test]
    fn seeds_differ_and_repeat() {
        assert!(second(-50, 1) != second(-50, 2));
        assert!(second(-50, 0) == second(-50, 0));
        assert!(second(-50, 0x9E37_79B9).iter().any(|&sample| sample != 0));
    }
}
