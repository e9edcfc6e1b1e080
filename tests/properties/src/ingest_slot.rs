//! Publishers' packets in any order and with any numbers, through [`Ingest`] and [`RoomShard`] into
//! listeners' slots: no listener sees a sequence number twice, nobody hears themselves, nobody who is
//! muted is heard, no packet is in two slots, and no jump is wide enough to lose a listener's SRTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use selector::{Level, SourceId};
use tercet_core::{
    Earlier, Encoding, EndpointId, FORWARDS_MAX, Gate, IncomingRtp, Ingest, RoomAudio, RoomShard, Slot,
};

const PARTICIPANTS: usize = 6;

/// RFC 3711, section 3.3.1: beyond it a receiver takes the number for one of another roll-over.
const JUMP_MAX: u64 = 1 << 15;

#[derive(Arbitrary, Debug)]
enum Event {
    /// A packet with numbers relative to the publisher's last ones.
    Packet {
        who: u8,
        seq: i32,
        ticks: i32,
        level_dbov: Option<i8>,
        bytes: u16,
        new_ssrc: bool,
    },
    /// Frames as a client sends them, 20 ms apart.
    Speech {
        who: u8,
        level_dbov: i8,
        frames: u8,
    },
    Gate {
        who: u8,
        gate: u8,
    },
    Reconnect {
        who: u8,
    },
    Leave {
        who: u8,
    },
    Timeout,
    Pass {
        ms: u16,
    },
}

/// What happens.
#[derive(Arbitrary, Debug)]
pub struct Input {
    slots: u8,
    first_seq: u16,
    first_timestamp: u32,
    events: Vec<Event>,
}

struct Participant {
    source: SourceId,
    endpoint: EndpointId,
    ingest: Ingest,
    ssrc: u32,
    seq: u64,
    timestamp: u32,
    /// By SSRC and number. SRTP lets no packet pass twice (RFC 3711, section 3.3.2).
    passed: BTreeSet<(u32, u64)>,
}

/// What a listener got on one SSRC.
#[derive(Default)]
struct Stream {
    numbers: BTreeSet<u64>,
    newest: Option<u64>,
}

struct Room {
    now: Instant,
    slots: usize,
    first_seq: u16,
    first_timestamp: u32,
    shard: RoomShard,
    participants: Vec<Participant>,
    streams: BTreeMap<(EndpointId, usize), Stream>,
}

impl Room {
    fn new(input: &Input) -> Room {
        let now = Instant::now();
        let slots = usize::from(input.slots % 8) + 1;
        let mut room = Room {
            now,
            slots,
            // As the server chooses it: see `FIRST_SEQ_MAX` there.
            first_seq: input.first_seq % (1 << 14),
            first_timestamp: input.first_timestamp,
            shard: RoomShard::new(now, RoomAudio::with_slots(slots)),
            participants: Vec::new(),
            streams: BTreeMap::new(),
        };
        for n in 0..PARTICIPANTS as u32 {
            room.participants.push(Participant {
                source: SourceId(n + 1),
                endpoint: EndpointId(u64::from(n) + 1),
                ingest: Ingest::new(SourceId(n + 1), Gate::Open, now),
                ssrc: n,
                seq: u64::from(input.first_seq),
                timestamp: input.first_timestamp,
                passed: BTreeSet::new(),
            });
            room.attach(n as usize);
        }
        room
    }

    /// A connection begins: its slots are new, and so are its streams.
    fn attach(&mut self, who: usize) {
        let (endpoint, source) = (self.participants[who].endpoint, self.participants[who].source);
        let slots = (0..self.slots).map(|_| Slot::new(self.first_seq, self.first_timestamp));
        self.shard.add_endpoint(endpoint, source, slots);
        self.shard.set_reachable(endpoint, true);
        self.streams.retain(|(of, _), _| *of != endpoint);
    }

