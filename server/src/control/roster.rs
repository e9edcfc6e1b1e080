//! Who is told of whom: comings, goings and changes in, messages out. In a large room not everybody is listed: those who
//! aren't come and go as a number, so that one who only listens costs the others nothing.

use std::time::{Duration, Instant};

use tercet_core::{ParticipantId, RoomId, SessionId};
use tercet_protocol::{LeaveReason, ServerMessage, WireParticipant};

use super::Control;
use super::live_room::{LiveRoom, wire_participant};
use super::session::text;

const ATTENDANCE_INTERVAL: Duration = Duration::from_secs(1);

/// Somebody before a change.
pub(super) struct Former {
    pub(super) participant: WireParticipant,
    is_listed: bool,
}

/// What clients were told of how many are in the room.
#[derive(Debug, Default)]
pub(super) struct Attendance {
    /// Whether that is no longer so, and the list doesn't say it.
    is_old: bool,
    told_at: Option<Instant>,
}

impl Attendance {
    /// Somebody has come, or is about to go.
    pub(super) fn changes(&mut self, everybody_is_listed: bool) {
        self.is_old |= !everybody_is_listed;
    }

    /// Whether to tell it now.
    fn is_due(&mut self, now: Instant) -> bool {
        let too_soon = self.told_at.is_some_and(|at| now.saturating_duration_since(at) < ATTENDANCE_INTERVAL);
        if too_soon || !self.is_old {
            return false;
        }
        *self = Attendance { is_old: false, told_at: Some(now) };
        true
    }
}

impl LiveRoom {
    /// Somebody as they are, before a change.
    pub(super) fn former(&self, id: &ParticipantId) -> Option<Former> {
        let participant = wire_participant(self.room.participant(id)?);
        Some(Former { participant, is_listed: self.room.is_listed(id) })
    }

    /// Whom a participant finds in the room: who is listed, and themselves.
    pub(super) fn participants_for(&self, id: &ParticipantId) -> Vec<WireParticipant> {
        let own = self.room.participant(id).filter(|_| !self.room.is_listed(id));
        self.room.listed().chain(own).map(wire_participant).collect()
    }

    /// How many are in the room.
    pub(super) fn participant_count(&self) -> u32 {
        u32::try_from(self.room.participant_count()).expect("its most is a u32")
    }
}

impl Control {
    /// Somebody came; `is_known`: clients here know them from another node.
    pub(super) fn tell_joined(&mut self, now: Instant, room: &RoomId, own: SessionId, is_known: bool) {
        let Some((session, live)) = self.sessions.get(&own).zip(self.rooms.get(room)) else {
            return;
        };
        let participant = live.room.participant(&session.participant).map(wire_participant);
        let Some(participant) = participant.filter(|_| is_known || live.room.is_listed(&session.participant))
        else {
            return;
        };
        if is_known {
            let updated = text(&ServerMessage::ParticipantUpdated { participant });
            self.broadcast_text(now, room, &updated, |other| other.id != own);
        } else {
            self.introduce(now, room, own, participant);
        }
    }

    /// Somebody listed left.
    pub(super) fn tell_left(
        &mut self,
        now: Instant,
        room: &RoomId,
        participant: &ParticipantId,
        reason: LeaveReason,
    ) {
        let participant = participant.to_string();
        self.broadcast(now, room, &ServerMessage::ParticipantLeft { participant, reason });
    }

    /// Somebody did something, or it was done to them. Whoever is listed for it is first introduced as they were;
    /// of whom nobody knows, nobody else is told.
    pub(super) fn tell_of(
        &mut self,
        now: Instant,
        room: &RoomId,
        whom: &ParticipantId,
        former: Former,
        event: &ServerMessage,
    ) {
        self.tell_nodes_of(room, whom);
        let Some(live) = self.rooms.get(room) else {
            return;
        };
        let Some(&own) = live.sessions.get(whom) else {
            return;
        };
        if !live.room.is_listed(whom) {
            return self.send(now, own, event);
        }
        if !former.is_listed {
            self.introduce(now, room, own, former.participant);
        }
        self.broadcast(now, room, event);
    }

    /// Tells the rooms in which not everybody is listed how many are there, if that changed, once a second at most.
    pub(crate) fn tell_attendance(&mut self, now: Instant) {
        let due = self.rooms.values_mut().filter_map(|live| {
            live.attendance.is_due(now).then(|| (live.room.id().clone(), live.participant_count()))
        });
        for (room, participant_count) in due.collect::<Vec<_>>() {
            self.broadcast(now, &room, &ServerMessage::Attendance { participant_count });
        }
    }

    fn introduce(&mut self, now: Instant, room: &RoomId, own: SessionId, participant: WireParticipant) {
        let joined = text(&ServerMessage::ParticipantJoined { participant });
        self.broadcast_text(now, room, &joined, |other| other.id != own);
    }
}
