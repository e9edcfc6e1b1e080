//! What an opened receiver hears: stamps in; how long packets were under way, and what is missing where somebody
//! begins to speak, out.

use std::time::{Duration, Instant};

use crate::Histogram;
use crate::stamp::{Reading, Stamp};

/// What is sent at once arrives within this time: half a frame.
const AT_ONCE: Duration = Duration::from_millis(10);
/// What a server keeps from before a talker was chosen is no older (100 ms, and some on the way); what is, came late.
const PRE_ROLL_AGE_MAX: Duration = Duration::from_millis(150);
/// The first 100 ms of a turn, in frames of 20 ms.
const ONSET_FRAMES: u16 = 5;
const FRAME: Duration = Duration::from_millis(20);
/// A turn that is older than this has been heard or it hasn't.
const DECIDED: Duration = Duration::from_millis(600);

/// The room of a participant's number is above this bit, their place in the room below.
pub(crate) const ROOM_SHIFT: u32 = 16;

/// Counts of all opened receivers of a thread, or of all threads.
#[derive(Clone, Debug, Default)]
pub struct HeardCounts {
    /// Packets that were decrypted, authenticated and looked into.
    pub packets: u64,
    /// Those whose payload isn't what was sent.
    pub damaged: u64,
    /// Those that hold nothing of ours.
    pub foreign: u64,
    /// Those of the receiver's own voice.
    pub own: u64,
    /// Those of other rooms.
    pub of_other_rooms: u64,
    /// Those that came after a later one of the same publisher.
    pub misordered: u64,
    /// From the publisher's send call to the arrival at the receiver.
    pub mouth_to_ear: Histogram,
    /// The same, of those that the server kept until their source was chosen.
    pub pre_roll: Histogram,
    /// From the beginning of a turn to the arrival of its first packet.
    pub switch_delay: Histogram,
    /// How much of the first 100 ms of a turn is missing.
    pub onset_missing: Histogram,
    /// Turns of which nothing came.
    pub turns_missed: u64,
}

impl HeardCounts {
    /// Adds the counts of another thread over the same window.
    pub fn merge(&mut self, other: &HeardCounts) {
        self.packets += other.packets;
        self.damaged += other.damaged;
        self.foreign += other.foreign;
        self.own += other.own;
        self.of_other_rooms += other.of_other_rooms;
        self.misordered += other.misordered;
        self.mouth_to_ear.merge(&other.mouth_to_ear);
        self.pre_roll.merge(&other.pre_roll);
        self.switch_delay.merge(&other.switch_delay);
        self.onset_missing.merge(&other.onset_missing);
        self.turns_missed += other.turns_missed;
    }
}

/// One opened receiver.
#[derive(Clone, Debug)]
pub(crate) struct Hearing {
    participant: u32,
    /// Turns that began earlier don't count.
    since: Instant,
    streams: Vec<Stream>,
    publishers: Vec<Publisher>,
}

/// The newest packet of a stream: what it was shows when the next one comes.
#[derive(Clone, Copy, Debug)]
struct Stream {
    ssrc: u32,
    publisher: u32,
    received: Instant,
    age: Duration,
    /// All packets of this publisher so far came at once.
    is_beginning: bool,
}

#[derive(Clone, Copy, Debug)]
struct Publisher {
    number: u32,
    count: u32,
    turn: Option<HeardTurn>,
}

#[derive(Clone, Copy, Debug)]
struct HeardTurn {
    number: u16,
    began: Instant,
    /// Which of its first frames came.
    onset: u8,
}

impl Hearing {
    pub(crate) fn new(participant: u32, now: Instant) -> Hearing {
        Hearing { participant, since: now, streams: Vec::new(), publishers: Vec::new() }
    }

    /// Begins anew.
    pub(crate) fn start_counting(&mut self, now: Instant) {
        *self = Hearing::new(self.participant, now);
    }

