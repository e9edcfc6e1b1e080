//! A tape in, made shorter or longer by a period of its sound: time-domain harmonic scaling.
//!
//! After Malah, "Time-domain algorithms for harmonic bandwidth reduction and time scaling of speech signals", 1979, and,
//! for choosing the period by likeness, Verhelst and Roelands, "An overlap-add technique based on waveform similarity
//! (WSOLA)", 1993. NetEq's Accelerate and Preemptive Expand are of the same kind.

use crate::jitter::pitch::{PERIOD_MAX, Period, Side, WINDOW, period};
use crate::jitter::tape::Tape;

/// What has to be unplayed to be [`shortened`](shorten), in samples: 35 ms.
pub(super) const SHORTEN_FROM: usize = WINDOW + PERIOD_MAX;

/// What has to be unplayed to be [`lengthened`](lengthen), in samples: 20 ms.
pub(super) const LENGTHEN_FROM: usize = WINDOW;

/// Takes a period out right after the head, where sound is as like itself as asked for. Whether it did.
pub(super) fn shorten(tape: &mut Tape, likeness_min: f32) -> bool {
    let head = tape.head();
    let Period { samples, likeness } = period(tape.samples(), head, Side::After);
    if likeness < likeness_min {
        return false;
    }
    let (kept, after) = tape.unplayed_mut().split_at_mut(samples);
    fade(kept, after);
    tape.cut(samples, samples);
    true
}

/// Plays the last period once more, where sound is as like itself as asked for. Whether it did.
pub(super) fn lengthen(tape: &mut Tape, likeness_min: f32) -> bool {
    let head = tape.head();
    let Period { samples, likeness } = period(tape.samples(), head, Side::Before);
    if likeness < likeness_min {
        return false;
    }
    let mut again = [0; PERIOD_MAX];
    again[..samples].copy_from_slice(&tape.samples()[head - samples..head]);
    tape.open(samples);
    let (opened, after) = tape.unplayed_mut().split_at_mut(samples);
    opened.copy_from_slice(&after[..samples]);
    fade(opened, &again);
    true
}

/// Fades from what is there into another sound.
fn fade(sound: &mut [i16], into: &[i16]) {
    let parts = sound.len() as i32 + 1;
    for ((sample, &other), part) in sound.iter_mut().zip(into).zip(1..) {
        *sample = ((i32::from(*sample) * (parts - part) + i32::from(other) * part) / parts) as i16;
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;
    use crate::{FRAME_SAMPLES, SILENCE};

    /// A tape in the middle of a tone, with so much unplayed.
    fn tape(hz: f32, unplayed: usize) -> Tape {
        let mut tape = Tape::new();
        let count = 3 * FRAME_SAMPLES + unplayed;
        tape.end().extend((0..count).map(|n| (8000.0 * (TAU * hz * n as f32 / 16_000.0).sin()) as i16));
        for _ in 0..3 {
            tape.play(&mut SILENCE.clone());
        }
        tape
    }

    fn steepest(sound: &[i16]) -> u16 {
        sound.windows(2).map(|pair| pair[0].abs_diff(pair[1])).max().unwrap()
    }

    #[test]
    fn a_tone_becomes_shorter_or_longer_by_periods_and_stays_a_tone() {
        for hz in [80.0, 160.0, 250.0, 400.0] {
            for stretch in [shorten, lengthen] {
                let mut tape = tape(hz, SHORTEN_FROM);
                let from = tape.head() - 2 * FRAME_SAMPLES;
                let own = steepest(&tape.samples()[from..]);
                assert!(stretch(&mut tape, 0.9));
                let moved = tape.unplayed().abs_diff(SHORTEN_FROM) as f32 * hz / 16_000.0;
                assert!((moved - moved.round()).abs() < 0.05 && moved > 0.9, "{hz} Hz: {moved} periods");
                let steepest = steepest(&tape.samples()[from..]);
                assert!(steepest <= own * 11 / 10, "{hz} Hz: {steepest} of {own}");
            }
        }
    }

    #[test]
    fn what_is_not_like_itself_is_left_alone() {
        let mut tape = tape(0.0, SHORTEN_FROM);
        assert!(!shorten(&mut tape, 0.5) && !lengthen(&mut tape, 0.5));
        assert_eq!(tape.unplayed(), SHORTEN_FROM);
    }
}
