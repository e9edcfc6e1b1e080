//! Who is in a room, as its nodes tell each other: those who are here, out; those elsewhere, in.

use std::time::Instant;

use selector::SourceId;
use tercet_core::{NodeId, Participant, ParticipantId, RoomId, SessionId};
use tercet_protocol::{LeaveReason, ServerMessage, VideoOrigin, WireParticipant};

use super::{ENTERED_A_MESSAGE, PARTICIPANTS_A_MESSAGE, Sources, sources_of};
use crate::cluster::{RemoteParticipant, RoomMessage};
use crate::control::Control;
use crate::control::live_room::{LiveRoom, wire_participant, wire_track};
use crate::media::WorkerCommand;

impl Control {
    /// Tells a node all of those who are here.
    pub(super) fn tell_roster(&mut self, room: &RoomId, to: NodeId, wants_yours: bool) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        let uncounted = live.uncounted_here();
        live.elsewhere.uncounted_told = uncounted;
        let elsewhere = &live.elsewhere;
        let here = || live.room.participants().filter(|it| it.node.is_none());
        let listed = here().filter(|it| live.room.is_listed(&it.id));
        let listed: Vec<RemoteParticipant> = listed.map(|it| live.remote(it)).collect();
        let others = here().filter(|it| !live.room.is_listed(&it.id));
        let others: Vec<(String, u64)> =
            others.map(|it| (it.id.to_string(), elsewhere.turn_of(&it.id))).collect();
        let sought: Vec<RoomMessage> = elsewhere.sought_of(to).collect();
        self.tell_node(to, room, RoomMessage::Roster { uncounted, wants_yours });
        for participants in listed.chunks(PARTICIPANTS_A_MESSAGE) {
            self.tell_node(to, room, RoomMessage::Participants(participants.to_vec()));
        }
        self.tell_node(to, room, RoomMessage::RosterEnd);
        for entered in others.chunks(ENTERED_A_MESSAGE) {
            self.tell_node(to, room, RoomMessage::Entered(entered.to_vec()));
        }
        for message in sought {
            self.tell_node(to, room, message);
        }
    }

    /// Somebody entered elsewhere: who has their identity here, from before, is replaced. Returns whether they may be adopted.
    pub(super) fn yield_identity(
        &mut self,
        now: Instant,
        room: &RoomId,
        id: &ParticipantId,
        from: NodeId,
        turn: u64,
    ) -> bool {
        let Some((own, live)) = self.own_node.as_ref().map(|own| own.id).zip(self.rooms.get_mut(room)) else {
            return false;
        };
        live.elsewhere.turn = live.elsewhere.turn.max(turn);
        // A session that was handed over is as good as gone.
        let is_handed_over = |id: &SessionId| self.sessions.get(id).is_none_or(|it| it.ends_at.is_some());
        let Some(&session) = live.sessions.get(id).filter(|id| !is_handed_over(id)) else {
            let known = live.room.participant(id).and_then(|it| it.node);
            return known
                .is_none_or(|node| (live.elsewhere.turn_of(id), node) <= (turn, from) || node == from);
        };
        let own_turn = live.elsewhere.turn_of(id);
        if (own_turn, own) < (turn, from) {
            if self.draining {
                self.hand_over(now, room, session, from);
            } else {
                self.end(now, session, LeaveReason::Replaced);
            }
            // That may have been the last one here.
            self.rooms.contains_key(room)
        } else {
            self.tell_node(from, room, RoomMessage::Entered(vec![(id.to_string(), own_turn)]));
            false
        }
    }

    /// A node says how somebody there is.
    pub(super) fn adopt(&mut self, now: Instant, room: &RoomId, from: NodeId, remote: RemoteParticipant) {
        let (turn, shares_since) = (remote.turn, remote.shares_since);
        let participant = remote.clone().on(from);
        let id = participant.id.clone();
        if !self.yield_identity(now, room, &id, from, turn) {
            if let Some(live) = self.rooms.get_mut(room) {
                live.elsewhere.shadowed.insert((id, from), remote);
            }
            return;
        }
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        if let Some(unnamed) = live.elsewhere.unnamed.get_mut(&from) {
            unnamed.remove(&id);
        }
        live.elsewhere.shadowed.remove(&(id.clone(), from));
        if let Some(former) = live.room.participant(&id)
            && let Some(other) =
                former.node.filter(|node| *node != from && live.elsewhere.nodes.contains(node))
        {
            // It ends there, or this one does: whichever goes last is told.
            let former = live.remote(former);
            live.elsewhere.shadowed.insert((id.clone(), other), former);
        }
        live.elsewhere.lost.remove(&id);
        live.elsewhere.turns.insert(id.clone(), turn);
        let former = live.room.participant(&id).map(|it| (wire_participant(it), live.room.is_listed(&id)));
        let former_sources = live.room.participant(&id).map(sources_of);
        let sources = sources_of(&participant);
        live.adopt(participant);
        let is_listed = live.room.is_listed(&id);
        let Some(adopted) = live.room.participant(&id) else {
            return;
        };
        let is_new = former_sources.is_none_or(|former| former != sources);
        let pictures = VideoOrigin::ALL.map(|origin| (origin, adopted.tracks[origin.into()].clone()));
        let now_so = wire_participant(adopted);
        let messages = match former {
            Some((former, true)) => changes(&former, adopted, now_so),
            _ if is_listed => vec![ServerMessage::ParticipantJoined { participant: now_so }],
            _ => Vec::new(),
        };
        for message in messages {
            self.broadcast(now, room, &message);
        }
        let former = former_sources.filter(|_| is_new).into_iter().flatten();
        let ended = pictures.iter().filter(|(_, track)| !track.publishing).map(|(_, track)| track.source);
        self.pictures_ended(now, room, former.chain(ended));
        let shown = pictures.iter().filter(|(_, track)| track.publishing);
        self.pictures_began(now, room, shown.map(|(origin, track)| (*origin, track.source)), shares_since);
        self.follow_handed_over(room, &id);
        if is_new {
            self.name_slots_again(room, sources);
            self.tell_viewers_of(room, &id);
        }
    }

    /// Pictures of somebody on another node are seen; that of their screen since a turn.
    fn pictures_began(
        &mut self,
        now: Instant,
        room: &RoomId,
        shown: impl Iterator<Item = (VideoOrigin, SourceId)>,
        shares_since: Option<u64>,
    ) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        live.elsewhere.turn = live.elsewhere.turn.max(shares_since.unwrap_or(0));
        let turn = shares_since.unwrap_or(u64::MAX);
        let began = shown.filter(|(origin, source)| live.cameras.begins(*origin, *source, turn)).count();
        if began > 0 {
            self.cameras_changed(now, room);
        }
    }

    /// Packets of somebody may come before their name: who was told of a nameless speaker is told again.
    pub(super) fn name_slots_again(&mut self, room: &RoomId, sources: Sources) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        for id in live.sessions.values() {
            let Some(session) = self.sessions.get_mut(id) else {
                continue;
            };
            if session.slots_told.iter().flatten().any(|source| sources.contains(source)) {
                session.slots_told.clear();
                live.slots_changed.insert(session.worker);
            }
        }
    }

    /// Somebody elsewhere is there no more.
    pub(super) fn depart(&mut self, now: Instant, room: &RoomId, id: &ParticipantId, reason: LeaveReason) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        let was_listed = live.room.is_listed(id);
        live.elsewhere.turns.remove(id);
        live.elsewhere.lost.remove(id);
        let Some(left) = live.drop_remote(id) else {
            return;
        };
        if was_listed {
            self.tell_left(now, room, id, reason);
        }
        self.silence(room, sources_of(&left));
        self.pictures_ended(now, room, sources_of(&left));
        // Who was handed over and left there has left altogether.
        if let Some(session) = self.rooms.get(room).and_then(|live| live.sessions.get(id)).copied() {
            self.end(now, session, LeaveReason::Replaced);
        }
        self.unshadow(now, room, id);
    }

    /// Somebody went: another of their identity may be there still.
    pub(in crate::control) fn unshadow(&mut self, now: Instant, room: &RoomId, id: &ParticipantId) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        let shadowed = live.elsewhere.shadowed.iter().filter(|((of, _), _)| of == id);
        let latest = shadowed.max_by_key(|((_, node), it)| (it.turn, *node)).map(|(key, _)| key.clone());
        if let Some((key, remote)) = latest.and_then(|key| live.elsewhere.shadowed.remove_entry(&key)) {
            self.adopt(now, room, key.1, remote);
        }
    }

    /// Sources of other nodes are silent: nobody there says so any more.
    pub(super) fn silence(&mut self, room: &RoomId, sources: impl IntoIterator<Item = SourceId>) {
        let sources: Vec<SourceId> = sources.into_iter().collect();
        let workers = self.rooms.get(room).map(LiveRoom::workers).unwrap_or_default();
        for worker in workers {
            let (room, sources) = (room.clone(), sources.clone());
            self.command(worker, WorkerCommand::Silence { room, sources });
        }
    }

    /// Somebody here is new to the others, or something about them is.
    pub(in crate::control) fn tell_nodes_of(&mut self, room: &RoomId, id: &ParticipantId) {
        let Some(live) = self.rooms.get(room).filter(|live| !live.elsewhere.nodes.is_empty()) else {
            return;
        };
        let own = live.room.participant(id).filter(|it| it.node.is_none() && live.room.is_listed(id));
        if let Some(participant) = own {
            let participant = live.remote(participant);
            self.tell_nodes(room, &RoomMessage::Participants(vec![participant]));
        }
    }

    /// Somebody has entered here.
    pub(in crate::control) fn entered_here(&mut self, now: Instant, room: &RoomId, id: &ParticipantId) {
        let Some((own, live)) = self.own_node.as_ref().zip(self.rooms.get_mut(room)) else {
            return;
        };
        let turn = live.elsewhere.enter(id, own.time_ms(now));
        self.tell_nodes(room, &RoomMessage::Entered(vec![(id.to_string(), turn)]));
        self.tell_nodes_of(room, id);
    }

    /// Somebody has left who was here.
    pub(in crate::control) fn left_here(
        &mut self,
        room: &RoomId,
        id: &ParticipantId,
        is_news: bool,
        reason: LeaveReason,
    ) {
        if let Some(live) = self.rooms.get_mut(room) {
            if live.room.participant(id).is_none() {
                live.elsewhere.turns.remove(id);
                live.elsewhere.replaced.remove(id);
            }
            if is_news {
                self.tell_nodes(room, &RoomMessage::Left { id: id.to_string(), reason });
            }
        }
    }
}

/// What clients are told of somebody elsewhere who was so, and is now so.
fn changes(
    former: &WireParticipant,
    participant: &Participant,
    now_so: WireParticipant,
) -> Vec<ServerMessage> {
    let mut messages = Vec::new();
    let had = |id: &str| former.tracks.iter().any(|track| track.id == id);
    for track in former.tracks.iter().filter(|track| !now_so.tracks.contains(track)) {
        let participant = now_so.id.clone();
        messages.push(ServerMessage::TrackUnpublished { participant, track: track.id.clone() });
    }
    for (origin, track) in participant.tracks.iter().filter(|(_, track)| track.publishing) {
        let track = wire_track(origin, track);
        if !had(&track.id) {
            messages.push(ServerMessage::TrackPublished { participant: now_so.id.clone(), track });
        }
    }
    let without_tracks = |it: &WireParticipant| WireParticipant { tracks: Vec::new(), ..it.clone() };
    if without_tracks(former) != without_tracks(&now_so) {
        messages.push(ServerMessage::ParticipantUpdated { participant: now_so });
    }
    messages
}
