//! How endpoints begin, negotiate and end on a worker.
//!
//! An endpoint lives as long as its session; its peer connection may come late, break, and be replaced.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use rustc_hash::FxHashMap;
use selector::Standing;
use tercet_core::{Allowance, EndpointId, Gate, Ingest, RoomShard, Slot};

use super::{Endpoint, LocalRoom, Plane, SELECTION_INTERVAL};
use crate::media::crossing::Crossing;
use crate::media::peer::Peer;
use crate::media::trace::Tracer;
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
            shard: RoomShard::new(now, open.audio.clone()),
            others: Vec::new(),
            tracers: Vec::new(),
            wanted_by: FxHashMap::default(),
            counted_switches: 0,
            announced_version: 0,
            announced_speech: false,
        });
        let endpoint = Endpoint {
            room: open.room,
            source: open.source,
            slots_max: open.audio.params.slots,
            red: open.red,
            ingest: Ingest::new(open.source, open.gate, now),
            publishing: false,
            level_missing: false,
            address_allowance: Allowance::new(ADDRESS_RATE_PER_S, ADDRESS_BURST, now),
            data_refused_at: None,
            data_allowance: Allowance::new(DATA_RATE_PER_S, DATA_BURST, now),
            data_pending: VecDeque::new(),
            data_pending_bytes: 0,
            peer: None,
            had_peer: false,
            written: false,
        };
        self.endpoints.insert(open.endpoint, endpoint);
        // The shard counts a listener from the moment the room has them, connected or not.
        self.attach_to_shard(open.endpoint, 0);
    }

    pub(super) fn offer(
        &mut self,
        now: Instant,
        id: EndpointId,
        sdp: &str,
        fresh: bool,
    ) -> Result<Answer, OfferError> {
        let endpoint = self.endpoints.get(&id).ok_or(OfferError::NoConnection)?;
        let is_new = fresh || !endpoint.had_peer;
        let answer = if is_new { self.offer_fresh(now, id, sdp)? } else { self.offer_again(id, sdp)? };
        self.pump(now, id);
        let slots = answer.slot_mids.len();
        if is_new {
            self.attach_to_shard(id, slots);
        } else {
            self.extend_in_shard(id, slots);
        }
        Ok(answer)
    }

    /// The first offer of a connection. A former connection ends only if this one is answered.
    pub(super) fn offer_fresh(
        &mut self,
        now: Instant,
        id: EndpointId,
        sdp: &str,
    ) -> Result<Answer, OfferError> {
        let endpoint = self.endpoints.get(&id).ok_or(OfferError::NoConnection)?;
        let (crypto, candidates, slots_max, red) =
            (&self.crypto, &self.candidates, endpoint.slots_max, endpoint.red);
        let made = catch_unwind(AssertUnwindSafe(|| {
            Peer::answer(now, crypto, candidates, slots_max, red, sdp).map(|(mut peer, answer)| {
                let ufrag = peer.ice_ufrag();
                (peer, answer, ufrag)
            })
        }));
        let (peer, answer, ufrag) =
            made.map_err(|_| self.metrics.peer_panicked()).map_err(|()| OfferError::Internal)??;
        self.end_publishing(id);
        self.drop_peer(id);
        self.demux.learn_ufrag(id, ufrag);
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.ingest.restart();
            endpoint.level_missing = false;
            endpoint.peer = Some(peer);
            endpoint.had_peer = true;
        }
        Ok(answer)
    }

    pub(super) fn offer_again(&mut self, id: EndpointId, sdp: &str) -> Result<Answer, OfferError> {
        let result = self.with_peer(id, |peer| {
            let result = peer.renegotiate(sdp);
            Ok((result, peer.ice_ufrag()))
        });
        let (result, ufrag) = result.ok_or(OfferError::NoConnection)?;
        self.demux.learn_ufrag(id, ufrag);
        result
    }

    pub(super) fn attach_to_shard(&mut self, id: EndpointId, slots: usize) {
        if let Some(endpoint) = self.endpoints.get(&id)
            && let Some(local) = self.rooms.get_mut(&endpoint.room)
        {
            local.shard.add_endpoint(id, endpoint.source, (0..slots).map(|_| random_slot()));
        }
    }

    pub(super) fn set_reachable(&mut self, id: EndpointId, reachable: bool) {
        if let Some(endpoint) = self.endpoints.get(&id)
            && let Some(local) = self.rooms.get_mut(&endpoint.room)
        {
            local.shard.set_reachable(id, reachable);
        }
    }

    pub(super) fn extend_in_shard(&mut self, id: EndpointId, slots: usize) {
        if let Some(endpoint) = self.endpoints.get(&id)
            && let Some(local) = self.rooms.get_mut(&endpoint.room)
        {
            let missing = slots.saturating_sub(local.shard.slot_count(id));
            local.shard.add_slots(id, (0..missing).map(|_| random_slot()));
        }
    }

    pub(super) fn set_gate(&mut self, id: EndpointId, gate: Gate) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else {
            return;
        };
        endpoint.ingest.set_gate(gate);
        match gate {
            Gate::Open => {}
            Gate::Muted => self.silence(id),
            Gate::ListenOnly => self.end_publishing(id),
        }
    }

    pub(super) fn set_standing(&mut self, id: EndpointId, standing: Standing) {
        if let Some(endpoint) = self.endpoints.get(&id)
            && let Some(local) = self.rooms.get_mut(&endpoint.room)
        {
            local.shard.set_standing(endpoint.source, standing);
        }
    }

    pub(super) fn close(&mut self, now: Instant, id: EndpointId) {
        self.end_publishing(id);
        let goodbye = self.with_peer(id, |peer| {
            peer.close();
            Ok(())
        });
        if goodbye.is_some() {
            self.pump(now, id);
        }
        self.drop_peer(id);
        let Some(endpoint) = self.endpoints.remove(&id) else {
            return;
        };
        if let Some(local) = self.rooms.get_mut(&endpoint.room) {
            local.shard.remove_endpoint(id);
            if local.shard.endpoint_count() == 0 {
                local.tracers.retain_mut(Tracer::flush);
                self.rooms.remove(&endpoint.room);
            }
        }
        if self.rooms.is_empty() {
            // Nobody looks again until there is another room.
            self.announce_selections(now);
        }
    }

    /// The endpoint's audio is not heard from here on.
    pub(super) fn silence(&mut self, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get(&id) else {
            return;
        };
        let (room, source) = (endpoint.room.clone(), endpoint.source);
        let told = self.rooms.get_mut(&room).is_some_and(|local| local.shard.silence(source));
        if told {
            self.cross(&room, || Crossing::Silenced(room.clone(), source));
        }
    }

    pub(super) fn end_publishing(&mut self, id: EndpointId) {
        self.silence(id);
        if let Some(endpoint) = self.endpoints.get_mut(&id)
            && std::mem::replace(&mut endpoint.publishing, false)
        {
            self.tell(WorkerEvent::PublishingEnded { endpoint: id });
        }
    }

    pub(super) fn connection_lost(&mut self, id: EndpointId) {
        self.end_publishing(id);
        self.drop_peer(id);
        self.tell(WorkerEvent::Disconnected { endpoint: id });
    }

    pub(super) fn drop_peer(&mut self, id: EndpointId) {
        self.set_reachable(id, false);
        self.demux.remove(id);
        self.timers.remove(id);
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.peer = None;
        }
    }
}

fn random_slot() -> Slot {
    Slot::new(rand::random_range(0..FIRST_SEQ_MAX), rand::random())
}
