//! What the control plane and calls' tasks tell the thread of phones.

use std::time::Instant;

use mio::Interest;
use mio::net::UdpSocket;
use tercet_core::EndpointId;
use tercet_sip_gateway::signalling::CallId;
use tracing::warn;

use super::{Thread, token_of};
use crate::media::{OpenEndpoint, WorkerCommand};
use crate::phones::LineCommand;
use crate::phones::line::Line;
use crate::phones::room::PhoneRoom;

impl Thread {
    pub(super) fn worker_command(&mut self, now: Instant, command: WorkerCommand) {
        match command {
            WorkerCommand::Open(open) => self.open(now, &open),
            WorkerCommand::Close { endpoint } => {
                if let Some(room) = self.endpoints.remove(&endpoint)
                    && let Some(local) = self.rooms.get_mut(&room)
                {
                    local.remove(endpoint);
                    self.pass_on(&room);
                    if self.rooms.get(&room).is_some_and(PhoneRoom::is_empty) {
                        self.rooms.remove(&room);
                    }
                }
            }
            WorkerCommand::SetGates { endpoint, gates } => {
                self.with_room_of(endpoint, |room| room.set_gate(endpoint, gates.microphone));
            }
            WorkerCommand::SetStanding { endpoint, standing } => {
                self.with_room_of(endpoint, |room| room.set_standing(endpoint, standing));
            }
            WorkerCommand::SetOwnElsewhere { endpoint, sources } => {
                self.with_room_of(endpoint, |room| room.set_own_elsewhere(endpoint, sources.microphone));
            }
            WorkerCommand::SetWanted { room, wanted_by } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.set_wanted(wanted_by);
                }
            }
            WorkerCommand::Silence { room, sources } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.silence(&sources);
                }
            }
            WorkerCommand::SetRoomWorkers { room, others } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.set_others(others);
                }
            }
            // A phone makes no offers here, chooses nobody and takes no data; traces are of workers with packets of their own.
            WorkerCommand::Offer { .. }
            | WorkerCommand::SetListening { .. }
            | WorkerCommand::SendData { .. }
            | WorkerCommand::Trace { .. }
            | WorkerCommand::Stop => {}
        }
    }

    fn open(&mut self, now: Instant, open: &OpenEndpoint) {
        let room = self
            .rooms
            .entry(open.room.clone())
            .or_insert_with(|| PhoneRoom::new(now, open.room.clone(), open.audio.clone()));
        room.add(open);
        self.endpoints.insert(open.endpoint, open.room.clone());
    }

    fn with_room_of(&mut self, endpoint: EndpointId, change: impl FnOnce(&mut PhoneRoom)) {
        if let Some(room) = self.endpoints.get(&endpoint).and_then(|room| self.rooms.get_mut(room)) {
            change(room);
        }
    }

    pub(super) fn line_command(&mut self, now: Instant, call: CallId, command: LineCommand) {
        match command {
            LineCommand::Open { ports, caller, events } => {
                let (rtp, rtcp) = (UdpSocket::from_std(ports.rtp), UdpSocket::from_std(ports.rtcp));
                self.open_line(call, Line::new(rtp, rtcp, caller, events));
            }
            LineCommand::Close => self.close_line(call),
            command => {
                if let Some(line) = self.lines.get_mut(&call) {
                    tell_line(now, call, line, command);
                }
            }
        }
    }

    fn open_line(&mut self, call: CallId, mut line: Line) {
        for (socket, is_rtcp) in line.sockets().into_iter().zip([false, true]) {
            let token = token_of(call, is_rtcp);
            if let Err(error) = self.poll.registry().register(socket, token, Interest::READABLE) {
                warn!(%call, %error, "registering a socket");
            }
        }
        self.lines.insert(call, line);
    }

    fn close_line(&mut self, call: CallId) {
        let Some(mut line) = self.lines.remove(&call) else {
            return;
        };
        for socket in line.sockets() {
            let _ = self.poll.registry().deregister(socket);
        }
        if let Some(leg) = &line.leg {
            self.metrics.call_ended(leg);
        }
    }
}

fn tell_line(now: Instant, call: CallId, line: &mut Line, command: LineCommand) {
    match command {
        LineCommand::Agree(agreed) => {
            if !line.agree(now, *agreed) {
                warn!(%call, "keys that don't fit their suite");
            }
        }
        LineCommand::Enter { room, endpoint } => line.room = Some((room, endpoint)),
        LineCommand::Leave => line.room = None,
        LineCommand::Say(sound) => line.say(sound),
        LineCommand::Music(sound) => line.set_music(sound),
        LineCommand::SetVolume { gain_db } => line.set_volume(gain_db),
        LineCommand::Open { .. } | LineCommand::Close => {}
    }
}
