//! Scenarios in virtual time, 20 ms a packet, and properties over random ones.

use proptest::prelude::*;

use super::*;
use crate::{Change, Reason};

const FRAME: Duration = Duration::from_millis(20);

/// How the level of speech moves, in dB: a vowel that rises fast and falls slowly, and a closure.
const SYLLABLE_DB: [i8; 10] = [-6, 0, 0, -1, -2, -4, -6, -9, -18, -18];

/// From here on, a level is speech, and moves.
const SPEECH_DBOV: i8 = -60;

/// Sources that send one packet each 20 ms, around a level of their own.
struct Talkers {
    selector: Selector,
    now: Duration,
    frames: usize,
    /// Whose voice bit says no, for now.
    unvoiced: Vec<u32>,
    changes: Vec<(Duration, Change)>,
}

impl Talkers {
    fn new(slots: usize) -> Talkers {
        Talkers {
            selector: Selector::new(Params::with_slots(slots)),
            now: Duration::ZERO,
            frames: 0,
            unvoiced: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// Everybody named speaks for `ms` milliseconds at their level in dBov, or is silent at it.
    fn send(&mut self, ms: u64, levels: &[(u32, i8)]) -> &mut Self {
        for _ in 0..ms / 20 {
            let moved = SYLLABLE_DB[self.frames % SYLLABLE_DB.len()];
            self.frames += 1;
            let moved = |dbov| if dbov >= SPEECH_DBOV { dbov + moved } else { dbov };
            let levels: Vec<(u32, i8)> = levels.iter().map(|&(source, dbov)| (source, moved(dbov))).collect();
            self.frame(&levels);
        }
        self
    }

    /// Everybody named sends for `ms` milliseconds at exactly this level.
    fn hum(&mut self, ms: u64, levels: &[(u32, i8)]) -> &mut Self {
        (0..ms / 20).for_each(|_| self.frame(levels));
        self
    }

    fn frame(&mut self, levels: &[(u32, i8)]) {
        self.now += FRAME;
        for &(source, dbov) in levels {
            let voice = Some(!self.unvoiced.contains(&source));
            let packet = Observation::Packet { level: Level::from_dbov(dbov), voice };
            let changes = self.selector.observe(self.now, SourceId(source), packet);
            self.changes.extend(changes.into_iter().map(|c| (self.now, c)));
        }
        let changes = self.selector.tick(self.now);
        self.changes.extend(changes.into_iter().map(|c| (self.now, c)));
    }

    fn main(&self) -> Vec<u32> {
        let positions = self.selector.positions();
        let mut ids: Vec<u32> = positions[..self.selector.slots()].iter().flatten().map(|s| s.0).collect();
        ids.sort();
        ids
    }

    fn reserve(&self) -> Option<u32> {
        self.selector.positions()[self.selector.slots()].map(|s| s.0)
    }
}

fn freed(position: usize, reason: Reason) -> Change {
    Change { position, source: None, reason }
}

#[test]
fn first_packet_of_a_talker_takes_a_free_position() {
    let mut room = Talkers::new(3);
    room.send(20, &[(1, -25)]);
    assert_eq!(room.main(), [1]);
}

#[test]
fn a_quiet_room_has_no_speakers() {
    let mut room = Talkers::new(3);
    room.send(5_000, &[(1, -70), (2, -90), (3, -127)]);
    assert!(room.changes.is_empty());
}

#[test]
fn three_silent_holders_do_not_lock_out_a_fourth() {
    let mut room = Talkers::new(3);
    room.send(1_000, &[(1, -20), (2, -20), (3, -20)]);
    room.send(460, &[(1, -90), (2, -90), (3, -90)]);
    room.send(20, &[(4, -40), (1, -90), (2, -90), (3, -90)]);
    assert!(room.main().contains(&4));
}

#[test]
fn a_speaker_keeps_the_position_while_speaking() {
    let mut room = Talkers::new(3);
    room.send(2_000, &[(1, -25), (2, -25), (3, -25)]);
    room.changes.clear();
    room.send(10_000, &[(1, -25), (2, -25), (3, -25), (4, -22)]);
    assert_eq!(room.main(), [1, 2, 3]);
    assert_eq!(room.reserve(), Some(4));
}

#[test]
fn a_whisper_does_not_take_a_position_from_talkers() {
    let mut room = Talkers::new(3);
    room.send(2_000, &[(1, -25), (2, -25), (3, -25)]);
    room.send(5_000, &[(1, -25), (2, -25), (3, -25), (4, -50)]);
    assert_eq!(room.main(), [1, 2, 3]);
}

#[test]
fn louder_talker_takes_the_quietest_position() {
    let mut room = Talkers::new(3);
    room.send(2_000, &[(1, -20), (2, -40), (3, -25)]);
    room.send(800, &[(1, -20), (2, -40), (3, -25), (4, -22)]);
    assert_eq!(room.main(), [1, 3, 4]);
    assert_eq!(room.reserve(), Some(2));
}

#[test]
fn a_level_is_refreshed_while_its_source_holds_a_position() {
    let mut room = Talkers::new(3);
    room.send(2_000, &[(1, -15), (2, -30), (3, -30)]);
    // 1 was the loudest; it fell to the quietest while holding its position.
    room.send(2_000, &[(1, -50), (2, -30), (3, -30)]);
    room.send(800, &[(1, -50), (2, -30), (3, -30), (4, -28)]);
    assert_eq!(room.main(), [2, 3, 4]);
}

#[test]
fn silence_frees_a_position() {
    let mut room = Talkers::new(3);
    room.send(1_000, &[(1, -25)]);
    room.send(2_480, &[(1, -90)]);
    assert_eq!(room.main(), [1]);
    room.send(20, &[(1, -90)]);
    assert!(room.main().is_empty());
}

#[test]
fn a_source_that_stops_sending_is_released_by_the_timeout() {
    let mut room = Talkers::new(3);
    room.send(200, &[(1, -25)]);
    let due = room.selector.next_timeout().expect("a position is held");
    assert!(room.selector.tick(due - Duration::from_millis(1)).is_empty());
    assert_eq!(room.selector.tick(due).as_slice(), [freed(0, Reason::Idle)]);
}

#[test]
fn a_muted_source_leaves_at_once() {
    let mut room = Talkers::new(3);
    room.send(200, &[(1, -25)]);
    let changes = room.selector.observe(room.now, SourceId(1), Observation::Silence);
    assert_eq!(changes.as_slice(), [freed(0, Reason::Gone)]);
}

#[test]
fn the_reserve_moves_up_when_a_position_becomes_free() {
    let mut room = Talkers::new(3);
    room.send(1_000, &[(1, -25), (2, -25), (3, -25), (4, -25)]);
    assert_eq!(room.reserve(), Some(4));
    room.selector.remove(SourceId(2));
    room.send(20, &[(1, -25), (3, -25), (4, -25)]);
    assert_eq!(room.main(), [1, 3, 4]);
    assert_eq!(room.reserve(), None);
}

#[test]
fn a_sound_that_its_sender_says_is_no_voice_yields_at_once_and_evicts_nobody() {
    let mut room = Talkers::new(2);
    room.send(500, &[(1, -30), (2, -30)]).send(1_000, &[(1, -80), (2, -30), (3, -80)]);
    // From now on 1 types, and 3 begins to speak.
    room.unvoiced = vec![1];
    room.send(400, &[(1, -80), (2, -30), (3, -80)]).send(200, &[(1, -15), (2, -30), (3, -80)]);
    assert_eq!(room.main(), [1, 2]);
    room.send(20, &[(1, -15), (2, -30), (3, -40)]);
    assert_eq!(room.main(), [2, 3]);
    room.send(10_000, &[(1, -15), (2, -30), (3, -40)]);
    assert_eq!(room.main(), [2, 3]);
}

#[test]
fn a_sender_whose_voice_bit_never_says_yes_is_heard_all_the_same() {
    let mut room = Talkers::new(2);
    room.unvoiced = vec![1, 2];
    room.send(500, &[(1, -80), (2, -80)]).send(20, &[(1, -30), (2, -30)]);
    assert_eq!(room.main(), [1, 2]);
    room.send(60, &[(1, -30), (2, -30), (3, -80)]).send(2_000, &[(1, -30), (2, -30), (3, -30)]);
    assert_eq!(room.main(), [1, 2]);
}

#[test]
fn a_slam_keeps_nobody_waiting_who_speaks_since() {
    let mut room = Talkers::new(1);
    room.send(500, &[(1, -80), (2, -80)]);
    (0..12).for_each(|n| room.frame(&[(1, -12 - n), (2, if n < 2 { -80 } else { -30 })]));
    assert_eq!(room.main(), [1]);
    // 2 has been speaking for longer than an onset.
    room.send(180, &[(1, -80), (2, -30)]);
    assert_eq!(room.main(), [2]);
}

#[test]
fn whoever_pauses_is_back_with_the_first_packet_though_others_have_noise() {
    let mut room = Talkers::new(3);
    let fans = [(1, -52), (2, -50), (3, -45)];
    room.hum(2_000, &fans);
    for _ in 0..20 {
        for _ in 0..50 {
            room.send(20, &[(9, -20)]).hum(20, &fans);
            assert!(room.main().contains(&9));
        }
        room.hum(500, &[(1, -52), (2, -50), (3, -45), (9, -80)]);
    }
}

#[test]
fn a_client_that_claims_to_be_loud_loses_to_those_who_talk() {
    let mut room = Talkers::new(3);
    let liars = [(7, 0), (8, 0), (9, 0)];
    room.hum(1_000, &liars);
    for _ in 0..100 {
        room.hum(20, &liars).send(20, &[(1, -25), (2, -40), (3, -30)]);
        assert_eq!(room.main(), [1, 2, 3]);
    }
}

#[test]
fn steady_sounds_rank_by_level_where_nobody_speaks() {
    let mut room = Talkers::new(3);
    room.hum(4_000, &[(1, -50), (2, -40), (3, -30), (4, -20), (5, -10)]);
    assert_eq!(room.main(), [3, 4, 5]);
    assert_eq!(room.reserve(), Some(2));
}

#[test]
fn keystrokes_evict_nobody_who_talks() {
    let mut room = Talkers::new(3);
    let talkers = [(1, -30), (2, -30), (3, -30)];
    for _ in 0..100 {
        room.send(40, &[(1, -30), (2, -30), (3, -30), (4, -12)]);
        room.send(140, &talkers).send(20, &[(4, -72)]);
        assert_eq!(room.main(), [1, 2, 3]);
    }
}

#[test]
fn a_challenge_does_not_outlast_its_spurt() {
    let mut room = Talkers::new(3);
    let talkers = [(1, -30), (2, -30), (3, -30)];
    room.send(3_000, &talkers);
    room.send(120, &[(1, -30), (2, -30), (3, -30), (4, -10)]);
    room.send(60_000, &talkers);
    room.send(120, &[(1, -30), (2, -30), (3, -30), (4, -10)]);
    assert_eq!(room.main(), [1, 2, 3]);
}

fn observations() -> impl Strategy<Value = Vec<(u64, u32, Option<i8>, Option<bool>)>> {
    let one = (0u64..400, 0u32..14, prop::option::weighted(0.95, -127i8..=0), any::<Option<bool>>());
    prop::collection::vec(one, 0..400)
}

proptest! {
    #[test]
    fn nobody_holds_two_positions_and_replays_agree(slots in 1usize..=8, events in observations()) {
        let mut selector = Selector::new(Params::with_slots(slots));
        let mut again = Selector::new(Params::with_slots(slots));
        let mut now = Duration::ZERO;
        let mut followed: Positions = selector.positions();
        for (wait_ms, source, level, voice) in events {
            now += Duration::from_millis(wait_ms);
            let observation = match level {
                Some(dbov) => Observation::Packet { level: Level::from_dbov(dbov), voice },
                None => Observation::Silence,
            };
            let changes = selector.observe(now, SourceId(source), observation);
            prop_assert_eq!(&changes, &again.observe(now, SourceId(source), observation));
            for change in changes {
                followed[change.position] = change.source;
            }
            let positions = selector.positions();
            prop_assert_eq!(&positions, &followed);
            let mut held: Vec<_> = positions.iter().flatten().collect();
            held.sort();
            held.dedup();
            prop_assert_eq!(held.len(), positions.iter().flatten().count());
            if level.is_none() {
                prop_assert!(!positions.contains(&Some(SourceId(source))));
            }
        }
    }
}

#[test]
fn a_pinned_source_has_a_position_for_as_long_as_it_sends() {
    let mut room = Talkers::new(3);
    let talkers = [(1, -25), (2, -25), (3, -25)];
    room.send(3_000, &talkers);
    room.selector.set_standing(SourceId(9), Some(Standing::Pinned));
    room.send(20, &[(1, -25), (2, -25), (3, -25), (9, -90)]);
    assert!(room.main().contains(&9));
    room.send(10_000, &[(1, -5), (2, -5), (3, -5), (4, -5), (9, -90)]);
    assert!(room.main().contains(&9));
    room.send(2_500, &talkers);
    assert_eq!(room.main(), [1, 2, 3]);
}

#[test]
fn a_pinned_source_does_not_take_the_position_of_a_pinned_one() {
    let mut room = Talkers::new(2);
    for source in [1, 2, 3] {
        room.selector.set_standing(SourceId(source), Some(Standing::Pinned));
    }
    room.send(3_000, &[(1, -90), (2, -90), (3, -10)]);
    assert_eq!(room.main(), [1, 2]);
    assert_eq!(room.reserve(), Some(3));
}

#[test]
fn who_has_priority_is_heard_within_five_packets_and_is_not_challenged() {
    let mut room = Talkers::new(3);
    let talkers = [(1, -20), (2, -20), (3, -20), (9, -90)];
    room.selector.set_standing(SourceId(9), Some(Standing::Priority));
    room.send(5_000, &talkers);
    assert_eq!(room.main(), [1, 2, 3]);
    room.send(100, &[(1, -20), (2, -20), (3, -20), (9, -40)]);
    assert!(room.main().contains(&9));
    for _ in 0..100 {
        room.send(100, &[(1, -10), (2, -10), (3, -10), (9, -40)]);
        assert!(room.main().contains(&9));
    }
    // While they are silent they are as everybody else.
    room.send(1_000, &[(1, -20), (2, -20), (3, -20), (9, -90)]);
    assert_eq!(room.main(), [1, 2, 3]);
}

#[test]
fn an_excluded_source_loses_its_position_and_gets_none() {
    let mut room = Talkers::new(3);
    room.send(1_000, &[(1, -20)]);
    let changes = room.selector.set_standing(SourceId(1), Some(Standing::Excluded));
    assert_eq!(changes.as_slice(), [freed(0, Reason::Gone)]);
    room.send(1_000, &[(1, -20)]);
    assert!(room.main().is_empty());
    room.selector.set_standing(SourceId(1), None);
    room.send(20, &[(1, -20)]);
    assert_eq!(room.main(), [1]);
}

#[test]
fn only_those_on_a_list_are_heard_where_all_others_are_excluded() {
    let mut room = Talkers::new(3);
    room.selector.set_standing_of_others(Some(Standing::Excluded));
    room.selector.set_standing(SourceId(2), Some(Standing::Ordinary));
    room.send(1_000, &[(1, -10), (2, -40), (3, -10)]);
    assert_eq!(room.main(), [2]);
}

#[test]
fn each_change_says_why() {
    let mut room = Talkers::new(1);
    room.send(2_000, &[(1, -30), (2, -90), (3, -90)]);
    room.send(1_000, &[(1, -90), (2, -90), (3, -90)]).send(20, &[(2, -30), (3, -90)]);
    room.send(3_000, &[(2, -40), (3, -20)]);
    let main = room.changes.iter().filter(|(_, change)| change.position == 0);
    let reasons: Vec<(Option<SourceId>, Reason)> = main.map(|(_, c)| (c.source, c.reason)).collect();
    assert_eq!(reasons[0], (Some(SourceId(1)), Reason::Free));
    assert!(
        matches!(reasons[1], (Some(SourceId(2)), Reason::Silent { silent_for }) if silent_for.as_millis() >= 1_000)
    );
    assert!(matches!(reasons[2], (Some(SourceId(3)), Reason::Louder { by_db: 6.., .. })), "{reasons:?}");
}

#[test]
fn who_has_priority_keeps_the_position_through_the_pauses_of_a_sentence() {
    let mut room = Talkers::new(1);
    room.selector.set_standing(SourceId(9), Some(Standing::Priority));
    room.send(1_000, &[(9, -30), (1, -90)]);
    for _ in 0..10 {
        room.send(600, &[(9, -90), (1, -20)]);
        assert_eq!(room.main(), [9]);
        room.send(400, &[(9, -30), (1, -20)]);
    }
    room.send(720, &[(9, -90), (1, -20)]);
    assert_eq!(room.main(), [1]);
}
