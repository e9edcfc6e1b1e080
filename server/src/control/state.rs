//! Everything the control plane knows: rooms, sessions, and which worker has which.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use rustc_hash::{FxHashMap, FxHashSet};
use tercet_core::{EndpointId, RoomId, SessionId};
use tercet_protocol::{LeaveReason, ServerMessage};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::calls::Calls;
use super::elsewhere::OwnNode;
use super::live_room::LiveRoom;
use super::session::{Outgoing, Session, text};
use super::{Attached, ControlInput, protocol_error};
use crate::config::Config;
use crate::media::{WorkerCommand, WorkerId};
use crate::phones::PhoneCommands;

/// Decides; does no I/O, and is given the time.
pub(crate) struct Control {
    pub(super) config: Arc<Config>,
    pub(super) rooms: FxHashMap<RoomId, LiveRoom>,
    pub(super) sessions: FxHashMap<SessionId, Session>,
    pub(super) by_endpoint: FxHashMap<EndpointId, SessionId>,
    /// Sessions a worker, phones aside.
    pub(super) load: BTreeMap<WorkerId, usize>,
    /// Workers that can take no more.
    pub(super) strained: BTreeSet<WorkerId>,
    /// Whether all of them are.
    pub(super) at_limit: Arc<AtomicBool>,
    /// The worker of phones, where there are any.
    pub(super) phones: Option<WorkerId>,
    /// What makes calls out, where there are any.
    pub(super) phone_commands: Option<PhoneCommands>,
    pub(super) calls: Calls,
    pub(super) endpoint_next: u64,
    pub(super) drained: Option<oneshot::Sender<()>>,
    pub(super) draining: bool,
    /// The room that somebody is about to enter in place of themselves: it stays open though it may be empty.
    pub(super) entering: Option<RoomId>,
    /// Rooms whose cameras changed just after they were looked at.
    pub(super) cameras_waiting: FxHashSet<RoomId>,
    /// `None` for a node that is by itself.
    pub(super) own_node: Option<OwnNode>,
    commands: Vec<(WorkerId, WorkerCommand)>,
}

impl Control {
    /// A node without rooms.
    pub(crate) fn new(config: Arc<Config>, workers: usize) -> Control {
        Control {
            config,
            rooms: FxHashMap::default(),
            sessions: FxHashMap::default(),
            by_endpoint: FxHashMap::default(),
            strained: BTreeSet::new(),
            at_limit: Arc::default(),
            load: (0..workers).map(|index| (WorkerId(index), 0)).collect(),
            phones: None,
            phone_commands: None,
            calls: Calls::default(),
            endpoint_next: 1,
            drained: None,
            draining: false,
            entering: None,
            cameras_waiting: FxHashSet::default(),
            own_node: None,
            commands: Vec::new(),
        }
    }

    /// Phones have a worker of their own.
    pub(crate) fn serve_phones(&mut self, worker: WorkerId) {
        self.phones = Some(worker);
    }

