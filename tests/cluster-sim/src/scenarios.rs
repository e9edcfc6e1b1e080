//! What is measured: a cluster's life, its rooms, and how far a room's streams multiply.

use std::rc::Rc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tercet_cluster::NodeId;

use crate::conference::{Conference, PACKETS_PER_S, RoomIndex};
use crate::figures::{Load, Spread};
use crate::network::{Network, node};
use crate::talk::{all_at_once, meeting};

/// No zone has more nodes.
pub const ZONE_NODES_MAX: usize = 25;

/// A datagram takes so long.
pub const WITHIN_ZONE: Duration = Duration::from_micros(500);
/// Between zones.
pub const BETWEEN_ZONES: Duration = Duration::from_millis(20);

/// Of each node.
pub const PARTICIPANTS_A_NODE: usize = 500;

/// Open microphones in the room that is on all nodes.
pub const TALKERS: u32 = 40;

/// In a small room.
pub const SMALL_ROOM: usize = 10;

/// One of so many small rooms has half of its participants in another zone. The others are each on one node, where they are put together.
pub const SPANS_ONE_IN: usize = 10;

const SECOND: Duration = Duration::from_secs(1);

/// Until nothing of what went before is left.
const SETTLED: Duration = Duration::from_secs(5);

/// How long a cut lasts: until each side has given up the other.
const CUT: Duration = Duration::from_secs(20);

/// So many nodes, in zones of so many at most.
pub fn nodes(count: usize, zone_nodes: usize) -> Vec<NodeId> {
    let name = |n: usize| node((1 + n / zone_nodes) as u8, (1 + n % zone_nodes) as u8);
    (0..count).map(name).collect()
}

fn network(seed: u64) -> Network {
    let mut network = Network::new(seed);
    network.set_delays(WITHIN_ZONE, BETWEEN_ZONES);
    network
}

/// Starts nodes within a second, all of which know the first. Returns how long after the last one each knew all others, and what
/// share of all pairs knew each other after each tenth of a second of all.
fn start(conference: &mut Conference, nodes: &[NodeId], seed: u64) -> (Option<Duration>, Vec<f64>) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut starts: Vec<u64> = nodes.iter().map(|_| rng.random_range(0..1000)).collect();
    starts.sort();
    let mut at_ms = 0;
    let mut known = Vec::new();
    let pairs = (nodes.len() * (nodes.len() - 1)) as f64;
    let mut waiting = nodes.iter().zip(starts).peekable();
    let (mut last_ms, mut whole_ms) = (0, None);
    while whole_ms.is_none() && at_ms < 60_000 {
        while let Some((node, _)) = waiting.next_if(|(_, start_ms)| *start_ms <= at_ms) {
            conference.network.start(*node, &nodes[..1]);
            last_ms = at_ms;
        }
        if at_ms % 100 == 0 {
            known.push(conference.acquaintances() as f64 / pairs);
        }
        conference.run(Duration::from_millis(10));
        at_ms += 10;
        if waiting.peek().is_none() && conference.is_whole(nodes) {
            whole_ms = Some(at_ms);
            known.push(1.0);
        }
    }
    (whole_ms.map(|whole_ms| Duration::from_millis(whole_ms - last_ms)), known)
}

/// What became of a cluster and of the room that is on all its nodes.
#[derive(Clone, Debug)]
pub struct Life {
    /// How many nodes.
    pub nodes: usize,
    /// From the start of the last until each knows all.
    pub started: Option<Duration>,
    /// What share of all pairs knew each other, after each tenth of a second.
    pub known: Vec<f64>,
    /// Another node starts: until it knows all, and all know it.
    pub joined: Option<Duration>,
    /// What crosses while there is no room.
    pub idle: Load,
    /// From the opening of the room on all nodes until all know that.
    pub opened: Option<Duration>,
    /// What crosses while there is talk in it.
    pub talking: Load,
    /// Somebody begins to speak: until they are heard on another node, in milliseconds.
    pub onset_ms: Spread,
    /// Of the spurts, so many on each node.
    pub spurts: usize,
    /// Of these, so many were not heard.
    pub unheard: usize,
    /// Another node opens the room: until something is heard there.
    pub audible: Option<Duration>,
    /// A cut between the first zone and the others, or within the only zone, ends: until the room is whole again.
    pub healed: Option<Duration>,
    /// A node is killed: until nobody takes it for living.
    pub buried: Option<Duration>,
}

