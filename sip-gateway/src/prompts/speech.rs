//! Synthesised speech in, speech as phones are to hear it out: without silence around it, and as loud as everybody else.
//! Only the build does this, and the tests, which measure what it did.

use super::sound::RATE_HZ;

/// How loud the speech of prompts is, in dBov: as a talker at a usual distance.
pub(crate) const ACTIVE_LEVEL_DBOV: f64 = -20.0;

/// No sample is beyond this, in dB of full scale: what adds a prompt to a room has to have something left.
pub(crate) const PEAK_DB: f64 = -3.0;

/// The silence before and after a prompt, in samples: 50 ms.
pub(crate) const EDGE_SAMPLES: usize = RATE_HZ as usize / 20;

/// Half of what the limiter looks at: 2.5 ms.
const LIMITER_SAMPLES: usize = RATE_HZ as usize / 400;

/// What is so far below the loudest sample is silence, in dB: less would cut the breath of a last consonant.
const SILENCE_BELOW_PEAK_DB: f64 = -46.0;

/// Speech is active where it is less than this below its active level, in dB (ITU-T P.56, the margin of its method B).
const MARGIN_DB: f64 = 15.9;

/// What is measured at once: 20 ms.
const WINDOW_SAMPLES: usize = RATE_HZ as usize / 50;

/// Exactly [`EDGE_SAMPLES`] of silence at both ends.
pub(crate) fn trimmed(samples: &[f64]) -> Vec<f64> {
    let threshold = peak(samples) * ratio(SILENCE_BELOW_PEAK_DB);
    let is_sound = |sample: &f64| sample.abs() > threshold;
    let begin = samples.iter().position(is_sound).unwrap_or(0);
    let end = samples.iter().rposition(is_sound).map_or(0, |last| last + 1);
    let edge = [0.0; EDGE_SAMPLES];
    [&edge, &samples[begin..end.max(begin)], &edge].concat()
}

/// At [`ACTIVE_LEVEL_DBOV`], and nowhere above [`PEAK_DB`].
pub(crate) fn normalised(samples: &[f64]) -> Vec<f64> {
    let gain = ratio(ACTIVE_LEVEL_DBOV - active_level_dbov(samples));
    limited(samples.iter().map(|sample| sample * gain).collect())
}

/// Synthesised voices have a sharp peak a period: these few are made softer, by a gain that changes within 5 ms.
fn limited(mut samples: Vec<f64>) -> Vec<f64> {
    // Rounding to 16 bits may add half a step.
    let limit = ratio(PEAK_DB) * 0.999;
    let mut needed = vec![1.0_f64; samples.len() + 2 * LIMITER_SAMPLES];
    for (at, sample) in samples.iter().enumerate().filter(|(_, sample)| sample.abs() > limit) {
        // `needed` begins half a window before the samples.
        for gain in &mut needed[at..=at + 2 * LIMITER_SAMPLES] {
            *gain = gain.min(limit / sample.abs());
        }
    }
    // Each mean is over gains that are all low enough for its sample, so it is, too.
    let means =
        needed.windows(2 * LIMITER_SAMPLES + 1).map(|gains| gains.iter().sum::<f64>() / gains.len() as f64);
    samples.iter_mut().zip(means).for_each(|(sample, gain)| *sample *= gain);
    samples
}

/// The level of speech without its pauses, in dBov. P.56 follows the envelope, here windows are enough.
pub(crate) fn active_level_dbov(samples: &[f64]) -> f64 {
    let powers: Vec<f64> = samples
        .chunks(WINDOW_SAMPLES)
        .map(|window| window.iter().map(|sample| sample * sample).sum::<f64>() / window.len() as f64)
        .collect();
    let mut level_dbov = f64::NEG_INFINITY;
    // The more is left out, the louder is the rest: it settles within a few rounds.
    for _ in 0..10 {
        let least = 10.0_f64.powf((level_dbov - MARGIN_DB) / 10.0);
        let active: Vec<f64> = powers.iter().copied().filter(|&power| power > least).collect();
        level_dbov = 10.0 * (active.iter().sum::<f64>() / active.len() as f64).log10();
    }
    level_dbov
}

/// The largest magnitude.
pub(crate) fn peak(samples: &[f64]) -> f64 {
    samples.iter().fold(0.0, |peak, sample| sample.abs().max(peak))
}

/// Decibels as a factor of amplitude.
pub(crate) fn ratio(db: f64) -> f64 {
    10.0_f64.powf(db / 20.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(amplitude: f64, samples: usize) -> Vec<f64> {
        (0..samples).map(|n| amplitude * (n as f64 * 0.3).sin()).collect()
    }

    #[test]
    fn silence_at_both_ends_is_50_ms() {
        let spoken = [vec![0.0; 3_000], tone(0.5, 16_000), vec![0.0; 9_000]].concat();
        for sound in [&spoken[..], &spoken[3_000..19_000]] {
            let trimmed = trimmed(sound);
            assert!((16_000 + 1_590..=16_000 + 1_600).contains(&trimmed.len()), "{}", trimmed.len());
            assert!(
                trimmed[..800].iter().chain(&trimmed[trimmed.len() - 800..]).all(|&sample| sample == 0.0)
            );
        }
    }

    #[test]
    fn pauses_do_not_count_for_the_level() {
        let spoken = [tone(0.1, 16_000), vec![0.0; 32_000], tone(0.1, 16_000)].concat();
        let sine_dbov = 20.0 * 0.1_f64.log10() - 3.01;
        assert!((active_level_dbov(&spoken) - sine_dbov).abs() < 0.1);
        assert!((active_level_dbov(&normalised(&spoken)) - ACTIVE_LEVEL_DBOV).abs() < 0.01);
    }

    #[test]
    fn a_click_is_made_softer_and_speech_stays_as_loud() {
        let mut spoken = tone(0.1, 16_000);
        spoken[8_000] = 1.0;
        let spoken = normalised(&spoken);
        assert!((20.0 * peak(&spoken).log10() - PEAK_DB).abs() < 0.02);
        assert!((active_level_dbov(&spoken) - ACTIVE_LEVEL_DBOV).abs() < 0.2);
        let steps = spoken[7_800..7_990].windows(2).map(|pair| (pair[1] - pair[0]).abs());
        assert!(
            steps.fold(0.0, f64::max) < 0.3 * peak(&spoken[4_000..7_000]) * 1.05,
            "the gain makes a click"
        );
    }
}
