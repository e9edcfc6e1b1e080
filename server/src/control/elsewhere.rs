//! A room on other nodes: what they say of it in, what clients and workers have to know of that out, and the reverse.
//!
//! Each node speaks for those who are on it, and for nobody else. So two that parted and met again have nothing to settle, but
//! who of two of one identity came later, and who of two shared a screen first: each entering has a turn, and each sharing, the time by the cluster's clock, or one more than the
//! highest that was heard of (Lamport).

mod moderation;
mod returning;
mod rosters;
mod sought;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use selector::SourceId;
use tercet_core::{Moderation, NodeId, Participant, ParticipantId, Refusal, RoomId, SessionId};
use tercet_protocol::{ByOrigin, ErrorCode, LeaveReason, TrackOrigin};

pub(super) use self::sought::Seeking;
use self::sought::Sought;
use super::Control;
use super::live_room::LiveRoom;
use crate::cluster::{
    CarriedParticipant, ClusterCommand, ClusterEvent, Load, RemoteModeration, RemoteParticipant, RoomMessage,
};
use crate::media::WorkerId;

/// Those whose node is gone stay in the room for so long: their clients come back through another.
const LOST_FOR: Duration = Duration::from_secs(10);

/// What a dead node wanted known is of no use any more after so long.
const CARRIED_FOR: Duration = Duration::from_secs(30);

/// How long another node may take to do what a moderator wants.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long a session goes on whose client has joined on another node: two connections' worth.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(5);

/// Participants told of in one message, and identities.
const PARTICIPANTS_A_MESSAGE: usize = 100;
const ENTERED_A_MESSAGE: usize = 100;

/// This node in its cluster.
pub(super) struct OwnNode {
    pub(super) id: NodeId,
    /// What workers know the cluster as: one more worker.
    pub(super) worker: WorkerId,
    commands: Vec<ClusterCommand>,
    asked: BTreeMap<u64, Asked>,
    request_next: u64,
    load_told: Option<Load>,
    /// Where clients reach other nodes.
    others: Vec<String>,
    /// What the time was by the cluster's clock, in milliseconds since 1970.
    clock: (Instant, u64),
}

/// A moderator's request that other nodes are asked to carry out.
struct Asked {
    session: SessionId,
    re: Option<u32>,
    /// Who has yet to answer.
    nodes: BTreeSet<NodeId>,
    since: Instant,
}

/// What is known of a room on other nodes.
#[derive(Default)]
pub(super) struct Elsewhere {
    pub(super) nodes: BTreeSet<NodeId>,
    /// The highest turn that somebody had who entered or shared a screen, on any node.
    turn: u64,
    /// When each entered who is known of, here or there.
    turns: BTreeMap<ParticipantId, u64>,
    /// Those whose node is gone, since when.
    lost: BTreeMap<ParticipantId, Instant>,
    /// Those whom a node named while a later one of their identity was elsewhere: that one may go.
    shadowed: BTreeMap<(ParticipantId, NodeId), RemoteParticipant>,
    /// Those whom a node has yet to name in the roster that it tells.
    unnamed: BTreeMap<NodeId, BTreeSet<ParticipantId>>,
    /// What nodes wanted known after their death, and which of these are dead.
    carried: BTreeMap<NodeId, CarriedBy>,
    /// What those were, and where, who came here in place of themselves: if it is because their node died, they still are.
    replaced: BTreeMap<ParticipantId, (NodeId, CarriedParticipant, Instant)>,
    /// What clients want of what is on other nodes.
    voices: Sought,
    cameras: Sought,
    uncounted_told: u32,
    carried_told: Vec<CarriedParticipant>,
}

/// What a node wanted known after its death.
struct CarriedBy {
    is_dead: bool,
    /// When it was heard: it is of no use for long.
    heard_at: Instant,
    participants: Vec<CarriedParticipant>,
}

/// What somebody was who enters here.
#[derive(Default)]
pub(super) struct Former {
    /// What they were on a node that is gone.
    pub(super) was_on_dead_node: Option<CarriedParticipant>,
    /// Clients here know them.
    pub(super) was_listed: bool,
}

impl Elsewhere {
    /// Somebody enters here, at a time: their turn.
    fn enter(&mut self, id: &ParticipantId, time_ms: u64) -> u64 {
        let turn = self.next_turn(time_ms);
        self.turns.insert(id.clone(), turn);
        turn
    }

    /// The turn of what happens here, at a time.
    pub(super) fn next_turn(&mut self, time_ms: u64) -> u64 {
        self.turn = time_ms.max(self.turn + 1);
        self.turn
    }

    fn turn_of(&self, id: &ParticipantId) -> u64 {
        self.turns.get(id).copied().unwrap_or(0)
    }
}

