//! What a worker knows and decides: endpoints with their peers, and the shards of their rooms.
//!
//! A packet's way: [`Plane::datagram`] finds its peer, str0m decrypts it, [`Ingest`] lets it
//! pass, the [`RoomShard`] ranks it (`delivery.rs`). In [`Plane::flush`] each listener has a turn (`rounds.rs`), and
//! takes all that has come since the last one.

mod connections;
mod data;
mod delivery;
mod endpoints;
mod followed;
mod layers;
mod liveness;
mod mix;
mod rounds;
mod selection;
#[cfg(test)]
mod tests;
mod video;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};
use selector::SourceId;
use str0m::Candidate;
use str0m::net::{Protocol, Transmit};
use tercet_core::{
    Allowance, EncodingId, EndpointId, Ingest, KeyframeGate, RewrittenVideo, RoomAudio, RoomId, RoomShard,
    VideoShard,
};
use tercet_dtls::SharedCrypto;
use tercet_protocol::{AudioOrigin, ByAudio, ByVideo};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::crossing::{Crossing, CrossingSender, News};
use super::demux::{Claim, Demux, Remote};
use super::fanout::Path;
use super::meter::Meter;
use super::metrics::WorkerMetrics;
use super::peer::{DatagramError, Peer, PeerEvent, PeerLimits};
use super::socket::Sent;
use super::strain::StrainGauge;
use super::timers::Timers;
use super::trace::{Tracer, What};
use super::{WorkerCommand, WorkerEvent, WorkerId};
use crate::backlog::Backlog;
use followed::FollowedLayers;
use layers::{Told, WantedElsewhere};
use mix::Mixes;
use rounds::Rounds;
use video::{Picture, PictureId};

/// Who is heard is told to the control plane at this pace.
const SELECTION_INTERVAL: Duration = Duration::from_millis(100);

/// What a worker knows and decides.
pub(super) struct Plane {
    id: WorkerId,
    crypto: SharedCrypto,
    candidates: Vec<Candidate>,
    /// The inboxes of all workers, by number; its own is never used.
    others: Vec<CrossingSender>,
    metrics: WorkerMetrics,
    endpoints: FxHashMap<EndpointId, Endpoint>,
    /// Those of them that publish the sound of a screen: few, of many.
    sharers: FxHashSet<EndpointId>,
    /// What they publish of pictures.
    pictures: FxHashSet<PictureId>,
    /// Encoders that check their connection no more, and send all the same, as FFmpeg does.
    unchecked: FxHashSet<EndpointId>,
    /// Those whose clients are told of layers.
    following: FxHashMap<EndpointId, FollowedLayers>,
    rooms: FxHashMap<RoomId, LocalRoom>,
    demux: Demux,
    timers: Timers,
    rounds: Rounds,
    mixes: Mixes,
    /// Endpoints whose str0m was given something to send, each once, since when.
    spoken_to: VecDeque<(Instant, EndpointId)>,
    gauge: StrainGauge,
    is_strained: bool,
    outgoing: Vec<Transmit>,
    /// Whom a video packet is for; empty between packets.
    shown: Vec<(EndpointId, usize, RewrittenVideo)>,
    /// Where datagrams are sealed, one after another.
    datagram: Vec<u8>,
    /// Events that the control plane has not taken yet. Bounded: see [`Plane::tell`].
    events: Backlog<WorkerEvent>,
    selection_due: Instant,
    layers_due: Instant,
}

