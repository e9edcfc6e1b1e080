use std::sync::Arc;

use super::*;
use crate::{Encoding, Rewritten, StreamEpoch};

const FRAME: Duration = Duration::from_millis(20);

/// A room on one worker in which participant n publishes source n and listens at endpoint n.
struct OneWorker {
    shard: RoomShard,
    now: Instant,
    seq: u64,
}

impl OneWorker {
    fn new(slots: usize, participants: u32) -> OneWorker {
        let now = Instant::now();
        OneWorker::of(now, RoomShard::new(now, RoomAudio::with_slots(slots)), participants)
    }

    fn stage(participants: u32) -> OneWorker {
        let now = Instant::now();
        OneWorker::of(now, RoomShard::stage(now), participants)
    }

    fn of(now: Instant, mut shard: RoomShard, participants: u32) -> OneWorker {
        let slots = shard.position_count() - 1;
        for n in 1..=participants {
            shard.add_endpoint(EndpointId(n.into()), SourceId(n), (0..slots).map(|_| Slot::new(0, 0)));
            shard.set_reachable(EndpointId(n.into()), true);
        }
        OneWorker { shard, now, seq: 0 }
    }

    /// Everybody named sends one packet at a level in dBov; returns who heard whom in which slot.
    fn frame(&mut self, levels: &[(u32, i8)]) -> Vec<(u64, usize, u32)> {
        self.now += FRAME;
        self.seq += 1;
        let mut heard = Vec::new();
        for &(source, dbov) in levels {
            let packet = packet(source, self.seq, dbov);
            let arrival = self.shard.packet(self.now, &packet);
            let arrival = Arrival { pre_roll: Vec::new(), ..arrival };
            heard.extend(self.hand_out(&packet, &arrival).iter().map(|h| (h.endpoint, h.slot, source)));
        }
        heard.sort();
        heard
    }

    /// Forwards a packet and gives each listener their turn.
    fn hand_out(&mut self, packet: &AudioPacket, arrival: &Arrival) -> Vec<Heard> {
        self.shard.forward(self.now, packet, arrival);
        let mut heard = Vec::new();
        while let Some(turn) = self.shard.next_turn() {
            heard.extend(take(turn));
        }
        assert_eq!(self.shard.waits_since(), None);
        heard
    }
}

/// What a listener took.
#[derive(Debug)]
struct Heard {
    endpoint: u64,
    slot: usize,
    rewritten: Rewritten,
    /// The packet's own number.
    seq: u64,
}

fn take(turn: Turn<'_>) -> Vec<Heard> {
    let endpoint = turn.endpoint().0;
    let heard = |f: Forward<'_>| Heard { endpoint, slot: f.slot, rewritten: f.rewritten, seq: f.packet.seq };
    turn.forwards().map(heard).collect()
}

/// A packet in a position, of which nothing was said before.
fn arrived_in(position: usize) -> Arrival {
    Arrival { position: Some(position), ..Arrival::default() }
}

fn packet(source: u32, seq: u64, dbov: i8) -> AudioPacket {
    AudioPacket {
        source: SourceId(source),
        epoch: StreamEpoch(0),
        seq,
        timestamp: seq as u32 * 960,
        marker: false,
        encoding: Encoding::Opus,
        level: Level::from_dbov(dbov),
        voice: Some(true),
        payload: Arc::from(&b"opus"[..]),
    }
}

#[test]
fn what_a_talker_misses_of_the_reserve_is_no_gap_in_the_slot() {
    let mut room = OneWorker::new(2, 3);
    for n in 0..50 {
        let talk = if n % 2 == 0 { 0 } else { -20 };
        room.frame(&[(1, talk - 20), (2, talk - 20), (3, talk - 30)]);
    }
    let mut numbers = Vec::new();
    for n in 0..20 {
        if n == 5 {
            room.shard.silence(SourceId(1));
        }
        room.frame(&[]);
        for (source, dbov) in [(1, if (5..10).contains(&n) { -90 } else { -20 - n % 5 }), (3, -90)] {
            let packet = packet(source, room.seq, dbov);
            let arrival = room.shard.packet(room.now, &packet);
            let heard = room.hand_out(&packet, &Arrival { pre_roll: Vec::new(), ..arrival });
            let to_first = heard.iter().filter(|heard| heard.endpoint == 1 && heard.slot == 0);
            numbers.extend(to_first.map(|heard| heard.rewritten.seq));
        }
    }
    assert!((10..18).contains(&numbers.len()), "{numbers:?}");
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
}

