//! A room on other nodes: what they say of it in, what clients and workers have to know of that out, and the reverse.
//!
//! Each node speaks for those who are on it, and for nobody else. So two that parted and met again have nothing to settle, but
//! who of two of one identity came later: each entering has a turn, the time by the cluster's clock, or one more than the
//! highest that was heard of (Lamport).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use selector::SourceId;
use tercet_core::{Moderation, NodeId, Participant, ParticipantId, Refusal, RoomId, SessionId};
use tercet_protocol::{ErrorCode, LeaveReason, ServerMessage, WireParticipant};
use tracing::info;

use super::Control;
use super::live_room::{LiveRoom, wire_participant, wire_track};
use super::requests::refused;
use crate::cluster::{
    CarriedParticipant, ClusterCommand, ClusterEvent, Load, RemoteModeration, RemoteParticipant, RoomMessage,
};
use crate::media::{WorkerCommand, WorkerId};

/// Those whose node is gone stay in the room for so long: their clients come back through another.
const LOST_FOR: Duration = Duration::from_secs(10);

/// How long another node may take to do what a moderator wants.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How long a session goes on whose client has joined on another node: two connections' worth.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(5);

/// Participants told of in one message, and identities.
const PARTICIPANTS_A_MESSAGE: usize = 100;
const ENTERED_A_MESSAGE: usize = 500;

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
    /// The highest turn that somebody had who entered, on any node.
    turn: u64,
    /// When each entered who is known of, here or there.
    turns: BTreeMap<ParticipantId, u64>,
    /// Those whose node is gone, since when.
    lost: BTreeMap<ParticipantId, Instant>,
    /// Those whom a node has yet to name in the roster that it tells.
    unnamed: BTreeMap<NodeId, BTreeSet<ParticipantId>>,
    /// What nodes wanted known after their death, and which of these are dead.
    carried: BTreeMap<NodeId, (bool, Vec<CarriedParticipant>)>,
    /// What those were, and where, who came here in place of themselves: if it is because their node died, they still are.
    replaced: BTreeMap<ParticipantId, (NodeId, CarriedParticipant, Instant)>,
    wanted_by: BTreeMap<NodeId, BTreeSet<SourceId>>,
    wanted_told: BTreeMap<NodeId, BTreeSet<SourceId>>,
    uncounted_told: u32,
    carried_told: Vec<CarriedParticipant>,
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
        self.turn = time_ms.max(self.turn + 1);
        self.turns.insert(id.clone(), self.turn);
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

    fn time_ms(&self, now: Instant) -> u64 {
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

    /// Somebody here is new to the others, or something about them is.
    pub(super) fn tell_nodes_of(&mut self, room: &RoomId, id: &ParticipantId) {
        let Some(live) = self.rooms.get(room).filter(|live| !live.elsewhere.nodes.is_empty()) else {
            return;
        };
        let own = live.room.participant(id).filter(|it| it.node.is_none() && live.room.is_listed(id));
        if let Some(participant) = own {
            let participant = RemoteParticipant::of(participant, live.elsewhere.turn_of(id));
            self.tell_nodes(room, &RoomMessage::Participants(vec![participant]));
        }
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
                    live.elsewhere.carried.insert(node, (!is_alive, participants));
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
            self.tell_roster(room, node, true);
        } else {
            live.elsewhere.nodes.remove(&node);
            live.elsewhere.wanted_by.remove(&node);
            live.elsewhere.wanted_told.remove(&node);
            live.room.set_uncounted(node, 0);
            live.wanted_changed = true;
            let of_node = live.room.participants().filter(|it| it.node == Some(node));
            let gone = of_node.filter(|it| !live.elsewhere.lost.contains_key(&it.id));
            for id in gone.map(|it| it.id.clone()).collect::<Vec<_>>() {
                self.depart(now, room, &id, LeaveReason::Left);
            }
        }
        self.tell_room_workers(room);
    }

    /// Tells a node all of those who are here.
    fn tell_roster(&mut self, room: &RoomId, to: NodeId, wants_yours: bool) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        let uncounted = live.uncounted_here();
        live.elsewhere.uncounted_told = uncounted;
        let elsewhere = &live.elsewhere;
        let here = || live.room.participants().filter(|it| it.node.is_none());
        let listed = here().filter(|it| live.room.is_listed(&it.id));
        let listed: Vec<RemoteParticipant> =
            listed.map(|it| RemoteParticipant::of(it, elsewhere.turn_of(&it.id))).collect();
        let others = here().filter(|it| !live.room.is_listed(&it.id));
        let others: Vec<(String, u64)> =
            others.map(|it| (it.id.to_string(), elsewhere.turn_of(&it.id))).collect();
        let wanted = elsewhere.wanted_told.get(&to).cloned().unwrap_or_default();
        self.tell_node(to, room, RoomMessage::Roster { uncounted, wants_yours });
        for participants in listed.chunks(PARTICIPANTS_A_MESSAGE) {
            self.tell_node(to, room, RoomMessage::Participants(participants.to_vec()));
        }
        self.tell_node(to, room, RoomMessage::RosterEnd);
        for entered in others.chunks(ENTERED_A_MESSAGE) {
            self.tell_node(to, room, RoomMessage::Entered(entered.to_vec()));
        }
        if !wanted.is_empty() {
            let wanted = crate::cluster::wire_sources(wanted);
            self.tell_node(to, room, RoomMessage::Wanted(wanted));
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
        match message {
            RoomMessage::Roster { uncounted, wants_yours } => {
                live.room.set_uncounted(from, uncounted);
                live.attendance.changes(live.room.lists_all());
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
                live.elsewhere.wanted_by.insert(from, sources.into_iter().map(SourceId).collect());
                live.wanted_changed = true;
            }
        }
    }

    /// Somebody entered elsewhere: who has their identity here, from before, is replaced. Returns whether they may be adopted.
    fn yield_identity(
        &mut self,
        now: Instant,
        room: &RoomId,
        id: &ParticipantId,
        from: NodeId,
        turn: u64,
    ) -> bool {
        let Some((own, live)) = self.own_node.as_ref().map(|own| own.id).zip(self.rooms.get_mut(room)) else {
            return false;
        };
        live.elsewhere.turn = live.elsewhere.turn.max(turn);
        // A session that was handed over is as good as gone.
        let is_handed_over = |id: &SessionId| self.sessions.get(id).is_none_or(|it| it.ends_at.is_some());
        let Some(&session) = live.sessions.get(id).filter(|id| !is_handed_over(id)) else {
            let known = live.room.participant(id).and_then(|it| it.node);
            return known.is_none_or(|node| node == from || live.elsewhere.turn_of(id) <= turn);
        };
        let own_turn = live.elsewhere.turn_of(id);
        if (own_turn, own) < (turn, from) {
            if self.draining {
                self.hand_over(now, session);
            } else {
                self.end(now, session, LeaveReason::Replaced);
            }
            // That may have been the last one here.
            self.rooms.contains_key(room)
        } else {
            self.tell_node(from, room, RoomMessage::Entered(vec![(id.to_string(), own_turn)]));
            false
        }
    }

    /// The client of a node that stops has joined on another: until its media flows there it goes on here.
    fn hand_over(&mut self, now: Instant, session: SessionId) {
        if let Some(session) = self.sessions.get_mut(&session).filter(|session| session.ends_at.is_none()) {
            session.ends_at = Some(now + HAND_OVER_WITHIN);
        }
    }

    /// A node says how somebody there is.
    fn adopt(&mut self, now: Instant, room: &RoomId, from: NodeId, remote: RemoteParticipant) {
        let turn = remote.turn;
        let participant = remote.on(from);
        let id = participant.id.clone();
        if !self.yield_identity(now, room, &id, from, turn) {
            return;
        }
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        if let Some(unnamed) = live.elsewhere.unnamed.get_mut(&from) {
            unnamed.remove(&id);
        }
        live.elsewhere.lost.remove(&id);
        live.elsewhere.turns.insert(id.clone(), turn);
        let former = live.room.participant(&id).map(|it| (wire_participant(it), live.room.is_listed(&id)));
        let former_sources = live.room.participant(&id).map(sources_of);
        let sources = sources_of(&participant);
        live.adopt(participant);
        let is_listed = live.room.is_listed(&id);
        let Some(adopted) = live.room.participant(&id) else {
            return;
        };
        let is_new = former_sources.is_none_or(|former| former != sources);
        let now_so = wire_participant(adopted);
        let messages = match former {
            Some((former, true)) => changes(&former, adopted, now_so),
            _ if is_listed => vec![ServerMessage::ParticipantJoined { participant: now_so }],
            _ => Vec::new(),
        };
        for message in messages {
            self.broadcast(now, room, &message);
        }
        if is_new {
            self.name_slots_again(room, sources);
            self.tell_viewers_of(room, &id);
        }
    }

    /// Packets of somebody may come before their name: who was told of a nameless speaker is told again.
    fn name_slots_again(&mut self, room: &RoomId, sources: [SourceId; 2]) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        for id in live.sessions.values() {
            let Some(session) = self.sessions.get_mut(id) else {
                continue;
            };
            if session.slots_told.iter().flatten().any(|source| sources.contains(source)) {
                session.slots_told.clear();
                live.slots_changed.insert(session.worker);
            }
        }
    }

    /// Somebody elsewhere is there no more.
    fn depart(&mut self, now: Instant, room: &RoomId, id: &ParticipantId, reason: LeaveReason) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        let was_listed = live.room.is_listed(id);
        live.elsewhere.turns.remove(id);
        live.elsewhere.lost.remove(id);
        let Some(left) = live.drop_remote(id) else {
            return;
        };
        if was_listed {
            self.tell_left(now, room, id, reason);
        }
        self.silence(room, sources_of(&left));
    }

    /// Sources of other nodes are silent: nobody there says so any more.
    fn silence(&mut self, room: &RoomId, sources: impl IntoIterator<Item = SourceId>) {
        let sources: Vec<SourceId> = sources.into_iter().collect();
        let workers = self.rooms.get(room).map(LiveRoom::workers).unwrap_or_default();
        for worker in workers {
            let (room, sources) = (room.clone(), sources.clone());
            self.command(worker, WorkerCommand::Silence { room, sources });
        }
    }

    fn node_down(&mut self, now: Instant, node: NodeId) {
        let rooms: Vec<RoomId> = self.rooms.keys().cloned().collect();
        for room in rooms {
            let Some(live) = self.rooms.get_mut(&room) else {
                continue;
            };
            let of_node = live.room.participants().filter(|it| it.node == Some(node));
            let lost: Vec<(ParticipantId, [SourceId; 2])> =
                of_node.map(|it| (it.id.clone(), sources_of(it))).collect();
            live.elsewhere.lost.extend(lost.iter().map(|(id, _)| (id.clone(), now)));
            live.elsewhere.unnamed.remove(&node);
            if let Some((is_dead, _)) = live.elsewhere.carried.get_mut(&node) {
                *is_dead = true;
            }
            self.silence(&room, lost.iter().flat_map(|(_, sources)| *sources));
            self.restore_carried(now, &room, node);
            self.restore_replaced(now, &room, node);
        }
        let answered: Vec<u64> = self.own_node.iter().flat_map(|own| own.asked.keys().copied()).collect();
        for request in answered {
            self.moderated(now, node, request, Err(Refusal::NoSuchParticipant));
        }
    }

    /// Those who came here from a node that is dead are what they were there.
    fn restore_carried(&mut self, now: Instant, room: &RoomId, node: NodeId) {
        let Some(live) = self.rooms.get(room) else {
            return;
        };
        let Some((true, carried)) = live.elsewhere.carried.get(&node) else {
            return;
        };
        for carried in carried.clone() {
            self.restore(now, room, carried);
        }
    }

    fn restore_replaced(&mut self, now: Instant, room: &RoomId, node: NodeId) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        let from_there = live.elsewhere.replaced.extract_if(.., |_, (from, ..)| *from == node);
        let from_there: Vec<CarriedParticipant> = from_there.map(|(_, (_, carried, _))| carried).collect();
        for carried in from_there {
            self.restore(now, room, carried);
        }
    }

    /// Somebody who has just come, and is as their token says, is as they were.
    pub(super) fn restore(&mut self, now: Instant, room: &RoomId, carried: CarriedParticipant) {
        let id = ParticipantId::from(carried.id.as_str());
        let session = self.rooms.get(room).and_then(|live| live.sessions.get(&id));
        let session = session.and_then(|id| self.sessions.get(id));
        let is_new = |at: Instant| now.saturating_duration_since(at) <= LOST_FOR;
        if !session.is_some_and(|session| is_new(session.joined_at) && !session.was_restored) {
            return;
        }
        if let Some(session) = self.rooms.get(room).and_then(|live| live.sessions.get(&id)).copied()
            && let Some(session) = self.sessions.get_mut(&session)
        {
            session.was_restored = true;
        }
        info!(%room, participant = %id, role = ?carried.role, "is what they were on a node that is gone");
        let _ = self.change(now, room, &id, |room| room.restore(&id, &carried_state(&carried)));
    }

    /// Somebody enters whom other nodes may know: from here on they are there no more.
    pub(super) fn enter_from_elsewhere(&mut self, now: Instant, room: &RoomId, id: &ParticipantId) -> Former {
        let Some(live) = self.rooms.get_mut(room) else {
            return Former::default();
        };
        let of_dead = live.elsewhere.carried.values().filter(|(is_dead, _)| *is_dead);
        let carried = of_dead.flat_map(|(_, all)| all).find(|it| it.id == id.as_str()).cloned();
        let there = live.room.participant(id).filter(|it| it.node.is_some()).cloned();
        let Some(there) = there else {
            return Former { was_on_dead_node: carried, was_listed: false };
        };
        let was = CarriedParticipant::of(&there);
        let is_lost = live.elsewhere.lost.contains_key(id);
        if let Some(node) = there.node.filter(|_| !is_lost) {
            live.elsewhere.replaced.insert(id.clone(), (node, was.clone(), now));
        }
        let was_listed = live.room.is_listed(id);
        live.elsewhere.lost.remove(id);
        live.drop_remote(id);
        self.silence(room, sources_of(&there));
        Former { was_on_dead_node: if is_lost { Some(was) } else { carried }, was_listed }
    }

    /// Somebody has entered here.
    pub(super) fn entered_here(&mut self, now: Instant, room: &RoomId, id: &ParticipantId) {
        let Some((own, live)) = self.own_node.as_ref().zip(self.rooms.get_mut(room)) else {
            return;
        };
        let turn = live.elsewhere.enter(id, own.time_ms(now));
        self.tell_nodes(room, &RoomMessage::Entered(vec![(id.to_string(), turn)]));
        self.tell_nodes_of(room, id);
    }

    /// Somebody has left who was here.
    pub(super) fn left_here(
        &mut self,
        room: &RoomId,
        id: &ParticipantId,
        was_listed: bool,
        reason: LeaveReason,
    ) {
        if let Some(live) = self.rooms.get_mut(room) {
            if live.room.participant(id).is_none() {
                live.elsewhere.turns.remove(id);
                live.elsewhere.replaced.remove(id);
            }
            if was_listed {
                self.tell_nodes(room, &RoomMessage::Left { id: id.to_string(), reason });
            }
        }
    }

    /// A moderator here wants something done to somebody who is on another node, or on one that isn't known. `None` where the
    /// answer will come.
    pub(super) fn moderate_elsewhere(
        &mut self,
        now: Instant,
        (session, re): (SessionId, Option<u32>),
        room: &RoomId,
        whom: &ParticipantId,
        what: RemoteModeration,
    ) -> Option<Result<(), (ErrorCode, String)>> {
        let no_such = Some(Err(refused(Refusal::NoSuchParticipant)));
        let (Some(own), Some(live)) = (self.own_node.as_mut(), self.rooms.get(room)) else {
            return no_such;
        };
        let there = live.room.participant(whom).and_then(|it| it.node);
        let nodes = there.map_or_else(|| live.elsewhere.nodes.clone(), |node| BTreeSet::from([node]));
        if nodes.is_empty() {
            return no_such;
        }
        let request = own.request_next;
        own.request_next += 1;
        own.asked.insert(request, Asked { session, re, nodes: nodes.clone(), since: now });
        for node in nodes {
            let message = RoomMessage::Moderate { request, whom: whom.to_string(), what };
            self.tell_node(node, room, message);
        }
        None
    }

    /// A moderator elsewhere, who may, does something to somebody here.
    fn moderate_here(
        &mut self,
        now: Instant,
        room: &RoomId,
        whom: &ParticipantId,
        what: RemoteModeration,
    ) -> Result<(), Refusal> {
        let session = self.rooms.get(room).and_then(|live| live.sessions.get(whom)).copied();
        let session = session.ok_or(Refusal::NoSuchParticipant)?;
        match what {
            RemoteModeration::Remove => self.end(now, session, LeaveReason::Removed),
            RemoteModeration::Change(moderation) => {
                let _ = self.change(now, room, whom, |room| room.moderate(whom, moderation));
            }
        }
        Ok(())
    }

    fn moderated(&mut self, now: Instant, from: NodeId, request: u64, outcome: Result<(), Refusal>) {
        let Some(own) = self.own_node.as_mut() else {
            return;
        };
        let Some(asked) = own.asked.get_mut(&request) else {
            return;
        };
        if !asked.nodes.remove(&from) || (outcome.is_err() && !asked.nodes.is_empty()) {
            return;
        }
        if let Some(Asked { session, re, .. }) = own.asked.remove(&request) {
            self.acknowledge(now, session, re, outcome.map_err(refused));
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
            let participants: Vec<CarriedParticipant> = amended.collect();
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

    /// Whom clients here want to hear who are elsewhere, where that changed.
    pub(super) fn tell_nodes_wanted(&mut self, room: &RoomId, wanted: BTreeMap<NodeId, BTreeSet<SourceId>>) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        let former = std::mem::replace(&mut live.elsewhere.wanted_told, wanted.clone());
        let nodes: BTreeSet<NodeId> = former.keys().chain(wanted.keys()).copied().collect();
        for node in nodes.into_iter().filter(|node| former.get(node) != wanted.get(node)) {
            let sources = wanted.get(&node).cloned().unwrap_or_default();
            self.tell_node(node, room, RoomMessage::Wanted(crate::cluster::wire_sources(sources)));
        }
    }
}

