//! Rooms on the nodes of a network: what talkers send in, what crosses and who is heard where out.
//!
//! Each node with a part of a room has a shard of it, and does with it what the server does: packets of its own talkers are ranked, those
//! that cross are bundled and published, and what comes from others is ranked by what was judged there.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use selector::{Level, SourceId};
use tercet_cluster::{Brought, Bundle, ClusterEvent, Heard, NodeId, Unbundler};
use tercet_core::{AudioPacket, Encoding, RoomAudio, RoomId, RoomShard, StreamEpoch};
use tercet_protocol::AudioOrigin;
use tercet_selector_bench::trace::Trace;

use crate::network::Network;

/// Main positions, as by default.
pub const SLOTS: usize = 3;

/// Packets of a stream each second.
pub const PACKETS_PER_S: u32 = 50;

/// Opus of 32 kbit/s, without redundancy.
const PAYLOAD_BYTES: usize = 80;

/// In the payload stands to which spurt a packet belongs.
const NO_SPURT: u32 = u32::MAX;

/// A room, by its place in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomIndex(pub usize);

/// What there was of a room on a node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Streams {
    /// Packets that it sent to the room's other nodes.
    pub sent: u64,
    /// Packets that came from them.
    pub received: u64,
}

/// A spurt as it was heard on the room's other nodes.
#[derive(Clone, Debug)]
pub struct Onset {
    /// When its first packet came to its own node.
    pub began: Instant,
    /// How much later its first packet was heard, by node.
    pub heard: BTreeMap<NodeId, Duration>,
    /// On how many nodes it might have been.
    pub nodes: usize,
}

struct Part {
    shard: RoomShard,
    bundle: Bundle,
    unbundlers: FxHashMap<NodeId, Unbundler>,
    streams: Streams,
    /// When something of the room was first heard here.
    heard_at: Option<Instant>,
}

struct Room {
    id: RoomId,
    parts: BTreeMap<NodeId, Part>,
    trace: Rc<Trace>,
    /// When the trace begins, and which of its packets is next.
    begins: Instant,
    next: usize,
    /// On which node each talker is.
    homes: Vec<NodeId>,
    /// How many packets each talker has sent.
    sent: Vec<u64>,
    onsets: FxHashMap<u32, Onset>,
}

/// A network, and the rooms on it.
pub struct Conference {
    /// Nodes, and what is between them.
    pub network: Network,
    rooms: Vec<Room>,
    by_id: FxHashMap<RoomId, RoomIndex>,
    /// Which room's talkers send next, and when.
    due: BinaryHeap<Reverse<(Instant, RoomIndex)>>,
    /// Which nodes each node knows.
    known: BTreeMap<NodeId, BTreeSet<NodeId>>,
}

impl Conference {
    /// No rooms.
    pub fn new(network: Network) -> Conference {
        Conference {
            network,
            rooms: Vec::new(),
            by_id: FxHashMap::default(),
            due: BinaryHeap::new(),
            known: BTreeMap::new(),
        }
    }

    /// Makes a room on some nodes. Its talkers begin after so long, each on the node of its place in `homes`.
    pub fn open(
        &mut self,
        name: &str,
        nodes: &[NodeId],
        homes: Vec<NodeId>,
        (after, trace): (Duration, Rc<Trace>),
    ) -> RoomIndex {
        let index = RoomIndex(self.rooms.len());
        let begins = self.network.now + after;
        if let Some(first) = trace.packets.first() {
            self.due.push(Reverse((begins + Duration::from_micros(first.at_us), index)));
        }
        let id = RoomId::from(name);
        let sent = vec![0; homes.len()];
        let (parts, onsets) = (BTreeMap::new(), FxHashMap::default());
        self.rooms.push(Room { id: id.clone(), parts, trace, begins, next: 0, homes, sent, onsets });
        self.by_id.insert(id, index);
        for node in nodes {
            self.open_on(index, *node);
        }
        index
    }

    /// A node has a part of a room from now on.
    pub fn open_on(&mut self, index: RoomIndex, node: NodeId) {
        let now = self.network.now;
        let room = &mut self.rooms[index.0];
        let shard = RoomShard::new(now, RoomAudio::with_slots(SLOTS));
        let (bundle, unbundlers, streams) = (Bundle::default(), FxHashMap::default(), Streams::default());
        room.parts.insert(node, Part { shard, bundle, unbundlers, streams, heard_at: None });
        let id = room.id.clone();
        self.network.with(node, |now, cluster| cluster.open_room(now, &id));
    }