#[test]
fn everybody_hears_three_others_and_nobody_themselves() {
    let mut room = OneWorker::new(3, 5);
    let levels = [(1, -10), (2, -20), (3, -30), (4, -40), (5, -50)];
    for _ in 0..100 {
        room.frame(&levels);
    }
    let heard = room.frame(&levels);
    let by = |endpoint: u64| -> Vec<u32> {
        let mut sources: Vec<u32> = heard.iter().filter(|h| h.0 == endpoint).map(|h| h.2).collect();
        sources.sort();
        sources
    };
    assert_eq!(by(1), [2, 3, 4]);
    assert_eq!(by(2), [1, 3, 4]);
    assert_eq!(by(3), [1, 2, 4]);
    assert_eq!(by(4), [1, 2, 3]);
    assert_eq!(by(5), [1, 2, 3]);
}

#[test]
fn a_listener_with_fewer_slots_hears_fewer() {
    let mut room = OneWorker::new(3, 3);
    room.shard.add_endpoint(EndpointId(9), SourceId(9), [Slot::new(0, 0)]);
    room.shard.set_reachable(EndpointId(9), true);
    let heard = room.frame(&[(1, -10), (2, -20), (3, -30)]);
    assert_eq!(heard.iter().filter(|h| h.0 == 9).count(), 1);
}

#[test]
fn a_speaker_who_leaves_is_heard_no_more_and_frees_the_slot() {
    let mut room = OneWorker::new(1, 3);
    room.frame(&[(1, -10), (2, -20)]);
    room.shard.silence(SourceId(1));
    room.shard.remove_endpoint(EndpointId(1));
    assert_eq!(room.frame(&[(2, -20)]), [(3, 0, 2)]);
}

#[test]
fn the_room_forgets_who_stopped_sending() {
    let mut room = OneWorker::new(3, 3);
    room.frame(&[(1, -10)]);
    let due = room.shard.poll_timeout().expect("a position is held");
    room.shard.handle_timeout(due);
    assert!(room.shard.speakers().is_empty());
    assert_eq!(room.shard.poll_timeout(), None);
}

#[test]
fn what_crosses_to_other_workers_is_what_has_a_position() {
    let mut room = OneWorker::new(1, 0);
    let now = room.now + FRAME;
    let mut crosses = |source| room.shard.packet(now, &packet(source, 1, -20)).crossing.is_some();
    assert!(crosses(1), "the slot");
    assert!(crosses(2), "the reserve");
    assert!(!crosses(3));
}

#[test]
fn a_candidate_that_crossed_is_heard_where_it_was_given_a_position() {
    let (mut here, mut there) = (OneWorker::new(3, 4), OneWorker::new(3, 4));
    here.frame(&[(1, -20)]);
    there.now = here.now;
    let arrival = here.shard.packet(here.now, &packet(2, 1, -20));
    let candidate = arrival.crossing.expect("it has a position");
    assert_eq!(there.shard.crossed(there.now, &candidate).position, Some(1));
}

#[test]
fn a_talker_begins_with_what_they_said_before_they_were_heard() {
    let mut room = OneWorker::new(3, 2);
    for _ in 0..10 {
        room.frame(&[(1, -80)]);
    }
    // A soft consonant, and a vowel.
    room.frame(&[(1, -75)]);
    room.seq += 1;
    room.now += FRAME;
    let first = packet(1, room.seq, -30);
    let arrival = room.shard.packet(room.now, &first);
    let seqs: Vec<u64> = arrival.pre_roll.iter().map(|earlier| earlier.packet.seq).collect();
    assert_eq!(seqs, [first.seq - 1]);
    let heard = room.hand_out(&first, &arrival);
    let numbers: Vec<(u64, u32, bool)> =
        heard.iter().map(|Heard { rewritten: r, .. }| (r.seq, r.timestamp, r.marker)).collect();
    assert_eq!(numbers, [(0, 0, true), (1, 960, false)]);
}

#[test]
fn who_had_to_wait_for_a_slot_begins_with_their_first_syllable() {
    let mut room = OneWorker::new(1, 3);
    for n in 0..50 {
        room.frame(&[(1, if n % 2 == 0 { -20 } else { -40 }), (2, -80)]);
    }
    // 1 falls silent 80 ms before 2 begins: a gap within a word, for all that anybody can know.
    for _ in 0..4 {
        room.frame(&[(1, -80), (2, -80)]);
    }
    let onset = room.seq + 1;
    let pre_roll = loop {
        room.frame(&[(1, -80)]);
        let arrival = room.shard.packet(room.now, &packet(2, room.seq, -20));
        if arrival.position == Some(0) {
            break arrival.pre_roll;
        }
    };
    let seqs: Vec<u64> = pre_roll.iter().map(|earlier| earlier.packet.seq).collect();
    assert!(room.seq > onset + 2, "the slot was not theirs at once");
    let first = onset.max(room.seq - 5);
    assert_eq!(seqs, (first..room.seq).collect::<Vec<u64>>());
}

