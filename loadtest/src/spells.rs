//! Which of many rooms talk when: the time in, the spell of a room out. Like [`Turns`](crate::Turns) a function of the time,
//! so that every thread and every receiver agrees on it.
//!
//! ```text
//! room 0  ████████░░░░░░░░░░░░████████░░░░    2 of 5 rooms talk at any time: each for a spell,
//! room 1  ░░░░████████░░░░░░░░░░░░████████    one after another
//! room 2  ░░░░░░░░████████░░░░░░░░░░░░████
//! ```

use std::time::Duration;

/// How long a room talks: several turns. Short enough that a run of ten seconds hears as many rooms begin as talk at a time.
const SPELL_MS: u64 = 9_000;

/// When one of many rooms talks, of which only so many do at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spells {
    room: u32,
    rooms: u32,
    talking: u32,
}

/// A spell that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spell {
    /// Which of the room's spells it is.
    pub(crate) number: u64,
    /// Since it began.
    pub(crate) since_ms: u64,
    /// The same for all.
    pub(crate) length_ms: u64,
}

impl Spells {
    /// Those of one of `rooms`, of which `talking` talk at a time. `None` if all do: then there is nothing to wait for.
    pub fn of(room: u32, rooms: u32, talking: u32) -> Option<Spells> {
        (talking < rooms).then_some(Spells { room, rooms, talking: talking.max(1) })
    }

    /// The spell that goes on at that time, if the room talks.
    pub(crate) fn at(&self, elapsed: Duration) -> Option<Spell> {
        let (position_ms, cycle_ms) = (self.position_ms(elapsed), self.cycle_ms());
        let (number, since_ms, length_ms) =
            (position_ms / cycle_ms, position_ms % cycle_ms, self.length_ms());
        (since_ms < length_ms).then_some(Spell { number, since_ms, length_ms })
    }

    /// How much of that time, at most in one piece, the room talks.
    pub(crate) fn longest_between(&self, from: Duration, to: Duration) -> Duration {
        let (from_ms, to_ms, cycle_ms) = (self.position_ms(from), self.position_ms(to), self.cycle_ms());
        let pieces_ms = (from_ms / cycle_ms..=to_ms / cycle_ms).map(|number| {
            let began_ms = number * cycle_ms;
            to_ms.min(began_ms + self.length_ms()).saturating_sub(from_ms.max(began_ms))
        });
        Duration::from_millis(pieces_ms.max().unwrap_or(0))
    }

    /// Rooms begin one after another: never all at once.
    fn step_ms(&self) -> u64 {
        (SPELL_MS / u64::from(self.talking)).max(1)
    }

    fn length_ms(&self) -> u64 {
        self.step_ms() * u64::from(self.talking)
    }

    /// From the beginning of a spell to that of the room's next one.
    fn cycle_ms(&self) -> u64 {
        self.step_ms() * u64::from(self.rooms)
    }

    /// The time since a beginning of the room's, the first of which is before the epoch.
    fn position_ms(&self, elapsed: Duration) -> u64 {
        elapsed.as_millis() as u64 + u64::from(self.rooms - self.room % self.rooms) * self.step_ms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn talking(rooms: u32, talking: u32, at: Duration) -> Vec<u32> {
        let talks = |room: &u32| Spells::of(*room, rooms, talking).is_none_or(|it| it.at(at).is_some());
        (0..rooms).filter(talks).collect()
    }

    #[test]
    fn so_many_rooms_talk_at_any_time() {
        for (rooms, talk) in [(1_000, 30), (100, 30), (31, 30), (2, 1), (7, 3)] {
            for ms in (0..60_000).step_by(130) {
                assert_eq!(
                    talking(rooms, talk, at(ms)).len(),
                    talk as usize,
                    "{talk} of {rooms} after {ms} ms"
                );
            }
        }
        assert_eq!((Spells::of(3, 10, 10), Spells::of(0, 1, 30)), (None, None), "all talk");
    }

    #[test]
    fn every_room_has_its_spells_one_after_another() {
        let spells = Spells::of(3, 7, 3).unwrap();
        let numbers = (0..120_000).step_by(20).filter_map(|ms| Some(spells.at(at(ms))?.number));
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.dedup();
        assert!(numbers.len() > 4);
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        let heard: Vec<u32> = (0..7).filter(|room| talking(7, 3, at(200)).contains(room)).collect();
        assert_ne!(heard, talking(7, 3, at(9_200)), "it isn't always the same");
    }

    #[test]
    fn a_spell_is_as_long_as_it_says() {
        let spells = Spells::of(4, 10, 2).unwrap();
        let talks = (0..spells.cycle_ms()).filter(|ms| spells.at(at(*ms)).is_some()).count() as u64;
        assert_eq!(talks, spells.length_ms());
        let first = (0..).map(at).find(|time| spells.at(*time).is_some_and(|it| it.since_ms == 0)).unwrap();
        assert_eq!(spells.at(first + at(spells.length_ms() - 1)).unwrap().since_ms, SPELL_MS - 1);
        assert_eq!(spells.at(first + at(spells.length_ms())), None);
    }

    #[test]
    fn silence_between_spells_is_nobodys() {
        let spells = Spells::of(0, 10, 1).unwrap();
        // It talks from 0 to 9 s, and again from 90 to 99 s.
        let longest = |from, to| spells.longest_between(at(from), at(to)).as_millis();
        assert_eq!(longest(8_000, 8_300), 300);
        assert_eq!(longest(8_000, 89_000), 1_000);
        assert_eq!(longest(8_900, 90_200), 200, "the longer piece of two");
        assert_eq!(longest(8_900, 180_100), 9_000, "a spell of which nothing was heard");
        assert_eq!((longest(10_000, 90_000), longest(8_000, 8_000)), (0, 0));
    }
}
