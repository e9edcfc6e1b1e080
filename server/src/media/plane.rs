//! What a worker knows and decides: endpoints with their peers, and the shards of their rooms.
//!
//! A packet's way: [`Plane::datagram`] finds its peer, str0m decrypts it, [`Ingest`] lets it
//! pass, the [`RoomShard`] ranks it, and [`Plane::deliver`] writes it to every listener's slot.
//! The listeners' peers speak in [`Plane::flush`], once each for all that was written.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use selector::SourceId;
use str0m::net::Transmit;
use tercet_core::{
    Allowance, AudioPacket, EndpointId, Gate, IncomingRtp, Ingest, Origin, RoomId, RoomShard, Slot,
};
use tercet_protocol::DATA_BYTES_MAX;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::crossing::{Crossing, CrossingSender};
use super::demux::{Claim, Demux};
use super::dtls::SharedCrypto;
use super::metrics::WorkerMetrics;
use super::peer::{CHANNEL_BUFFER_BYTES_MAX, DatagramError, Peer, PeerEvent};
use super::socket::Sent;
use super::timers::Timers;
use super::{Answer, OfferError, OpenEndpoint, Selection, WorkerCommand, WorkerEvent, WorkerId};

/// Who is heard is told to the control plane at this pace.
const SELECTION_INTERVAL: Duration = Duration::from_millis(100);

/// RFC 3550, section 5.1, wants a random first number; below 2^15 the receiver can't mistake its roll-over.
const FIRST_SEQ_MAX: u16 = 1 << 14;

/// Data frames a participant may send.
const DATA_RATE_PER_S: u32 = 50;
const DATA_BURST: u32 = 100;

/// What a worker knows and decides.
pub(super) struct Plane {
    id: WorkerId,
    crypto: SharedCrypto,
    candidates: Vec<SocketAddr>,
    /// The inboxes of all workers, by number; its own is never used.
    others: Vec<CrossingSender>,
    metrics: WorkerMetrics,
    endpoints: FxHashMap<EndpointId, Endpoint>,
    rooms: FxHashMap<RoomId, LocalRoom>,
    demux: Demux,
    timers: Timers,
    /// Endpoints that were written to and have not spoken yet.
    written: Vec<EndpointId>,
    outgoing: Vec<Transmit>,
    /// Events that the control plane has not taken yet. Bounded: see [`Plane::tell`].
    events: VecDeque<WorkerEvent>,
    selection_due: Instant,
}

/// A session's attachment to this worker.
struct Endpoint {
    room: RoomId,
    source: SourceId,
    slots_max: usize,
    red: bool,
    ingest: Ingest,
    publishing: bool,
    data_allowance: Allowance,
    /// Reliable frames for a client whose channel isn't open yet: it is in the room, and will be told.
    data_pending: VecDeque<Arc<[u8]>>,
    data_pending_bytes: usize,
    /// `None` before the first offer and after a connection broke.
    peer: Option<Peer>,
    had_peer: bool,
    written: bool,
}

/// The part of a room that lives here.
struct LocalRoom {
    shard: RoomShard,
    others: Vec<WorkerId>,
    announced_version: u64,
    announced_speech: bool,
}

impl Plane {
    pub(super) fn new(
        id: WorkerId,
        crypto: SharedCrypto,
        candidates: Vec<SocketAddr>,
        others: Vec<CrossingSender>,
        metrics: WorkerMetrics,
    ) -> Plane {
        Plane {
            id,
            crypto,
            candidates,
            others,
            metrics,
            endpoints: FxHashMap::default(),
            rooms: FxHashMap::default(),
            demux: Demux::default(),
            timers: Timers::default(),
            written: Vec::new(),
            outgoing: Vec::new(),
            events: VecDeque::new(),
            selection_due: Instant::now() + SELECTION_INTERVAL,
        }
    }