/// A cluster of so many nodes from its start, and a room on all of them.
pub fn life(count: usize, seed: u64) -> Life {
    let all = nodes(count, ZONE_NODES_MAX);
    let mut conference = Conference::new(network(seed));
    let (last, first) = all.split_last().expect("there are nodes");
    let (started, known) = start(&mut conference, first, seed);
    conference.run(SETTLED);
    conference.network.start(*last, &all[..1]);
    let joined = conference.run_until(60 * SECOND, |conference| conference.is_whole(&all));
    conference.run(SETTLED);

    const WINDOW: Duration = Duration::from_secs(10);
    conference.network.forget();
    conference.run(WINDOW);
    let idle = Load::of(&conference.network, WINDOW);

    let homes = (0..TALKERS as usize).map(|n| first[n * first.len() / TALKERS as usize]).collect();
    let talk = meeting(seed, TALKERS, 60_000);
    let room = conference.open("hall", first, homes, (Duration::ZERO, talk));
    let opened = conference.run_until(60 * SECOND, |conference| conference.is_room_whole(room));
    conference.run(SETTLED);
    conference.open_on(room, *last);
    let audible = audible(&mut conference, room, *last);
    conference.run(SETTLED);

    conference.forget();
    conference.run(WINDOW);
    let talking = Load::of(&conference.network, WINDOW);
    // What began just now is still under way.
    let is_over = |began| conference.network.now - began > SECOND;
    let onsets: Vec<_> = conference.onsets(room).filter(|onset| is_over(onset.began)).collect();
    let heard = onsets.iter().flat_map(|onset| onset.heard.values());
    let onset_ms = Spread::of(heard.clone().map(|after| after.as_secs_f64() * 1000.0));
    let spurts: usize = onsets.iter().map(|onset| onset.nodes).sum();
    let unheard = spurts - heard.count();

    cut(&mut conference.network, &all, true);
    conference.run(CUT);
    cut(&mut conference.network, &all, false);
    let is_whole = |conference: &Conference| conference.is_whole(&all) && conference.is_room_whole(room);
    let healed = conference.run_until(60 * SECOND, is_whole);
    conference.run(SETTLED);

    let dead = all[count / 2];
    conference.kill(dead);
    let buried = conference.run_until(60 * SECOND, |conference| !conference.is_known(dead));
    Life {
        nodes: count,
        started,
        known,
        joined,
        idle,
        opened,
        talking,
        onset_ms,
        spurts,
        unheard,
        audible,
        healed,
        buried,
    }
}

/// Until something of a room is heard on a node, where it is opened now. Somebody has to be speaking.
fn audible(conference: &mut Conference, room: RoomIndex, node: NodeId) -> Option<Duration> {
    let began = conference.network.now;
    conference.run_until(10 * SECOND, |conference| conference.heard_at(room, node).is_some());
    Some(conference.heard_at(room, node)? - began)
}

/// The first zone from the others; where there is one zone, the first half of it from the second.
fn cut(network: &mut Network, all: &[NodeId], is_cut: bool) {
    let zones = all.last().map_or(1, |last| last.zone);
    for zone in 2..=zones {
        network.cut_zones(1, zone, is_cut);
    }
    if zones == 1 {
        let (one, other) = all.split_at(all.len() / 2);
        for (a, b) in one.iter().flat_map(|a| other.iter().map(move |b| (*a, *b))) {
            network.cut(a, b, is_cut);
        }
    }
}

/// What crosses for small rooms.
#[derive(Clone, Copy, Debug)]
pub struct SmallRooms {
    /// How many nodes.
    pub nodes: usize,
    /// How many rooms.
    pub rooms: usize,
    /// How many of them are on two nodes.
    pub spanning: usize,
    /// What crosses.
    pub load: Load,
    /// Somebody begins to speak: until they are heard on the other node, in milliseconds.
    pub onset_ms: Spread,
}