/// A session's attachment to this worker.
struct Endpoint {
    room: RoomId,
    limits: PeerLimits,
    is_over_http: bool,
    /// Its connection is up.
    is_reachable: bool,
    /// When its last RTP packet came, of whatever line, let through or not.
    arrived_at: Option<Instant>,
    /// How its room's speakers are chosen, if it may hear them as one mix: a player that didn't choose whom to hear.
    mix_of: Option<RoomAudio>,
    tracks: ByAudio<Track>,
    pictures: ByVideo<Picture>,
    /// New addresses that it may come from.
    address_allowance: Allowance,
    data_allowance: Allowance,
    /// When the client was last told that data was refused.
    data_refused_at: Option<Instant>,
    /// Reliable frames for a client whose channel isn't open yet: it is in the room, and will be told.
    data_pending: VecDeque<Arc<[u8]>>,
    data_pending_bytes: usize,
    /// `None` before the first offer and after a connection broke.
    peer: Option<Box<Peer>>,
    had_peer: bool,
    /// It is among those whose str0m was given something to send.
    spoken_to: bool,
}

/// One of the audio tracks that a session can publish.
struct Track {
    source: SourceId,
    ingest: Ingest,
    publishing: bool,
    /// When the last packet came, let through or not.
    arrived_at: Option<Instant>,
    /// Its client was told that its audio has no level.
    level_missing: bool,
    /// Measures what comes without level, if it ever did and may.
    meter: Option<Meter>,
}

/// The part of a room that lives here.
struct LocalRoom {
    /// Its voices, and its stage.
    shards: ByAudio<RoomShard>,
    video: VideoShard,
    /// Whose pictures come from clients here.
    pictures: FxHashMap<SourceId, PictureId>,
    /// Streams of pictures of other workers of which somebody here needs a keyframe.
    keyframes_elsewhere: FxHashMap<EncodingId, KeyframeGate>,
    /// Which pictures clients of other workers watch, and whose clients these are.
    watched_by: FxHashMap<SourceId, Vec<WorkerId>>,
    /// What these want of them.
    wanted_elsewhere: WantedElsewhere,
    /// What other workers were told of layers.
    told: Told,
    /// Whether they are among the [`Rounds`].
    has_rounds: ByAudio<bool>,
    others: Vec<WorkerId>,
    tracers: Vec<Tracer>,
    /// Which sources clients of other workers want to hear by name, and whose clients these are.
    wanted_by: FxHashMap<SourceId, Vec<WorkerId>>,
    counted_switches: u64,
    announced_version: u64,
    announced_speech: bool,
    announced_screen: Option<SourceId>,
}

impl LocalRoom {
    /// Whether anybody here has to do with video.
    fn has_video(&self) -> bool {
        !self.pictures.is_empty() || self.video.watched().next().is_some()
    }

    /// Something happened to a source. Traces are of voices.
    fn note(&mut self, now: Instant, origin: AudioOrigin, source: SourceId, what: What) {
        if origin == AudioOrigin::Microphone {
            for tracer in &mut self.tracers {
                tracer.note(now, source, what);
            }
        }
    }
}

