//! Those who come here from another node: because theirs stops, or died, or because they chose to.

use std::time::Instant;

use selector::SourceId;
use tercet_core::{Gate, NodeId, ParticipantId, RoomId, SessionId};
use tercet_protocol::ByOrigin;
use tracing::info;

use super::{Former, HAND_OVER_WITHIN, LOST_FOR, sources_of};
use crate::cluster::{CarriedParticipant, RoomMessage};
use crate::control::Control;
use crate::media::WorkerCommand;

impl Control {
    /// The client of a node that stops has joined on another: until its media flows there it goes on here.
    pub(super) fn hand_over(&mut self, now: Instant, room: &RoomId, id: SessionId, to: NodeId) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.ends_at.is_none()) else {
            return;
        };
        session.ends_at = Some(now + HAND_OVER_WITHIN);
        let live = self.rooms.get(room);
        let participant = live.and_then(|live| live.room.participant(&session.participant));
        if let Some(participant) = participant.filter(|it| it.node.is_none()) {
            let sources = sources_of(participant).map(|source| source.0);
            let was = CarriedParticipant::of(participant);
            self.tell_node(to, room, RoomMessage::HandedOver { was, sources });
        }
    }

    /// Somebody who has come here from a node that stops is what they were there, and doesn't hear what they still say there.
    pub(super) fn handed_over(
        &mut self,
        now: Instant,
        room: &RoomId,
        was: CarriedParticipant,
        sources: ByOrigin<SourceId>,
    ) {
        let id = ParticipantId::from(was.id.as_str());
        let session = self.rooms.get(room).and_then(|live| live.sessions.get(&id));
        if let Some(session) = session.and_then(|id| self.sessions.get(id)) {
            let (worker, endpoint) = (session.worker, session.endpoint);
            self.command(worker, WorkerCommand::SetOwnElsewhere { endpoint, sources });
        }
        self.restore(now, room, was);
    }

    /// Somebody who went from here to another node, and has a session here still: they don't hear themselves in it, and
    /// aren't heard by it once they are heard there.
    pub(super) fn follow_handed_over(&mut self, room: &RoomId, id: &ParticipantId) {
        let Some(live) = self.rooms.get(room) else {
            return;
        };
        let session = live.sessions.get(id).and_then(|id| self.sessions.get(id));
        let there = live.room.participant(id).filter(|it| it.node.is_some());
        let Some((session, there)) = session.zip(there) else {
            return;
        };
        let (worker, endpoint) = (session.worker, session.endpoint);
        let sources = ByOrigin::each(|origin| there.tracks[origin].source);
        let gates = ByOrigin::each(|origin| match there.tracks[origin].publishing {
            true => Gate::Muted,
            false => there.gate(origin),
        });
        self.command(worker, WorkerCommand::SetOwnElsewhere { endpoint, sources });
        self.command(worker, WorkerCommand::SetGates { endpoint, gates });
    }

    /// Those who came here from a node that is dead are what they were there.
    pub(super) fn restore_carried(&mut self, now: Instant, room: &RoomId, node: NodeId) {
        let Some(live) = self.rooms.get(room) else {
            return;
        };
        let Some(carried) = live.elsewhere.carried.get(&node).filter(|carried| carried.is_dead) else {
            return;
        };
        for carried in carried.participants.clone() {
            self.restore(now, room, carried);
        }
    }

    pub(super) fn restore_replaced(&mut self, now: Instant, room: &RoomId, node: NodeId) {
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
    pub(in crate::control) fn restore(&mut self, now: Instant, room: &RoomId, carried: CarriedParticipant) {
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
        let _ = self.change(now, room, &id, |room| room.restore(&id, &carried.state()));
    }

    /// Somebody enters whom other nodes may know: from here on they are there no more.
    pub(in crate::control) fn enter_from_elsewhere(
        &mut self,
        now: Instant,
        room: &RoomId,
        id: &ParticipantId,
    ) -> Former {
        let Some(live) = self.rooms.get_mut(room) else {
            return Former::default();
        };
        let of_dead = live.elsewhere.carried.values().filter(|carried| carried.is_dead);
        let of_dead = of_dead.flat_map(|carried| &carried.participants);
        let carried = of_dead.clone().find(|it| it.id == id.as_str()).cloned();
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
        self.pictures_ended(now, room, sources_of(&there));
        Former { was_on_dead_node: if is_lost { Some(was) } else { carried }, was_listed }
    }
}
