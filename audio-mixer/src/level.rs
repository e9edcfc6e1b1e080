//! Samples in, how loud they are out.

/// Loudness as RFC 6464, section 3 has it in its header, in dBov: -127 to 0, rounded to the nearest.
///
/// The root of the mean square, relative to the loudest signal that there is, a square wave at full scale (the
/// reference of RFC 6464, section 3; RFC 6465, appendix A has this calculation). A sine at full scale is -3 dBov.
/// Nothing is weighted, and an offset counts. Digital silence, and no samples at all, is -127.
///
/// ```
/// assert_eq!(audio_mixer::level_dbov(&[i16::MIN; 320]), 0);
/// assert_eq!(audio_mixer::level_dbov(&[3_277; 320]), -20);
/// assert_eq!(audio_mixer::level_dbov(&[0; 320]), -127);
/// ```
pub fn level_dbov(samples: &[i16]) -> i8 {
    dbov(mean_square(samples)).round().clamp(-127.0, 0.0) as i8
}

/// Where 1 is the overload point.
pub(crate) fn mean_square(samples: &[i16]) -> f32 {
    let sum: i64 = samples.iter().map(|&sample| i64::from(i32::from(sample) * i32::from(sample))).sum();
    let full = (1_u64 << 30) as f32;
    sum as f32 / full / samples.len().max(1) as f32
}

/// Of a mean square. Minus infinity for zero.
pub(crate) fn dbov(mean_square: f32) -> f32 {
    10.0 * mean_square.log10()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SILENCE;

    fn sine(peak: f32) -> Vec<i16> {
        (0..320).map(|n| (peak * (n as f32 / 16.0 * std::f32::consts::TAU).sin()).round() as i16).collect()
    }

    #[test]
    fn a_square_wave_at_full_scale_is_the_overload_point() {
        let square: Vec<i16> = (0..320).map(|n| if n % 32 < 16 { i16::MAX } else { i16::MIN }).collect();
        assert_eq!(level_dbov(&square), 0);
    }

    #[test]
    fn a_sine_is_3_db_below_a_square_of_its_peak() {
        assert_eq!(level_dbov(&sine(32_767.0)), -3);
        assert_eq!(level_dbov(&sine(3_276.7)), -23);
        // RFC 6464, section 3: 0 dBm0 is 6.18 dB below the overload point of µ-law.
        assert_eq!(level_dbov(&sine(32_768.0 * 2_f32.sqrt() * 10_f32.powf(-6.18 / 20.0))), -6);
    }

    #[test]
    fn silence_is_the_lowest_level_and_the_least_sound_is_above_it() {
        assert_eq!(level_dbov(&SILENCE), -127);
        assert_eq!(level_dbov(&[]), -127);
        assert_eq!(level_dbov(&[1; 320]), -90);
        let mut click = SILENCE;
        click[7] = -1;
        assert_eq!(level_dbov(&click), -115);
    }
}
