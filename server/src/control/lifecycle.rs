//! How sessions begin, come back and end.

use std::time::{Duration, Instant, SystemTime};

use tercet_core::{EndpointId, Refusal, Room, RoomId, RoomSettings, SessionId, SourceNumbers};
use tercet_protocol::{
    ByOrigin, ErrorCode, LeaveReason, ProtocolError, Role, RoomInfo, ServerMessage, SessionInfo, Transport,
    VERSION, Welcome,
};
use tokio::sync::oneshot;
use tracing::info;

use super::elsewhere::sources_of;
use super::live_room::LiveRoom;
use super::requests::rank;
use super::session::{NewSession, Outgoing, Session, Socket, text};
use super::{Attached, Control, protocol_error};
use crate::access::Claims;
use crate::cluster::ClusterCommand;
use crate::media::{OpenEndpoint, WorkerCommand, WorkerId};
use crate::turn::{ice_servers, user_of};

/// RFC 6455, section 7.4.1.
pub(crate) const CLOSE_NORMAL: u16 = 1000;
pub(crate) const CLOSE_GOING_AWAY: u16 = 1001;

/// When to ask again who was refused by a node at its limit: others leave within seconds, not minutes.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(5);

impl Control {
    /// The worker with the fewest sessions, of those that `may` take more.
    fn least_loaded(&self, may: impl Fn(WorkerId) -> bool) -> Option<WorkerId> {
        let workers = self.load.iter().filter(|(worker, _)| may(**worker));
        workers.min_by_key(|(_, sessions)| **sessions).map(|(worker, _)| *worker)
    }

    /// The worker for one more in a room: one that has others of the room, but few, and not far more sessions than the one
    /// with the fewest; or that one. What is heard crosses to each worker that the room is on, and wakes it.
    fn place(&self, room: &RoomId) -> Option<WorkerId> {
        let is_free = |worker: WorkerId| self.load.contains_key(&worker) && !self.strained.contains(&worker);
        let least = self.least_loaded(is_free)?;
        let together_max = self.config.room.together_max as usize;
        let load_max = self.load.get(&least).map_or(0, |load| load + together_max);
        let of_room = self.rooms.get(room).into_iter().flat_map(LiveRoom::sessions_by_worker);
        let with_others = of_room.filter(|&(worker, sessions)| {
            let load = self.load.get(&worker).copied().unwrap_or(0);
            is_free(worker) && sessions < together_max && load <= load_max
        });
        let together = with_others.max_by_key(|&(_, sessions)| sessions).map(|(worker, _)| worker);
        Some(together.unwrap_or(least))
    }

