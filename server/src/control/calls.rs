//! Calls that moderators make: their requests in, commands to phones out; and how each call stands in, told to those moderators of
//! its room who may dial. Nobody else learns anything of a call before it is a participant.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;
use tercet_core::{Refusal, RoomId, SessionId};
use tercet_protocol::{CallState, DialOrder, DialRights, ErrorCode, Role, ServerMessage, WireCall};

use super::requests::refused;
use super::session::{Session, text};
use super::{Attached, Control};
use crate::config::SipDials;
use crate::phones::{Asker, Order, PhoneCommand, PhoneCommands};

/// How long one can see how a call ended.
const ENDED_SHOWN_FOR: Duration = Duration::from_secs(60);

/// Calls of which is known how they stand. Of more, the one that ended first is forgotten.
const CALLS_MAX: usize = 1000;

/// Of these a moderator is told who comes: the latest.
const CALLS_TOLD_MAX: usize = 100;

/// The calls out that stand on this node, and those that ended just now.
#[derive(Debug, Default)]
pub(super) struct Calls {
    known: BTreeMap<u64, Known>,
}

#[derive(Debug)]
struct Known {
    room: RoomId,
    call: WireCall,
    ended_at: Option<Instant>,
}

impl Calls {
    /// How a call stands. Returns whether that is news.
    fn set(&mut self, now: Instant, room: RoomId, call: WireCall) -> bool {
        let former = self.known.get(&call.call);
        if former.is_some_and(|former| former.call == call) {
            return false;
        }
        if former.is_none() && self.known.len() >= CALLS_MAX {
            let ended = self.known.iter().filter_map(|(number, known)| Some((known.ended_at?, *number)));
            let number = ended.min().map(|(_, number)| number).or(self.known.keys().next().copied());
            number.map(|number| self.known.remove(&number));
        }
        let ended_at = (call.state == CallState::Ended).then_some(now);
        self.known.insert(call.call, Known { room, call, ended_at });
        true
    }

    /// The calls of a room, in the order in which they were made.
    pub(super) fn of_room(&self, room: &RoomId) -> Vec<WireCall> {
        let of_room = self.known.values().filter(|known| known.room == *room);
        of_room.map(|known| known.call.clone()).collect()
    }

    /// The latest of them.
    fn latest_of(&self, room: &RoomId) -> Vec<WireCall> {
        let mut calls = self.of_room(room);
        calls.drain(..calls.len().saturating_sub(CALLS_TOLD_MAX));
        calls
    }

    fn has(&self, room: &RoomId, call: u64) -> bool {
        self.known.get(&call).is_some_and(|known| known.room == *room)
    }

    /// Forgets those that ended long ago.
    pub(super) fn expire(&mut self, now: Instant) {
        let is_old = |at: Instant| now.saturating_duration_since(at) > ENDED_SHOWN_FOR;
        self.known.retain(|_, known| !known.ended_at.is_some_and(is_old));
    }
}

impl Control {
    /// The node has phones, and this is how they are told what to do.
    pub(super) fn serve_calls(&mut self, commands: PhoneCommands) {
        self.phone_commands = Some(commands);
    }

    /// Whom a session's participant may have called. Whoever moderates by the token may call anybody; what that costs, the
    /// operator gave away with it. A role that was come by otherwise is worth what the configuration says.
    fn scope(&self, session: &Session) -> Result<SipDials, (ErrorCode, String)> {
        let live = self.rooms.get(&session.room);
        let participant = live.and_then(|live| live.room.participant(&session.participant));
        // Whoever has moved is a moderator of another node by now.
        let is_moderator = session.ends_at.is_none()
            && participant.is_some_and(|it| it.node.is_none() && it.role == Role::Moderator);
        if !is_moderator {
            return Err(refused(Refusal::NotModerator));
        }
        if self.phone_commands.is_none() {
            return Err((ErrorCode::NoPhones, "this node has no phones: see [sip]".to_owned()));
        }
        match (session.token_role, self.config.promoted_dials()) {
            (Role::Moderator, _) => Ok(SipDials::Anybody),
            (_, SipDials::Nobody) => {
                let message = "calls are made with the token of a moderator: see sip.promoted_dials";
                Err((ErrorCode::Forbidden, message.to_owned()))
            }
            (_, scope) => Ok(scope),
        }
    }

