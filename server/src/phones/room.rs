//! The part of a room that this node's phones are in: their frames and what other workers forward in; out, for each phone what
//! it is to hear, and for other workers the phones' packets.
//!
//! To the room it is one more worker: it ranks its publishers with a [`RoomShard`] of its own, so phones compete for the same
//! positions as everybody. Whoever has a position is decoded once and added once; a phone that has one hears the sum without
//! itself, all others hear the same sum, encoded once a codec.
//!
//! ```text
//! phones' frames ─▶ Voice ─▶ RoomShard ─▶ crossings: packets of phones with a position
//!         │                      │ who has which position
//! other workers' packets ─▶ Stream: decode
//!         └──────────────────────┴─▶ MixMinus ─▶ all: limiter, one encoder a codec ─▶ payloads
//!                                           └─▶ without oneself ─▶ the phone's own limiter, and encoder
//! ```

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use audio_mixer::{Codec, Encoder, Frame, FrameKind, Limiter, MixMinus, Ramp, SILENCE};
use bytes::Bytes;
use rustc_hash::FxHashMap;
use selector::{SourceId, Standing};
use tercet_core::{Arrival, AudioPacket, EndpointId, Gate, RoomAudio, RoomId, RoomShard};
use tercet_protocol::{AudioOrigin, ByAudio};
use tracing::warn;

use super::stream::Stream;
use super::voice::Voice;
use crate::media::{Crossing, HeardPacket, News, OpenEndpoint, WorkerId};

/// A room has this many speakers at most who are decoded: its positions, its stage, and those who just lost one.
const STREAMS_MAX: usize = 24;

/// A phone's part of a room.
struct Phone {
    voice: Voice,
    gate: Gate,
    /// What it says in this tick; `None` for silence.
    frame: Option<Frame>,
    /// It has a position: its sum is another than that of others.
    own_limiter: Option<Limiter>,
    is_publishing: bool,
}

/// What the control plane has to know.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PhoneEvent {
    Started(EndpointId),
    Ended(EndpointId),
}

/// The part of a room that this node's phones are in.
pub(crate) struct PhoneRoom {
    id: RoomId,
    shards: ByAudio<RoomShard>,
    others: Vec<WorkerId>,
    wanted_by: FxHashMap<SourceId, Vec<WorkerId>>,
    /// In the order of their coming.
    phones: BTreeMap<EndpointId, Phone>,
    /// Whose voice it is: a phone's own, and its own on another node while it moves from one to the other.
    voices: FxHashMap<SourceId, EndpointId>,
    streams: FxHashMap<SourceId, Stream>,
    /// What all hear who have no position.
    mix: MixMinus,
    reserve: Frame,
    /// Who is in the mix, with what was added of them: whoever it is doesn't hear it.
    mixed: Vec<(SourceId, Frame)>,
    /// Those phones that are in the mix.
    in_mix: Vec<EndpointId>,
    ramps: FxHashMap<SourceId, Ramp>,
    reserve_of: Option<SourceId>,
    limiter: Limiter,
    shared: Frame,
    /// As it was in the tick before.
    shared_before: Frame,
    encoders: Vec<(Codec, Box<dyn Encoder>)>,
    /// The payloads of this tick, by codec.
    payloads: Vec<(Codec, Bytes)>,
    scratch: Vec<u8>,
    outgoing: Vec<(WorkerId, Crossing)>,
    events: Vec<PhoneEvent>,
}