    pub(super) fn join(
        &mut self,
        now: Instant,
        claims: Claims,
        transport: Transport,
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
        // Whoever comes anew in place of a former session takes no more than that had.
        let worker = match transport {
            Transport::Webrtc | Transport::Whip | Transport::Whep => {
                self.place(&room_id).or_else(|| former.and_then(|_| self.least_loaded(|_| true)))
            }
            Transport::Sip => self.phones,
        };
        let Some(worker) = worker else {
            let error =
                fatal(ErrorCode::Overloaded, "the node is at its limit: join again later, or on another");
            return Err(ProtocolError { retry_after_ms: Some(RETRY_AFTER.as_millis() as u64), ..error });
        };
        if let Some(former) = former {
            self.entering = Some(room_id.clone());
            self.end(now, former, LeaveReason::Replaced);
            self.entering = None;
        }
        let settings = self.config.room(&claims.room);
        if !self.rooms.contains_key(&room_id) {
            let settings = RoomSettings {
                slots: settings.slots,
                video_slots: settings.video_slots,
                participants_max: settings.participants_max,
                listed_listeners_max: settings.listed_listeners_max,
            };
            let own_node = self.own_node.as_ref().map(|own| own.id);
            let numbers =
                own_node.map_or_else(SourceNumbers::all, |node| SourceNumbers::of_node(node, rand::random()));
            let live = LiveRoom::new(Room::new(room_id.clone(), settings, numbers));
            self.rooms.insert(room_id.clone(), live);
            self.command_cluster(ClusterCommand::OpenRoom(room_id.clone()));
        }
        let is_full = self.rooms.get(&room_id).is_some_and(|live| live.room.is_full_for(&participant_id));
        if is_full {
            self.close_empty_room(&room_id);
            return Err(fatal(ErrorCode::RoomFull, &Refusal::RoomFull.to_string()));
        }
        let former_self = self.enter_from_elsewhere(now, &room_id, &participant_id);
        let Some(live) = self.rooms.get_mut(&room_id) else {
            return Err(fatal(ErrorCode::Internal, "the room was there just now"));
        };
        let is_first = live.room.is_empty();
        let role = if claims.first_moderates && is_first { Role::Moderator } else { claims.role };
        let name = name.or(claims.name).unwrap_or_else(|| claims.identity.clone());
        let entered = live.room.enter(participant_id.clone(), name, role, transport).cloned();
        let participant = match entered {
            Ok(participant) => participant,
            Err(refusal) => {
                self.close_empty_room(&room_id);
                return Err(protocol_error(re, ErrorCode::RoomFull, refusal.to_string(), true));
            }
        };
        let participant = match &former_self.was_on_dead_node {
            Some(was) => live.room.restore(&participant_id, &was.state()).cloned().unwrap_or(participant),
            None => participant,
        };
        let endpoint = EndpointId(self.endpoint_next);
        self.endpoint_next += 1;
        let session = Session::new(NewSession {
            participant: participant_id.clone(),
            room: room_id.clone(),
            transport,
            source: participant.tracks.microphone.source,
            endpoint,
            worker,
            may_send_data: claims.may_send_data,
            joined_at: now,
            token_role: claims.role,
            node: self.own_node.as_ref().map(|own| own.id),
            socket,
        });
        let (session_id, attached) = (session.id, session.attached());
        let worker_is_new = live.add(&participant, session_id, worker);
        self.sessions.insert(session_id, session);
        self.by_endpoint.insert(endpoint, session_id);
        if let Some(load) = self.load.get_mut(&worker) {
            *load += 1;
        }
        let open = OpenEndpoint {
            endpoint,
            room: room_id.clone(),
            audio: settings.audio,
            sources: ByOrigin::each(|origin| participant.tracks[origin].source),
            gates: ByOrigin::each(|origin| participant.gate(origin)),
            red: settings.red,
            video_slots_max: settings.video_slots.into(),
            video_kbps_max: settings.video_kbps_max,
            is_over_http: transport.is_over_http(),
        };
        self.command(worker, WorkerCommand::Open(Box::new(open)));
        let standing = rank(participant.standing);
        if standing != selector::Standing::Ordinary {
            self.command(worker, WorkerCommand::SetStanding { endpoint, standing });
        }
        if worker_is_new {
            self.tell_room_workers(&room_id);
            self.trace_on(&room_id, worker);
        }
        self.tell_viewers_of(&room_id, &participant_id);
        info!(room = %room_id, participant = %participant_id, session = %session_id, worker = worker.0, "joined");
        self.entered_here(now, &room_id, &participant_id);
        self.tell_joined(now, &room_id, session_id, former_self.was_listed);
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
            let _ = former.try_send(Outgoing::Close(CLOSE_NORMAL).into());
        }
        let attached = session.attached();
        info!(%room, session = %id, "resumed");
        if let Some(welcome) = self.welcome(id, re) {
            self.send(now, id, &ServerMessage::Resumed(welcome));
        }
        // It may have begun or ended while nobody was told.
        if let Some(session) = self.sessions.get_mut(&id).filter(|it| it.transport.is_over_http()) {
            session.send(now, Outgoing::Media(session.media_flows));
        }
        Ok(attached)
    }

    /// The state that a client begins with. What it says of the slots counts as told.
    fn welcome(&mut self, id: SessionId, re: Option<u32>) -> Option<Welcome> {
        let session = self.sessions.get(&id)?;
        let dial = self.dial_rights(session);
        let calls = self.calls_for(dial.as_ref(), &session.room);
        let session = self.sessions.get_mut(&id)?;
        session.may_dial = dial.is_some();
        let live = self.rooms.get(&session.room)?;
        session.slots_told = live.slots_of(session);
        let participant = session.participant.to_string();
        let user = user_of(session.room.as_str(), &participant);
        let ice_servers = ice_servers(&self.config.turn, SystemTime::now(), &user);
        Some(Welcome {
            re,
            version: VERSION,
            session: SessionInfo {
                id: id.to_hex(),
                secret: session.secret().to_owned(),
                resume_ms: self.config.session.resume_ms,
                idle_ms: self.config.session.idle_ms,
            },
            room: RoomInfo {
                id: session.room.to_string(),
                slots: live.room.settings().slots,
                video_slots: live.room.settings().video_slots,
            },
            participant,
            participants: live.participants_for(&session.participant),
            participant_count: live.participant_count(),
            slots: live.wire_slots(&session.slots_told, &session.slot_mids),
            screen: live.wire_screen(session.worker),
            video: live.wire_video(&session.video_told, &session.video_mids),
            dial,
            calls,
            nodes: self.other_nodes(),
            ice_servers,
        })
    }

    /// A session ends: its client is told, and everybody else in the room if they know of them.
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
        live.cameras.rewatch(session.worker, &session.video_told, &[]);
        let is_here = live.room.participant(&session.participant).is_some_and(|it| it.node.is_none());
        let was_listed = is_here && live.room.is_listed(&session.participant);
        let sources = live.room.participant(&session.participant).map(sources_of);
        let worker_is_gone = live.remove(&session.participant, session.worker);
        // Other nodes may keep one who was handed over in mind, until they hear that that session is over too.
        let is_news = was_listed || session.ends_at.is_some();
        self.left_here(&session.room, &session.participant, is_news, reason);
        if !self.close_empty_room(&session.room) {
            if let Some(sources) = sources.filter(|_| is_here) {
                self.pictures_ended(now, &session.room, sources);
            }
            self.show_cameras(now, &session.room);
            if worker_is_gone {
                self.tell_room_workers(&session.room);
            }
            if was_listed {
                self.tell_left(now, &session.room, &session.participant, reason);
            }
            if is_here {
                self.unshadow(now, &session.room, &session.participant);
            }
        }
        self.report();
        if self.sessions.is_empty() {
            self.drained.take().map(|drained| drained.send(()));
        }
    }

    /// Nobody is in the room any more, on this node. Returns whether that is so.
    fn close_empty_room(&mut self, room: &RoomId) -> bool {
        let is_empty = self.rooms.get(room).is_none_or(|live| live.sessions.is_empty())
            && self.entering.as_ref() != Some(room);
        if is_empty && self.rooms.remove(room).is_some() {
            self.command_cluster(ClusterCommand::CloseRoom(room.clone()));
        }
        is_empty
    }

    /// Ends the sessions whose clients did not come back in time.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.expire_elsewhere(now);
        self.calls.expire(now);
        let resume = Duration::from_millis(self.config.session.resume_ms);
        let detached = self.sessions.values().filter(|session| {
            session.detached_at().is_some_and(|at| now.saturating_duration_since(at) >= resume)
        });
        let expired: Vec<SessionId> = detached.map(|session| session.id).collect();
        for id in expired {
            self.end(now, id, LeaveReason::TimedOut);
        }
        let moved = self.sessions.values().filter(|session| session.ends_at.is_some_and(|at| at <= now));
        for id in moved.map(|session| session.id).collect::<Vec<_>>() {
            self.end(now, id, LeaveReason::Replaced);
        }
    }

    pub(super) fn drain(&mut self, now: Instant, deadline: Duration, drained: oneshot::Sender<()>) {
        self.draining = true;
        self.tell_load();
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let nodes = self.other_nodes();
        let bytes = text(&ServerMessage::Closing { deadline_ms, nodes });
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
    pub(super) fn tell_room_workers(&mut self, room: &RoomId) {
        let Some(live) = self.rooms.get(room) else {
            return;
        };
        let workers = live.workers();
        let spans_nodes = !live.elsewhere.nodes.is_empty();
        let cluster = self.own_node.as_ref().map(|own| own.worker);
        if cluster.is_some() {
            let (room, workers) = (room.clone(), workers.clone());
            self.command_cluster(ClusterCommand::SetRoomWorkers { room, workers });
        }
        let all: Vec<WorkerId> = workers.iter().copied().chain(cluster.filter(|_| spans_nodes)).collect();
        for &worker in &workers {
            let others: Vec<WorkerId> = all.iter().copied().filter(|&other| other != worker).collect();
            self.command(worker, WorkerCommand::SetRoomWorkers { room: room.clone(), others });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use tokio::sync::mpsc;

    use super::*;
    use crate::config::Config;
    use crate::media::WorkerEvent;

    fn claims(room: &str, identity: &str) -> Claims {
        Claims {
            room: room.to_owned(),
            identity: identity.to_owned(),
            role: Role::Listener,
            name: None,
            first_moderates: false,
            may_send_data: false,
            expires: u64::MAX,
        }
    }

    /// Joins, and returns the worker that the session is on.
    fn join(control: &mut Control, identity: &str) -> Result<WorkerId, ProtocolError> {
        join_room(control, "r", identity)
    }

    fn join_room(control: &mut Control, room: &str, identity: &str) -> Result<WorkerId, ProtocolError> {
        let (socket, _) = mpsc::channel(64);
        control.join(Instant::now(), claims(room, identity), Transport::Webrtc, None, None, socket)?;
        let opened = control.take_commands().into_iter().find(|(_, c)| matches!(c, WorkerCommand::Open(_)));
        Ok(opened.expect("each session is opened on a worker").0)
    }

    fn strain(control: &mut Control, worker: usize, is_strained: bool) {
        let strained = WorkerEvent::Strained { worker: WorkerId(worker), is_strained };
        control.worker_event(Instant::now(), strained);
    }

    #[test]
    fn a_strained_worker_gets_no_session_until_it_is_not() {
        let mut control = Control::new(Arc::new(Config::default()), 2);
        strain(&mut control, 0, true);
        assert_eq!(join(&mut control, "a"), Ok(WorkerId(1)));
        assert_eq!(join(&mut control, "b"), Ok(WorkerId(1)));
        strain(&mut control, 0, false);
        assert_eq!(join_room(&mut control, "other", "c"), Ok(WorkerId(0)));
    }

    /// A control plane of two workers that keeps so many of a room together.
    fn together(together_max: u32) -> Control {
        let mut config = Config::default();
        config.room.together_max = together_max;
        Control::new(Arc::new(config), 2)
    }

    #[test]
    fn a_small_room_is_on_one_worker_and_a_large_one_on_all() {
        let mut control = together(3);
        for (room, worker) in [("a", 0), ("b", 1)] {
            for n in 0..3 {
                assert_eq!(join_room(&mut control, room, &n.to_string()), Ok(WorkerId(worker)));
            }
        }
        let workers: Vec<usize> =
            (3..9).map(|n| join_room(&mut control, "a", &n.to_string()).expect("there is room").0).collect();
        assert_eq!(workers.iter().filter(|&&worker| worker == 1).count(), 3, "{workers:?}");
    }

    #[test]
    fn rooms_that_are_kept_together_load_all_workers() {
        let mut control = together(32);
        for room in 0..100 {
            for n in 0..10 {
                join_room(&mut control, &room.to_string(), &n.to_string()).expect("there is room");
            }
        }
        assert_eq!(control.load.values().copied().collect::<Vec<usize>>(), [500, 500]);
    }

    #[test]
    fn who_joins_a_room_on_a_full_worker_goes_to_another() {
        let mut control = together(3);
        for n in 0..3 {
            join_room(&mut control, "a", &n.to_string()).expect("there is room");
            join_room(&mut control, "b", &n.to_string()).expect("there is room");
        }
        strain(&mut control, 0, true);
        join_room(&mut control, "c", "0").expect("there is room");
        strain(&mut control, 0, false);
        strain(&mut control, 1, true);
        assert_eq!(join_room(&mut control, "c", "1"), Ok(WorkerId(0)));
    }

    #[test]
    fn where_all_workers_are_strained_only_those_come_who_were_there() {
        let mut control = Control::new(Arc::new(Config::default()), 1);
        assert_eq!(join(&mut control, "a"), Ok(WorkerId(0)));
        strain(&mut control, 0, true);
        let refused = join(&mut control, "b").expect_err("there is no place");
        assert_eq!((refused.code, refused.retry_after_ms), (ErrorCode::Overloaded, Some(5_000)));
        assert!(control.at_limit.load(Ordering::Relaxed));
        assert_eq!(join(&mut control, "a"), Ok(WorkerId(0)));
    }
}