#[test]
fn a_pre_roll_does_not_reach_back_beyond_a_pause() {
    let mut room = OneWorker::new(3, 2);
    room.frame(&[(1, -80)]);
    room.now += Duration::from_millis(400);
    room.seq += 1;
    let arrival = room.shard.packet(room.now, &packet(1, room.seq, -30));
    assert!(arrival.position.is_some() && arrival.pre_roll.is_empty());
}

#[test]
fn who_heard_a_talker_in_the_reserve_hears_no_packet_twice() {
    let mut room = OneWorker::new(1, 3);
    for n in 0..50 {
        let talk = if n % 2 == 0 { 0 } else { -20 };
        room.frame(&[(1, talk - 20), (2, talk - 30)]);
    }
    // 1, who has the slot, hears 2 in the reserve; 2 takes the slot once 1 is gone.
    room.shard.silence(SourceId(1));
    room.seq += 1;
    room.now += FRAME;
    let first = packet(2, room.seq, -30);
    let arrival = room.shard.packet(room.now, &first);
    assert!(!arrival.pre_roll.is_empty(), "2 had no slot");
    let heard = room.hand_out(&first, &arrival);
    let last = heard.iter().filter(|heard| heard.seq == first.seq - 1).map(|heard| heard.endpoint);
    assert_eq!(last.collect::<Vec<u64>>(), [3]);
}

#[test]
fn a_talker_who_heard_the_reserve_gets_nothing_from_before_that() {
    let mut room = OneWorker::new(2, 4);
    for n in 0..50 {
        let talk = if n % 2 == 0 { -20 } else { -40 };
        room.frame(&[(1, talk), (2, talk), (3, -90), (4, -90)]);
    }
    // 3 begins to speak, unheard but by 1 and 2 from the second packet on; then 1 is gone, and 3 has a slot.
    for dbov in [-80, -30, -31, -32] {
        room.frame(&[(3, dbov), (1, -20), (2, -20)]);
    }
    room.shard.silence(SourceId(1));
    room.seq += 1;
    room.now += FRAME;
    let first = packet(3, room.seq, -30);
    let arrival = room.shard.packet(room.now, &first);
    assert!(arrival.pre_roll.len() > 3, "{} packets", arrival.pre_roll.len());
    let heard = room.hand_out(&first, &arrival);
    let of_before: Vec<u64> = heard.iter().filter(|h| h.seq < first.seq).map(|h| h.endpoint).collect();
    assert_eq!(of_before, vec![4; arrival.pre_roll.len()]);
}

#[test]
fn nothing_is_forwarded_to_a_listener_who_cannot_be_reached() {
    let mut room = OneWorker::new(3, 2);
    assert_eq!(room.frame(&[(1, -20)]), [(2, 0, 1)]);
    room.shard.set_reachable(EndpointId(2), false);
    for _ in 0..40_000 {
        assert_eq!(room.frame(&[(1, -20)]), []);
    }
    room.shard.set_reachable(EndpointId(2), true);
    room.seq += 1;
    room.now += FRAME;
    let packet = packet(1, room.seq, -20);
    let heard = room.hand_out(&packet, &arrived_in(0));
    // Numbers that nobody got were not used up: 2^15 of them would cost the roll-over counter.
    assert_eq!(heard[0].rewritten.seq, 1);
    assert!(heard[0].rewritten.marker);
}

#[test]
fn the_stage_belongs_to_whoever_came_first_however_quiet() {
    let mut room = OneWorker::stage(3);
    assert_eq!(room.frame(&[(1, -127)]), [(2, 0, 1), (3, 0, 1)]);
    for _ in 0..500 {
        // Nor does its holder hear the one who waits.
        assert_eq!(room.frame(&[(1, -127), (2, -10)]), [(2, 0, 1), (3, 0, 1)]);
    }
    assert_eq!(room.shard.speakers().iter().map(|s| s.source.0).collect::<Vec<u32>>(), [1]);
}