    /// Notes a packet.
    pub(crate) fn note(&mut self, ssrc: u32, payload: &[u8], at: Instant, counts: &mut HeardCounts) {
        counts.packets += 1;
        let stamp = match Stamp::read(payload) {
            Reading::Intact(stamp) => stamp,
            Reading::Damaged => return counts.damaged += 1,
            Reading::Foreign => return counts.foreign += 1,
        };
        counts.own += u64::from(stamp.publisher == self.participant);
        let is_of_this_room = stamp.publisher >> ROOM_SHIFT == self.participant >> ROOM_SHIFT;
        counts.of_other_rooms += u64::from(!is_of_this_room);
        self.note_age(ssrc, &stamp, at, counts);
        self.note_turn(&stamp, at, counts);
    }

    /// Counts the age of the packet before this one: a burst that ends shows that it was a pre-roll.
    fn note_age(&mut self, ssrc: u32, stamp: &Stamp, at: Instant, counts: &mut HeardCounts) {
        let publisher = stamp.publisher;
        let mut new = Stream { ssrc, publisher, received: at, age: stamp.age(at), is_beginning: true };
        let Some(newest) = self.streams.iter_mut().find(|it| it.ssrc == ssrc) else {
            return self.streams.push(new);
        };
        if newest.publisher == publisher {
            let is_at_once = at.saturating_duration_since(newest.received) < AT_ONCE;
            new.is_beginning = newest.is_beginning && is_at_once;
        }
        let was_kept = new.is_beginning && newest.publisher == publisher && newest.age <= PRE_ROLL_AGE_MAX;
        let ages = if was_kept { &mut counts.pre_roll } else { &mut counts.mouth_to_ear };
        ages.record(newest.age);
        *newest = new;
    }

    fn note_turn(&mut self, stamp: &Stamp, at: Instant, counts: &mut HeardCounts) {
        let found = self.publishers.iter().position(|it| it.number == stamp.publisher);
        let index = found.unwrap_or_else(|| {
            self.publishers.push(Publisher { number: stamp.publisher, count: stamp.count, turn: None });
            self.publishers.len() - 1
        });
        let publisher = &mut self.publishers[index];
        counts.misordered += u64::from(stamp.count < publisher.count);
        publisher.count = publisher.count.max(stamp.count);
        let Some(began) = stamp.turn_began().filter(|began| *began >= self.since) else { return };
        let turn = match &mut publisher.turn {
            Some(turn) if turn.number == stamp.turn => turn,
            former => {
                if let Some(former) = former {
                    former.decide(counts);
                    // A turn of before, late, counts nothing.
                    let step = stamp.turn.wrapping_sub(former.number) as i16;
                    counts.turns_missed += (step.max(1) - 1) as u64;
                }
                counts.switch_delay.record(at.saturating_duration_since(began));
                former.insert(HeardTurn { number: stamp.turn, began, onset: 0 })
            }
        };
        if stamp.frame_of_turn < ONSET_FRAMES {
            turn.onset |= 1 << stamp.frame_of_turn;
        }
    }

    /// Counts the turns that nothing more can change.
    pub(crate) fn finish(&self, now: Instant, counts: &mut HeardCounts) {
        let turns = self.publishers.iter().filter_map(|publisher| publisher.turn);
        for turn in turns.filter(|turn| now.saturating_duration_since(turn.began) > DECIDED) {
            turn.decide(counts);
        }
    }
}