    /// Ends a node without a word, and its parts of rooms.
    pub fn kill(&mut self, node: NodeId) {
        self.network.kill(node);
        self.known.remove(&node);
        for room in &mut self.rooms {
            room.parts.remove(&node);
        }
    }

    /// Lets so much time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.network.now + time;
        loop {
            let speech = self.due.peek().map(|Reverse((at, _))| *at).filter(|at| *at <= end);
            while self.network.step(speech.unwrap_or(end)) {
                self.take_events();
            }
            if speech.is_none() {
                return;
            }
            if let Some(Reverse((_, index))) = self.due.pop() {
                self.speak(index);
            }
        }
    }

    /// Lets time pass until something is so, at most so long; returns how long it took.
    pub fn run_until(&mut self, most: Duration, is_so: impl Fn(&Conference) -> bool) -> Option<Duration> {
        const STEP: Duration = Duration::from_millis(10);
        let began = self.network.now;
        loop {
            if is_so(self) {
                return Some(self.network.now - began);
            }
            if self.network.now - began >= most {
                return None;
            }
            self.run(STEP);
        }
    }

    /// Whether each of these nodes knows all the others of them, and nobody else.
    pub fn is_whole(&self, nodes: &[NodeId]) -> bool {
        nodes.iter().all(|node| {
            let known = self.known.get(node);
            known.map_or(0, BTreeSet::len) + 1 == nodes.len()
                && known.is_none_or(|known| nodes.iter().all(|other| other == node || known.contains(other)))
        })
    }

    /// How many pairs there are of a node and one that it knows.
    pub fn acquaintances(&self) -> usize {
        self.known.values().map(BTreeSet::len).sum()
    }

    /// Whether any node knows this one.
    pub fn is_known(&self, node: NodeId) -> bool {
        self.known.values().any(|known| known.contains(&node))
    }

    /// Whether all nodes that have a part of a room know of each other.
    pub fn is_room_whole(&self, index: RoomIndex) -> bool {
        let room = &self.rooms[index.0];
        let others = room.parts.len() - 1;
        room.parts.keys().all(|node| self.network.node(*node).nodes_of(&room.id).count() == others)
    }

    /// When something of a room was first heard on a node.
    pub fn heard_at(&self, index: RoomIndex, node: NodeId) -> Option<Instant> {
        self.rooms[index.0].parts.get(&node)?.heard_at
    }

    /// What each node of a room had of it.
    pub fn streams(&self, index: RoomIndex) -> impl Iterator<Item = (NodeId, Streams)> {
        self.rooms[index.0].parts.iter().map(|(node, part)| (*node, part.streams))
    }

    /// The spurts of a room so far.
    pub fn onsets(&self, index: RoomIndex) -> impl Iterator<Item = &Onset> {
        self.rooms[index.0].onsets.values()
    }

    /// Who is heard in a room on a node, by position.
    pub fn speakers(&self, index: RoomIndex, node: NodeId) -> Vec<SourceId> {
        let part = self.rooms[index.0].parts.get(&node);
        part.map_or(Vec::new(), |part| part.shard.speakers().iter().map(|speaker| speaker.source).collect())
    }

    /// Begins to count anew.
    pub fn forget(&mut self) {
        self.network.forget();
        for room in &mut self.rooms {
            room.onsets.clear();
            for part in room.parts.values_mut() {
                part.streams = Streams::default();
            }
        }
    }

    /// A talker sends a packet to their node.
    fn speak(&mut self, index: RoomIndex) {
        let now = self.network.now;
        let room = &mut self.rooms[index.0];
        let packet = room.trace.packets[room.next];
        room.next += 1;
        if room.next == room.trace.packets.len() {
            // Once more from the beginning.
            room.next = 0;
            room.begins += Duration::from_millis(room.trace.length_ms.into());
        }
        let next_at = room.begins + Duration::from_micros(room.trace.packets[room.next].at_us);
        self.due.push(Reverse((next_at.max(now), index)));
        let talker = packet.source as usize;
        let home = room.homes[talker];
        let others = room.parts.len().saturating_sub(1);
        let Some(part) = room.parts.get_mut(&home) else {
            return;
        };
        room.sent[talker] += 1;
        let seq = room.sent[talker];
        if let Some(spurt) = packet.spurt {
            let onset = || Onset { began: now, heard: BTreeMap::new(), nodes: others };
            room.onsets.entry(spurt).or_insert_with(onset);
        }
        let mut payload = vec![0; PAYLOAD_BYTES];
        payload[..4].copy_from_slice(&packet.spurt.unwrap_or(NO_SPURT).to_be_bytes());
        let packet = AudioPacket {
            source: SourceId(packet.source + 1),
            epoch: StreamEpoch::default(),
            seq,
            timestamp: (seq as u32).wrapping_mul(960),
            marker: false,
            encoding: Encoding::Opus,
            level: Level::from_dbov(packet.level_dbov),
            voice: packet.voice,
            payload: Arc::from(payload),
        };
        part.free_positions(now);
        let arrival = part.shard.packet(now, &packet);
        let Some(candidate) = arrival.crossing else {
            return;
        };
        part.streams.sent += 1;
        let heard = Heard { origin: AudioOrigin::Microphone, packet, candidate, pre_roll: arrival.pre_roll };
        let mut bundles = part.bundle.push(&heard);
        bundles.push(part.bundle.take());
        for bundle in bundles {
            self.network.publish(home, &room.id, &bundle);
        }
        self.take_events();
    }

    fn take_events(&mut self) {
        for (_, node, event) in std::mem::take(&mut self.network.events) {
            match event {
                ClusterEvent::NodeUp(other, _) => {
                    self.known.entry(node).or_default().insert(other);
                }
                ClusterEvent::NodeDown(other, _) => {
                    self.known.entry(node).or_default().remove(&other);
                }
                ClusterEvent::RoomNode { room, node: other, is_present: true } => {
                    self.greet(node, other, &room);
                }
                ClusterEvent::Message(_, message) => self.caught_up(node, &message),
                ClusterEvent::Data { room, node: from, data } => self.hear(node, from, &room, &data),
                _ => {}
            }
        }
    }

    /// Tells a node that is new to a room how many changes it has seen.
    fn greet(&mut self, node: NodeId, other: NodeId, id: &RoomId) {
        let Some(part) =
            self.by_id.get(id).and_then(|index| self.rooms.get_mut(index.0)?.parts.get_mut(&node))
        else {
            return;
        };
        let mut message = part.shard.turn().to_be_bytes().to_vec();
        message.extend_from_slice(id.as_str().as_bytes());
        self.network.with(node, |now, cluster| cluster.send(now, other, &message));
    }

    fn caught_up(&mut self, node: NodeId, message: &[u8]) {
        let Some((turn, id)) = message.split_first_chunk::<8>() else {
            return;
        };
        let room = std::str::from_utf8(id).ok().and_then(|id| self.by_id.get(&RoomId::from(id)));
        if let Some(part) = room.and_then(|index| self.rooms.get_mut(index.0)?.parts.get_mut(&node)) {
            part.shard.catch_up(u64::from_be_bytes(*turn));
        }
    }

    /// What is heard on another node comes to a part of the room.
    fn hear(&mut self, node: NodeId, from: NodeId, id: &RoomId, data: &[u8]) {
        let now = self.network.now;
        let Some(room) = self.by_id.get(id).and_then(|index| self.rooms.get_mut(index.0)) else {
            return;
        };
        let Some(part) = room.parts.get_mut(&node) else {
            return;
        };
        for brought in part.unbundlers.entry(from).or_default().read(data) {
            let Brought::Heard(heard) = brought else {
                continue;
            };
            part.streams.received += 1;
            part.free_positions(now);
            if part.shard.crossed(now, &heard.candidate).position.is_none() {
                continue;
            }
            part.heard_at.get_or_insert(now);
            let earlier = heard.pre_roll.iter().map(|earlier| &earlier.packet);
            for packet in earlier.chain([&heard.packet]) {
                let spurt = packet.payload.first_chunk().map(|spurt| u32::from_be_bytes(*spurt));
                if let Some(onset) = spurt.and_then(|spurt| room.onsets.get_mut(&spurt)) {
                    onset.heard.entry(node).or_insert(now - onset.began);
                }
            }
        }
    }
}

impl Part {
    /// Of those who fell silent meanwhile.
    fn free_positions(&mut self, now: Instant) {
        if self.shard.poll_timeout().is_some_and(|at| at <= now) {
            self.shard.handle_timeout(now);
        }
    }
}