#[test]
fn the_stage_is_free_once_its_holder_is_silenced_or_stopped() {
    let mut room = OneWorker::stage(3);
    room.frame(&[(1, -20), (2, -20), (3, -20)]);
    room.shard.silence(SourceId(1));
    assert_eq!(room.frame(&[(2, -20), (3, -20)]), [(1, 0, 2), (3, 0, 2)]);
    let stopped_at = room.now;
    while room.now + FRAME < stopped_at + SHARE_RELEASE_AFTER {
        assert_eq!(room.frame(&[(3, -20)]), []);
    }
    assert_eq!(room.frame(&[(3, -20)]), [(1, 0, 3), (2, 0, 3)]);
}

#[test]
fn of_those_who_share_only_the_one_on_the_stage_crosses() {
    let mut room = OneWorker::stage(0);
    let now = room.now + FRAME;
    let mut crosses = |source| room.shard.packet(now, &packet(source, 1, -20)).crossing.is_some();
    assert!(crosses(1) && !crosses(2) && crosses(1));
}

#[test]
fn a_share_that_crossed_keeps_those_of_other_workers_waiting() {
    let (mut here, mut there) = (OneWorker::stage(3), OneWorker::stage(3));
    there.now = here.now;
    for seq in 1..100 {
        let arrival = here.shard.packet(here.now, &packet(1, seq, -60));
        let candidate = arrival.crossing.expect("it has the stage");
        assert_eq!(there.shard.crossed(there.now, &candidate).position, Some(0));
        assert_eq!(there.frame(&[(2, -10)]), []);
        here.now = there.now;
    }
    assert!(here.shard.silence(SourceId(1)));
    there.shard.silence(SourceId(1));
    assert_eq!(there.frame(&[(2, -10)]), [(1, 0, 2), (3, 0, 2)]);
}

#[test]
fn a_listener_takes_what_came_since_their_last_turn() {
    let mut room = OneWorker::new(1, 3);
    room.frame(&[(1, -20)]);
    let forward = |room: &mut OneWorker, seq| {
        let packet = packet(1, seq, -20);
        room.shard.forward(room.now, &packet, &arrived_in(0));
    };
    let turn = |room: &mut OneWorker| {
        let heard = take(room.shard.next_turn()?);
        Some((heard[0].endpoint, heard.iter().map(|heard| heard.seq).collect::<Vec<u64>>()))
    };
    let begin = room.now;
    forward(&mut room, 2);
    // The speaker takes nothing, but it is their turn.
    assert_eq!(room.shard.next_turn().map(|turn| turn.forwards().count()), Some(0));
    assert_eq!(turn(&mut room), Some((2, vec![2])));
    room.now += FRAME;
    forward(&mut room, 3);
    assert_eq!(turn(&mut room), Some((3, vec![2, 3])));
    assert_eq!(room.shard.waits_since(), Some(begin));
    // The round is over; who had their turn before the second packet came has the next.
    assert!(room.shard.next_turn().is_none());
    assert_eq!(room.shard.waits_since(), Some(begin + FRAME));
    assert_eq!(room.shard.next_turn().map(|turn| turn.forwards().count()), Some(0));
    assert_eq!(turn(&mut room), Some((2, vec![3])));
    assert!(room.shard.next_turn().is_none());
    assert_eq!(room.shard.waits_since(), None);
}

#[test]
fn whoever_leaves_takes_nobodys_turn_along() {
    for gone in 2..=6 {
        for after in 0..6 {
            let mut room = OneWorker::new(1, 6);
            room.frame(&[(1, -20)]);
            room.shard.forward(room.now, &packet(1, 2, -20), &arrived_in(0));
            let mut reached: Vec<u64> = Vec::new();
            let mut turns = |room: &mut OneWorker, turns| {
                for _ in 0..turns {
                    reached.extend(
                        room.shard.next_turn().into_iter().flat_map(take).map(|heard| heard.endpoint),
                    );
                }
                reached.clone()
            };
            turns(&mut room, after);
            room.shard.remove_endpoint(EndpointId(gone));
            let mut reached = turns(&mut room, 6);
            reached.sort();
            let was_first = reached.contains(&gone);
            let expected: Vec<u64> = (2..=6).filter(|&n| n != gone || was_first).collect();
            assert_eq!(reached, expected, "{gone} left after {after} turns");
            assert_eq!(room.frame(&[(1, -20)]).len(), 4);
        }
    }
}

