use std::sync::Arc;

use super::*;
use crate::{Encoding, StreamEpoch};

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
        let mut shard = RoomShard::new(now, slots);
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
            let arrival = self.shard.packet(self.now, Origin::Here, &packet);
            if let Some(position) = arrival.position {
                let forwards = self.shard.forward(self.now, &packet, position);
                heard.extend(forwards.map(|f| (f.endpoint.0, f.slot, source)));
            }
        }
        heard.sort();
        heard
    }
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
fn only_candidates_cross_to_other_workers() {
    let mut room = OneWorker::new(1, 0);
    room.shard.set_spans_workers(true);
    let now = room.now + FRAME;
    assert!(room.shard.packet(now, Origin::Here, &packet(1, 1, -20)).candidate);
    assert!(room.shard.packet(now, Origin::Here, &packet(2, 1, -20)).candidate);
    assert!(!room.shard.packet(now, Origin::Here, &packet(3, 1, -20)).candidate);
    // What comes from another worker is not sent on to a third.
    assert!(!room.shard.packet(now, Origin::Elsewhere, &packet(4, 1, -10)).candidate);
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
    let forwards: Vec<Forward> = room.shard.forward(room.now, &packet, 0).collect();
    // Numbers that nobody got were not used up: 2^15 of them would cost the roll-over counter.
    assert_eq!(forwards[0].rewritten.seq, 1);
    assert!(forwards[0].rewritten.marker);
}

#[test]
fn a_room_that_begins_to_span_workers_keeps_its_speakers() {
    let mut room = OneWorker::new(3, 6);
    let levels = [(4, -30), (5, -30), (6, -30), (1, -10), (2, -14), (3, -18)];
    for _ in 0..200 {
        room.frame(&levels);
    }
    let speakers = |room: &OneWorker| -> Vec<u32> {
        let mut speakers: Vec<u32> = room.shard.speakers()[..3].iter().map(|s| s.source.0).collect();
        speakers.sort();
        speakers
    };
    assert_eq!(speakers(&room), [1, 2, 3]);
    room.shard.set_spans_workers(true);
    for _ in 0..100 {
        room.frame(&levels);
        assert_eq!(speakers(&room), [1, 2, 3]);
    }
}
