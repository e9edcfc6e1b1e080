//! Who of the speakers talks when: a conversation as a function of the time, so that it needs no
//! state and every thread agrees on it.

use std::time::Duration;

/// How many talk at a time: as many as a room has slots by default.
const TALKERS: u32 = 3;

/// How long a turn lasts in each of the conversations; different, so that changes don't coincide.
const TURN_MS: [u64; TALKERS as usize] = [1_900, 2_300, 3_100];

const TALKING_DBOV: i8 = -25;
const QUIET_DBOV: i8 = -70;

/// Speakers that take turns, so that three of them (or all, if they are fewer) talk at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turns {
    /// How many speakers there are.
    pub speakers: u32,
}

impl Turns {
    /// How many talk at a time.
    pub fn talkers(&self) -> u32 {
        self.speakers.min(TALKERS)
    }

    /// Whether the speaker of that index talks at that time.
    pub fn talks(&self, speaker: u32, elapsed: Duration) -> bool {
        // Three conversations side by side; speaker i is in number i mod 3.
        let conversation = speaker % TALKERS;
        let members = (self.speakers + TALKERS - 1 - conversation) / TALKERS;
        let turn = elapsed.as_millis() as u64 / TURN_MS[conversation as usize];
        members > 0 && turn % u64::from(members) == u64::from(speaker / TALKERS)
    }

    /// How loud the speaker is then, in dBov: around -25 while talking, around -70 otherwise.
    pub fn level_dbov(&self, speaker: u32, elapsed: Duration) -> i8 {
        // Syllables: the level wavers by 3 dB, in another rhythm for each speaker.
        let frame = elapsed.as_millis() as u32 / 20;
        let waver = (frame.wrapping_add(speaker * 7) / 5 % 7) as i8 - 3;
        if self.talks(speaker, elapsed) { TALKING_DBOV + waver } else { QUIET_DBOV + waver }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_talk_at_a_time() {
        for speakers in [3, 4, 10, 50] {
            let turns = Turns { speakers };
            for ms in (0..60_000).step_by(20) {
                let talking = (0..speakers).filter(|s| turns.talks(*s, Duration::from_millis(ms))).count();
                assert_eq!(talking, 3, "{speakers} speakers, {ms} ms");
            }
        }
    }

    #[test]
    fn everybody_talks_where_there_are_fewer_than_three() {
        let turns = Turns { speakers: 2 };
        assert!((0..2).all(|s| turns.talks(s, Duration::from_secs(17))));
    }

    #[test]
    fn everybody_gets_a_turn_within_a_minute() {
        let turns = Turns { speakers: 10 };
        for speaker in 0..10 {
            assert!((0..60).any(|s| turns.talks(speaker, Duration::from_secs(s))), "{speaker}");
        }
    }

    #[test]
    fn talkers_are_louder_than_the_rest() {
        let turns = Turns { speakers: 10 };
        for ms in (0..10_000).step_by(20) {
            for speaker in 0..10 {
                let at = Duration::from_millis(ms);
                let range = if turns.talks(speaker, at) { -28..=-22 } else { -73..=-67 };
                assert!(range.contains(&turns.level_dbov(speaker, at)));
            }
        }
    }
}
