//! Moderators and those whom they moderate, on two nodes: a request goes to the node of whom it is about, and the outcome
//! back.

use std::collections::BTreeSet;
use std::time::Instant;

use tercet_core::{NodeId, ParticipantId, Refusal, RoomId, SessionId};
use tercet_protocol::{ErrorCode, LeaveReason};

use super::Asked;
use crate::cluster::{RemoteModeration, RoomMessage};
use crate::control::Control;
use crate::control::requests::refused;

impl Control {
    /// A moderator here wants something done to somebody who is on another node, or on one that isn't known. `None` where the
    /// answer will come.
    pub(in crate::control) fn moderate_elsewhere(
        &mut self,
        now: Instant,
        (session, re): (SessionId, Option<u32>),
        room: &RoomId,
        whom: &ParticipantId,
        what: RemoteModeration,
    ) -> Option<Result<(), (ErrorCode, String)>> {
        let no_such = Some(Err(refused(Refusal::NoSuchParticipant)));
        let (Some(own), Some(live)) = (self.own_node.as_mut(), self.rooms.get(room)) else {
            return no_such;
        };
        let there = live.room.participant(whom).and_then(|it| it.node);
        let nodes = there.map_or_else(|| live.elsewhere.nodes.clone(), |node| BTreeSet::from([node]));
        if nodes.is_empty() {
            return no_such;
        }
        let request = own.request_next;
        own.request_next += 1;
        own.asked.insert(request, Asked { session, re, nodes: nodes.clone(), since: now });
        for node in nodes {
            let message = RoomMessage::Moderate { request, whom: whom.to_string(), what };
            self.tell_node(node, room, message);
        }
        None
    }

    /// A moderator elsewhere, who may, does something to somebody here.
    pub(super) fn moderate_here(
        &mut self,
        now: Instant,
        room: &RoomId,
        whom: &ParticipantId,
        what: RemoteModeration,
    ) -> Result<(), Refusal> {
        let session = self.rooms.get(room).and_then(|live| live.sessions.get(whom)).copied();
        let session = session.ok_or(Refusal::NoSuchParticipant)?;
        match what {
            RemoteModeration::Remove => self.end(now, session, LeaveReason::Removed),
            RemoteModeration::Change(moderation) => {
                let _ = self.change(now, room, whom, |room| room.moderate(whom, moderation));
            }
        }
        Ok(())
    }

    pub(super) fn moderated(
        &mut self,
        now: Instant,
        from: NodeId,
        request: u64,
        outcome: Result<(), Refusal>,
    ) {
        let Some(own) = self.own_node.as_mut() else {
            return;
        };
        let Some(asked) = own.asked.get_mut(&request) else {
            return;
        };
        if !asked.nodes.remove(&from) || (outcome.is_err() && !asked.nodes.is_empty()) {
            return;
        }
        if let Some(Asked { session, re, .. }) = own.asked.remove(&request) {
            self.acknowledge(now, session, re, outcome.map_err(refused));
        }
    }
}
