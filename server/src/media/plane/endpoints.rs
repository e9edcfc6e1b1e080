//! How endpoints begin, negotiate and end on a worker.
//!
//! An endpoint lives as long as its session; its peer connection may come late, break, and be replaced.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use rustc_hash::FxHashMap;
use selector::Standing;
use tercet_core::{
    Allowance, EndpointId, Gate, Ingest, RoomShard, SHARE_RELEASE_AFTER, Slot, VideoShard, VideoSlot,
};
use tercet_protocol::{AudioOrigin, ByAudio, ByVideo, MediaOrigin, TrackOrigin, VideoOrigin};

use super::video::Picture;
use super::{Endpoint, LocalRoom, Plane, SELECTION_INTERVAL, Track};
use crate::media::crossing::News;
use crate::media::peer::{Peer, PeerLimits};
use crate::media::sdp;
use crate::media::trace::{Tracer, What};
use crate::media::{Answer, OfferError, OpenEndpoint, WorkerEvent};

/// RFC 3550, section 5.1, wants a random first number; below 2^15 the receiver can't mistake its roll-over.
const FIRST_SEQ_MAX: u16 = 1 << 14;

/// New addresses that a client may come from: interfaces, relays, and what NAT makes of them.
const ADDRESS_RATE_PER_S: u32 = 1;
const ADDRESS_BURST: u32 = 16;

/// Data frames a participant may send.
const DATA_RATE_PER_S: u32 = 50;
const DATA_BURST: u32 = 100;

impl Plane {
    pub(super) fn open(&mut self, now: Instant, open: OpenEndpoint) {
        if self.rooms.is_empty() {
            self.selection_due = now + SELECTION_INTERVAL;
        }
        self.rooms.entry(open.room.clone()).or_insert_with(|| LocalRoom {
            shards: ByAudio {
                microphone: RoomShard::new(now, open.audio.clone()),
                screen: RoomShard::stage(now),
            },
            has_rounds: ByAudio::default(),
            video: VideoShard::default(),
            pictures: FxHashMap::default(),
            keyframes_elsewhere: FxHashMap::default(),
            watched_by: FxHashMap::default(),
            wanted_elsewhere: Default::default(),
            told: Default::default(),
            others: Vec::new(),
            tracers: Vec::new(),
            wanted_by: FxHashMap::default(),
            counted_switches: 0,
            announced_version: 0,
            announced_speech: false,
            announced_screen: None,
        });
        let track = |origin: AudioOrigin| {
            let (source, gate) = (open.sources[origin.into()], open.gates[origin.into()]);
            let ingest = Ingest::new(source, gate, now);
            Track { source, ingest, publishing: false, arrived_at: None, level_missing: false, meter: None }
        };
        let picture = |origin: VideoOrigin| {
            let (source, gate) = (open.sources[origin.into()], open.gates[origin.into()]);
            Picture::new(origin, source, gate, open.video_kbps_max, now)
        };
        let endpoint = Endpoint {
            tracks: ByAudio::each(track),
            pictures: ByVideo::each(picture),
            room: open.room,
            limits: PeerLimits {
                slots: open.audio.params.slots,
                video_slots: open.video_slots_max,
                red: open.red,
                // A broadcast has many players, to each of whom an estimate costs as much as the pictures do.
                estimated: !open.is_over_http,
            },
            is_over_http: open.is_over_http,
            is_reachable: false,
            arrived_at: None,
            mix_of: open.is_over_http.then(|| open.audio.clone()),
            address_allowance: Allowance::new(ADDRESS_RATE_PER_S, ADDRESS_BURST, now),
            data_refused_at: None,
            data_allowance: Allowance::new(DATA_RATE_PER_S, DATA_BURST, now),
            data_pending: VecDeque::new(),
            data_pending_bytes: 0,
            peer: None,
            had_peer: false,
            spoken_to: false,
        };
        self.endpoints.insert(open.endpoint, endpoint);
        // The shard counts a listener from the moment the room has them, connected or not.
        self.attach_to_shards(open.endpoint, ByAudio::default());
    }

    pub(super) fn offer(
        &mut self,
        now: Instant,
        id: EndpointId,
        offer: &str,
        fresh: bool,
    ) -> Result<Answer, OfferError> {
        let endpoint = self.endpoints.get(&id).ok_or(OfferError::NoConnection)?;
        let is_new = fresh || !endpoint.had_peer;
        let answer =
            if is_new { self.offer_fresh(now, id, offer)? } else { self.offer_again(now, id, offer)? };
        self.pump(now, id);
        if self.hears_mix(now, id, answer.slot_mids.len()) {
            // Its one line carries all voices.
        } else if is_new {
            self.attach_to_shards(id, answer.slots());
        } else {
            self.extend_in_shards(id, answer.slots());
        }
        self.set_video_slots(now, id, answer.video_places(), is_new);
        Ok(answer)
    }