    /// A client's socket, or the node, wants something.
    pub(crate) fn input(&mut self, now: Instant, input: ControlInput) {
        match input {
            ControlInput::Join { claims, transport, name, request, socket, reply } => {
                // Whoever asked may be gone; the session then ends like any that lost its socket.
                let _ = reply.send(self.join(now, claims, transport, name, request, socket));
            }
            ControlInput::Resume { session, secret, request, socket, reply } => {
                let _ = reply.send(self.resume(now, &session, &secret, request, socket));
            }
            ControlInput::Request { from, message } => self.request(now, from, message),
            ControlInput::Trace { claims, reply } => {
                let _ = reply.send(self.trace(&claims));
            }
            ControlInput::Rooms { reply } => {
                let _ = reply.send(self.rooms.values().map(LiveRoom::summary).collect());
            }
            ControlInput::Broadcast { room, participant, reply } => {
                let live = self.rooms.get(&room);
                let broadcast = live.map(|live| live.broadcast(participant.as_ref()));
                let _ = reply.send(broadcast.unwrap_or_default());
            }
            ControlInput::LimitLayers { from, limits } => {
                self.command_for(from, |endpoint| WorkerCommand::LimitLayers { endpoint, limits });
            }
            ControlInput::FollowLayers { from, follows } => {
                self.command_for(from, |endpoint| WorkerCommand::FollowLayers { endpoint, follows });
            }
            ControlInput::ServeCalls { commands } => self.serve_calls(commands),
            ControlInput::CallChanged { room, call, asker } => self.call_changed(now, room, call, asker),
            ControlInput::NotDialled { asker, error } => self.not_dialled(now, asker, error),
            ControlInput::Calls { room, reply } => {
                let _ = reply.send(self.calls.of_room(&room));
            }
            ControlInput::HangUp { room, call, reply } => {
                let _ = reply.send(self.hang_up_of(&room, call));
            }
            ControlInput::SocketClosed { from } => {
                let session = self.sessions.get_mut(&from.session);
                if let Some(session) = session.filter(|s| s.attached() == from) {
                    session.detach(now);
                    if self.draining {
                        self.end(now, from.session, LeaveReason::Shutdown);
                    }
                }
            }
            ControlInput::Drain { deadline, drained } => self.drain(now, deadline, drained),
            ControlInput::EndAll { ended } => {
                self.end_all(now);
                let _ = ended.send(());
            }
        }
    }

    /// What the workers are to do, in order.
    pub(crate) fn take_commands(&mut self) -> Vec<(WorkerId, WorkerCommand)> {
        std::mem::take(&mut self.commands)
    }

    pub(super) fn command(&mut self, worker: WorkerId, command: WorkerCommand) {
        self.commands.push((worker, command));
    }

    /// What the worker of a session is to do for it. A socket that was replaced asks for nothing.
    fn command_for(&mut self, from: Attached, command: impl FnOnce(EndpointId) -> WorkerCommand) {
        let session = self.sessions.get(&from.session).filter(|session| session.attached() == from);
        if let Some((worker, endpoint)) = session.map(|session| (session.worker, session.endpoint)) {
            self.command(worker, command(endpoint));
        }
    }

    /// Sends to one session's client.
    pub(super) fn send(&mut self, now: Instant, session: SessionId, message: &ServerMessage) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.send(now, Outgoing::Text(text(message)));
        }
    }

    /// Answers a request: with an error, or with `ok` if it had a number.
    pub(super) fn acknowledge(
        &mut self,
        now: Instant,
        session: SessionId,
        re: Option<u32>,
        outcome: Result<(), (tercet_protocol::ErrorCode, String)>,
    ) {
        match (outcome, re) {
            (Ok(()), Some(re)) => self.send(now, session, &ServerMessage::Ok { re }),
            (Ok(()), None) => {}
            (Err((code, message)), re) => {
                let error = protocol_error(re, code, message, false);
                self.send(now, session, &ServerMessage::Error(error));
            }
        }
    }

    /// Sends to everybody in a room, serialized once.
    pub(super) fn broadcast(&mut self, now: Instant, room: &RoomId, message: &ServerMessage) {
        let bytes = text(message);
        self.broadcast_text(now, room, &bytes, |_| true);
    }

    /// Sends to those in a room that `to` accepts.
    pub(super) fn broadcast_text(
        &mut self,
        now: Instant,
        room: &RoomId,
        bytes: &Utf8Bytes,
        to: impl Fn(&Session) -> bool,
    ) {
        let Some(live) = self.rooms.get(room) else {
            return;
        };
        let outgoing = Arc::new(Outgoing::Text(bytes.clone()));
        for id in live.sessions.values() {
            if let Some(session) = self.sessions.get_mut(id).filter(|session| to(session)) {
                session.send(now, outgoing.clone());
            }
        }
    }

    pub(super) fn report(&self) {
        metrics::gauge!("tercet_rooms").set(self.rooms.len() as f64);
        metrics::gauge!("tercet_participants").set(self.sessions.len() as f64);
    }
}
