//! Who of the speakers talks when: a conversation as a function of the time, so that it needs no
//! state and every thread agrees on it.

use std::time::Duration;

use crate::Spells;

/// How long a turn lasts with the pause after it, in conversations side by side; different, so that
/// changes rarely coincide.
const PERIOD_MS: [u64; 5] = [2_300, 3_100, 1_900, 2_700, 3_700];

/// Between the turns of a conversation.
const PAUSE_MS: u64 = 300;

/// A turn that the end of its room's spell would make shorter isn't begun: its first syllable is to be judged. With the pause
/// before it, it is shorter than the silence that is taken for a fault.
const TURN_MS_MIN: u64 = 500;

/// Speakers that take turns, so that a number of them (or all, if they are fewer) talk at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turns {
    /// How many speakers there are.
    pub speakers: u32,
    /// How many talk at a time: conversations side by side.
    pub talkers: u32,
    /// Begins the script here: rooms beside each other don't speak in step.
    pub offset_ms: u64,
    /// When the room talks at all; `None` if always.
    pub spells: Option<Spells>,
}

/// A turn that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Which of the speaker's turns it is.
    pub number: u32,
    /// Since it began.
    pub elapsed: Duration,
}

impl Turns {
    /// The turn that the speaker of that index has at that time, if it is theirs.
    pub fn turn(&self, speaker: u32, elapsed: Duration) -> Option<Turn> {
        let talkers = self.talkers.min(self.speakers);
        // Speaker i is in conversation i mod n.
        let conversation = speaker.checked_rem(talkers)?;
        let members = u64::from((self.speakers + talkers - 1 - conversation) / talkers);
        let period_ms = PERIOD_MS[conversation as usize % PERIOD_MS.len()];
        let (period, since_ms) = self.period(period_ms, elapsed)?;
        let is_theirs = period % members == u64::from(speaker / talkers);
        (is_theirs && since_ms < period_ms - PAUSE_MS)
            .then(|| Turn { number: (period / members) as u32, elapsed: Duration::from_millis(since_ms) })
    }
}

impl Turns {
    /// Whether the room talks, if only in a pause between turns.
    pub fn room_talks(&self, elapsed: Duration) -> bool {
        self.spells.is_none_or(|spells| spells.at(elapsed).is_some())
    }

    /// Which turn of a conversation it would be, and how many ms it has been.
    fn period(&self, period_ms: u64, elapsed: Duration) -> Option<(u64, u64)> {
        let Some(spells) = self.spells else {
            let at_ms = elapsed.as_millis() as u64 + self.offset_ms;
            return Some((at_ms / period_ms, at_ms % period_ms));
        };
        // A spell begins with a turn, and holds as many as all others: so no number is left out.
        let spell = spells.at(elapsed)?;
        let in_spell = (spell.length_ms - TURN_MS_MIN) / period_ms + 1;
        let period = spell.since_ms / period_ms;
        (period < in_spell).then_some((spell.number * in_spell + period, spell.since_ms % period_ms))
    }

    /// Whether a participant has always somebody else to hear while the room talks, but for the pauses between turns: a
    /// speaker doesn't while they alone talk.
    pub fn has_voices_for(&self, speaks: bool) -> bool {
        self.talkers.min(self.speakers) > u32::from(speaks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Turns = Turns { speakers: 10, talkers: 3, offset_ms: 0, spells: None };

    #[test]
    fn who_alone_talks_hears_nobody() {
        let has_voices =
            |speakers, talkers, speaks| Turns { speakers, talkers, ..ROOM }.has_voices_for(speaks);
        assert!(has_voices(4, 1, false) && !has_voices(4, 1, true));
        assert!(has_voices(4, 2, true) && !has_voices(1, 2, true));
        assert!(!has_voices(4, 0, false));
    }

    fn talking(turns: Turns, ms: u64) -> usize {
        (0..turns.speakers).filter(|it| turns.turn(*it, Duration::from_millis(ms)).is_some()).count()
    }

    #[test]
    fn so_many_talk_at_a_time_but_for_the_pauses() {
        for (speakers, talkers) in [(3, 3), (4, 2), (10, 3), (50, 8), (2, 5), (10, 0)] {
            let turns = Turns { speakers, talkers, ..ROOM };
            let counts: Vec<usize> = (0..120_000).step_by(20).map(|ms| talking(turns, ms)).collect();
            assert_eq!(counts.iter().max().copied(), Some(speakers.min(talkers) as usize), "{turns:?}");
            let mean = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
            assert!(mean >= 0.8 * f64::from(speakers.min(talkers)), "{turns:?}: {mean}");
        }
    }

    #[test]
    fn everybody_gets_turns_numbered_in_order() {
        let turns = Turns { offset_ms: 77, ..ROOM };
        for speaker in 0..10 {
            let numbers =
                (0..120_000).step_by(20).filter_map(|ms| turns.turn(speaker, Duration::from_millis(ms)));
            let mut numbers: Vec<u32> = numbers.map(|turn| turn.number).collect();
            numbers.dedup();
            let first = numbers[0];
            assert!(numbers.len() > 5, "{speaker}");
            assert_eq!(numbers, (first..first + numbers.len() as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn rooms_can_be_out_of_step() {
        let at = |offset_ms| {
            Turns { speakers: 3, talkers: 3, offset_ms, ..ROOM }.turn(0, Duration::from_millis(100)).unwrap()
        };
        assert_eq!(at(500).elapsed - at(0).elapsed, Duration::from_millis(500));
    }

    #[test]
    fn in_a_room_of_spells_everybody_gets_turns_numbered_in_order() {
        for (speakers, talkers) in [(3, 3), (10, 3), (4, 1)] {
            let turns = Turns { speakers, talkers, spells: Spells::of(2, 5, 2), ..ROOM };
            for speaker in 0..speakers {
                let times = (0..400_000).step_by(20).map(Duration::from_millis);
                let mut numbers: Vec<u32> =
                    times.filter_map(|at| turns.turn(speaker, at)).map(|turn| turn.number).collect();
                numbers.dedup();
                let first = numbers[0];
                assert!(numbers.len() > 5, "{turns:?}, {speaker}");
                assert_eq!(numbers, (first..first + numbers.len() as u32).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_room_that_talks_pauses_briefly_and_its_turns_are_no_stubs() {
        for (speakers, talkers) in [(3, 3), (10, 3), (4, 1), (5, 5)] {
            let turns = Turns { speakers, talkers, spells: Spells::of(2, 5, 2), ..ROOM };
            let (mut pause_ms, mut turn_ms) = (0, vec![0; speakers as usize]);
            for at in (0..200_000).map(Duration::from_millis) {
                let talking = talking(turns, at.as_millis() as u64);
                let talks = turns.room_talks(at);
                assert!(talks || talking == 0, "{turns:?} at {at:?}");
                pause_ms = if talks && talking == 0 { pause_ms + 1 } else { 0 };
                assert!(pause_ms <= PAUSE_MS + TURN_MS_MIN, "{turns:?} at {at:?}");
                for (speaker, ms) in (0..).zip(&mut turn_ms) {
                    match turns.turn(speaker, at) {
                        Some(turn) => *ms = turn.elapsed.as_millis() as u64 + 1,
                        None => assert!(*ms == 0 || std::mem::take(ms) >= TURN_MS_MIN, "{turns:?} at {at:?}"),
                    }
                }
            }
        }
    }
}