    /// The first offer of a connection. A former connection ends only if this one is answered.
    pub(super) fn offer_fresh(
        &mut self,
        now: Instant,
        id: EndpointId,
        offer: &str,
    ) -> Result<Answer, OfferError> {
        let endpoint = self.endpoints.get(&id).ok_or(OfferError::NoConnection)?;
        let (crypto, candidates, limits) = (&self.crypto, &self.candidates, endpoint.limits);
        let is_lite = !endpoint.is_over_http || sdp::knows_ice_lite_only(offer);
        let made = catch_unwind(AssertUnwindSafe(|| {
            Peer::answer(now, crypto, candidates, limits, is_lite, offer).map(|(mut peer, answer)| {
                let ufrag = peer.ice_ufrag();
                (peer, answer, ufrag)
            })
        }));
        let (peer, answer, ufrag) =
            made.map_err(|_| self.metrics.peer_panicked()).map_err(|()| OfferError::Internal)??;
        self.end_all_publishing(now, id);
        self.drop_peer(now, id);
        self.demux.learn_ufrag(id, ufrag);
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            for origin in AudioOrigin::ALL {
                let track = &mut endpoint.tracks[origin];
                track.ingest.restart();
                track.level_missing = false;
            }
            for origin in VideoOrigin::ALL {
                endpoint.pictures[origin].ingest.restart();
            }
            endpoint.peer = Some(Box::new(peer));
            endpoint.had_peer = true;
        }
        Ok(answer)
    }

    pub(super) fn offer_again(
        &mut self,
        now: Instant,
        id: EndpointId,
        sdp: &str,
    ) -> Result<Answer, OfferError> {
        let result = self.with_peer(now, id, |peer| {
            let result = peer.renegotiate(sdp);
            Ok((result, peer.ice_ufrag()))
        });
        let (result, ufrag) = result.ok_or(OfferError::NoConnection)?;
        self.demux.learn_ufrag(id, ufrag);
        result
    }

    pub(super) fn attach_to_shards(&mut self, id: EndpointId, slots: ByAudio<usize>) {
        if let Some(endpoint) = self.endpoints.get(&id)
            && let Some(local) = self.rooms.get_mut(&endpoint.room)
        {
            for (origin, &count) in slots.iter() {
                let own = endpoint.tracks[origin].source;
                local.shards[origin].add_endpoint(id, own, (0..count).map(|_| random_slot()));
            }
        }
    }

    pub(super) fn set_reachable(&mut self, now: Instant, id: EndpointId, reachable: bool) {
        if let Some(endpoint) = self.endpoints.get_mut(&id)
            && let Some(local) = self.rooms.get_mut(&endpoint.room)
        {
            endpoint.is_reachable = reachable;
            for origin in AudioOrigin::ALL {
                local.shards[origin].set_reachable(id, reachable);
            }
            let room = endpoint.room.clone();
            let needed = local.video.set_reachable(now, id, reachable);
            self.want_keyframes(now, &room, needed);
        }
    }

    pub(super) fn extend_in_shards(&mut self, id: EndpointId, slots: ByAudio<usize>) {
        if let Some(endpoint) = self.endpoints.get(&id)
            && let Some(local) = self.rooms.get_mut(&endpoint.room)
        {
            for (origin, &count) in slots.iter() {
                let shard = &mut local.shards[origin];
                let missing = count.saturating_sub(shard.slot_count(id));
                shard.add_slots(id, (0..missing).map(|_| random_slot()));
            }
        }
    }

    pub(super) fn set_gate(&mut self, now: Instant, id: EndpointId, origin: TrackOrigin, gate: Gate) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else {
            return;
        };
        let origin = match origin.media() {
            MediaOrigin::Audio(origin) => origin,
            MediaOrigin::Video(origin) => return self.set_picture_gate((id, origin), gate),
        };
        endpoint.tracks[origin].ingest.set_gate(gate);
        match gate {
            Gate::Open => {}
            Gate::Muted => self.silence(now, id, origin),
            Gate::ListenOnly => self.end_publishing(now, id, origin),
        }
    }

    pub(super) fn set_standing(&mut self, now: Instant, id: EndpointId, standing: Standing) {
        if let Some(endpoint) = self.endpoints.get(&id)
            && let Some(local) = self.rooms.get_mut(&endpoint.room)
        {
            let source = endpoint.tracks.microphone.source;
            let former = local.shards.microphone.standings().find(|&(of, _)| of == source);
            if former.map_or(Standing::Ordinary, |(_, standing)| standing) != standing {
                local.note(now, AudioOrigin::Microphone, source, What::Stands(standing));
            }
            local.shards.microphone.set_standing(source, standing);
        }
    }

    pub(super) fn close(&mut self, now: Instant, id: EndpointId) {
        self.leave_mix(id);
        self.end_all_publishing(now, id);
        let goodbye = self.with_peer(now, id, |peer| {
            peer.close();
            Ok(())
        });
        if goodbye.is_some() {
            self.pump(now, id);
        }
        self.drop_peer(now, id);
        self.following.remove(&id);
        let Some(endpoint) = self.endpoints.remove(&id) else {
            return;
        };
        if let Some(local) = self.rooms.get_mut(&endpoint.room) {
            for origin in AudioOrigin::ALL {
                local.shards[origin].remove_endpoint(id);
            }
            local.video.remove(id);
            if local.shards.microphone.endpoint_count() == 0 {
                local.tracers.retain_mut(Tracer::flush);
                let has_screen = local.announced_screen.is_some();
                self.rooms.remove(&endpoint.room);
                if has_screen {
                    // A room of the same name may begin before this one's news have arrived.
                    let (worker, room) = (self.id, endpoint.room.clone());
                    self.tell(WorkerEvent::ScreenChanged { worker, room, source: None });
                }
            }
        }
        if self.rooms.is_empty() {
            // Nobody looks again until there is another room.
            self.announce_selections(now);
            self.relieve(now);
        }
    }

    /// A track of the endpoint's is not heard from here on.
    pub(super) fn silence(&mut self, now: Instant, id: EndpointId, origin: AudioOrigin) {
        let Some(endpoint) = self.endpoints.get(&id) else {
            return;
        };
        let (room, source) = (endpoint.room.clone(), endpoint.tracks[origin].source);
        let Some(local) = self.rooms.get_mut(&room) else {
            return;
        };
        if local.shards[origin].silence(source) {
            local.note(now, origin, source, What::Silent);
            self.cross(now, &room, origin, || News::Silenced(source));
        }
    }

    pub(super) fn end_publishing(&mut self, now: Instant, id: EndpointId, origin: AudioOrigin) {
        self.silence(now, id, origin);
        if let Some(endpoint) = self.endpoints.get_mut(&id)
            && std::mem::replace(&mut endpoint.tracks[origin].publishing, false)
        {
            if origin == AudioOrigin::Screen {
                self.sharers.remove(&id);
            }
            self.tell(WorkerEvent::PublishingEnded { endpoint: id, origin: origin.into() });
        }
    }

    pub(super) fn end_all_publishing(&mut self, now: Instant, id: EndpointId) {
        for origin in AudioOrigin::ALL {
            self.end_publishing(now, id, origin);
        }
        for origin in VideoOrigin::ALL {
            self.end_picture((id, origin));
        }
    }

    /// Ends the shares of which nothing came for long: whoever stops one says so by no more than that. A microphone
    /// stays published through any silence.
    pub(super) fn end_stopped_shares(&mut self, now: Instant) {
        let is_over = |id: &&EndpointId| {
            let arrived_at = self.endpoints.get(id).and_then(|endpoint| endpoint.tracks.screen.arrived_at);
            arrived_at.is_none_or(|at| now.saturating_duration_since(at) >= SHARE_RELEASE_AFTER)
        };
        for id in self.sharers.iter().filter(is_over).copied().collect::<Vec<_>>() {
            self.end_publishing(now, id, AudioOrigin::Screen);
        }
    }

    pub(super) fn connection_lost(&mut self, now: Instant, id: EndpointId) {
        self.end_all_publishing(now, id);
        self.drop_peer(now, id);
        self.tell(WorkerEvent::Disconnected { endpoint: id });
    }

    pub(super) fn drop_peer(&mut self, now: Instant, id: EndpointId) {
        self.set_reachable(now, id, false);
        self.unchecked.remove(&id);
        self.demux.remove(id);
        self.timers.remove(id);
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.peer = None;
        }
    }
}

pub(super) fn random_slot() -> Slot {
    Slot::new(rand::random_range(0..FIRST_SEQ_MAX), rand::random())
}

pub(super) fn random_video_slot() -> VideoSlot {
    VideoSlot::new(rand::random_range(0..FIRST_SEQ_MAX), rand::random())
}
