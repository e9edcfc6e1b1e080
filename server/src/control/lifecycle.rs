//! How sessions begin, come back and end.

use std::time::{Duration, Instant};

use tercet_core::{EndpointId, Refusal, Room, RoomId, RoomSettings, SessionId};
use tercet_protocol::{
    ByOrigin, ErrorCode, LeaveReason, ProtocolError, Role, RoomInfo, ServerMessage, SessionInfo, VERSION,
    Welcome,
};
use tokio::sync::oneshot;
use tracing::info;

use super::live_room::{LiveRoom, wire_participant};
use super::session::{NewSession, Outgoing, Session, Socket, text};
use super::{Attached, Control, protocol_error};
use crate::access::Claims;
use crate::media::{OpenEndpoint, WorkerCommand, WorkerId};

/// RFC 6455, section 7.4.1.
pub(crate) const CLOSE_NORMAL: u16 = 1000;
pub(crate) const CLOSE_GOING_AWAY: u16 = 1001;

impl Control {
    pub(super) fn join(
        &mut self,
        now: Instant,
        claims: Claims,
        name: Option<String>,
        re: Option<u32>,
        socket: Socket,
    ) -> Result<Attached, ProtocolError> {
        let fatal = |code, message: &str| protocol_error(re, code, message, true);
        if self.draining {
            return Err(fatal(
                ErrorCode::ShuttingDown,
                "the node is stopping: join again, on another node or later",
            ));
        }
        let (room_id, participant_id) = (RoomId::from(claims.room.as_str()), claims.identity.as_str().into());
        let former = self.rooms.get(&room_id).and_then(|live| live.sessions.get(&participant_id)).copied();
        if former.is_none() && self.sessions.len() >= self.config.limits.sessions_max as usize {
            return Err(fatal(ErrorCode::Overloaded, "the node has as many sessions as it may have"));
        }
        if let Some(former) = former {
            self.end(now, former, LeaveReason::Replaced);
        }
        let settings = self.config.room(&claims.room);
        let live = self.rooms.entry(room_id.clone()).or_insert_with(|| {
            let settings =
                RoomSettings { slots: settings.slots, participants_max: settings.participants_max };
            LiveRoom::new(Room::new(room_id.clone(), settings))
        });
        let is_first = live.room.is_empty();
        let role = if claims.first_moderates && is_first { Role::Moderator } else { claims.role };
        let name = name.or(claims.name).unwrap_or_else(|| claims.identity.clone());
        let entered = live.room.enter(participant_id.clone(), name, role).cloned();
        let participant = entered
            .map_err(|refusal: Refusal| protocol_error(re, ErrorCode::RoomFull, refusal.to_string(), true))?;
        let worker = least_loaded(&self.load);
        let endpoint = EndpointId(self.endpoint_next);
        self.endpoint_next += 1;
        let session = Session::new(NewSession {
            participant: participant_id.clone(),
            room: room_id.clone(),
            source: participant.tracks.microphone.source,
            endpoint,
            worker,
            may_send_data: claims.may_send_data,
            socket,
        });
        let (session_id, attached) = (session.id, session.attached());
        let worker_is_new = live.add(&participant, session_id, worker);
        self.sessions.insert(session_id, session);
        self.by_endpoint.insert(endpoint, session_id);
        *self.load.entry(worker).or_insert(0) += 1;
        let open = OpenEndpoint {
            endpoint,
            room: room_id.clone(),
            audio: settings.audio,
            sources: ByOrigin::each(|origin| participant.tracks[origin].source),
            gates: ByOrigin::each(|origin| participant.gate(origin)),
            red: settings.red,
        };
        self.command(worker, WorkerCommand::Open(open));
        if worker_is_new {
            self.tell_room_workers(&room_id);
            self.trace_on(&room_id, worker);
        }
        self.tell_viewers_of(&room_id, &participant_id);
        info!(room = %room_id, participant = %participant_id, session = %session_id, worker = worker.0, "joined");
        let joined = ServerMessage::ParticipantJoined { participant: wire_participant(&participant) };
        let bytes = text(&joined);
        self.broadcast_text(now, &room_id, &bytes, |other| other.id != session_id);
        if let Some(welcome) = self.welcome(session_id, re) {
            self.send(now, session_id, &ServerMessage::Joined(welcome));
        }
        self.report();
        Ok(attached)
    }

    pub(super) fn resume(
        &mut self,
        now: Instant,
        session: &str,
        secret: &str,
        re: Option<u32>,
        socket: Socket,
    ) -> Result<Attached, ProtocolError> {
        let id = SessionId::from_hex(session);
        let found = id.and_then(|id| self.sessions.get_mut(&id)).filter(|session| session.secret_is(secret));
        let Some(session) = found else {
            let message = "the session is over, or the secret is not its own: join again";
            return Err(protocol_error(re, ErrorCode::NoSuchSession, message, true));
        };
        let (id, room) = (session.id, session.room.clone());
        if let Some(former) = session.attach(socket, secret) {
            // The former socket's client is most likely gone; if it reads, it learns that it is over.
            let _ = former.try_send(Outgoing::Close(CLOSE_NORMAL));
        }
        let attached = session.attached();
        info!(%room, session = %id, "resumed");
        if let Some(welcome) = self.welcome(id, re) {
            self.send(now, id, &ServerMessage::Resumed(welcome));
        }
        Ok(attached)
    }