impl OwnNode {
    fn new(id: NodeId, worker: WorkerId, clock: (Instant, u64)) -> OwnNode {
        let (commands, asked) = (Vec::new(), BTreeMap::new());
        OwnNode { id, worker, commands, asked, request_next: 1, load_told: None, others: Vec::new(), clock }
    }

    pub(super) fn time_ms(&self, now: Instant) -> u64 {
        let (at, ms) = self.clock;
        ms + now.saturating_duration_since(at).as_millis() as u64
    }
}

impl Control {
    /// The node is one of a cluster. `worker`: what its media workers know the cluster as. `clock`: what time it is, in
    /// milliseconds since 1970.
    pub(crate) fn join_cluster(&mut self, id: NodeId, worker: WorkerId, clock: (Instant, u64)) {
        self.own_node = Some(OwnNode::new(id, worker, clock));
    }

    /// What the cluster is to do, in order.
    pub(crate) fn take_cluster_commands(&mut self) -> Vec<ClusterCommand> {
        self.own_node.as_mut().map(|own| std::mem::take(&mut own.commands)).unwrap_or_default()
    }

    pub(super) fn command_cluster(&mut self, command: ClusterCommand) {
        if let Some(own) = &mut self.own_node {
            own.commands.push(command);
        }
    }

    /// Where else the cluster is reached by clients: a few other nodes.
    pub(super) fn other_nodes(&self) -> Vec<String> {
        self.own_node.as_ref().map(|own| own.others.clone()).unwrap_or_default()
    }

    /// Tells the other nodes of a room.
    pub(super) fn tell_nodes(&mut self, room: &RoomId, message: &RoomMessage) {
        let Some(live) = self.rooms.get(room) else {
            return;
        };
        for to in live.elsewhere.nodes.clone() {
            self.tell_node(to, room, message.clone());
        }
    }

    fn tell_node(&mut self, to: NodeId, room: &RoomId, message: RoomMessage) {
        self.command_cluster(ClusterCommand::Tell { to, room: room.clone(), message });
    }

    /// Something happened elsewhere.
    pub(crate) fn cluster_event(&mut self, now: Instant, event: ClusterEvent) {
        match event {
            ClusterEvent::ClockMoved(by) => {
                if let Some(own) = &mut self.own_node {
                    own.clock.1 += by.as_millis() as u64;
                }
            }
            ClusterEvent::Others(urls) => {
                if let Some(own) = &mut self.own_node {
                    own.others = urls;
                }
            }
            ClusterEvent::NodeDown(node) => self.node_down(now, node),
            ClusterEvent::RoomNode { room, node, is_present } => self.room_node(now, &room, node, is_present),
            ClusterEvent::StreamBegan(node) => {
                let with = self.rooms.iter().filter(|(_, live)| live.elsewhere.nodes.contains(&node));
                for room in with.map(|(room, _)| room.clone()).collect::<Vec<_>>() {
                    self.tell_roster(&room, node, true);
                }
            }
            ClusterEvent::Told { from, room, message } => self.told(now, from, &room, message),
            ClusterEvent::Carried { room, node, is_alive, participants } => {
                if let Some(live) = self.rooms.get_mut(&room) {
                    let carried = CarriedBy { is_dead: !is_alive, heard_at: now, participants };
                    live.elsewhere.carried.insert(node, carried);
                    self.restore_carried(now, &room, node);
                }
            }
        }
    }