#[test]
fn who_waits_too_long_misses_the_oldest() {
    let mut room = OneWorker::new(1, 2);
    room.frame(&[(1, -20)]);
    for seq in 2..102 {
        room.shard.forward(room.now, &packet(1, seq, -20), &arrived_in(0));
    }
    while let Some(turn) = room.shard.next_turn() {
        assert_eq!(
            (turn.waits_since(), turn.missed()),
            (Some(room.now), 100 - 2 * WAITING_A_POSITION as u64)
        );
        let is_listener = turn.endpoint() == EndpointId(2);
        let seqs: Vec<u64> = take(turn).iter().map(|heard| heard.seq).collect();
        let last = 102 - 2 * WAITING_A_POSITION as u64..102;
        assert_eq!(seqs, if is_listener { last.collect() } else { Vec::new() });
    }
}

#[test]
fn who_is_told_to_be_reachable_again_loses_nothing_that_waits() {
    let mut room = OneWorker::new(1, 2);
    room.frame(&[(1, -20)]);
    room.shard.forward(room.now, &packet(1, 2, -20), &arrived_in(0));
    // An ICE restart of a connection that never broke ends with being connected.
    room.shard.set_reachable(EndpointId(2), true);
    let mut seqs = Vec::new();
    while let Some(turn) = room.shard.next_turn() {
        seqs.extend(take(turn).iter().map(|heard| heard.seq));
    }
    assert_eq!(seqs, [2]);
}

/// Endpoint and source 60, to whom nobody else listens, say something to endpoint 2, who chose to hear them.
fn one_of_sixty_is_viewed() -> OneWorker {
    let mut room = OneWorker::new(3, 60);
    let only = Some([SourceId(60)].into());
    room.shard.set_listening(room.now, EndpointId(2), Some(Listening { only, ..Listening::default() }));
    for _ in 0..50 {
        room.frame(&[(1, -20), (3, -20), (4, -20), (5, -20), (60, -40)]);
    }
    room
}

#[test]
fn what_one_chose_to_hear_is_nobody_elses_turn() {
    let mut room = one_of_sixty_is_viewed();
    room.shard.forward(
        room.now,
        &packet(60, room.seq + 1, -40),
        &Arrival { viewed: true, ..Arrival::default() },
    );
    let mut turns = Vec::new();
    while let Some(turn) = room.shard.next_turn() {
        turns.push(turn.endpoint());
    }
    assert_eq!(turns, [EndpointId(2)]);
}

#[test]
fn what_some_chose_to_hear_costs_nobody_else_a_packet() {
    let mut room = OneWorker::new(3, 60);
    room.frame(&[(1, -20)]);
    // One frame of the speaker, and of each of 25 to whom somebody chose to listen: 20 ms of a busy room.
    room.shard.forward(room.now, &packet(1, 2, -20), &arrived_in(0));
    for source in 20..45 {
        let viewed = Arrival { viewed: true, ..Arrival::default() };
        room.shard.forward(room.now, &packet(source, 2, -40), &viewed);
    }
    let mut heard = Vec::new();
    while let Some(turn) = room.shard.next_turn() {
        heard.extend(take(turn));
    }
    assert_eq!(heard.len(), 59);
}

#[test]
fn what_is_in_the_reserve_is_the_turn_of_those_who_hold_slots_alone() {
    let mut room = OneWorker::new(1, 5);
    for n in 0..50 {
        let talk = if n % 2 == 0 { 0 } else { -20 };
        room.frame(&[(1, talk - 20), (2, talk - 30)]);
    }
    let turns = |room: &mut OneWorker| {
        let mut turns = Vec::new();
        while let Some(turn) = room.shard.next_turn() {
            let (endpoint, missed) = (turn.endpoint().0, turn.missed());
            turns.push((endpoint, turn.forwards().count(), missed));
        }
        turns.sort();
        turns
    };
    room.shard.forward(room.now, &packet(2, 100, -30), &arrived_in(1));
    assert_eq!(turns(&mut room), [(1, 1, 0)]);
    room.shard.forward(room.now, &packet(2, 101, -30), &arrived_in(1));
    room.shard.forward(room.now, &packet(1, 101, -30), &arrived_in(0));
    assert_eq!(turns(&mut room), [(1, 1, 0), (2, 1, 0), (3, 1, 0), (4, 1, 0), (5, 1, 0)]);
    assert_eq!(room.shard.waits_since(), None);
    // What was only in the reserve was nothing that others missed.
    for seq in 200..300 {
        room.shard.forward(room.now, &packet(2, seq, -30), &arrived_in(1));
        turns(&mut room);
    }
    for seq in 300..310 + 2 * WAITING_A_POSITION as u64 {
        room.shard.forward(room.now, &packet(1, seq, -30), &arrived_in(0));
    }
    assert!(turns(&mut room).iter().all(|(_, _, missed)| *missed == 10));
}
