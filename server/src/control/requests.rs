//! What a client asks for once it is in a room.

use std::time::Instant;

use tercet_core::{Gate, Moderation, Participant, ParticipantId, Refusal, Room, RoomId, SessionId};
use tercet_protocol::{ByOrigin, ClientMessage, ErrorCode, LeaveReason, Request, ServerMessage, Standing};

use super::elsewhere::{change, is_elsewhere};
use super::live_room::wire_participant;
use super::{Attached, Control};
use crate::cluster::RemoteModeration;
use crate::media::WorkerCommand;

impl Control {
    pub(super) fn request(&mut self, now: Instant, from: Attached, message: ClientMessage) {
        let session = self.sessions.get_mut(&from.session).filter(|session| session.attached() == from);
        let Some(session) = session else {
            // A socket that was replaced speaks for nobody.
            return;
        };
        session.heard();
        let (id, re) = (session.id, message.id);
        let (room, actor, endpoint, worker) =
            (session.room.clone(), session.participant.clone(), session.endpoint, session.worker);
        let has_moved = session.ends_at.is_some();
        let outcome = match message.request {
            Request::Join { .. } | Request::Resume { .. } => {
                Err((ErrorCode::AlreadyJoined, "this connection has a session already".to_owned()))
            }
            Request::Offer { sdp, fresh } => {
                self.command(worker, WorkerCommand::Offer { endpoint, sdp, fresh, request: re });
                return;
            }
            Request::Ping => return self.send(now, id, &ServerMessage::Pong { re }),
            Request::Leave => return self.end_by_request(now, id, LeaveReason::Left, re),
            // What they say of themselves they say to the node that they are on by now; but nobody is heard who wants not to be.
            Request::Mute { muted, .. } if has_moved => {
                if muted {
                    let gates = ByOrigin::each(|_| Gate::Muted);
                    self.command(worker, WorkerCommand::SetGates { endpoint, gates });
                }
                Ok(())
            }
            _ if has_moved => {
                Err((ErrorCode::NoSuchSession, "the participant is on another node by now".to_owned()))
            }
            Request::Mute { muted, track } => {
                self.change(now, &room, &actor, |room| room.set_muted(&actor, track, muted))
            }
            Request::Listen { only, except } => self.listen(id, only, except),
            Request::Watch { participant, participants } => self.watch(now, id, participant, participants),
            Request::View { slots } => self.view(id, &slots),
            Request::RaiseHand { raised } => {
                self.change(now, &room, &actor, |room| room.raise_hand(&actor, raised))
            }
            Request::MuteParticipant { participant, track } => {
                return self.moderate(now, (id, re), &participant, change(Moderation::Mute(track)));
            }
            Request::LowerHand { participant } => {
                return self.moderate(now, (id, re), &participant, change(Moderation::LowerHand));
            }
            Request::SetRole { participant, role } => {
                return self.moderate(now, (id, re), &participant, change(Moderation::SetRole(role)));
            }
            Request::SetStanding { participant, standing } => {
                return self.moderate(now, (id, re), &participant, change(Moderation::SetStanding(standing)));
            }
            Request::Dial(order) => match self.dial(from, re, order) {
                // The reply comes once it is made, or isn't.
                Ok(()) => return,
                refused => refused,
            },
            Request::HangUp { call } => self.hang_up(id, call),
            Request::RemoveParticipant { participant } => {
                return self.moderate(now, (id, re), &participant, RemoteModeration::Remove);
            }
        };
        self.acknowledge(now, id, re, outcome);
    }

    /// A client wants something done to somebody, who may be on another node: then the answer comes from there.
    fn moderate(
        &mut self,
        now: Instant,
        (id, re): (SessionId, Option<u32>),
        whom: &str,
        what: RemoteModeration,
    ) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let (room, actor, whom) =
            (session.room.clone(), session.participant.clone(), ParticipantId::from(whom));
        let Some(live) = self.rooms.get(&room) else {
            return;
        };
        let outcome = if let Err(refusal) = live.room.may_moderate(&actor) {
            Some(Err(refused(refusal)))
        } else if is_elsewhere(live, &whom) {
            self.moderate_elsewhere(now, (id, re), &room, &whom, what)
        } else if let RemoteModeration::Change(moderation) = what {
            Some(self.change(now, &room, &whom, |room| room.moderate(&whom, moderation)))
        } else {
            if let Some(&session) = live.sessions.get(&whom) {
                self.end(now, session, LeaveReason::Removed);
            }
            Some(Ok(()))
        };
        if let Some(outcome) = outcome {
            self.acknowledge(now, id, re, outcome);
        }
    }

    /// Changes a participant: the worker learns whether they may be heard, the room what they are now.
    /// Nobody is told of what is as it was.
    pub(super) fn change(
        &mut self,
        now: Instant,
        room: &RoomId,
        whom: &ParticipantId,
        change: impl FnOnce(&mut Room) -> Result<&Participant, Refusal>,
    ) -> Result<(), (ErrorCode, String)> {
        let Some(live) = self.rooms.get_mut(room) else {
            return Err(refused(Refusal::NoSuchParticipant));
        };
        let former = live.former(whom);
        let participant = change(&mut live.room).map_err(refused)?;
        let (gates, standing) =
            (ByOrigin::each(|origin| participant.gate(origin)), rank(participant.standing));
        let participant = wire_participant(participant);
        let Some(former) = former.filter(|former| former.participant != participant) else {
            return Ok(());
        };
        let has_new_role = former.participant.role != participant.role;
        let session = live.sessions.get(whom).and_then(|id| self.sessions.get(id));
        let id = session.map(|session| session.id);
        if let Some((worker, endpoint)) = session.map(|session| (session.worker, session.endpoint)) {
            self.command(worker, WorkerCommand::SetGates { endpoint, gates });
            self.command(worker, WorkerCommand::SetStanding { endpoint, standing });
        }
        self.tell_of(now, room, whom, former, &ServerMessage::ParticipantUpdated { participant });
        if let Some(id) = id.filter(|_| has_new_role) {
            self.tell_dial_rights(now, id);
        }
        Ok(())
    }
}

/// The standing as the selector has it.
pub(super) fn rank(standing: Standing) -> selector::Standing {
    match standing {
        Standing::Ordinary => selector::Standing::Ordinary,
        Standing::Priority => selector::Standing::Priority,
        Standing::Pinned => selector::Standing::Pinned,
    }
}

pub(super) fn refused(refusal: Refusal) -> (ErrorCode, String) {
    let code = match refusal {
        Refusal::RoomFull => ErrorCode::RoomFull,
        Refusal::NoSuchParticipant => ErrorCode::NoSuchParticipant,
        Refusal::NotModerator => ErrorCode::Forbidden,
    };
    (code, refusal.to_string())
}