impl PhoneRoom {
    pub(crate) fn new(now: Instant, id: RoomId, audio: RoomAudio) -> PhoneRoom {
        PhoneRoom {
            id,
            shards: ByAudio { microphone: RoomShard::new(now, audio), screen: RoomShard::stage(now) },
            others: Vec::new(),
            wanted_by: FxHashMap::default(),
            phones: BTreeMap::new(),
            voices: FxHashMap::default(),
            streams: FxHashMap::default(),
            mix: MixMinus::default(),
            reserve: SILENCE,
            mixed: Vec::new(),
            in_mix: Vec::new(),
            ramps: FxHashMap::default(),
            reserve_of: None,
            limiter: Limiter::default(),
            shared: SILENCE,
            shared_before: SILENCE,
            encoders: Vec::new(),
            payloads: Vec::new(),
            scratch: Vec::new(),
            outgoing: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(super) fn id(&self) -> &RoomId {
        &self.id
    }

    pub(super) fn is_empty(&self) -> bool {
        self.phones.is_empty()
    }

    pub(super) fn add(&mut self, open: &OpenEndpoint) {
        let phone = Phone {
            voice: Voice::new(open.sources.microphone),
            gate: open.gates.microphone,
            frame: None,
            own_limiter: None,
            is_publishing: false,
        };
        self.voices.insert(phone.voice.source(), open.endpoint);
        self.phones.insert(open.endpoint, phone);
    }

    pub(super) fn remove(&mut self, id: EndpointId) {
        if let Some(phone) = self.phones.remove(&id) {
            self.voices.retain(|_, phone| *phone != id);
            self.silence_own(phone.voice.source());
            self.shards.microphone.set_standing(phone.voice.source(), Standing::Ordinary);
        }
    }

    pub(super) fn set_gate(&mut self, id: EndpointId, gate: Gate) {
        let Some(phone) = self.phones.get_mut(&id) else {
            return;
        };
        phone.gate = gate;
        let source = phone.voice.source();
        let ended = gate == Gate::ListenOnly && std::mem::replace(&mut phone.is_publishing, false);
        if gate != Gate::Open {
            self.silence_own(source);
        }
        if ended {
            self.events.push(PhoneEvent::Ended(id));
        }
    }

    pub(super) fn set_standing(&mut self, id: EndpointId, standing: Standing) {
        if let Some(phone) = self.phones.get(&id) {
            self.shards.microphone.set_standing(phone.voice.source(), standing);
        }
    }

    pub(super) fn set_own_elsewhere(&mut self, id: EndpointId, source: SourceId) {
        if self.phones.contains_key(&id) {
            self.voices.insert(source, id);
        }
    }

    pub(super) fn set_wanted(&mut self, wanted_by: FxHashMap<SourceId, Vec<WorkerId>>) {
        self.shards.microphone.set_wanted(wanted_by.keys().copied());
        self.wanted_by = wanted_by;
    }

    /// These sources of other nodes are silent.
    pub(super) fn silence(&mut self, sources: &[SourceId]) {
        for (source, origin) in
            sources.iter().flat_map(|source| AudioOrigin::ALL.map(|origin| (*source, origin)))
        {
            self.shards[origin].silence(source);
        }
    }

    /// Which other workers have a part of the room.
    pub(super) fn set_others(&mut self, others: Vec<WorkerId>) {
        let former = std::mem::replace(&mut self.others, others);
        for new in self.others.iter().filter(|worker| !former.contains(worker)) {
            for origin in AudioOrigin::ALL {
                let news = News::Turn(self.shards[origin].turn());
                self.outgoing.push((*new, Crossing { room: self.id.clone(), origin, news }));
            }
        }
    }

    /// Another worker has something for the room.
    pub(crate) fn crossing(&mut self, now: Instant, origin: AudioOrigin, news: News) {
        let shard = &mut self.shards[origin];
        match news {
            News::Heard(heard) => {
                let HeardPacket { packet, at, candidate, pre_roll } = *heard;
                if shard.crossed(now, &candidate).position.is_none() {
                    return;
                }
                if self.streams.len() >= STREAMS_MAX && !self.streams.contains_key(&packet.source) {
                    return;
                }
                let stream = self.streams.entry(packet.source).or_insert_with(|| Stream::new(packet.epoch));
                for earlier in &pre_roll {
                    stream.packet(at, &earlier.packet);
                }
                stream.packet(at, &packet);
            }
            News::Turn(turn) => shard.catch_up(turn),
            News::Silenced(source) => {
                shard.silence(source);
            }
        }
    }

    /// What a phone says in this tick. Returns whether what it says next can wait for some ticks: it may not be heard, or has been
    /// silent for long.
    pub(super) fn hear(&mut self, now: Instant, id: EndpointId, frame: &Frame, kind: FrameKind) -> bool {
        let Some(phone) = self.phones.get_mut(&id) else {
            return false;
        };
        if phone.gate != Gate::Open || kind == FrameKind::Silence {
            phone.frame = None;
            phone.voice.pause();
            return phone.voice.rests();
        }
        let source = phone.voice.source();
        let is_heard = self.ramps.contains_key(&source) || self.reserve_of == Some(source);
        // Of silence nothing is copied: it is what most say.
        match *frame == SILENCE {
            true => phone.frame = None,
            false => phone.frame = Some(*frame),
        }
        let packet = phone.voice.packet(phone.frame.as_mut(), is_heard);
        let rests = phone.voice.rests();
        let Some(packet) = packet else {
            return rests;
        };
        if !std::mem::replace(&mut phone.is_publishing, true) {
            self.events.push(PhoneEvent::Started(id));
        }
        let arrival = self.shards.microphone.packet(now, &packet);
        self.cross(now, &packet, arrival);
        rests
    }

    /// Passes on what other workers have to know to hear it too.
    fn cross(&mut self, now: Instant, packet: &AudioPacket, arrival: Arrival) {
        let Some(candidate) = arrival.crossing else {
            return;
        };
        let to = match candidate.claim {
            Some(_) => &self.others,
            None => match self.wanted_by.get(&packet.source) {
                Some(wanted_by) => wanted_by,
                None => return,
            },
        };
        for &worker in to {
            let (packet, pre_roll) = (packet.clone(), arrival.pre_roll.clone());
            let news = News::Heard(Box::new(HeardPacket { packet, at: now, candidate, pre_roll }));
            let crossing = Crossing { room: self.id.clone(), origin: AudioOrigin::Microphone, news };
            self.outgoing.push((worker, crossing));
        }
    }

    /// All phones were heard: adds up what there is to hear.
    pub(crate) fn mix(&mut self, now: Instant) {
        self.streams.retain(|source, stream| {
            // What a browser sent is decoded here: it can silence itself at most.
            let is_sound = catch_unwind(AssertUnwindSafe(|| stream.tick(now))).is_ok();
            if !is_sound {
                warn!(room = %self.id, source = source.0, "decoding a speaker panicked");
            }
            is_sound && !stream.is_over()
        });
        self.mix = MixMinus::new();
        self.mixed.clear();
        self.payloads.clear();
        self.reserve_of = None;
        self.reserve = SILENCE;
        let slots = self.shards.microphone.position_count() - 1;
        let speakers = self.shards.microphone.speakers();
        let reserve = speakers.iter().find(|speaker| speaker.position == slots).map(|speaker| speaker.source);
        if let Some(source) = reserve {
            (self.reserve, self.reserve_of) = (self.frame_of(source), Some(source));
        }
        let heard = speakers.iter().filter(|speaker| speaker.position < slots);
        let sharers = self.shards.screen.speakers();
        let heard: Vec<SourceId> = heard.chain(&sharers).map(|speaker| speaker.source).collect();
        for source in &heard {
            self.ramps.entry(*source).or_default();
        }
        let mut ramps = std::mem::take(&mut self.ramps);
        ramps.retain(|source, ramp| {
            let frame = heard.contains(source).then(|| self.frame_of(*source));
            if let Some(shaped) = ramp.shape(frame.as_ref()) {
                self.mix.add(&shaped);
                self.mixed.push((*source, shaped));
            }
            frame.is_some()
        });
        self.ramps = ramps;
        let in_mix = self.mixed.iter().filter_map(|(source, _)| self.voices.get(source).copied()).collect();
        for former in std::mem::replace(&mut self.in_mix, in_mix) {
            if !self.in_mix.contains(&former)
                && let Some(phone) = self.phones.get_mut(&former)
            {
                phone.own_limiter = None;
            }
        }
        self.shared_before = self.shared;
        self.shared = self.limiter.limit(self.mix.all());
    }

    fn frame_of(&self, source: SourceId) -> Frame {
        if let Some(stream) = self.streams.get(&source) {
            return *stream.frame();
        }
        let phone = self.voices.get(&source).and_then(|id| self.phones.get(id));
        phone.and_then(|phone| phone.frame).unwrap_or(SILENCE)
    }

    /// What a phone hears in this tick that nobody else hears, because it is in the sum itself. `None` for one that hears what
    /// others hear.
    pub(super) fn own_frame(&mut self, id: EndpointId) -> Option<Frame> {
        if !self.in_mix.contains(&id) {
            return None;
        }
        let (_, own_frame) = self.mixed.iter().find(|(source, _)| self.voices.get(source) == Some(&id))?;
        let mut sum = self.mix.without(own_frame);
        for (sample, reserve) in sum.iter_mut().zip(&self.reserve) {
            *sample += i32::from(*reserve);
        }
        Some(self.phones.get_mut(&id)?.own_limiter.get_or_insert_default().limit(&sum))
    }

    /// What everybody hears who has no position: encoded once a codec.
    pub(crate) fn shared_payload(&mut self, codec: Codec) -> Bytes {
        if let Some((_, payload)) = self.payloads.iter().find(|(of, _)| *of == codec) {
            return payload.clone();
        }
        let index = self.encoders.iter().position(|(of, _)| *of == codec).unwrap_or_else(|| {
            self.encoders.push((codec, codec.encoder()));
            self.encoders.len() - 1
        });
        self.encoders[index].1.encode(&self.shared, &mut self.scratch);
        let payload = Bytes::copy_from_slice(&self.scratch);
        self.payloads.push((codec, payload.clone()));
        payload
    }

    /// The same, not encoded.
    pub(crate) fn shared(&self) -> &Frame {
        &self.shared
    }

    /// What it was in the tick before.
    pub(super) fn shared_before(&self) -> &Frame {
        &self.shared_before
    }

    /// Positions whose holders stopped sending are free.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for origin in AudioOrigin::ALL {
            self.shards[origin].handle_timeout(now);
        }
    }

    fn silence_own(&mut self, source: SourceId) {
        if self.shards.microphone.silence(source) {
            let news = |to: &WorkerId| {
                let (room, origin) = (self.id.clone(), AudioOrigin::Microphone);
                (*to, Crossing { room, origin, news: News::Silenced(source) })
            };
            let told: Vec<_> = self.others.iter().map(news).collect();
            self.outgoing.extend(told);
        }
    }

    /// What other workers have to know.
    pub(super) fn outgoing(&mut self) -> std::vec::Drain<'_, (WorkerId, Crossing)> {
        self.outgoing.drain(..)
    }

    /// What the control plane has to know.
    pub(super) fn events(&mut self) -> std::vec::Drain<'_, PhoneEvent> {
        self.events.drain(..)
    }
}

#[cfg(test)]
mod tests;