    fn event(&mut self, event: &Event) {
        match *event {
            Event::Packet { who, seq, ticks, level_dbov, bytes, new_ssrc } => {
                let participant = &mut self.participants[usize::from(who) % PARTICIPANTS];
                participant.ssrc = participant.ssrc.wrapping_add(u32::from(new_ssrc) * PARTICIPANTS as u32);
                participant.seq = participant.seq.saturating_add_signed(seq.into());
                participant.timestamp = participant.timestamp.wrapping_add_signed(ticks);
                // A busy worker gets round to its listeners later.
                self.packet(usize::from(who) % PARTICIPANTS, level_dbov, bytes, bytes % 2 == 0);
            }
            Event::Speech { who, level_dbov, frames } => {
                let who = usize::from(who) % PARTICIPANTS;
                for _ in 0..frames {
                    self.now += Duration::from_millis(20);
                    self.participants[who].seq += 1;
                    self.participants[who].timestamp = self.participants[who].timestamp.wrapping_add(960);
                    self.packet(who, Some(level_dbov), 80, true);
                }
            }
            Event::Gate { who, gate } => {
                let who = usize::from(who) % PARTICIPANTS;
                let gate = [Gate::Open, Gate::Muted, Gate::ListenOnly][usize::from(gate) % 3];
                self.participants[who].ingest.set_gate(gate);
                if gate != Gate::Open {
                    self.shard.silence(self.participants[who].source);
                }
            }
            Event::Reconnect { who } => {
                let who = usize::from(who) % PARTICIPANTS;
                self.shard.silence(self.participants[who].source);
                self.participants[who].ingest.restart();
                self.participants[who].passed.clear();
                self.attach(who);
            }
            Event::Leave { who } => {
                let who = usize::from(who) % PARTICIPANTS;
                self.shard.silence(self.participants[who].source);
                self.shard.remove_endpoint(self.participants[who].endpoint);
            }
            Event::Timeout => {
                self.shard.handle_timeout(self.now);
                self.hand_out();
            }
            Event::Pass { ms } => self.now += Duration::from_millis(ms.into()),
        }
    }

    fn packet(&mut self, who: usize, level_dbov: Option<i8>, bytes: u16, hands_out: bool) {
        let now = self.now;
        let participant = &mut self.participants[who];
        if !participant.passed.insert((participant.ssrc, participant.seq)) {
            return;
        }
        let payload: Arc<[u8]> = vec![who as u8; usize::from(bytes % 1_500)].into();
        let rtp = IncomingRtp {
            ssrc: participant.ssrc,
            seq: participant.seq,
            timestamp: participant.timestamp,
            marker: false,
            encoding: Encoding::Opus,
            level: level_dbov.map(Level::from_dbov),
            voice: None,
            payload,
        };
        let Ok(packet) = participant.ingest.handle(now, rtp) else { return };
        assert_eq!(participant.ingest.gate(), Gate::Open, "nobody is heard behind a shut gate");
        assert!(!packet.payload.is_empty(), "padding is not forwarded");
        let arrival = self.shard.packet(now, &packet);
        assert_eq!(arrival.crossing.is_some(), arrival.position.is_some(), "what is heard crosses");
        for Earlier { packet: before, .. } in &arrival.pre_roll {
            assert!(before.source == packet.source && before.seq < packet.seq, "somebody else's past");
        }
        self.shard.forward(now, &packet, &arrival);
        if hands_out {
            self.hand_out();
        }
    }

    /// Each listener takes what has come since their last turn.
    fn hand_out(&mut self) {
        while let Some(turn) = self.shard.next_turn() {
            let endpoint = turn.endpoint();
            let listener = self.participants.iter().find(|p| p.endpoint == endpoint);
            let listener = listener.expect("forwarded to somebody who is known");
            let mut forwards = 0;
            for forward in turn.forwards() {
                forwards += 1;
                assert_ne!(listener.source, forward.packet.source, "somebody hears themselves");
                assert!(forward.slot < self.slots);
                let stream = self.streams.entry((endpoint, forward.slot)).or_default();
                let seq = forward.rewritten.seq;
                assert!(stream.numbers.insert(seq), "number {seq} was used twice");
                if let Some(newest) = stream.newest {
                    assert!(newest.abs_diff(seq) < JUMP_MAX, "a jump from {newest} to {seq}");
                }
                stream.newest = stream.newest.max(Some(seq));
            }
            assert!(forwards <= FORWARDS_MAX, "{forwards} packets in one turn");
        }
    }
}

/// Panics where it doesn't hold.
pub fn check(input: &Input) {
    let mut room = Room::new(input);
    for event in &input.events {
        room.event(event);
        let speakers = room.shard.speakers();
        let sources: BTreeSet<SourceId> = speakers.iter().map(|speaker| speaker.source).collect();
        assert_eq!(sources.len(), speakers.len(), "somebody has two positions");
    }
}