impl HeardTurn {
    fn decide(&self, counts: &mut HeardCounts) {
        let missing = u32::from(ONSET_FRAMES) - self.onset.count_ones();
        counts.onset_missing.record(FRAME * missing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch;
    use crate::stamp::QUIET;

    const LISTENER: u32 = 100;

    struct Ear {
        hearing: Hearing,
        counts: HeardCounts,
    }

    impl Ear {
        fn new() -> Ear {
            Ear { hearing: Hearing::new(LISTENER, at(0)), counts: HeardCounts::default() }
        }

        /// A packet of a turn, by the number of its frame; turns begin at 3 s each.
        fn hears(&mut self, publisher: u32, turn: u16, frame_of_turn: u16, received_ms: u64) {
            let sent_ms = u64::from(turn) * 3_000 + u64::from(frame_of_turn) * 20;
            let stamp = Stamp { publisher, count: sent_ms as u32, sent_us: us(sent_ms), turn, frame_of_turn };
            self.hears_stamp(stamp, received_ms);
        }

        fn hears_stamp(&mut self, stamp: Stamp, received_ms: u64) {
            let payload = stamp.seal(&[9 << 3, 1, 2, 3]);
            self.hearing.note(1, &payload, at(received_ms), &mut self.counts);
        }
    }

    fn us(ms: u64) -> u64 {
        1_000_000 + ms * 1_000
    }

    fn at(ms: u64) -> Instant {
        epoch() + Duration::from_micros(us(ms))
    }

    #[test]
    fn what_begins_with_a_burst_was_kept_but_for_the_last_of_it() {
        let mut ear = Ear::new();
        let mut hears = |publisher, sent_ms, received_ms| {
            let stamp = Stamp {
                publisher,
                count: sent_ms as u32,
                sent_us: us(sent_ms),
                turn: 0,
                frame_of_turn: QUIET,
            };
            ear.hears_stamp(stamp, received_ms);
        };
        // One is heard as they speak, also where two packets come late and together.
        for (sent, received) in [(0, 2), (20, 22), (40, 70), (60, 70), (80, 82)] {
            hears(1, sent, received);
        }
        // Another follows, with two packets from before.
        for (sent, received) in [(60, 102), (80, 102), (100, 103), (120, 122), (140, 142)] {
            hears(2, sent, received);
        }
        let (live, kept) = (&ear.counts.mouth_to_ear, &ear.counts.pre_roll);
        assert_eq!((live.count(), kept.count()), (7, 2));
        assert_eq!((live.max(), kept.max()), (Duration::from_millis(30), Duration::from_millis(42)));
    }

    #[test]
    fn a_turn_that_is_heard_late_lacks_its_beginning() {
        let mut ear = Ear::new();
        (2..40).for_each(|frame| ear.hears(7, 1, frame, 3_000 + u64::from(frame) * 20 + 5));
        ear.hearing.finish(at(3_800), &mut ear.counts);
        assert_eq!(ear.counts.switch_delay.max(), Duration::from_millis(45));
        assert_eq!(ear.counts.onset_missing.max(), Duration::from_millis(40));
    }

    #[test]
    fn a_pre_roll_makes_a_turn_whole() {
        let mut ear = Ear::new();
        (0..40).for_each(|frame| ear.hears(7, 1, frame, 3_000 + u64::from(frame.max(3)) * 20 + 5));
        ear.hears(7, 2, 0, 6_001);
        assert_eq!(ear.counts.onset_missing.max(), Duration::ZERO);
        assert_eq!((ear.counts.onset_missing.count(), ear.counts.switch_delay.count()), (1, 2));
    }

    #[test]
    fn turns_that_nobody_heard_are_missed() {
        let mut ear = Ear::new();
        ear.hears(7, 1, 0, 3_001);
        ear.hears(7, 4, 0, 12_001);
        assert_eq!(ear.counts.turns_missed, 2);
    }

    #[test]
    fn a_turn_of_before_the_window_counts_nothing() {
        let mut ear = Ear::new();
        ear.hearing.start_counting(at(3_100));
        ear.hears(7, 1, 10, 3_205);
        ear.hearing.finish(at(9_000), &mut ear.counts);
        assert_eq!((ear.counts.switch_delay.count(), ear.counts.onset_missing.count()), (0, 0));
    }

    #[test]
    fn ones_own_voice_and_strangers_are_noticed() {
        let mut ear = Ear::new();
        ear.hears(LISTENER, 1, 0, 3_001);
        ear.hears(1 << ROOM_SHIFT | 3, 1, 0, 3_001);
        ear.hears(3, 1, 0, 3_001);
        assert_eq!((ear.counts.own, ear.counts.of_other_rooms, ear.counts.packets), (1, 1, 3));
    }

    #[test]
    fn what_is_not_as_it_was_sent_is_noticed() {
        let mut ear = Ear::new();
        ear.hears(3, 1, 5, 3_101);
        ear.hears(3, 1, 4, 3_102);
        ear.hearing.note(1, b"something else", at(3_103), &mut ear.counts);
        assert_eq!((ear.counts.misordered, ear.counts.foreign), (1, 1));
    }
}