    /// As [`Control::scope`], for the client: nothing, where there is nobody to be called.
    pub(super) fn dial_rights(&self, session: &Session) -> Option<DialRights> {
        // A phone has no use for it.
        if Some(session.worker) == self.phones {
            return None;
        }
        let scope = self.scope(session).ok()?;
        let sip = &self.config.sip;
        let trunks = sip.trunk.iter().filter(|_| scope == SipDials::Anybody).map(|trunk| trunk.name.clone());
        let rights = DialRights { users: !sip.user.is_empty(), trunks: trunks.collect() };
        (rights.users || !rights.trunks.is_empty()).then_some(rights)
    }

    /// The calls that a client is to know of who may dial.
    pub(super) fn calls_for(&self, rights: Option<&DialRights>, room: &RoomId) -> Vec<WireCall> {
        rights.map(|_| self.calls.latest_of(room)).unwrap_or_default()
    }

    /// A client wants somebody called. The reply comes when phones have taken the order, or haven't.
    pub(super) fn dial(
        &mut self,
        from: Attached,
        re: Option<u32>,
        dial: DialOrder,
    ) -> Result<(), (ErrorCode, String)> {
        let Some(session) = self.sessions.get(&from.session) else {
            return Ok(());
        };
        let order = Order { room: session.room.to_string(), scope: self.scope(session)?, dial };
        self.command_phones(PhoneCommand::Dial { order, asker: Asker { from, re } })
    }

    /// A client wants a call hung up.
    pub(super) fn hang_up(&mut self, id: SessionId, call: u64) -> Result<(), (ErrorCode, String)> {
        let Some(session) = self.sessions.get(&id) else {
            return Ok(());
        };
        self.scope(session)?;
        let room = session.room.clone();
        self.hang_up_of(&room, call)
    }

    /// A call of a room is to be hung up. Of one that is over, nothing more becomes.
    pub(super) fn hang_up_of(&mut self, room: &RoomId, call: u64) -> Result<(), (ErrorCode, String)> {
        if !self.calls.has(room, call) {
            return Err((ErrorCode::NoSuchCall, "the room has no such call".to_owned()));
        }
        self.command_phones(PhoneCommand::HangUp { call })
    }

    fn command_phones(&self, command: PhoneCommand) -> Result<(), (ErrorCode, String)> {
        let is_taken =
            self.phone_commands.as_ref().is_some_and(|commands| commands.try_send(command).is_ok());
        let message = "no more calls can be made now: try again";
        is_taken.then_some(()).ok_or_else(|| (ErrorCode::Overloaded, message.to_owned()))
    }

    /// A call began, or stands otherwise than before. `asker`: who had it made over a WebSocket, and is told first that it is.
    pub(super) fn call_changed(&mut self, now: Instant, room: RoomId, call: WireCall, asker: Option<Asker>) {
        let number = call.call;
        if self.calls.set(now, room.clone(), call.clone()) {
            let told = self.who_may_dial(&room);
            let updated = text(&ServerMessage::CallUpdated { call });
            self.broadcast_text(now, &room, &updated, |session| told.contains(&session.id));
        }
        if let Some(Asker { from, re }) = asker.filter(|asker| self.is_attached(asker.from)) {
            self.send(now, from.session, &ServerMessage::Dialled { re, call: number });
        }
    }

    /// Nobody was called.
    pub(super) fn not_dialled(&mut self, now: Instant, asker: Asker, error: (ErrorCode, String)) {
        if self.is_attached(asker.from) {
            self.acknowledge(now, asker.from.session, asker.re, Err(error));
        }
    }

    fn is_attached(&self, from: Attached) -> bool {
        self.sessions.get(&from.session).is_some_and(|session| session.attached() == from)
    }

    /// The sessions here of a room's moderators who may dial.
    fn who_may_dial(&self, room: &RoomId) -> FxHashSet<SessionId> {
        let Some(live) = self.rooms.get(room) else {
            return FxHashSet::default();
        };
        let moderators = live.room.participants().filter(|it| it.role == Role::Moderator);
        let sessions = moderators.filter_map(|it| self.sessions.get(live.sessions.get(&it.id)?));
        sessions.filter(|session| self.dial_rights(session).is_some()).map(|session| session.id).collect()
    }

    /// Somebody has another role: whom they may have called now, if that is news.
    pub(super) fn tell_dial_rights(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let dial = self.dial_rights(session);
        let calls = self.calls_for(dial.as_ref(), &session.room);
        let may_dial = dial.is_some();
        let session = self.sessions.get_mut(&id).expect("it was there just now");
        let could_dial = std::mem::replace(&mut session.may_dial, may_dial);
        if could_dial || may_dial {
            self.send(now, id, &ServerMessage::DialRights { dial, calls });
        }
    }
}

#[cfg(test)]
mod tests;