impl Plane {
    pub(super) fn new(
        id: WorkerId,
        crypto: SharedCrypto,
        candidates: Vec<Candidate>,
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
            sharers: FxHashSet::default(),
            pictures: FxHashSet::default(),
            unchecked: FxHashSet::default(),
            following: FxHashMap::default(),
            rooms: FxHashMap::default(),
            demux: Demux::default(),
            timers: Timers::default(),
            rounds: Rounds::default(),
            mixes: Mixes::default(),
            spoken_to: VecDeque::new(),
            gauge: StrainGauge::new(Instant::now()),
            is_strained: false,
            outgoing: Vec::new(),
            shown: Vec::new(),
            datagram: Vec::new(),
            events: Backlog::default(),
            selection_due: Instant::now() + SELECTION_INTERVAL,
            layers_due: Instant::now(),
        }
    }

    /// When [`Plane::handle_timeouts`] or [`Plane::flush`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let flush = self.rounds.due(self.gauge.gather());
        let spoken_to = self.spoken_to.front().map(|(since, _)| *since);
        let peers =
            self.timers.next().into_iter().chain(flush).chain(spoken_to).chain(self.mixes.due()).min();
        let rooms = (!self.rooms.is_empty()).then_some(self.selection_due);
        peers.into_iter().chain(rooms).min()
    }

    /// Whether the control plane has yet to take events.
    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The control plane wants something.
    pub(super) fn command(&mut self, now: Instant, command: WorkerCommand) {
        match command {
            WorkerCommand::Open(open) => self.open(now, *open),
            WorkerCommand::Offer { endpoint, sdp, fresh, request } => {
                let result = self.offer(now, endpoint, &sdp, fresh);
                self.tell(WorkerEvent::OfferAnswered { endpoint, request, result });
            }
            WorkerCommand::SetGates { endpoint, gates } => {
                for (origin, &gate) in gates.iter() {
                    self.set_gate(now, endpoint, origin, gate);
                }
            }
            WorkerCommand::SetStanding { endpoint, standing } => self.set_standing(now, endpoint, standing),
            WorkerCommand::SetListening { endpoint, listening } => {
                if let Some(player) = self.endpoints.get_mut(&endpoint) {
                    player.mix_of = None;
                }
                if let Some(local) = self.local_room_of(endpoint) {
                    local.shards.microphone.set_listening(now, endpoint, listening);
                }
            }
            WorkerCommand::SetWanted { room, wanted_by } => {
                if let Some(local) = self.rooms.get_mut(&room) {
                    local.shards.microphone.set_wanted(wanted_by.keys().copied());
                    local.wanted_by = wanted_by;
                }
            }
            WorkerCommand::SetOwnElsewhere { endpoint, sources } => {
                if let Some(local) = self.local_room_of(endpoint) {
                    for origin in AudioOrigin::ALL {
                        local.shards[origin].set_own_elsewhere(endpoint, sources[origin.into()]);
                    }
                }
            }
            WorkerCommand::Silence { room, sources } => {
                if let Some(local) = self.rooms.get_mut(&room) {
                    for (source, origin) in sources.iter().flat_map(|s| AudioOrigin::ALL.map(|o| (*s, o))) {
                        local.shards[origin].silence(source);
                    }
                }
            }
            WorkerCommand::Watch { endpoint, sources } => self.watch(now, endpoint, sources),
            WorkerCommand::View { endpoint, heights } => self.set_view(now, endpoint, &heights),
            WorkerCommand::LimitLayers { endpoint, limits } => self.limit_layers(now, endpoint, &limits),
            WorkerCommand::FollowLayers { endpoint, follows } => self.follow_layers(endpoint, follows),
            WorkerCommand::SetWatched { room, watched_by } => self.set_watched(now, &room, watched_by),
            WorkerCommand::Close { endpoint } => self.close(now, endpoint),
            WorkerCommand::SetRoomWorkers { room, others } => {
                let Some(local) = self.rooms.get_mut(&room) else {
                    return;
                };
                let turns = ByAudio::each(|origin| local.shards[origin].turn());
                let former = std::mem::replace(&mut local.others, others.clone());
                for new in others.iter().filter(|worker| !former.contains(worker)) {
                    for (origin, &turn) in turns.iter() {
                        self.cross_to(*new, Crossing { room: room.clone(), origin, news: News::Turn(turn) });
                    }
                }
            }
            WorkerCommand::Trace { room, trace } => {
                if let Some(local) = self.rooms.get_mut(&room) {
                    let mut tracer = Tracer::new(trace);
                    for (source, standing) in local.shards.microphone.standings() {
                        tracer.note(now, source, What::Stands(standing));
                    }
                    local.tracers.push(tracer);
                }
            }
            WorkerCommand::SendData { endpoints, reliable, frame } => {
                for endpoint in endpoints {
                    self.send_data(now, endpoint, reliable, &frame);
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

    /// A datagram arrived.
    pub(super) fn datagram(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        self.arrived(now, Path { protocol: Protocol::Udp, source: to, destination: from }, datagram);
    }

    /// A datagram arrived from the other end of a path.
    fn arrived(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        let from = Remote { protocol: path.protocol, address: path.destination };
        self.metrics.packets_in.increment(1);
        self.metrics.bytes_in.increment(datagram.len() as u64);
        let (id, is_known) = match self.demux.claim(from, datagram) {
            // Nobody reads what a listener reports: it is not worth the decryption.
            Claim::Known(id) if is_rtcp(datagram) && !self.reports(id) => {
                self.metrics.dropped_report.increment(1);
                if self.with_peer(now, id, |peer| peer.follow(now, path, datagram)) == Some(true) {
                    self.pump(now, id);
                }
                return;
            }
            Claim::Known(id) => (id, true),
            Claim::Unproven(id) => {
                let proven = self.with_peer(now, id, |peer| Ok(peer.accepts(now, path, datagram)));
                if proven != Some(true) {
                    self.metrics.dropped_unproven.increment(1);
                    return;
                }
                // Each address costs its peer time from here on; no client has so many.
                if !self.demux.knows(id, from)
                    && !self.endpoints.get_mut(&id).is_some_and(|e| e.address_allowance.take(now))
                {
                    self.metrics.dropped_roaming.increment(1);
                    return;
                }
                self.demux.learn_address(now, id, from);
                (id, false)
            }
            Claim::Stranger => {
                self.metrics.dropped_stranger.increment(1);
                return;
            }
        };
        let handled = self.with_peer(now, id, |peer| {
            if is_known {
                peer.follow(now, path, datagram)?;
            }
            match peer.handle_datagram(now, path, datagram) {
                Err(DatagramError::Malformed) => Ok(false),
                Err(DatagramError::Fatal) => Err(DatagramError::Fatal),
                Ok(()) => Ok(true),
            }
        });
        match handled {
            Some(true) => self.pump(now, id),
            Some(false) => self.metrics.dropped_malformed.increment(1),
            None => {}
        }
    }

    /// Peers and rooms whose time has come.
    pub(super) fn handle_timeouts(&mut self, now: Instant) {
        while let Some(id) = self.timers.pop_due(now) {
            let due = self.endpoints.get(&id).and_then(|e| e.peer.as_ref()).map(|peer| peer.deadline());
            match due {
                Some(deadline) if deadline.at <= now => {
                    let _ = self.with_peer(now, id, |peer| peer.handle_timeout(now));
                    self.pump(now, id);
                }
                Some(deadline) => self.timers.schedule(id, deadline),
                None => {}
            }
        }
        if now >= self.selection_due && !self.rooms.is_empty() {
            self.metrics.lag.record(now.saturating_duration_since(self.selection_due));
            self.selection_due = now + SELECTION_INTERVAL;
            self.announce_selections(now);
            self.look_after_unchecked(now);
            self.look_at_layers(now);
            self.tell_of_layers(now);
            self.ask_for_keyframes(now);
            self.judge_strain(now);
        }
    }

    /// The worker had nothing to do for so long.
    pub(super) fn slept(&mut self, time: Duration) {
        self.gauge.slept(time);
    }

    /// Looks whether the worker keeps up, now and then.
    fn judge_strain(&mut self, now: Instant) {
        let Some(strain) = self.gauge.poll(now) else {
            return;
        };
        self.metrics.busy.set(strain.busy);
        self.metrics.wait_max.set(strain.wait_max.as_secs_f64());
        self.metrics.gather.set(self.gauge.gather().as_secs_f64());
        self.set_strained(strain.is_strained);
    }

    /// There is nothing to do, however much there was.
    fn relieve(&mut self, now: Instant) {
        self.gauge = StrainGauge::new(now);
        self.set_strained(false);
    }

    fn set_strained(&mut self, is_strained: bool) {
        if std::mem::replace(&mut self.is_strained, is_strained) != is_strained {
            let worker = self.id;
            if is_strained {
                warn!(worker = worker.0, "strained: takes nobody new");
            } else {
                warn!(worker = worker.0, "no longer strained");
            }
            self.tell(WorkerEvent::Strained { worker, is_strained });
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
        self.events.hand_over(control);
    }

    /// Takes everything out of a peer, and acts on it.
    fn pump(&mut self, now: Instant, id: EndpointId) {
        let mut events = Vec::new();
        let mut outgoing = std::mem::take(&mut self.outgoing);
        let drained = self.with_peer(now, id, |peer| {
            peer.drain(now, &mut events, &mut outgoing)?;
            Ok((peer.deadline(), peer.is_alive()))
        });
        self.outgoing = outgoing;
        for event in events {
            self.peer_event(now, id, event);
        }
        match drained {
            Some((deadline, true)) => self.timers.schedule(id, deadline),
            Some((_, false)) => self.connection_lost(now, id),
            None => {}
        }
    }

    fn peer_event(&mut self, now: Instant, id: EndpointId, event: PeerEvent) {
        match event {
            PeerEvent::Connected | PeerEvent::Reconnected => {
                self.unchecked.remove(&id);
                self.connected(now, id);
            }
            PeerEvent::Disconnected => self.checks_ended(now, id),
            PeerEvent::Rtp(origin, rtp) => {
                self.media_arrived(now, id);
                self.rtp(now, id, origin, rtp);
            }
            PeerEvent::Video(origin, rtp) => {
                self.media_arrived(now, id);
                self.video_rtp(now, (id, origin), rtp);
            }
            PeerEvent::Estimated { kbps } => self.estimated(now, id, kbps),
            PeerEvent::KeyframeWanted { slot } => self.keyframe_wanted_in(now, id, slot),
            PeerEvent::StrayRtp => self.metrics.dropped_stray.increment(1),
            PeerEvent::ReliableOpened => self.send_pending_data(now, id),
            PeerEvent::Data { reliable, frame } => self.data(now, id, reliable, frame),
        }
    }

    /// Whether somebody reads what a client reports: those who send want to know, and those who watch may miss something.
    fn reports(&self, id: EndpointId) -> bool {
        self.endpoints.get(&id).is_some_and(|endpoint| {
            endpoint.tracks.iter().any(|(_, track)| track.publishing)
                || endpoint.peer.as_ref().is_some_and(|peer| peer.has_video())
        })
    }

    fn local_room_of(&mut self, id: EndpointId) -> Option<&mut LocalRoom> {
        let endpoint = self.endpoints.get(&id)?;
        self.rooms.get_mut(&endpoint.room)
    }

    /// Calls into a peer. An error or a panic ends that peer and nobody else.
    fn with_peer<T>(
        &mut self,
        now: Instant,
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
        self.connection_lost(now, id);
        None
    }

    /// Queues an event. State changes are bounded by what the control plane asked for and what
    /// the allowances let through; what is merely current is dropped when the queue is long.
    fn tell(&mut self, event: WorkerEvent) {
        let may_be_lost = matches!(
            event,
            WorkerEvent::Selected(_)
                | WorkerEvent::DataReceived { .. }
                | WorkerEvent::DataRefused { .. }
                | WorkerEvent::LayersChanged { .. }
        );
        if may_be_lost && self.is_ahead_of_control() {
            self.metrics.events_dropped.increment(1);
            debug!("control plane is behind: an event was dropped");
            return;
        }
        self.events.push(event);
    }

    /// Whether the control plane has so much to take that what may be lost is.
    fn is_ahead_of_control(&self) -> bool {
        const QUEUE_MAX: usize = 10_000;
        self.events.len() >= QUEUE_MAX
    }
}

/// RFC 5761, section 4: of what comes on a port for both, RTCP has packet types 64 to 95 where RTP has its payload type.
fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..192, kind, ..] if (64..96).contains(&(kind & 0x7F)))
}
