//! Who may look at a room's levels, and where these go.

use selector::Params;
use tercet_core::RoomId;
use tercet_protocol::{ErrorCode, ProtocolError, Role};

use super::{Control, protocol_error};
use crate::access::Claims;
use crate::media::{TraceReceiver, TraceSender, WorkerCommand, WorkerId, trace};

/// Each costs every packet of the room a copy of its level.
const TRACES_MAX: usize = 4;

impl Control {
    /// A trace of the room that the claims are for, from now on, and the parameters of its selector.
    pub(super) fn trace(&mut self, claims: &Claims) -> Result<(Params, TraceReceiver), ProtocolError> {
        let refused = |code, message: &str| Err(protocol_error(None, code, message, false));
        let room = RoomId::from(claims.room.as_str());
        let live = self.rooms.get_mut(&room);
        // A role that was given in the room, or taken, counts more than that of the token.
        let role_here = live
            .as_ref()
            .and_then(|live| live.room.participant(&claims.identity.as_str().into()))
            .map(|participant| participant.role);
        if role_here.unwrap_or(claims.role) != Role::Moderator {
            return refused(ErrorCode::Forbidden, "only moderators may trace a room");
        }
        let Some(live) = live else {
            return refused(ErrorCode::NoSuchRoom, "nobody is in the room");
        };
        live.traces.retain(TraceSender::is_held);
        if live.traces.len() >= TRACES_MAX {
            return refused(ErrorCode::Overloaded, "the room is traced by as many as may at once");
        }
        let (sender, receiver) = trace(self.load.len());
        live.traces.push(sender.clone());
        for worker in live.workers() {
            self.command(worker, WorkerCommand::Trace { room: room.clone(), trace: sender.clone() });
        }
        Ok((self.config.room(&claims.room).audio.params, receiver))
    }

    /// The room has a part on one more worker: who traces it traces that too.
    pub(super) fn trace_on(&mut self, room: &RoomId, worker: WorkerId) {
        let traces = self.rooms.get(room).map(|live| live.traces.clone()).unwrap_or_default();
        for trace in traces {
            self.command(worker, WorkerCommand::Trace { room: room.clone(), trace });
        }
    }
}
