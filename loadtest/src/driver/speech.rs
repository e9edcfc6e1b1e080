//! What a speaker sends: a frame of recorded speech or of silence every 20 ms, on time, with its stamp.

use std::time::{Duration, Instant};

use crate::stamp::{QUIET, Stamp};
use crate::voices::RecordedVoice;
use crate::{Audio, Turns, epoch};

const FRAME: Duration = Duration::from_millis(20);
/// A publisher that is further behind than this skips frames instead of catching up in a burst.
const LAG_MAX: Duration = Duration::from_millis(200);

pub(super) struct Speech {
    participant: u32,
    /// Among the speakers of the room.
    speaker: u32,
    turns: Turns,
    voice: &'static RecordedVoice,
    /// `None` before the connection.
    next_frame: Option<Instant>,
    count: u32,
    turn: Option<SpokenTurn>,
}

#[derive(Clone, Copy)]
struct SpokenTurn {
    number: u32,
    frames: u32,
}

impl Speech {
    pub(super) fn new(participant: u32, speaker: u32, turns: Turns) -> Speech {
        let voice = RecordedVoice::of(speaker);
        Speech { participant, speaker, turns, voice, next_frame: None, count: 0, turn: None }
    }

    /// Begins on the grid of 20 ms that all speakers share, each at a phase of its own: real clients don't send in
    /// step.
    pub(super) fn start(&mut self, now: Instant) {
        // The golden ratio spreads any number of them evenly.
        let phase = FRAME.mul_f64(f64::from(self.participant) * 0.618_034 % 1.0);
        let passed = (now.saturating_duration_since(epoch()).as_millis() / FRAME.as_millis()) as u32;
        self.next_frame = Some(epoch() + FRAME * (passed + 1) + phase);
    }

    /// When the next frame is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next_frame
    }

    /// The frame that is due, if one is, and how late it is.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Audio, Duration)> {
        let due = self.next_frame?;
        let lag = now.checked_duration_since(due)?;
        // Whole frames are skipped: the grid stays.
        let skipped = if lag > LAG_MAX { (lag.as_millis() / FRAME.as_millis()) as u32 } else { 0 };
        self.next_frame = Some(due + FRAME * (skipped + 1));

        // By the plan, not by the clock: the script doesn't waver with the machine.
        let planned = self.turns.turn(self.speaker, due.saturating_duration_since(epoch()));
        self.turn = planned.map(|turn| match self.turn.filter(|it| it.number == turn.number) {
            Some(same) => SpokenTurn { frames: same.frames + 1, ..same },
            None => SpokenTurn { number: turn.number, frames: 0 },
        });
        let frame = match self.turn {
            Some(turn) => self.voice.speech(turn.number, turn.frames),
            None => self.voice.quiet(self.count),
        };
        let stamp = Stamp {
            publisher: self.participant,
            count: self.count,
            sent_us: Stamp::time_us(now),
            turn: self.turn.map_or(0, |turn| turn.number as u16),
            frame_of_turn: self.turn.map_or(QUIET, |turn| turn.frames as u16),
        };
        self.count = self.count.wrapping_add(1);
        Some((Audio::new(stamp.seal(&frame.opus), frame.level_dbov), lag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Reading;

    /// The stamps of ten seconds, sent on time.
    fn spoken(participant: u32) -> Vec<(Instant, Stamp)> {
        let turns = Turns { speakers: 2, talkers: 1, offset_ms: 0 };
        let mut speech = Speech::new(participant, participant, turns);
        assert!(speech.next(epoch() + Duration::from_secs(1)).is_none(), "there is no connection yet");
        speech.start(epoch() + Duration::from_secs(1));
        let frames = (0..500).map(|_| {
            let due = speech.due().unwrap();
            let (audio, lag) = speech.next(due).unwrap();
            assert_eq!(lag, Duration::ZERO);
            let Reading::Intact(stamp) = Stamp::read(&audio.payload) else { panic!("{audio:?}") };
            (due, stamp)
        });
        frames.collect()
    }

    #[test]
    fn frames_are_20_ms_apart() {
        let frames = spoken(1);
        assert!(frames.windows(2).all(|pair| pair[1].0 - pair[0].0 == FRAME));
        assert!(frames.windows(2).all(|pair| pair[1].1.count == pair[0].1.count + 1));
    }

    #[test]
    fn turns_and_silence_take_turns() {
        let frames = spoken(0);
        let quiet = frames.iter().filter(|(_, stamp)| stamp.frame_of_turn == QUIET).count();
        assert!((100..400).contains(&quiet), "{quiet} of 500");
        let began = frames.iter().filter(|(_, stamp)| stamp.frame_of_turn == 0).count();
        assert!(began >= 2, "{began}");
    }

    #[test]
    fn a_speaker_that_was_held_up_keeps_to_the_grid() {
        let mut speech = Speech::new(3, 0, Turns { speakers: 1, talkers: 1, offset_ms: 0 });
        speech.start(epoch());
        let due = speech.due().unwrap();
        speech.next(due + Duration::from_millis(230)).unwrap();
        assert_eq!(speech.due().unwrap() - due, FRAME * 12, "eleven frames are skipped");
    }
}