    fn room_node(&mut self, now: Instant, room: &RoomId, node: NodeId, is_present: bool) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        if is_present {
            live.elsewhere.nodes.insert(node);
            if let Some(carried) = live.elsewhere.carried.get_mut(&node) {
                // It was only out of reach.
                carried.is_dead = false;
            }
            self.tell_roster(room, node, true);
        } else {
            live.elsewhere.nodes.remove(&node);
            live.elsewhere.seeks_no_more(node);
            live.elsewhere.shadowed.retain(|(_, of), _| *of != node);
            live.room.set_uncounted(node, 0);
            live.wanted_changed = true;
            let of_node = live.room.participants().filter(|it| it.node == Some(node));
            let gone = of_node.filter(|it| !live.elsewhere.lost.contains_key(&it.id));
            for id in gone.map(|it| it.id.clone()).collect::<Vec<_>>() {
                self.depart(now, room, &id, LeaveReason::Left);
            }
        }
        self.tell_room_workers(room);
        // Whoever is there no more watches nobody, and was told what it knows no more.
        if let Some(live) = self.rooms.get_mut(room) {
            live.cameras.watched_elsewhere();
            self.show_cameras(now, room);
        }
    }

    fn told(&mut self, now: Instant, from: NodeId, room: &RoomId, message: RoomMessage) {
        let Some(live) = self.rooms.get_mut(room) else {
            // Nobody is here: whoever asks for somebody is told so.
            if let RoomMessage::Moderate { request, .. } = message {
                let outcome = Err(Refusal::NoSuchParticipant);
                self.tell_node(from, room, RoomMessage::Moderated { request, outcome });
            }
            return;
        };
        if message.is_of_roster() && !live.elsewhere.nodes.contains(&from) {
            // Of a room that it has closed since, or that we have yet to hear is there: then all is told once more.
            return;
        }
        match message {
            RoomMessage::Roster { uncounted, wants_yours } => {
                live.room.set_uncounted(from, uncounted);
                live.attendance.changes(live.room.lists_all());
                live.elsewhere.shadowed.retain(|(_, of), _| *of != from);
                let known = live.room.participants().filter(|it| it.node == Some(from));
                let known = known.map(|it| it.id.clone()).collect();
                live.elsewhere.unnamed.insert(from, known);
                if wants_yours {
                    self.tell_roster(room, from, false);
                }
            }
            RoomMessage::RosterEnd => {
                for id in live.elsewhere.unnamed.remove(&from).into_iter().flatten() {
                    let is_there = |it: &Participant| it.node == Some(from);
                    if self.rooms.get(room).and_then(|live| live.room.participant(&id)).is_some_and(is_there)
                    {
                        self.depart(now, room, &id, LeaveReason::Left);
                    }
                }
            }
            RoomMessage::Participants(participants) => {
                for participant in participants {
                    self.adopt(now, room, from, participant);
                }
            }
            RoomMessage::Left { id, reason } => {
                let id = ParticipantId::from(id.as_str());
                live.elsewhere.shadowed.remove(&(id.clone(), from));
                if live.room.participant(&id).is_some_and(|it| it.node == Some(from)) {
                    self.depart(now, room, &id, reason);
                }
            }
            RoomMessage::Uncounted(count) => {
                live.room.set_uncounted(from, count);
                live.attendance.changes(live.room.lists_all());
            }
            RoomMessage::Entered(entered) => {
                for (id, turn) in entered {
                    self.yield_identity(now, room, &id.as_str().into(), from, turn);
                }
            }
            RoomMessage::HandedOver { was, sources } => {
                let sources = ByOrigin::each(|origin| SourceId(sources[origin as usize]));
                self.handed_over(now, room, was, sources);
            }
            RoomMessage::Moderate { request, whom, what } => {
                let whom = ParticipantId::from(whom.as_str());
                let outcome = self.moderate_here(now, room, &whom, what);
                self.tell_node(from, room, RoomMessage::Moderated { request, outcome });
            }
            RoomMessage::Moderated { request, outcome } => self.moderated(now, from, request, outcome),
            RoomMessage::Data { to, reliable, frame } => {
                self.deliver_data(room, None, to.as_deref(), reliable, frame.into());
            }
            RoomMessage::Wanted(sources) => {
                live.elsewhere.is_sought(Seeking::Voices, from, sources);
                live.wanted_changed = true;
            }
            RoomMessage::Watched(sources) => {
                live.elsewhere.is_sought(Seeking::Cameras, from, sources);
                live.cameras.watched_elsewhere();
                self.show_cameras(now, room);
            }
        }
    }

    fn node_down(&mut self, now: Instant, node: NodeId) {
        let rooms: Vec<RoomId> = self.rooms.keys().cloned().collect();
        for room in rooms {
            let Some(live) = self.rooms.get_mut(&room) else {
                continue;
            };
            let of_node = live.room.participants().filter(|it| it.node == Some(node));
            let lost: Vec<(ParticipantId, Sources)> =
                of_node.map(|it| (it.id.clone(), sources_of(it))).collect();
            live.elsewhere.lost.extend(lost.iter().map(|(id, _)| (id.clone(), now)));
            live.elsewhere.unnamed.remove(&node);
            if let Some(carried) = live.elsewhere.carried.get_mut(&node) {
                carried.is_dead = true;
            }
            self.silence(&room, lost.iter().flat_map(|(_, sources)| *sources));
            self.pictures_ended(now, &room, lost.iter().flat_map(|(_, sources)| *sources));
            self.restore_carried(now, &room, node);
            self.restore_replaced(now, &room, node);
        }
        let answered: Vec<u64> = self.own_node.iter().flat_map(|own| own.asked.keys().copied()).collect();
        for request in answered {
            self.moderated(now, node, request, Err(Refusal::NoSuchParticipant));
        }
    }

    /// Those whose node is gone and who did not come back, and requests that no node answered.
    pub(super) fn expire_elsewhere(&mut self, now: Instant) {
        let since = |at: &Instant| now.saturating_duration_since(*at);
        let mut over = Vec::new();
        for (room, live) in &mut self.rooms {
            let lost = live.elsewhere.lost.iter().filter(|(_, at)| since(at) >= LOST_FOR);
            over.extend(lost.map(|(id, _)| (room.clone(), id.clone())));
            live.elsewhere.replaced.retain(|_, (.., at)| since(at) < LOST_FOR);
            live.elsewhere
                .carried
                .retain(|_, carried| !carried.is_dead || since(&carried.heard_at) < CARRIED_FOR);
        }
        for (room, id) in over {
            self.depart(now, &room, &id, LeaveReason::TimedOut);
        }
        let asked = self
            .own_node
            .iter_mut()
            .flat_map(|own| own.asked.extract_if(.., |_, it| since(&it.since) >= ANSWER_WITHIN));
        for (_, Asked { session, re, .. }) in asked.collect::<Vec<_>>() {
            let message = "the node that they are on does not answer";
            self.acknowledge(now, session, re, Err((ErrorCode::Internal, message.to_owned())));
        }
    }

    /// What the other nodes are to know of this one, and of its rooms, that isn't told at once.
    pub(super) fn tell_cluster(&mut self) {
        if self.own_node.is_none() {
            return;
        }
        let rooms: Vec<RoomId> = self.rooms.keys().cloned().collect();
        for room in rooms {
            let Some(live) = self.rooms.get_mut(&room) else {
                continue;
            };
            let uncounted = live.uncounted_here();
            let is_told = std::mem::replace(&mut live.elsewhere.uncounted_told, uncounted) == uncounted;
            let amended = live.sessions.values().filter_map(|id| self.sessions.get(id));
            let amended = amended.filter_map(|session| {
                let participant = live.room.participant(&session.participant)?;
                let is_as_said = participant.role == session.token_role
                    && participant.standing == Default::default()
                    && !participant.hand_raised
                    && !participant.tracks.iter().any(|(_, track)| track.muted);
                (!is_as_said).then(|| CarriedParticipant::of(participant))
            });
            let mut participants: Vec<CarriedParticipant> = amended.collect();
            // What there is no room for is what weighs least: a hand, or that somebody muted themselves.
            let token_role = |it: &CarriedParticipant| {
                let session = live.sessions.get(&it.id.as_str().into()).and_then(|id| self.sessions.get(id));
                session.map(|session| session.token_role)
            };
            participants
                .sort_by_key(|it| (token_role(it) == Some(it.role), it.standing == Default::default()));
            let is_news = live.elsewhere.carried_told != participants;
            live.elsewhere.carried_told.clone_from(&participants);
            if !is_told {
                self.tell_nodes(&room, &RoomMessage::Uncounted(uncounted));
            }
            if is_news {
                self.command_cluster(ClusterCommand::Carry { room, participants });
            }
        }
        self.tell_load();
    }

    pub(super) fn tell_load(&mut self) {
        let load = Load {
            sessions: self.sessions.len() as u32,
            rooms: self.rooms.len() as u32,
            is_strained: self.strained.len() == self.load.len(),
            is_draining: self.draining,
        };
        let is_news = self.own_node.as_mut().is_some_and(|own| own.load_told.replace(load) != Some(load));
        if is_news {
            self.command_cluster(ClusterCommand::SetLoad(load));
        }
    }
}