impl LiveRoom {
    /// How many are here of whom nobody is told.
    fn uncounted_here(&self) -> u32 {
        let listed = self.sessions.keys().filter(|id| self.room.is_listed(id)).count();
        (self.sessions.len() - listed) as u32
    }

    /// The sources here that clients of other nodes want to hear.
    pub(super) fn wanted_by_nodes(&self) -> impl Iterator<Item = SourceId> {
        let all: BTreeSet<SourceId> = self.elsewhere.wanted_by.values().flatten().copied().collect();
        all.into_iter()
    }
}

fn sources_of(participant: &Participant) -> [SourceId; 2] {
    [participant.tracks.microphone.source, participant.tracks.screen.source]
}

fn carried_state(carried: &CarriedParticipant) -> tercet_core::Restored {
    tercet_core::Restored {
        role: carried.role,
        standing: carried.standing,
        hand_raised: carried.hand_raised,
        muted: tercet_protocol::ByOrigin { microphone: carried.muted, screen: carried.screen_muted },
    }
}

/// What clients are told of somebody elsewhere who was so, and is now so.
fn changes(
    former: &WireParticipant,
    participant: &Participant,
    now_so: WireParticipant,
) -> Vec<ServerMessage> {
    let mut messages = Vec::new();
    let had = |id: &str| former.tracks.iter().any(|track| track.id == id);
    for track in former.tracks.iter().filter(|track| !now_so.tracks.contains(track)) {
        let participant = now_so.id.clone();
        messages.push(ServerMessage::TrackUnpublished { participant, track: track.id.clone() });
    }
    for (origin, track) in participant.tracks.iter().filter(|(_, track)| track.publishing) {
        let track = wire_track(origin, track);
        if !had(&track.id) {
            messages.push(ServerMessage::TrackPublished { participant: now_so.id.clone(), track });
        }
    }
    let without_tracks = |it: &WireParticipant| WireParticipant { tracks: Vec::new(), ..it.clone() };
    if without_tracks(former) != without_tracks(&now_so) {
        messages.push(ServerMessage::ParticipantUpdated { participant: now_so });
    }
    messages
}

/// Whom a moderator's request is about is on another node, or not known here.
pub(super) fn is_elsewhere(live: &LiveRoom, whom: &ParticipantId) -> bool {
    live.room.participant(whom).is_none_or(|it| it.node.is_some())
}

/// A change that a moderator asks for.
pub(super) fn change(moderation: Moderation) -> RemoteModeration {
    RemoteModeration::Change(moderation)
}
