//! Tones and voices, on lines that are soft, loud and noisy.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::{SILENCE, voices};

/// Words of 400 ms with pauses of 200 ms, at an active level, over noise; both in dBov.
struct Leg {
    rng: SmallRng,
    speech_dbov: Option<f32>,
    noise_dbov: f32,
    frames: usize,
}

impl Leg {
    fn new(speech_dbov: Option<f32>, noise_dbov: f32) -> Leg {
        Leg { rng: SmallRng::seed_from_u64(7), speech_dbov, noise_dbov, frames: 0 }
    }

    fn frame(&mut self) -> Frame {
        let at = self.frames;
        self.frames += 1;
        let voice = self.speech_dbov.filter(|_| at % 30 < 20).map_or(0.0, amplitude);
        let noise = amplitude(self.noise_dbov) * 3_f32.sqrt() * 32_768.0;
        std::array::from_fn(|n| {
            let t = (at * FRAME_SAMPLES + n) as f32 / crate::RATE_HZ as f32;
            let tone = (t * 300.0 * std::f32::consts::TAU).sin() * 2_f32.sqrt() * 32_768.0;
            (voice * tone + noise * self.rng.random_range(-1.0..1.0)).clamp(-32_768.0, 32_767.0) as i16
        })
    }
}

/// The active level after so many seconds, in dBov.
fn level_after(seconds: usize, control: &mut GainControl, leg: &mut Leg) -> f32 {
    let mut level = 0.0;
    for _ in 0..seconds * 50 {
        let mut frame = leg.frame();
        control.apply(&mut frame);
        if leg.frames % 30 == 15 {
            level = dbov(mean_square(&frame));
        }
    }
    level
}

#[test]
fn soft_and_loud_legs_become_alike() {
    for (sent, heard) in [(-40.0, -26.0), (-32.0, -26.0), (-26.0, -26.0), (-22.0, -26.0)] {
        let level = level_after(15, &mut GainControl::new(), &mut Leg::new(Some(sent), -70.0));
        assert!((level - heard).abs() < 1.5, "{sent} dBov became {level:.1}");
    }
}

/// The level of what is active, by frames: that above a threshold which is 15.9 dB below it (ITU-T P.56, method B).
fn active_level_dbov(frames: &[Frame]) -> f32 {
    let powers: Vec<f32> = frames.iter().map(|frame| mean_square(frame)).collect();
    let level_above = |threshold: f32| {
        let active: Vec<f32> = powers.iter().copied().filter(|power| dbov(*power) >= threshold).collect();
        dbov(active.iter().sum::<f32>() / active.len().max(1) as f32)
    };
    let found = (-80..0).map(|threshold| threshold as f32).find(|&at| level_above(at) - at <= 15.9);
    level_above(found.expect("speech has a level"))
}

#[test]
fn voices_on_soft_and_loud_lines_become_alike() {
    for name in voices::NAMES {
        let speech = voices::speech(name);
        let frames: Vec<Frame> = speech.as_chunks().0.to_vec();
        let sent_dbov = active_level_dbov(&frames);
        for line_dbov in [-42.0, -34.0, -26.0, -21.0] {
            let gain = amplitude(line_dbov - sent_dbov);
            let mut control = GainControl::new();
            let mut heard: Vec<Frame> = frames
                .iter()
                .cycle()
                .take(25 * 50)
                .map(|frame| {
                    let mut frame = frame.map(|sample| (f32::from(sample) * gain) as i16);
                    control.apply(&mut frame);
                    frame
                })
                .collect();
            let level = active_level_dbov(&heard.split_off(15 * 50));
            println!("{name} at {line_dbov} dBov became {level:.1}");
            assert!((level - TARGET_DBOV).abs() < 2.0, "{name} at {line_dbov} dBov became {level:.1}");
        }
    }
}

#[test]
fn the_gain_is_bounded() {
    let level = level_after(20, &mut GainControl::new(), &mut Leg::new(Some(-52.0), -71.0));
    assert!((level - (-52.0 + 18.0)).abs() < 0.5, "{level:.1}");
    let level = level_after(20, &mut GainControl::new(), &mut Leg::new(Some(-8.0), -70.0));
    assert!((level - (-8.0 - 6.0)).abs() < 0.5, "{level:.1}");
}

#[test]
fn noise_alone_is_not_raised() {
    for noise_dbov in [-65.0, -55.0, -45.0, -35.0] {
        let mut control = GainControl::new();
        level_after(20, &mut control, &mut Leg::new(None, noise_dbov));
        assert_eq!(control.gain_db(), 0.0, "at {noise_dbov} dBov");
    }
}

#[test]
fn noise_under_speech_stays_below_what_is_audible() {
    let mut control = GainControl::new();
    level_after(20, &mut control, &mut Leg::new(Some(-42.0), -58.0));
    assert!((6.0..9.0).contains(&control.gain_db()), "{:.1} dB", control.gain_db());
}

#[test]
fn a_pause_changes_nothing() {
    let mut control = GainControl::new();
    level_after(15, &mut control, &mut Leg::new(Some(-38.0), -66.0));
    let spoken = control.gain_db();
    level_after(30, &mut control, &mut Leg::new(None, -66.0));
    assert_eq!(control.gain_db(), spoken);
    for _ in 0..500 {
        control.apply(&mut SILENCE.clone());
    }
    assert_eq!(control.gain_db(), spoken);
}

#[test]
fn a_shout_after_soft_speech_is_brought_down_within_half_a_second_and_not_clipped() {
    let mut control = GainControl::new();
    level_after(20, &mut control, &mut Leg::new(Some(-44.0), -70.0));
    assert!(control.gain_db() > 16.0);
    let mut shout = Leg::new(Some(-14.0), -70.0);
    for _ in 0..25 {
        let mut frame = shout.frame();
        control.apply(&mut frame);
        assert!(frame.iter().all(|sample| sample.unsigned_abs() <= 32_767));
    }
    assert!(control.gain_db() < 4.0, "{:.1} dB", control.gain_db());
}

#[test]
fn the_gain_has_no_step_between_frames() {
    let mut control = GainControl::new();
    let mut leg = Leg::new(Some(-40.0), -90.0);
    let mut gains = Vec::new();
    for _ in 0..500 {
        let sent = leg.frame();
        let mut heard = sent;
        control.apply(&mut heard);
        let loud = sent.iter().zip(&heard).filter(|(sent, _)| sent.unsigned_abs() > 300);
        gains.extend(loud.map(|(&sent, &heard)| f32::from(heard) / f32::from(sent)));
    }
    let step = gains.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
    assert!(step < 0.02, "{step}: more than what rounding makes of 300");
}
