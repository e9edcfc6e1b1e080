//! What a speaker sends: a frame of recorded speech or of silence every 20 ms, on time, with its stamp. While the whole room is
//! silent, what an encoder with DTX sends.

use std::time::{Duration, Instant};

use crate::stamp::{QUIET, Stamp};
use crate::voices::RecordedVoice;
use crate::{Audio, Turns, epoch};

const FRAME: Duration = Duration::from_millis(20);
/// A publisher that is further behind than this skips frames instead of catching up in a burst.
const LAG_MAX: Duration = Duration::from_millis(200);
/// "When DTX is enabled, only one frame is encoded every 400 milliseconds" (RFC 6716, section 2.1.9).
const DTX_FRAMES: u32 = 20;
/// For so long libopus goes on with all frames before it takes a pause for silence.
const DTX_AFTER_FRAMES: u32 = 10;

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
    /// The room is silent, whatever the plan says.
    hushed: bool,
    /// Sent since the room fell silent.
    silent_frames: u32,
    /// Not sent before the next one.
    paused_frames: u32,
}

/// What is to be sent now.
pub(super) struct Due {
    pub(super) audio: Audio,
    /// Frames before it that were not sent, so that its time is later by them.
    pub(super) paused_frames: u32,
    /// How late it is.
    pub(super) lag: Duration,
}

#[derive(Clone, Copy)]
struct SpokenTurn {
    number: u32,
    frames: u32,
}

impl Speech {
    pub(super) fn new(participant: u32, speaker: u32, turns: Turns, hushed: bool) -> Speech {
        let voice = RecordedVoice::of(speaker);
        Speech {
            participant,
            speaker,
            turns,
            voice,
            next_frame: None,
            count: 0,
            turn: None,
            hushed,
            silent_frames: 0,
            paused_frames: 0,
        }
    }

    /// From the next frame on it is as planned.
    pub(super) fn start_talking(&mut self) {
        self.hushed = false;
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

    /// The frame that is due, if one is.
    pub(super) fn next(&mut self, now: Instant) -> Option<Due> {
        let due = self.next_frame?;
        let lag = now.checked_duration_since(due)?;
        // Whole frames are skipped: the grid stays.
        let skipped = if lag > LAG_MAX { (lag.as_millis() / FRAME.as_millis()) as u32 } else { 0 };

        // By the plan, not by the clock: the script doesn't waver with the machine.
        let room_talks = self.room_talks_at(due);
        let planned =
            self.turns.turn(self.speaker, due.saturating_duration_since(epoch())).filter(|_| room_talks);
        self.silent_frames = if room_talks { 0 } else { self.silent_frames + 1 };
        let after_frames = if self.silent_frames < DTX_AFTER_FRAMES { 1 } else { self.frames_of_pause(due) };
        let paused_frames = std::mem::replace(&mut self.paused_frames, after_frames - 1);
        self.next_frame = Some(due + FRAME * (skipped + after_frames));
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
        // "The first packet of a talkspurt, that is, the first packet after a silence period [...] SHOULD" have it
        // (RFC 3551, section 4.1).
        let marker = room_talks && paused_frames > 0;
        let audio = Audio { marker, ..Audio::new(stamp.seal(&frame.opus), frame.level_dbov) };
        Some(Due { audio, paused_frames, lag })
    }

    /// After how many frames there is something to send: the noise of the room, or what is said when it talks again.
    fn frames_of_pause(&self, since: Instant) -> u32 {
        (1..DTX_FRAMES).find(|frames| self.room_talks_at(since + FRAME * *frames)).unwrap_or(DTX_FRAMES)
    }

    fn room_talks_at(&self, at: Instant) -> bool {
        !self.hushed && self.turns.room_talks(at.saturating_duration_since(epoch()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Spells;
    use crate::stamp::Reading;

    const ROOM: Turns = Turns { speakers: 2, talkers: 1, offset_ms: 0, spells: None };

    /// The stamps of ten seconds, sent on time.
    fn spoken(participant: u32) -> Vec<(Instant, Stamp)> {
        let mut speech = Speech::new(participant, participant, ROOM, false);
        assert!(speech.next(epoch() + Duration::from_secs(1)).is_none(), "there is no connection yet");
        speech.start(epoch() + Duration::from_secs(1));
        let frames = (0..500).map(|_| {
            let due = speech.due().unwrap();
            let Due { audio, paused_frames, lag } = speech.next(due).unwrap();
            assert_eq!((paused_frames, lag), (0, Duration::ZERO));
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
        let mut speech = Speech::new(3, 0, Turns { speakers: 1, ..ROOM }, false);
        speech.start(epoch());
        let due = speech.due().unwrap();
        speech.next(due + Duration::from_millis(230)).unwrap();
        assert_eq!(speech.due().unwrap() - due, FRAME * 12, "eleven frames are skipped");
    }

    #[test]
    fn who_is_hushed_says_nothing_until_it_is_time() {
        let mut speech = Speech::new(0, 0, Turns { speakers: 1, ..ROOM }, true);
        speech.start(epoch());
        let mut sent = |from_s, to_s| {
            let mut turns = Vec::new();
            while let Some(due) = speech.due().filter(|due| *due < epoch() + Duration::from_secs(to_s)) {
                assert!(due >= epoch() + Duration::from_secs(from_s) - FRAME * DTX_FRAMES);
                let Reading::Intact(stamp) = Stamp::read(&speech.next(due).unwrap().audio.payload) else {
                    panic!()
                };
                turns.push(stamp.frame_of_turn);
            }
            speech.start_talking();
            turns
        };
        let hushed = sent(0, 10);
        assert!((30..40).contains(&hushed.len()) && hushed.iter().all(|frame| *frame == QUIET), "{hushed:?}");
        let talking = sent(10, 20);
        assert!((480..=500).contains(&talking.len()) && talking.contains(&0), "{talking:?}");
    }

    #[test]
    fn a_speaker_of_a_silent_room_sends_a_frame_every_400_ms_and_is_back_in_time() {
        // It talks from 0 to 9 s, and again from 27 s.
        let turns = Turns { speakers: 1, spells: Spells::of(0, 3, 1), ..ROOM };
        let mut speech = Speech::new(0, 0, turns, false);
        speech.start(epoch());
        let mut frames_of = [0_u32; 36];
        let mut timestamp_frames = 0;
        let first = speech.due().unwrap();
        while let Some(due) = speech.due().filter(|due| *due < epoch() + Duration::from_secs(36)) {
            let Due { audio, paused_frames, .. } = speech.next(due).unwrap();
            timestamp_frames += paused_frames;
            assert_eq!(due - first, FRAME * timestamp_frames, "the timestamp goes on through pauses");
            timestamp_frames += 1;
            let at = due - epoch();
            frames_of[at.as_secs() as usize] += 1;
            let is_back = at >= Duration::from_secs(27) && at < Duration::from_secs(27) + FRAME;
            assert_eq!(audio.marker, is_back, "{at:?}");
        }
        assert_eq!(frames_of[1..9], [50; 8]);
        assert!((10..=13).contains(&frames_of[9]), "{frames_of:?}");
        assert!(frames_of[10..27].iter().all(|frames| (2..=3).contains(frames)), "{frames_of:?}");
        assert_eq!(frames_of[27..36], [50; 9], "from the first frame of the spell");
    }
}
