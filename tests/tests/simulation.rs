//! Rooms in virtual time: seeded talkers over a network that loses, delays and reorders, on several
//! workers, with people who come, go and mute themselves. What must never happen is checked at
//! every packet. A failure names its seed; `SEED=n` replays it alone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use selector::{Level, SourceId};
use tercet_core::{
    Arrival, AudioPacket, Encoding, EndpointId, Gate, IncomingRtp, Ingest, Listening, Rewritten, RoomAudio,
    RoomShard, Slot, StreamEpoch,
};

const FRAME_MS: u64 = 20;
const WORKERS: usize = 3;
const ROOMS: usize = 2;
const SLOTS: usize = 3;

/// How bad the network is.
#[derive(Clone, Copy)]
struct Network {
    loss: f64,
    /// Each datagram is delayed by up to so much, so that they overtake each other.
    jitter_ms: u64,
}

/// A packet that a listener took.
struct Heard {
    endpoint: EndpointId,
    slot: usize,
    rewritten: Rewritten,
    packet: AudioPacket,
}

/// A participant: talks in spurts, on a worker, to an endpoint of their own.
struct Participant {
    room: usize,
    worker: usize,
    source: SourceId,
    endpoint: EndpointId,
    ingest: Ingest,
    seq: u64,
    talking: bool,
    loudness_dbov: i8,
    muted: bool,
    listening: Option<Listening>,
}

/// What an endpoint got in one slot: timestamp and origin by sequence number.
type Stream = BTreeMap<u64, (u32, SourceId)>;

struct World {
    seed: u64,
    rng: StdRng,
    start: Instant,
    now_ms: u64,
    network: Network,
    /// By room and worker.
    shards: Vec<Vec<RoomShard>>,
    participants: Vec<Participant>,
    /// Datagrams under way: when they arrive, in which order they were sent, whose they are.
    under_way: BinaryHeap<Reverse<(u64, u64, SourceId)>>,
    datagrams: BTreeMap<u64, IncomingRtp>,
    sent: u64,
    streams: BTreeMap<(EndpointId, usize), Stream>,
    /// Who heard which packet.
    heard: BTreeSet<(EndpointId, SourceId, StreamEpoch, u64)>,
    pre_rolled: usize,
    viewed: usize,
    next_id: u32,
}

/// How the level of speech moves, in dB, frame by frame: a vowel that rises fast and falls slowly, and a closure.
const SYLLABLE_DB: [i8; 10] = [-6, 0, 0, -1, -2, -4, -6, -9, -18, -18];

impl World {
    fn new(seed: u64, network: Network) -> World {
        let start = Instant::now();
        let shard = || RoomShard::new(start, RoomAudio::with_slots(SLOTS));
        World {
            seed,
            rng: StdRng::seed_from_u64(seed),
            start,
            now_ms: 0,
            network,
            shards: (0..ROOMS).map(|_| (0..WORKERS).map(|_| shard()).collect()).collect(),
            participants: Vec::new(),
            under_way: BinaryHeap::new(),
            datagrams: BTreeMap::new(),
            sent: 0,
            streams: BTreeMap::new(),
            heard: BTreeSet::new(),
            pre_rolled: 0,
            viewed: 0,
            next_id: 1,
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.now_ms)
    }

    fn join(&mut self, room: usize) -> SourceId {
        let (source, endpoint) = (SourceId(self.next_id), EndpointId(self.next_id.into()));
        self.next_id += 1;
        let worker = self.rng.random_range(0..WORKERS);
        let slots: Vec<Slot> =
            (0..SLOTS).map(|_| Slot::new(self.rng.random_range(0..1 << 14), self.rng.random())).collect();
        self.shards[room][worker].add_endpoint(endpoint, source, slots);
        self.shards[room][worker].set_reachable(endpoint, true);
        self.participants.push(Participant {
            room,
            worker,
            source,
            endpoint,
            ingest: Ingest::new(source, Gate::Open, self.now()),
            seq: self.rng.random_range(0..60_000),
            talking: false,
            loudness_dbov: self.rng.random_range(-45..-12),
            muted: false,
            listening: None,
        });
        source
    }

