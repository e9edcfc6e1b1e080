//! The delay that is and the one that should be in; whether sound has to become shorter or longer out, and which.

use crate::FRAME_SAMPLES;
use crate::jitter::playout::FRAME;

/// How much later than it should be sound is, in samples, where it is made up for in the midst of a word: 100 ms.
const URGENT: i64 = 1600;

/// The delay is judged over so many frames, in which packets of 10, 20, 30 and 60 ms come round, and changed by no more
/// than a period in them: speech becomes faster or slower by no more than a quarter, and mostly by a tenth.
const JUDGED_FRAMES: u32 = 3;

/// For how many times as long a pause in speech is waited for, before a word is shortened: half a second.
const PATIENCE: u32 = 8;

/// Power of what is quiet, below that of what is loud: 27 dB; and whatever else is loud: -58 dBov.
const QUIET_BELOW_LOUD: u64 = 512;
const QUIET_POWER: u64 = 1600;

/// How sound has to change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    None,
    /// By a period less: of quiet sound, or, if given, of sound that is as like itself.
    Shorter(Option<f32>),
    /// By a period more: of quiet sound, or of sound that is as like itself.
    Longer(f32),
}

/// Judges the delay, and what is quiet.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    least_lead: i64,
    leads: u32,
    over_for: u32,
    loud_power: u64,
}

impl Pace {
    pub(super) fn new() -> Pace {
        Pace { least_lead: i64::MAX, leads: 0, over_for: 0, loud_power: 0 }
    }

    /// The delay is about to be another one.
    pub(super) fn restart(&mut self) {
        (self.least_lead, self.leads, self.over_for) = (i64::MAX, 0, 0);
    }

    /// Judges a frame: how long packets may take so as to be in time, and how long they should be allowed to. `None`
    /// until there were enough frames since the last judgement.
    ///
    /// The lead moves by whole frames, so what is above the target by less than one is right.
    pub(super) fn judge(&mut self, lead: i64, target: i64) -> Option<Change> {
        self.least_lead = self.least_lead.min(lead);
        self.leads += 1;
        if self.leads < JUDGED_FRAMES {
            return None;
        }
        let lead = self.least_lead;
        (self.least_lead, self.leads) = (i64::MAX, 0);
        let over = lead - target - FRAME;
        self.over_for = if over >= 0 { self.over_for.saturating_add(1) } else { 0 };
        Some(match over {
            URGENT.. => Change::Shorter(Some(0.5)),
            0.. if self.over_for > PATIENCE => Change::Shorter(Some(0.85)),
            0.. => Change::Shorter(None),
            _ if lead < target / 2 => Change::Longer(0.5),
            _ if lead < target * 3 / 4 => Change::Longer(0.8),
            _ => Change::None,
        })
    }

    /// A frame was played; of silence it need not be there.
    pub(super) fn played(&mut self, frame: &[i16]) {
        // Down by 1/256 each frame: what was loud 5 s ago is a third of it.
        self.loud_power = power(frame).max(self.loud_power - self.loud_power / 256);
    }

    /// Whether the first frame of this is hardly heard.
    pub(super) fn is_quiet(&self, ahead: &[i16]) -> bool {
        power(&ahead[..FRAME_SAMPLES.min(ahead.len())]) <= QUIET_POWER.max(self.loud_power / QUIET_BELOW_LOUD)
    }
}

/// The mean square. In sums of 32 bits, which become vector instructions: the lowest two bits don't count.
fn power(samples: &[i16]) -> u64 {
    let square = |&sample: &i16| (i32::from(sample >> 2)).pow(2);
    let sum: u64 =
        samples.chunks(16).map(|few| u64::from(few.iter().map(square).sum::<i32>().unsigned_abs())).sum();
    16 * sum / samples.len().max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The judgements of frames with this lead, for a target of 40 ms.
    fn judged(lead: i64, frames: usize) -> Vec<Change> {
        let mut pace = Pace::new();
        (0..frames).filter_map(|_| pace.judge(lead, 640)).collect()
    }

    #[test]
    fn a_frame_above_the_target_is_right_and_a_quarter_below_it_too() {
        for lead in [480, 640, 959] {
            assert_eq!(judged(lead, 3), [Change::None], "{lead}");
        }
        assert_eq!(judged(479, 3), [Change::Longer(0.8)]);
        assert_eq!(judged(960, 3), [Change::Shorter(None)]);
    }

    #[test]
    fn speech_is_cut_after_half_a_second_or_when_100_ms_late() {
        let changes = judged(960, 30);
        assert_eq!(changes[7..9], [Change::Shorter(None), Change::Shorter(Some(0.85))]);
        assert_eq!(judged(2560, 3), [Change::Shorter(Some(0.5))]);
    }

    #[test]
    fn the_least_lead_of_three_frames_counts() {
        let mut pace = Pace::new();
        let changes: Vec<_> =
            [2000, 500, 2000].into_iter().filter_map(|lead| pace.judge(lead, 640)).collect();
        assert_eq!(changes, [Change::None]);
    }

    #[test]
    fn quiet_is_27_db_below_what_was_loud() {
        let mut pace = Pace::new();
        assert!(pace.is_quiet(&[40; 320]) && !pace.is_quiet(&[44; 320]));
        pace.played(&[10_000; 320]);
        assert!(pace.is_quiet(&[400; 320]) && !pace.is_quiet(&[500; 320]));
    }
}
