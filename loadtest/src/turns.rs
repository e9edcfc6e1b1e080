//! Who of the speakers talks when: a conversation as a function of the time, so that it needs no
//! state and every thread agrees on it.

use std::time::Duration;

/// How long a turn lasts with the pause after it, in conversations side by side; different, so that
/// changes rarely coincide.
const PERIOD_MS: [u64; 5] = [2_300, 3_100, 1_900, 2_700, 3_700];

/// Between the turns of a conversation.
const PAUSE_MS: u64 = 300;

/// Speakers that take turns, so that a number of them (or all, if they are fewer) talk at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turns {
    /// How many speakers there are.
    pub speakers: u32,
    /// How many talk at a time: conversations side by side.
    pub talkers: u32,
    /// Begins the script here: rooms beside each other don't speak in step.
    pub offset_ms: u64,
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
        let at_ms = elapsed.as_millis() as u64 + self.offset_ms;
        let (period, since_ms) = (at_ms / period_ms, at_ms % period_ms);
        let is_theirs = period % members == u64::from(speaker / talkers);
        (is_theirs && since_ms < period_ms - PAUSE_MS)
            .then(|| Turn { number: (period / members) as u32, elapsed: Duration::from_millis(since_ms) })
    }
}

impl Turns {
    /// Whether a participant has always somebody else to hear, but for the pauses between turns: a speaker doesn't while
    /// they alone talk.
    pub fn has_voices_for(&self, speaks: bool) -> bool {
        self.talkers.min(self.speakers) > u32::from(speaks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_alone_talks_hears_nobody() {
        let has_voices =
            |speakers, talkers, speaks| Turns { speakers, talkers, offset_ms: 0 }.has_voices_for(speaks);
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
            let turns = Turns { speakers, talkers, offset_ms: 0 };
            let counts: Vec<usize> = (0..120_000).step_by(20).map(|ms| talking(turns, ms)).collect();
            assert_eq!(counts.iter().max().copied(), Some(speakers.min(talkers) as usize), "{turns:?}");
            let mean = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
            assert!(mean >= 0.8 * f64::from(speakers.min(talkers)), "{turns:?}: {mean}");
        }
    }

    #[test]
    fn everybody_gets_turns_numbered_in_order() {
        let turns = Turns { speakers: 10, talkers: 3, offset_ms: 77 };
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
            Turns { speakers: 3, talkers: 3, offset_ms }.turn(0, Duration::from_millis(100)).unwrap()
        };
        assert_eq!(at(500).elapsed - at(0).elapsed, Duration::from_millis(500));
    }
}