    fn leave(&mut self, index: usize) {
        let gone = self.participants.swap_remove(index);
        self.silence(gone.room, gone.worker, gone.source);
        self.shards[gone.room][gone.worker].remove_endpoint(gone.endpoint);
    }

    /// What a worker does when a source falls silent: its own shard first, then the others.
    fn silence(&mut self, room: usize, worker: usize, source: SourceId) {
        if self.shards[room][worker].silence(source) {
            for other in (0..WORKERS).filter(|&other| other != worker) {
                self.shards[room][other].silence(source);
            }
        }
    }

    fn mute(&mut self, index: usize) {
        let participant = &mut self.participants[index];
        participant.muted = !participant.muted;
        participant.ingest.set_gate(if participant.muted { Gate::Muted } else { Gate::Open });
        let (room, worker, source) = (participant.room, participant.worker, participant.source);
        if participant.muted {
            self.silence(room, worker, source);
        }
    }

    /// Somebody chooses whom to hear, or ceases to.
    fn choose(&mut self, index: usize) {
        let room = self.participants[index].room;
        let of_room: Vec<SourceId> =
            self.participants.iter().filter(|p| p.room == room).map(|p| p.source).collect();
        let rng = &mut self.rng;
        let mut some = || of_room.iter().copied().filter(|_| rng.random_bool(0.4)).collect();
        let listening = match self.sent % 3 {
            0 => None,
            1 => Some(Listening { only: Some(some()), except: some() }),
            _ => Some(Listening { only: None, except: some() }),
        };
        let now = self.now();
        let participant = &mut self.participants[index];
        participant.listening = listening.clone();
        self.shards[room][participant.worker].set_listening(now, participant.endpoint, listening);
        let wanted: BTreeSet<SourceId> = self
            .participants
            .iter()
            .filter_map(|p| p.listening.as_ref().filter(|_| p.room == room)?.only.clone())
            .flatten()
            .collect();
        for shard in &mut self.shards[room] {
            shard.set_wanted(wanted.iter().copied());
        }
    }

    /// Everybody sends a frame; what is due arrives.
    fn frame(&mut self) {
        for index in 0..self.participants.len() {
            self.send(index);
        }
        for _ in 0..FRAME_MS {
            self.now_ms += 1;
            while let Some(&Reverse((at, id, source))) = self.under_way.peek() {
                if at > self.now_ms {
                    break;
                }
                self.under_way.pop();
                let rtp = self.datagrams.remove(&id).expect("a datagram under way is kept");
                self.arrive(source, rtp);
            }
        }
        let now = self.now();
        for shard in self.shards.iter_mut().flatten() {
            shard.handle_timeout(now);
        }
    }

    fn send(&mut self, index: usize) {
        let level_dbov = {
            let participant = &self.participants[index];
            let jitter: i8 = self.rng.random_range(-2..=2);
            let syllable = SYLLABLE_DB[participant.seq as usize % SYLLABLE_DB.len()];
            if participant.talking { participant.loudness_dbov + syllable + jitter } else { -80 + jitter }
        };
        let lost = self.rng.random_bool(self.network.loss);
        let padding = self.rng.random_bool(0.01);
        let delay_ms = 1 + self.rng.random_range(0..=self.network.jitter_ms);
        let participant = &mut self.participants[index];
        participant.seq += 1;
        if lost {
            return;
        }
        // The room is written into the payload: what arrives elsewhere is found out.
        let payload: Vec<u8> = if padding { Vec::new() } else { vec![participant.room as u8] };
        let rtp = IncomingRtp {
            ssrc: participant.source.0,
            seq: participant.seq,
            timestamp: (participant.seq as u32).wrapping_mul(960),
            marker: false,
            encoding: Encoding::Opus,
            level: Some(Level::from_dbov(level_dbov)),
            voice: Some(true),
            payload: payload.into(),
        };
        self.sent += 1;
        self.datagrams.insert(self.sent, rtp);
        self.under_way.push(Reverse((self.now_ms + delay_ms, self.sent, participant.source)));
    }