impl LiveRoom {
    /// Somebody as other nodes are told.
    fn remote(&self, participant: &Participant) -> RemoteParticipant {
        let turn = self.elsewhere.turn_of(&participant.id);
        let shares_since = self.cameras.focus.turn_of(participant.tracks.screen_video.source);
        RemoteParticipant::of(participant, turn, shares_since)
    }

    /// How many are here of whom nobody is told.
    fn uncounted_here(&self) -> u32 {
        let listed = self.sessions.keys().filter(|id| self.room.is_listed(id)).count();
        (self.sessions.len() - listed) as u32
    }
}

/// What somebody publishes, in the order of [`TrackOrigin::ALL`].
type Sources = [SourceId; TrackOrigin::ALL.len()];

pub(super) fn sources_of(participant: &Participant) -> Sources {
    TrackOrigin::ALL.map(|origin| participant.tracks[origin].source)
}

/// Whom a moderator's request is about is on another node, or not known here.
pub(super) fn is_elsewhere(live: &LiveRoom, whom: &ParticipantId) -> bool {
    live.room.participant(whom).is_none_or(|it| it.node.is_some())
}

/// A change that a moderator asks for.
pub(super) fn change(moderation: Moderation) -> RemoteModeration {
    RemoteModeration::Change(moderation)
}

#[cfg(test)]
mod tests;
