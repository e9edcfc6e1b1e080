//! What the control plane and calls' tasks tell the thread of phones.

use std::time::Instant;

use tercet_core::{EndpointId, RoomId};
use tercet_sip_gateway::signalling::CallId;
use tracing::warn;

use super::{RoomKey, Thread};
use crate::media::{OpenEndpoint, WorkerCommand};
use crate::phones::LineCommand;
use crate::phones::line::Line;
use crate::phones::room::PhoneRoom;

impl Thread {
    pub(super) fn worker_command(&mut self, now: Instant, command: WorkerCommand) {
        match command {
            WorkerCommand::Open(open) => self.open(now, &open),
            WorkerCommand::Close { endpoint } => {
                if let Some(key) = self.endpoints.remove(&endpoint)
                    && let Some(local) = self.rooms.get_mut(&key)
                {
                    local.remove(endpoint);
                    self.pass_on(key);
                    if let Some(room) = self.rooms.get(&key).filter(|room| room.is_empty()) {
                        self.room_keys.remove(room.id());
                        self.rooms.remove(&key);
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
                if let Some(room) = self.room(&room) {
                    room.set_wanted(wanted_by);
                }
            }
            WorkerCommand::Silence { room, sources } => {
                if let Some(room) = self.room(&room) {
                    room.silence(&sources);
                }
            }
            WorkerCommand::SetRoomWorkers { room, others } => {
                if let Some(room) = self.room(&room) {
                    room.set_others(others);
                }
            }
            // A phone makes no offers here, chooses nobody and takes no data; traces are of workers with packets of their own.
            WorkerCommand::Offer { .. }
            | WorkerCommand::SetListening { .. }
            | WorkerCommand::Watch { .. }
            | WorkerCommand::View { .. }
            | WorkerCommand::LimitLayers { .. }
            | WorkerCommand::FollowLayers { .. }
            | WorkerCommand::SetWatched { .. }
            | WorkerCommand::SendData { .. }
            | WorkerCommand::Trace { .. }
            | WorkerCommand::Stop => {}
        }
    }

    fn open(&mut self, now: Instant, open: &OpenEndpoint) {
        let key = *self.room_keys.entry(open.room.clone()).or_insert_with(|| {
            self.last_room = RoomKey(self.last_room.0 + 1);
            self.last_room
        });
        let room = self
            .rooms
            .entry(key)
            .or_insert_with(|| PhoneRoom::new(now, open.room.clone(), open.audio.clone()));
        room.add(open);
        self.endpoints.insert(open.endpoint, key);
    }

    fn room(&mut self, id: &RoomId) -> Option<&mut PhoneRoom> {
        self.room_keys.get(id).and_then(|key| self.rooms.get_mut(key))
    }

    fn with_room_of(&mut self, endpoint: EndpointId, change: impl FnOnce(&mut PhoneRoom)) {
        if let Some(room) = self.endpoints.get(&endpoint).and_then(|room| self.rooms.get_mut(room)) {
            change(room);
        }
    }

    pub(super) fn line_command(&mut self, now: Instant, call: CallId, command: LineCommand) {
        match command {
            LineCommand::Open { ports, caller, events } => {
                self.lines.insert(call, Line::new(ports, caller, events));
            }
            LineCommand::Close => self.close_line(call),
            command => {
                if let Some(line) = self.lines.get_mut(&call) {
                    tell_line(now, call, line, command);
                }
            }
        }
    }

    fn close_line(&mut self, call: CallId) {
        if let Some(leg) = self.lines.remove(&call).and_then(|line| line.leg) {
            self.metrics.call_ended(&leg);
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
        LineCommand::Enter { room, endpoint } => (line.room, line.enters) = (None, Some((room, endpoint))),
        LineCommand::Leave => (line.room, line.enters) = (None, None),
        LineCommand::Say(sound) => line.say(sound),
        LineCommand::Music(sound) => line.set_music(sound),
        LineCommand::SetVolume { gain_db } => line.set_volume(gain_db),
        LineCommand::Open { .. } | LineCommand::Close => {}
    }
}
