//! Frames in, keys that were pressed out: the tones of phones that send no events (RFC 4733).

use crate::digit::{COLUMNS_HZ, Digit, ROWS_HZ};
use crate::{Frame, RATE_HZ};

/// What is looked at at once, 12.75 ms: long enough to tell the tones apart, short enough for those that are 1.5 %
/// beside what they should be.
const WINDOW: usize = 204;

/// How far apart windows begin: half of one.
const HOP: usize = WINDOW / 2;

/// Each tone's mean square, at least: -36 dBov, some -30 dBm0. ITU-T Q.24 has -25 dBm accepted.
const TONE_MIN: f32 = 2.5e-4;

/// The part of all energy that the two tones have to have, where they are 1.5 % beside the middle of their filters.
const PURITY_MIN: f32 = 0.65;

/// And once their frequencies are known, from the second window on. Speech spreads over its harmonics.
const TRUE_PURITY_MIN: f32 = 0.85;

/// How much stronger than the second of its group a tone has to be: 6 dB.
const ABOVE_SECOND: f32 = 4.0;

/// Twist, in power: the high tone may be 6 dB above the low one, or 12 dB below. ITU-T Q.24, table A-1 has 4 dB and
/// 8 dB accepted; the rest is for what noise, a frequency 1.5 % beside and the other tone take from the softer one.
const HIGH_ABOVE_LOW_MAX: f32 = 4.0;
const LOW_ABOVE_HIGH_MAX: f32 = 16.0;

/// How far beside its frequency a tone may be. ITU-T Q.24: up to 1.5 % is accepted, from 3.5 % on nothing.
const DEVIATION_MAX: f32 = 0.025;

/// Windows in a row that make a key. 40 ms of tone, which have to be enough, hold four whole ones wherever they begin;
/// 23 ms, which have to be too few, don't hold four that are as good as whole.
const PRESS_WINDOWS: u32 = 4;

/// Windows in a row without the key that end it: more than a break of 10 ms makes, fewer than a pause of 40 ms.
const RELEASE_WINDOWS: u32 = 4;

const TONES: usize = 8;

/// Finds the keys that are pressed, in their tones (ITU-T Q.23, tolerances of Q.24).
///
/// Goertzel's algorithm gives the power and the phase of the eight tones in overlapping windows. A key is a pair that
/// holds nearly all energy, within the twist of lines, and whose phases advance from window to window as those of its
/// frequencies do, four windows long. A voice hardly ever does that.
///
/// ```text
///            four windows of a pair                   four without it
///  nothing ─────────────────────────▶ key is held ─────────────────────▶ nothing
///                (told)                    │  ▲ four of another pair (told)
///                                          └──┘
/// ```
#[derive(Clone, Debug)]
pub struct DtmfDetector {
    window: [f32; WINDOW],
    filled: usize,
    coefficients: [f32; TONES],
    candidate: Option<Candidate>,
    run: u32,
    held: Option<Digit>,
    misses: u32,
}

/// A window that is a pair of tones.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    row: usize,
    column: usize,
    low: Tone,
    high: Tone,
    /// Mean square of all.
    total: f32,
}

/// What a window has of one tone.
#[derive(Clone, Copy, Debug)]
struct Tone {
    /// Mean square, where 1 is the overload point.
    power: f32,
    /// At the end of the window, in turns.
    phase: f32,
}

impl DtmfDetector {
    /// Of a leg where no key is pressed.
    pub fn new() -> DtmfDetector {
        DtmfDetector {
            window: [0.0; WINDOW],
            filled: 0,
            coefficients: std::array::from_fn(|tone| 2.0 * (turns(tone) * std::f32::consts::TAU).cos()),
            candidate: None,
            run: 0,
            held: None,
            misses: 0,
        }
    }