    /// When [`Plane::handle_timeouts`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let peers = self.timers.next();
        let rooms = (!self.rooms.is_empty()).then_some(self.selection_due);
        peers.into_iter().chain(rooms).min()
    }

    /// Whether something can go on without waiting.
    pub(super) fn has_backlog(&self) -> bool {
        !self.written.is_empty()
    }

    /// The control plane wants something.
    pub(super) fn command(&mut self, now: Instant, command: WorkerCommand) {
        match command {
            WorkerCommand::Open(open) => self.open(now, open),
            WorkerCommand::Offer { endpoint, sdp, fresh, request } => {
                let result = self.offer(now, endpoint, &sdp, fresh);
                self.tell(WorkerEvent::OfferAnswered { endpoint, request, result });
            }
            WorkerCommand::SetGate { endpoint, gate } => self.set_gate(endpoint, gate),
            WorkerCommand::Close { endpoint } => self.close(now, endpoint),
            WorkerCommand::SetRoomWorkers { room, others } => {
                if let Some(local) = self.rooms.get_mut(&room) {
                    local.shard.set_spans_workers(!others.is_empty());
                    local.others = others;
                }
            }
            WorkerCommand::SendData { endpoints, reliable, frame } => {
                for endpoint in endpoints {
                    self.send_data(endpoint, reliable, &frame);
                }
            }
            WorkerCommand::Stop => {
                let all: Vec<EndpointId> = self.endpoints.keys().copied().collect();
                for endpoint in all {
                    self.close(now, endpoint);
                }
            }
        }
    }

    fn open(&mut self, now: Instant, open: OpenEndpoint) {
        if self.rooms.is_empty() {
            self.selection_due = now + SELECTION_INTERVAL;
        }
        self.rooms.entry(open.room.clone()).or_insert_with(|| LocalRoom {
            shard: RoomShard::new(now, open.slots),
            others: Vec::new(),
            announced_version: 0,
            announced_speech: false,
        });
        let endpoint = Endpoint {
            room: open.room,
            source: open.source,
            slots_max: open.slots,
            red: open.red,
            ingest: Ingest::new(open.source, open.gate, now),
            publishing: false,
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

    fn offer(&mut self, now: Instant, id: EndpointId, sdp: &str, fresh: bool) -> Result<Answer, OfferError> {
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
    fn offer_fresh(&mut self, now: Instant, id: EndpointId, sdp: &str) -> Result<Answer, OfferError> {
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
            endpoint.peer = Some(peer);
            endpoint.had_peer = true;
        }
        Ok(answer)
    }

    fn offer_again(&mut self, id: EndpointId, sdp: &str) -> Result<Answer, OfferError> {
        let result = self.with_peer(id, |peer| {
            let result = peer.renegotiate(sdp);
            Ok((result, peer.ice_ufrag()))
        });
        let (result, ufrag) = result.ok_or(OfferError::NoConnection)?;
        self.demux.learn_ufrag(id, ufrag);
        result
    }

    fn attach_to_shard(&mut self, id: EndpointId, slots: usize) {
        if let Some(endpoint) = self.endpoints.get(&id)
            && let Some(local) = self.rooms.get_mut(&endpoint.room)
        {
            local.shard.add_endpoint(id, endpoint.source, (0..slots).map(|_| random_slot()));
        }
    }

    fn extend_in_shard(&mut self, id: EndpointId, slots: usize) {
        if let Some(endpoint) = self.endpoints.get(&id)
            && let Some(local) = self.rooms.get_mut(&endpoint.room)
        {
            let missing = slots.saturating_sub(local.shard.slot_count(id));
            local.shard.add_slots(id, (0..missing).map(|_| random_slot()));
        }
    }

    fn set_gate(&mut self, id: EndpointId, gate: Gate) {
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

    fn close(&mut self, now: Instant, id: EndpointId) {
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
                self.rooms.remove(&endpoint.room);
            }
        }
    }

    fn send_data(&mut self, id: EndpointId, reliable: bool, frame: &Arc<[u8]>) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else {
            return;
        };
        let is_open = endpoint.peer.as_ref().is_some_and(Peer::is_reliable_open);
        if reliable && !is_open && endpoint.data_pending_bytes + frame.len() <= CHANNEL_BUFFER_BYTES_MAX {
            endpoint.data_pending_bytes += frame.len();
            endpoint.data_pending.push_back(frame.clone());
            return;
        }
        if self.with_peer(id, |peer| Ok(peer.send_data(reliable, frame))) == Some(true) {
            self.mark_written(id);
        } else {
            self.metrics.data_dropped.increment(1);
        }
    }

    fn send_pending_data(&mut self, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else {
            return;
        };
        endpoint.data_pending_bytes = 0;
        for frame in std::mem::take(&mut endpoint.data_pending) {
            self.send_data(id, true, &frame);
        }
    }

    /// A datagram arrived.
    pub(super) fn datagram(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        self.metrics.packets_in.increment(1);
        self.metrics.bytes_in.increment(datagram.len() as u64);
        let id = match self.demux.claim(from, datagram) {
            Claim::Known(id) => id,
            Claim::Unproven(id) => {
                let proven = self.with_peer(id, |peer| Ok(peer.accepts(now, from, to, datagram)));
                if proven != Some(true) {
                    self.metrics.dropped_unproven.increment(1);
                    return;
                }
                self.demux.learn_address(id, from);
                id
            }
            Claim::Stranger => {
                self.metrics.dropped_stranger.increment(1);
                return;
            }
        };
        let handled = self.with_peer(id, |peer| match peer.handle_datagram(now, from, to, datagram) {
            Err(DatagramError::Malformed) => Ok(false),
            Err(DatagramError::Fatal) => Err(DatagramError::Fatal),
            Ok(()) => Ok(true),
        });
        match handled {
            Some(true) => self.pump(now, id),
            Some(false) => self.metrics.dropped_malformed.increment(1),
            None => {}
        }
    }

    /// Another worker has something for a room.
    pub(super) fn crossing(&mut self, now: Instant, crossing: Crossing) {
        match crossing {
            Crossing::Candidate(room, packet) => {
                let Some(local) = self.rooms.get_mut(&room) else {
                    return;
                };
                let arrival = local.shard.packet(now, Origin::Elsewhere, &packet);
                if let Some(position) = arrival.position {
                    self.deliver(now, &room, &packet, position);
                }
            }
            Crossing::Withdrawn(room, source) => {
                if let Some(local) = self.rooms.get_mut(&room) {
                    local.shard.silence(source);
                }
            }
        }
    }

    /// Peers and rooms whose time has come.
    pub(super) fn handle_timeouts(&mut self, now: Instant) {
        while let Some(id) = self.timers.pop_due(now) {
            let due = self.endpoints.get(&id).and_then(|e| e.peer.as_ref()).map(Peer::deadline);
            match due {
                Some(deadline) if deadline <= now => {
                    let _ = self.with_peer(id, |peer| peer.handle_timeout(now));
                    self.pump(now, id);
                }
                Some(deadline) => self.timers.schedule(id, deadline),
                None => {}
            }
        }
        if now >= self.selection_due {
            self.metrics.lag.record(now.saturating_duration_since(self.selection_due));
            self.selection_due = now + SELECTION_INTERVAL;
            self.announce_selections(now);
        }
    }

    /// Lets every peer speak that was written to.
    pub(super) fn flush(&mut self, now: Instant) {
        let mut written = std::mem::take(&mut self.written);
        for id in written.drain(..) {
            if let Some(endpoint) = self.endpoints.get_mut(&id) {
                endpoint.written = false;
            }
            // str0m looks at what was written only when time passes.
            if self.with_peer(id, |peer| peer.handle_timeout(now)).is_some() {
                self.pump(now, id);
            }
        }
        // What a flush caused to be written, such as data of its own, waits for the next turn.
        if self.written.is_empty() {
            self.written = written;
        }
    }

    /// Datagrams to be sent.
    pub(super) fn outgoing(&mut self) -> std::vec::Drain<'_, Transmit> {
        self.outgoing.drain(..)
    }

    /// What became of them.
    pub(super) fn sent(&self, sent: Sent) {
        self.metrics.packets_out.increment(sent.packets);
        self.metrics.bytes_out.increment(sent.bytes);
        self.metrics.send_refused.increment(sent.refused);
    }

    /// Gives the control plane what it has room for.
    pub(super) fn hand_over_events(&mut self, control: &mpsc::Sender<WorkerEvent>) {
        while let Some(event) = self.events.pop_front() {
            match control.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.events.push_front(event);
                    return;
                }
                // The control plane is gone; the stop command is on its way.
                Err(mpsc::error::TrySendError::Closed(_)) => return,
            }
        }
    }

    /// Takes everything out of a peer, and acts on it.
    fn pump(&mut self, now: Instant, id: EndpointId) {
        let mut events = Vec::new();
        let mut outgoing = std::mem::take(&mut self.outgoing);
        let drained = self.with_peer(id, |peer| {
            peer.drain(now, &mut events, &mut outgoing)?;
            Ok((peer.deadline(), peer.is_alive()))
        });
        self.outgoing = outgoing;
        for event in events {
            self.peer_event(now, id, event);
        }
        match drained {
            Some((deadline, true)) => self.timers.schedule(id, deadline),
            Some((_, false)) => self.connection_lost(id),
            None => {}
        }
    }

    fn peer_event(&mut self, now: Instant, id: EndpointId, event: PeerEvent) {
        match event {
            PeerEvent::Connected | PeerEvent::Reconnected => {
                self.tell(WorkerEvent::Connected { endpoint: id })
            }
            PeerEvent::Disconnected => {
                self.end_publishing(id);
                self.tell(WorkerEvent::Disconnected { endpoint: id });
            }
            PeerEvent::Rtp(rtp) => self.rtp(now, id, rtp),
            PeerEvent::ReliableOpened => self.send_pending_data(id),
            PeerEvent::Data { reliable, frame } => self.data(now, id, reliable, frame),
        }
    }

    fn rtp(&mut self, now: Instant, id: EndpointId, rtp: IncomingRtp) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else {
            return;
        };
        let packet = match endpoint.ingest.handle(now, rtp) {
            Ok(packet) => packet,
            Err(dropped) => return self.metrics.ingest_dropped(dropped),
        };
        let started = !std::mem::replace(&mut endpoint.publishing, true);
        let room = endpoint.room.clone();
        if started {
            self.tell(WorkerEvent::PublishingStarted { endpoint: id });
        }
        let Some(local) = self.rooms.get_mut(&room) else {
            return;
        };
        let arrival = local.shard.packet(now, Origin::Here, &packet);
        for &withdrawn in &arrival.withdrawn {
            self.cross(&room, || Crossing::Withdrawn(room.clone(), withdrawn));
        }
        if arrival.candidate {
            self.cross(&room, || Crossing::Candidate(room.clone(), packet.clone()));
        }
        match arrival.position {
            Some(position) => self.deliver(now, &room, &packet, position),
            None => self.metrics.not_selected.increment(1),
        }
    }

    /// Writes a packet to every listener of the room who hears its position.
    fn deliver(&mut self, now: Instant, room: &RoomId, packet: &AudioPacket, position: usize) {
        let Some(local) = self.rooms.get_mut(room) else {
            return;
        };
        let (mut forwarded, mut panicked) = (0, Vec::new());
        for forward in local.shard.forward(now, packet, position) {
            let Some(endpoint) = self.endpoints.get_mut(&forward.endpoint) else {
                continue;
            };
            let Some(peer) = endpoint.peer.as_mut().filter(|peer| peer.is_connected()) else {
                continue;
            };
            let write = AssertUnwindSafe(|| peer.write(now, forward.slot, forward.rewritten, packet));
            match catch_unwind(write) {
                Ok(true) => {
                    forwarded += 1;
                    if !std::mem::replace(&mut endpoint.written, true) {
                        self.written.push(forward.endpoint);
                    }
                }
                Ok(false) => {}
                Err(_) => panicked.push(forward.endpoint),
            }
        }
        for id in panicked {
            self.metrics.peer_panicked();
            self.connection_lost(id);
        }
        self.metrics.forwarded.increment(forwarded);
    }

    fn data(&mut self, now: Instant, id: EndpointId, reliable: bool, frame: Vec<u8>) {
        let allowed = self.endpoints.get_mut(&id).is_some_and(|e| e.data_allowance.take(now));
        if !allowed || frame.len() > DATA_BYTES_MAX {
            self.metrics.data_dropped.increment(1);
            return self.tell(WorkerEvent::DataRefused { endpoint: id, too_large: allowed });
        }
        self.tell(WorkerEvent::DataReceived { endpoint: id, reliable, frame });
    }

    /// Sends something to the room's other workers.
    fn cross(&self, room: &RoomId, crossing: impl Fn() -> Crossing) {
        let others = self.rooms.get(room).map_or(&[][..], |local| &local.others);
        for other in others {
            let sent = self.others.get(other.0).is_some_and(|sender| sender.send(crossing()));
            if !sent {
                self.metrics.crossing_dropped.increment(1);
            }
        }
    }

    /// The endpoint's audio is not heard from here on.
    fn silence(&mut self, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get(&id) else {
            return;
        };
        let (room, source) = (endpoint.room.clone(), endpoint.source);
        let told = self.rooms.get_mut(&room).is_some_and(|local| local.shard.silence(source));
        if told {
            self.cross(&room, || Crossing::Withdrawn(room.clone(), source));
        }
    }

    fn end_publishing(&mut self, id: EndpointId) {
        self.silence(id);
        if let Some(endpoint) = self.endpoints.get_mut(&id)
            && std::mem::replace(&mut endpoint.publishing, false)
        {
            self.tell(WorkerEvent::PublishingEnded { endpoint: id });
        }
    }

    fn connection_lost(&mut self, id: EndpointId) {
        self.end_publishing(id);
        self.drop_peer(id);
        self.tell(WorkerEvent::Disconnected { endpoint: id });
    }

    fn drop_peer(&mut self, id: EndpointId) {
        self.demux.remove(id);
        self.timers.remove(id);
        if let Some(endpoint) = self.endpoints.get_mut(&id) {
            endpoint.peer = None;
        }
    }

    fn mark_written(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(&id)
            && !std::mem::replace(&mut endpoint.written, true)
        {
            self.written.push(id);
        }
    }

    /// Calls into a peer. An error or a panic ends that peer and nobody else.
    fn with_peer<T>(
        &mut self,
        id: EndpointId,
        call: impl FnOnce(&mut Peer) -> Result<T, DatagramError>,
    ) -> Option<T> {
        let endpoint = self.endpoints.get_mut(&id)?;
        let peer = endpoint.peer.as_mut()?;
        match catch_unwind(AssertUnwindSafe(|| call(peer))) {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(_)) => {
                info!(endpoint = %id, room = %endpoint.room, "peer connection failed");
                self.metrics.connections_failed.increment(1);
            }
            Err(_) => {
                warn!(endpoint = %id, room = %endpoint.room, "peer connection panicked");
                self.metrics.peer_panicked();
            }
        }
        self.connection_lost(id);
        None
    }

    fn announce_selections(&mut self, now: Instant) {
        let mut announced = Vec::new();
        let mut occupied = 0;
        for (room, local) in &mut self.rooms {
            local.shard.handle_timeout(now);
            let speakers = local.shard.speakers();
            occupied += speakers.len();
            let version = local.shard.selection_version();
            self.metrics.switches.increment(version - local.announced_version);
            let changed = local.announced_version != version;
            let speech = !speakers.is_empty();
            // The end of speech is told once; a quiet room costs nothing.
            if changed || speech || local.announced_speech {
                let mut positions = vec![None; local.shard.position_count()];
                for speaker in &speakers {
                    positions[speaker.position] = Some((speaker.source, speaker.level));
                }
                announced.push(Selection { worker: self.id, room: room.clone(), positions });
            }
            local.announced_version = version;
            local.announced_speech = speech;
        }
        self.metrics.slots_occupied.set(occupied as f64);
        self.metrics.rooms.set(self.rooms.len() as f64);
        self.metrics.endpoints.set(self.endpoints.len() as f64);
        for selection in announced {
            self.tell(WorkerEvent::Selected(selection));
        }
    }

    /// Queues an event. State changes are bounded by what the control plane asked for and what
    /// the allowances let through; what is merely current is dropped when the queue is long.
    fn tell(&mut self, event: WorkerEvent) {
        const QUEUE_MAX: usize = 10_000;
        let may_be_lost = matches!(
            event,
            WorkerEvent::Selected(_) | WorkerEvent::DataReceived { .. } | WorkerEvent::DataRefused { .. }
        );
        if may_be_lost && self.events.len() >= QUEUE_MAX {
            self.metrics.events_dropped.increment(1);
            debug!("control plane is behind: an event was dropped");
            return;
        }
        self.events.push_back(event);
    }
}

fn random_slot() -> Slot {
    Slot::new(rand::random_range(0..FIRST_SEQ_MAX), rand::random())
}