    fn arrive(&mut self, source: SourceId, rtp: IncomingRtp) {
        let now = self.now();
        let Some(participant) = self.participants.iter_mut().find(|p| p.source == source) else {
            return;
        };
        let (room, worker) = (participant.room, participant.worker);
        let Ok(packet) = participant.ingest.handle(now, rtp) else {
            return;
        };
        let arrival = self.shards[room][worker].packet(now, &packet);
        self.pre_rolled += arrival.pre_roll.len();
        for other in (0..WORKERS).filter(|&other| other != worker) {
            if let Some(candidate) = &arrival.crossing {
                let there = self.shards[room][other].crossed(now, candidate);
                self.deliver(room, other, &packet, &Arrival { pre_roll: arrival.pre_roll.clone(), ..there });
            }
        }
        self.deliver(room, worker, &packet, &arrival);
    }

    fn deliver(&mut self, room: usize, worker: usize, packet: &AudioPacket, arrival: &Arrival) {
        let now = self.now();
        let shard = &mut self.shards[room][worker];
        shard.forward(now, packet, arrival);
        let mut heard = Vec::new();
        while let Some(turn) = shard.next_turn() {
            let endpoint = turn.endpoint();
            let forwards = turn.forwards();
            heard.extend(forwards.map(|f| Heard {
                endpoint,
                slot: f.slot,
                rewritten: f.rewritten,
                packet: f.packet.clone(),
            }));
        }
        self.arrive_in_slots(heard);
    }

    fn arrive_in_slots(&mut self, all: Vec<Heard>) {
        let seed = self.seed;
        for Heard { endpoint, slot, rewritten, packet } in all {
            let listener = self.participants.iter().find(|p| p.endpoint == endpoint);
            let listener = listener.unwrap_or_else(|| panic!("seed {seed}: forwarded to somebody who left"));
            assert_ne!(listener.source, packet.source, "seed {seed}: somebody hears themselves");
            assert_eq!(usize::from(packet.payload[0]), listener.room, "seed {seed}: a packet left its room");
            if let Some(Listening { only, except }) = &listener.listening {
                self.viewed += 1;
                let wanted = only.as_ref().is_none_or(|only| only.contains(&packet.source));
                assert!(
                    wanted && !except.contains(&packet.source),
                    "seed {seed}: somebody hears who is not wanted"
                );
            }
            let heard = (endpoint, packet.source, packet.epoch, packet.seq);
            assert!(self.heard.insert(heard), "seed {seed}: somebody hears a packet twice");
            let stream = self.streams.entry((endpoint, slot)).or_default();
            let former = stream.insert(rewritten.seq, (rewritten.timestamp, packet.source));
            assert_eq!(former, None, "seed {seed}: a sequence number was used twice");
        }
    }

    /// On each SSRC, time only goes forward with the sequence numbers.
    fn assert_streams_are_monotonic(&self) {
        let seed = self.seed;
        for ((endpoint, slot), stream) in &self.streams {
            let numbers: Vec<(&u64, &(u32, SourceId))> = stream.iter().collect();
            for pair in numbers.windows(2) {
                let ticks = pair[1].1.0.wrapping_sub(pair[0].1.0) as i32;
                assert!(ticks > 0, "seed {seed}: {endpoint} slot {slot}: time goes back at {:?}", pair);
            }
        }
    }

    fn assert_each_speaker_has_one_position(&self) {
        for shard in self.shards.iter().flatten() {
            let speakers = shard.speakers();
            for (n, speaker) in speakers.iter().enumerate() {
                let again = speakers[n + 1..].iter().any(|other| other.source == speaker.source);
                assert!(!again, "seed {}: {:?} has two positions", self.seed, speaker.source);
            }
        }
    }