/// As many small rooms as there are participants for. Those that span nodes are in two zones, where there are several.
pub fn small_rooms(count: usize, seed: u64) -> SmallRooms {
    const WINDOW: Duration = Duration::from_secs(5);
    const TALKS: u64 = 64;
    const TALK_MS: u32 = 60_000;
    let all = nodes(count, ZONE_NODES_MAX);
    let mut conference = Conference::new(network(seed));
    start(&mut conference, &all, seed);
    conference.run(SETTLED);
    let talks: Vec<_> = (0..TALKS).map(|n| meeting(seed + n, SMALL_ROOM as u32, TALK_MS)).collect();
    let mut rng = SmallRng::seed_from_u64(seed);
    let rooms = count * PARTICIPANTS_A_NODE / SMALL_ROOM;
    let spanning = rooms / SPANS_ONE_IN;
    for n in 0..rooms {
        let one = all[n % count];
        if n >= spanning {
            // What is in it crosses no link; that it is there does.
            conference.open(&format!("room-{n}"), &[one], Vec::new(), (Duration::ZERO, Rc::default()));
            conference.run(Duration::from_millis(1));
            continue;
        }
        let other = loop {
            let other = all[rng.random_range(0..count)];
            if other != one && (count <= ZONE_NODES_MAX || other.zone != one.zone) {
                break other;
            }
        };
        let homes = (0..SMALL_ROOM).map(|n| if n % 2 == 0 { one } else { other }).collect();
        let talk = Rc::clone(&talks[n % talks.len()]);
        let after = Duration::from_millis(rng.random_range(0..1000));
        conference.open(&format!("room-{n}"), &[one, other], homes, (after, talk));
        // Somebody opens each.
        conference.run(Duration::from_millis(1));
    }
    conference.run(SETTLED);
    conference.forget();
    conference.run(WINDOW);
    let load = Load::of(&conference.network, WINDOW);
    let onsets = (0..rooms).flat_map(|n| conference.onsets(RoomIndex(n)));
    let heard = onsets.flat_map(|onset| onset.heard.values());
    let onset_ms = Spread::of(heard.map(|after| after.as_secs_f64() * 1000.0));
    SmallRooms { nodes: count, rooms, spanning, load, onset_ms }
}

/// How many streams of a room cross.
#[derive(Clone, Copy, Debug)]
pub struct Crossing {
    /// So many speak at once.
    pub speakers: u32,
    /// Streams that a node receives: packets, by how many a stream has.
    pub received: Spread,
    /// Streams that all nodes send.
    pub sent: f64,
    /// What crosses.
    pub load: Load,
}

/// A room of so many nodes on which so many participants each have a microphone, and so many speak all at once.
pub fn crossing(count: usize, speakers: u32, seed: u64) -> Crossing {
    const WINDOW: Duration = Duration::from_secs(20);
    let all = nodes(count, ZONE_NODES_MAX);
    let mut conference = Conference::new(network(seed));
    start(&mut conference, &all, seed);
    conference.run(SETTLED);
    let talk = all_at_once(seed, speakers, 30_000);
    let homes = (0..speakers as usize).map(|n| all[n % count]).collect();
    let room = conference.open("hall", &all, homes, (SECOND, talk));
    conference.run(SETTLED);
    conference.forget();
    conference.run(WINDOW);
    let a_stream = f64::from(PACKETS_PER_S) * WINDOW.as_secs_f64();
    let received = conference.streams(room).map(|(_, streams)| streams.received as f64 / a_stream);
    let sent = conference.streams(room).map(|(_, streams)| streams.sent as f64 / a_stream).sum();
    let received = Spread::of(received);
    Crossing { speakers, received, sent, load: Load::of(&conference.network, WINDOW) }
}

/// What a zone is like in which there are so many nodes, all linked to each other.
#[derive(Clone, Copy, Debug)]
pub struct Zone {
    /// How many nodes.
    pub nodes: usize,
    /// From the start of the last until each knows all.
    pub started: Option<Duration>,
    /// What crosses without a room.
    pub idle: Load,
}

impl Zone {
    /// Datagrams that are too long to arrive.
    pub fn oversized_a_second(&self) -> f64 {
        self.idle.oversized as f64 / ZONE_WINDOW.as_secs_f64()
    }
}

const ZONE_WINDOW: Duration = Duration::from_secs(5);

/// So many nodes in one zone.
pub fn zone(count: usize, seed: u64) -> Zone {
    let all = nodes(count, count);
    let mut conference = Conference::new(network(seed));
    let (started, _) = start(&mut conference, &all, seed);
    conference.run(SETTLED);
    conference.network.forget();
    conference.run(ZONE_WINDOW);
    Zone { nodes: count, started, idle: Load::of(&conference.network, ZONE_WINDOW) }
}