    /// Listens to the next frame. A key is told once, some 35 ms after its tones began.
    pub fn hear(&mut self, frame: &Frame) -> Option<Digit> {
        let mut pressed = None;
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(WINDOW - self.filled));
            for (kept, &sample) in self.window[self.filled..].iter_mut().zip(now) {
                *kept = f32::from(sample) / 32_768.0;
            }
            self.filled += now.len();
            rest = later;
            if self.filled == WINDOW {
                // Four windows make a key: a frame of three has one at most.
                pressed = self.judge().or(pressed);
                self.window.copy_within(HOP.., 0);
                self.filled = WINDOW - HOP;
            }
        }
        pressed
    }

    /// The key whose tones sound, for who wants to keep them out of the mix.
    pub const fn held(&self) -> Option<Digit> {
        self.held
    }

    fn judge(&mut self) -> Option<Digit> {
        let found = self.find();
        self.run = match (self.candidate, found) {
            (Some(before), Some(now)) if now.continues(&before) => self.run + 1,
            (_, Some(_)) => 1,
            (_, None) => 0,
        };
        self.candidate = found;
        let digit = found.map(Candidate::digit);
        self.misses = if digit == self.held { 0 } else { self.misses + 1 };
        if self.misses >= RELEASE_WINDOWS {
            self.held = None;
        }
        let is_pressed = self.run >= PRESS_WINDOWS && digit != self.held;
        if is_pressed {
            self.held = digit;
            self.misses = 0;
        }
        digit.filter(|_| is_pressed)
    }

    fn find(&self) -> Option<Candidate> {
        let total = self.window.iter().map(|sample| sample * sample).sum::<f32>() / WINDOW as f32;
        // Most windows of a call end here.
        if total < 2.0 * TONE_MIN {
            return None;
        }
        let tones = self.tones();
        let (rows, columns) = tones.split_at(ROWS_HZ.len());
        let (row, column) = (strongest(rows)?, strongest(columns)?);
        let (low, high) = (rows[row], columns[column]);
        let is_pair = low.power >= TONE_MIN
            && high.power >= TONE_MIN
            && high.power <= low.power * HIGH_ABOVE_LOW_MAX
            && low.power <= high.power * LOW_ABOVE_HIGH_MAX
            && low.power + high.power >= total * PURITY_MIN;
        is_pair.then_some(Candidate { row, column, low, high, total })
    }

    /// G. Goertzel, "An algorithm for the evaluation of finite trigonometric series", 1958; of all tones at once.
    fn tones(&self) -> [Tone; TONES] {
        let (mut last, mut before) = ([0.0_f32; TONES], [0.0_f32; TONES]);
        for &sample in &self.window {
            for tone in 0..TONES {
                let next = sample + self.coefficients[tone] * last[tone] - before[tone];
                before[tone] = last[tone];
                last[tone] = next;
            }
        }
        std::array::from_fn(|tone| {
            let cosine = self.coefficients[tone] / 2.0;
            let sine = (turns(tone) * std::f32::consts::TAU).sin();
            let (re, im) = (last[tone] - before[tone] * cosine, before[tone] * sine);
            let scale = 2.0 / (WINDOW * WINDOW) as f32;
            Tone { power: (re * re + im * im) * scale, phase: im.atan2(re) / std::f32::consts::TAU }
        })
    }
}

impl Default for DtmfDetector {
    fn default() -> DtmfDetector {
        DtmfDetector::new()
    }
}

impl Candidate {
    fn digit(self) -> Digit {
        Digit::at(self.row, self.column)
    }

    /// Whether both tones went on from the window before, at their frequencies, and there is little else.
    fn continues(&self, before: &Candidate) -> bool {
        let low = self.low.continued(before.low, turns(self.row));
        let high = self.high.continued(before.high, turns(ROWS_HZ.len() + self.column));
        let is_pure = |low, high| low + high >= self.total * TRUE_PURITY_MIN;
        self.digit() == before.digit() && low.zip(high).is_some_and(|(low, high)| is_pure(low, high))
    }
}

impl Tone {
    /// Its power at the frequency that it has, of which the filter beside it saw less; `None` for one that is not what
    /// it should be by more than is tolerated.
    fn continued(self, before: Tone, turns: f32) -> Option<f32> {
        let strayed = self.phase - before.phase - turns * HOP as f32;
        let strayed = strayed - strayed.round();
        let off_bins = strayed * (WINDOW / HOP) as f32;
        let is_tolerated = strayed.abs() <= DEVIATION_MAX * turns * HOP as f32;
        is_tolerated.then_some(self.power / sinc(off_bins).powi(2))
    }
}

fn sinc(x: f32) -> f32 {
    let phase = x * std::f32::consts::PI;
    if phase.abs() < 1e-3 { 1.0 } else { phase.sin() / phase }
}

/// Of a tone within a sample.
fn turns(tone: usize) -> f32 {
    let hz = if tone < ROWS_HZ.len() { ROWS_HZ[tone] } else { COLUMNS_HZ[tone - ROWS_HZ.len()] };
    hz / RATE_HZ as f32
}

/// The one tone of a group that is well above the others.
fn strongest(group: &[Tone]) -> Option<usize> {
    let (first, tone) = group.iter().enumerate().max_by(|(_, a), (_, b)| a.power.total_cmp(&b.power))?;
    let is_above = |(n, other): (usize, &Tone)| n == first || tone.power >= ABOVE_SECOND * other.power;
    group.iter().enumerate().all(is_above).then_some(first)
}

#[cfg(test)]
mod tests;