    fn everybody_falls_silent(&mut self) {
        for participant in &mut self.participants {
            participant.talking = false;
        }
    }
}

/// All seeds, or the one that is asked for.
fn for_each_seed(run: impl Fn(u64)) {
    match std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => run(seed),
        None => (0..30).for_each(run),
    }
}

#[test]
fn whatever_happens_in_a_room_its_listeners_get_sound_streams() {
    for_each_seed(|seed| {
        let networks = [
            Network { loss: 0.0, jitter_ms: 0 },
            Network { loss: 0.02, jitter_ms: 15 },
            Network { loss: 0.1, jitter_ms: 80 },
        ];
        let mut world = World::new(seed, networks[seed as usize % networks.len()]);
        for n in 0..16 {
            world.join(n % ROOMS);
        }
        for _ in 0..1_500 {
            let somebody = world.rng.random_range(0..world.participants.len());
            match world.rng.random_range(0..100) {
                0..12 => world.participants[somebody].talking ^= true,
                12..14 => world.mute(somebody),
                16..18 => world.choose(somebody),
                14 if world.participants.len() > 6 => world.leave(somebody),
                15 if world.participants.len() < 24 => {
                    let room = world.rng.random_range(0..ROOMS);
                    world.join(room);
                }
                _ => {}
            }
            world.frame();
            world.assert_each_speaker_has_one_position();
        }
        world.assert_streams_are_monotonic();
        assert!(
            world.streams.values().map(BTreeMap::len).sum::<usize>() > 1_000,
            "seed {seed}: hardly anything was heard"
        );
        assert!(world.viewed > 0, "seed {seed}: nobody heard whom they chose");
        assert!(world.pre_rolled > 0, "seed {seed}: nobody's beginning was kept");
        world.everybody_falls_silent();
        // Longer than a position is held through a pause.
        for _ in 0..150 {
            world.frame();
        }
        for shard in world.shards.iter().flatten() {
            assert!(shard.speakers().is_empty(), "seed {seed}: silence did not free a slot");
        }
    });
}

#[test]
fn up_to_three_talkers_are_heard_by_everybody_on_every_worker() {
    for_each_seed(|seed| {
        let mut world = World::new(seed, Network { loss: 0.0, jitter_ms: 10 });
        for _ in 0..9 {
            world.join(0);
        }
        let talkers = world.rng.random_range(1..=SLOTS);
        for participant in &mut world.participants[..talkers] {
            participant.talking = true;
        }
        let frames = 200;
        for _ in 0..frames {
            world.frame();
        }
        for listener in &world.participants {
            let others = world.participants[..talkers]
                .iter()
                .filter(|talker| talker.source != listener.source)
                .count();
            let streams = world.streams.iter().filter(|((endpoint, _), _)| *endpoint == listener.endpoint);
            let heard: usize = streams.map(|(_, stream)| stream.len()).sum();
            // One frame in a hundred is padding, and a few are still under way.
            assert!(
                heard >= others * frames * 96 / 100,
                "seed {seed}: {heard} of {} frames heard",
                others * frames
            );
        }
    });
}

#[test]
fn every_worker_comes_to_hear_the_same_speakers() {
    for_each_seed(|seed| {
        let mut world = World::new(seed, Network { loss: 0.0, jitter_ms: 0 });
        for n in 0..8 {
            world.join(0);
            // 9 dB apart: nobody is within the margin of anybody.
            world.participants[n].loudness_dbov = -10 - 9 * n as i8;
            world.participants[n].talking = n < 5;
        }
        for _ in 0..400 {
            world.frame();
        }
        let main = |shard: &RoomShard| {
            let mut sources: Vec<u32> =
                shard.speakers().iter().filter(|s| s.position < SLOTS).map(|s| s.source.0).collect();
            sources.sort();
            sources
        };
        for shard in &world.shards[0] {
            assert_eq!(main(shard), [1, 2, 3], "seed {seed}");
        }
    });
}
