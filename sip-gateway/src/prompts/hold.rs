//! The music of who waits: nothing in, sixteen seconds out that end where they begin.
//!
//! Nobody's composition, so nobody asks for a fee. Eight soft chords, two seconds each, and a slow melody of their notes
//! above. Each note rings for as long as it likes: what is left at the end goes on at the beginning, so the loop has no seam.

use std::f64::consts::TAU;

use super::sound::{self, RATE_HZ};

/// How loud it is, in dBov: below speech, so that a prompt is understood, and nobody holds the phone away.
const LEVEL_DBOV: f64 = -26.0;

const CHORD_S: f64 = 2.0;

/// Loudness is computed once in 2 ms, and is a straight line between.
const BLOCK_SAMPLES: usize = 32;

/// MIDI notes, low to high: C, A minor, F, G, E minor, A minor, D minor, G, some with their sevenths. All of them are from
/// 220 Hz on: a phone carries little below 300 Hz, and the overtones of these.
const CHORDS: [[u8; 4]; 8] = [
    [60, 64, 67, 71],
    [57, 64, 67, 72],
    [57, 60, 65, 72],
    [59, 62, 67, 74],
    [59, 64, 67, 71],
    [57, 60, 64, 67],
    [57, 62, 65, 72],
    [59, 62, 65, 67],
];

/// Which note of the chord, an octave higher, is struck at each quarter of it; a number above 3 is a rest.
const MELODY: [[usize; 4]; 8] = [
    [2, 9, 1, 9],
    [3, 9, 9, 2],
    [3, 9, 2, 9],
    [2, 9, 9, 9],
    [2, 9, 3, 9],
    [3, 9, 9, 2],
    [3, 9, 2, 1],
    [2, 9, 9, 9],
];

/// The piece, at [`audio_mixer::RATE_HZ`].
pub(super) fn music() -> Vec<i16> {
    let mut sound = vec![0.0; (CHORDS.len() as f64 * CHORD_S * f64::from(RATE_HZ)) as usize];
    for (at, (chord, melody)) in CHORDS.iter().zip(MELODY).enumerate() {
        let begin_s = at as f64 * CHORD_S;
        for &key in chord {
            add(&mut sound, begin_s, &Note { key, loudness: 1.0, attack_s: 0.5, ring_s: 3.2 });
        }
        for (quarter, position) in melody.into_iter().enumerate() {
            if let Some(key) = chord.get(position) {
                let begin_s = begin_s + quarter as f64 * CHORD_S / 4.0;
                add(&mut sound, begin_s, &Note { key: key + 12, loudness: 1.4, attack_s: 0.02, ring_s: 2.5 });
            }
        }
    }
    let power = sound.iter().map(|sample| sample * sample).sum::<f64>() / sound.len() as f64;
    let gain = 10.0_f64.powf(LEVEL_DBOV / 20.0) / power.sqrt();
    sound.iter_mut().for_each(|sample| *sample *= gain);
    sound::to_pcm(&sound)
}

struct Note {
    /// As MIDI counts: 69 is 440 Hz, 12 more an octave.
    key: u8,
    loudness: f64,
    attack_s: f64,
    /// From its begin to silence.
    ring_s: f64,
}

/// Adds a note to the loop, around its end if need be.
fn add(sound: &mut [f64], begin_s: f64, note: &Note) {
    let rate_hz = f64::from(RATE_HZ);
    let frequency_hz = 440.0 * ((f64::from(note.key) - 69.0) / 12.0).exp2();
    let begin = (begin_s * rate_hz) as usize;
    let envelope = |n: usize| note.loudness * envelope(note, n as f64 / rate_hz);
    for block in (0..(note.ring_s * rate_hz) as usize).step_by(BLOCK_SAMPLES) {
        let (first, next) = (envelope(block), envelope(block + BLOCK_SAMPLES));
        for n in 0..BLOCK_SAMPLES {
            let loudness = first + (next - first) * n as f64 / BLOCK_SAMPLES as f64;
            let at = (begin + block + n) % sound.len();
            sound[at] += loudness * timbre(frequency_hz * (block + n) as f64 / rate_hz);
        }
    }
}

/// Rises over the attack and falls to nothing at the end, with no corner that could be heard.
fn envelope(note: &Note, at_s: f64) -> f64 {
    let smooth = |x: f64| 0.5 - 0.5 * (x.clamp(0.0, 1.0) * TAU / 2.0).cos();
    let (rise, fall) = (at_s / note.attack_s, (at_s - note.attack_s) / (note.ring_s - note.attack_s));
    smooth(rise) * smooth(1.0 - fall) * (-1.5 * fall.max(0.0)).exp()
}

/// Between a sine and a triangle: the first of its odd overtones, as soft as a triangle has them.
fn timbre(cycles: f64) -> f64 {
    let sine = (cycles.fract() * TAU).sin();
    let square = sine * sine;
    // The sines of three and of five times the angle.
    let third = sine * (3.0 - 4.0 * square);
    let fifth = sine * (5.0 - square * (20.0 - 16.0 * square));
    sine - third / 9.0 + fifth / 25.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_goes_on_at_the_beginning_without_a_click() {
        let music = music();
        let step = |at: usize| i32::from(music[(at + 1) % music.len()]) - i32::from(music[at]);
        let bend = |at: usize| (step((at + 1) % music.len()) - step(at)).abs();
        let bend_max = (0..music.len() - 2).map(bend).max().unwrap();
        assert_eq!(music.len(), 16 * 16_000);
        assert!(bend(music.len() - 2).max(bend(music.len() - 1)) <= bend_max);
        let seam = music.len() - 160..music.len() + 160;
        assert!(seam.into_iter().any(|at| music[at % music.len()].abs() > 200), "the seam is no pause");
    }

    #[test]
    fn it_is_softer_than_speech_and_far_from_clipping() {
        let music = music();
        let power: f64 = music.iter().map(|&sample| (f64::from(sample) / 32_768.0).powi(2)).sum();
        let level_dbov = 10.0 * (power / music.len() as f64).log10();
        assert!((level_dbov - LEVEL_DBOV).abs() < 0.1, "{level_dbov}");
        assert!(music.iter().all(|sample| sample.unsigned_abs() < 12_000));
    }

    #[test]
    fn it_never_falls_silent() {
        for (at, second) in music().chunks(16_000).enumerate() {
            let power: f64 = second.iter().map(|&sample| (f64::from(sample) / 32_768.0).powi(2)).sum();
            let level_dbov = 10.0 * (power / second.len() as f64).log10();
            assert!((-34.0..-20.0).contains(&level_dbov), "second {at}: {level_dbov}");
        }
    }

    #[test]
    fn it_is_the_same_each_time() {
        assert_eq!(music(), music());
    }
}