    /// The state that a client begins with. What it says of the slots counts as told.
    fn welcome(&mut self, id: SessionId, re: Option<u32>) -> Option<Welcome> {
        let session = self.sessions.get_mut(&id)?;
        let live = self.rooms.get(&session.room)?;
        session.slots_told = live.slots_of(session);
        Some(Welcome {
            re,
            version: VERSION,
            session: SessionInfo {
                id: id.to_hex(),
                secret: session.secret().to_owned(),
                resume_ms: self.config.session.resume_ms,
                idle_ms: self.config.session.idle_ms,
            },
            room: RoomInfo { id: session.room.to_string(), slots: live.room.settings().slots },
            participant: session.participant.to_string(),
            participants: live.room.participants().map(wire_participant).collect(),
            slots: live.wire_slots(&session.slots_told, &session.slot_mids),
            screen: live.wire_screen(session.worker),
        })
    }

    /// A session ends: its client is told, and everybody else in the room.
    pub(super) fn end(&mut self, now: Instant, id: SessionId, reason: LeaveReason) {
        self.end_by_request(now, id, reason, None);
    }

    /// As [`Control::end`], in answer to a request of its client.
    pub(super) fn end_by_request(
        &mut self,
        now: Instant,
        id: SessionId,
        reason: LeaveReason,
        re: Option<u32>,
    ) {
        let Some(mut session) = self.sessions.remove(&id) else {
            return;
        };
        let close = if reason == LeaveReason::Shutdown { CLOSE_GOING_AWAY } else { CLOSE_NORMAL };
        session.send(now, Outgoing::Text(text(&ServerMessage::Left { re, reason })));
        session.send(now, Outgoing::Close(close));
        self.by_endpoint.remove(&session.endpoint);
        if let Some(load) = self.load.get_mut(&session.worker) {
            *load = load.saturating_sub(1);
        }
        self.command(session.worker, WorkerCommand::Close { endpoint: session.endpoint });
        info!(room = %session.room, participant = %session.participant, session = %id, ?reason, "left");
        let Some(live) = self.rooms.get_mut(&session.room) else {
            return;
        };
        live.wanted_changed |= live.viewers.remove(&id);
        let worker_is_gone = live.remove(&session.participant, session.worker);
        if live.room.is_empty() {
            self.rooms.remove(&session.room);
        } else {
            if worker_is_gone {
                self.tell_room_workers(&session.room);
            }
            let participant = session.participant.to_string();
            self.broadcast(now, &session.room, &ServerMessage::ParticipantLeft { participant, reason });
        }
        self.report();
        if self.sessions.is_empty() {
            self.drained.take().map(|drained| drained.send(()));
        }
    }

    /// Ends the sessions whose clients did not come back in time.
    pub(crate) fn expire(&mut self, now: Instant) {
        let resume = Duration::from_millis(self.config.session.resume_ms);
        let detached = self.sessions.values().filter(|session| {
            session.detached_at().is_some_and(|at| now.saturating_duration_since(at) >= resume)
        });
        let expired: Vec<SessionId> = detached.map(|session| session.id).collect();
        for id in expired {
            self.end(now, id, LeaveReason::TimedOut);
        }
    }

    pub(super) fn drain(&mut self, now: Instant, deadline: Duration, drained: oneshot::Sender<()>) {
        self.draining = true;
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let bytes = text(&ServerMessage::Closing { deadline_ms });
        for session in self.sessions.values_mut() {
            session.send(now, Outgoing::Text(bytes.clone()));
        }
        // Whoever has no socket can't leave, and has nothing to come back to.
        let detached = self.sessions.values().filter(|session| session.detached_at().is_some());
        for id in detached.map(|session| session.id).collect::<Vec<_>>() {
            self.end(now, id, LeaveReason::Shutdown);
        }
        if self.sessions.is_empty() {
            let _ = drained.send(());
        } else {
            self.drained = Some(drained);
        }
    }

    pub(super) fn end_all(&mut self, now: Instant) {
        let all: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in all {
            self.end(now, id, LeaveReason::Shutdown);
        }
    }

    /// Tells each worker of a room which others have a part of it.
    fn tell_room_workers(&mut self, room: &RoomId) {
        let workers = self.rooms.get(room).map(LiveRoom::workers).unwrap_or_default();
        for &worker in &workers {
            let others: Vec<WorkerId> = workers.iter().copied().filter(|&other| other != worker).collect();
            self.command(worker, WorkerCommand::SetRoomWorkers { room: room.clone(), others });
        }
    }
}

fn least_loaded(load: &std::collections::BTreeMap<WorkerId, usize>) -> WorkerId {
    load.iter().min_by_key(|(_, sessions)| **sessions).map_or(WorkerId(0), |(worker, _)| *worker)
}
