//! Who is in a room, what they may do and who is told of them: requests in, the changed participant or a refusal out.

use std::collections::{BTreeMap, BTreeSet};

use selector::SourceId;
use serde::{Deserialize, Serialize};
use tercet_protocol::{ByOrigin, Role, Standing, TrackOrigin, Transport};

use crate::roster::Roster;
use crate::{Gate, NodeId, ParticipantId, RoomId, SourceNumbers};

/// What a room allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomSettings {
    /// How many others a participant hears at once, 1 to 8.
    pub slots: u8,
    /// How many others a participant can watch at once, 0 to 16.
    pub video_slots: u8,
    /// How many may be in it.
    pub participants_max: u32,
    /// How many of those who only listen are listed.
    pub listed_listeners_max: u32,
}

/// Somebody in the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Unique in the room.
    pub id: ParticipantId,
    /// The name to show.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// How they are attached.
    pub transport: Transport,
    /// How their voice stands among the others.
    pub standing: Standing,
    /// Whether they ask to speak.
    pub hand_raised: bool,
    /// Their microphone, camera, and the sound and picture of their screen.
    pub tracks: ByOrigin<Publication>,
    /// Where they are, if that is another node.
    pub node: Option<NodeId>,
}

/// One of the tracks that somebody can publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Which track of the room, and its CSRC in the slots of others.
    pub source: SourceId,
    /// Whether what is sent is withheld.
    pub muted: bool,
    /// Whether something arrives on it.
    pub publishing: bool,
}

impl Participant {
    /// Whether a track of theirs may be heard.
    pub fn gate(&self, origin: TrackOrigin) -> Gate {
        match (self.role.may_speak(), self.tracks[origin].muted) {
            (false, _) => Gate::ListenOnly,
            (true, true) => Gate::Muted,
            (true, false) => Gate::Open,
        }
    }

    /// Whether there is nothing about them that others would have to see: they can't be heard and don't ask to be.
    pub fn only_listens(&self) -> bool {
        let publishes = self.tracks.iter().any(|(_, track)| track.publishing);
        let stands_as_everybody = self.standing == Standing::Ordinary;
        !self.role.may_speak() && !self.hand_raised && stands_as_everybody && !publishes
    }
}

/// What a moderator can do to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Moderation {
    /// Withhold a track of theirs. There is no counterpart: nobody's microphone is opened from afar.
    Mute(TrackOrigin),
    /// Lower their hand.
    LowerHand,
    /// Promote or demote them. A promotion answers the raised hand.
    SetRole(Role),
    /// Let their voice come before others, or not.
    SetStanding(Standing),
}

/// What somebody was before they came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What they could do.
    pub role: Role,
    /// How their voice stood among the others.
    pub standing: Standing,
    /// Whether they asked to speak.
    pub hand_raised: bool,
    /// Which of what they sent was withheld.
    pub muted: ByOrigin<bool>,
}

/// Why a request was not carried out: the requester's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// As many are in the room as it may have.
    #[error("the room is full")]
    RoomFull,
    /// Nobody of that id is in the room.
    #[error("nobody of that id is in the room")]
    NoSuchParticipant,
    /// Only moderators may do this.
    #[error("only moderators may do this")]
    NotModerator,
}

/// One conference.
#[derive(Debug)]
pub struct Room {
    id: RoomId,
    settings: RoomSettings,
    participants: BTreeMap<ParticipantId, Participant>,
    roster: Roster,
    numbers: SourceNumbers,
    sources: BTreeSet<SourceId>,
    /// How many others are on other nodes, of whom this one knows no more.
    uncounted: BTreeMap<NodeId, u32>,
}

impl Room {
    /// An empty room.
    pub fn new(id: RoomId, settings: RoomSettings, numbers: SourceNumbers) -> Room {
        let roster = Roster::new(settings.listed_listeners_max);
        let (participants, sources, uncounted) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Room { id, settings, participants, roster, numbers, sources, uncounted }
    }

    /// Its name.
    pub fn id(&self) -> &RoomId {
        &self.id
    }

    /// What it allows.
    pub fn settings(&self) -> RoomSettings {
        self.settings
    }

    /// How many are in it, on all nodes.
    pub fn participant_count(&self) -> usize {
        self.participants.len() + self.uncounted.values().sum::<u32>() as usize
    }

    /// How many are in it on other nodes, and nothing else is known of them here.
    pub fn set_uncounted(&mut self, node: NodeId, count: u32) {
        if count > 0 {
            self.uncounted.insert(node, count);
        } else {
            self.uncounted.remove(&node);
        }
    }

    /// All of whom something is known.
    pub fn participants(&self) -> impl Iterator<Item = &Participant> {
        self.participants.values()
    }

    /// Those whom everybody is told of, in the order of their ids.
    pub fn listed(&self) -> impl Iterator<Item = &Participant> {
        self.roster.ids().filter_map(|id| self.participants.get(id))
    }

    /// Whether everybody is told of somebody.
    pub fn is_listed(&self, id: &ParticipantId) -> bool {
        self.roster.has(id)
    }

    /// Whether everybody is told of everybody.
    pub fn lists_all(&self) -> bool {
        self.roster.ids().len() == self.participant_count()
    }

    /// Somebody in it.
    pub fn participant(&self, id: &ParticipantId) -> Option<&Participant> {
        self.participants.get(id)
    }

    /// Whether there is no place for somebody, who may have one already on another node.
    pub fn is_full_for(&self, id: &ParticipantId) -> bool {
        let others = self.participant_count() - usize::from(self.participants.contains_key(id));
        others >= self.settings.participants_max as usize
    }

    /// Somebody comes in. Whoever had the id before has to leave first.
    ///
    /// # Errors
    /// [`Refusal::RoomFull`].
    pub fn enter(
        &mut self,
        id: ParticipantId,
        name: String,
        role: Role,
        transport: Transport,
    ) -> Result<&Participant, Refusal> {
        if self.participant_count() >= self.settings.participants_max as usize {
            return Err(Refusal::RoomFull);
        }
        let mut source = || {
            let source = self.numbers.take(|source| self.sources.contains(&source))?;
            self.sources.insert(source);
            Some(source)
        };
        let mut is_full = false;
        let tracks = ByOrigin::each(|_| {
            let source = source().unwrap_or_else(|| {
                is_full = true;
                SourceId(0)
            });
            Publication { source, muted: false, publishing: false }
        });
        if is_full {
            return Err(Refusal::RoomFull);
        }
        let participant = Participant {
            id: id.clone(),
            name,
            role,
            transport,
            standing: Standing::Ordinary,
            hand_raised: false,
            tracks,
            node: None,
        };
        let participant = self.participants.entry(id).or_insert(participant);
        self.roster.enter(participant);
        Ok(participant)
    }

    /// Another node says how somebody there is, new or not.
    pub fn adopt(&mut self, participant: Participant) -> &Participant {
        let id = participant.id.clone();
        let is_new = self.participants.insert(id.clone(), participant).is_none();
        let participant = &self.participants[&id];
        if is_new {
            self.roster.enter(participant);
        } else {
            self.roster.amend(participant);
        }
        participant
    }

    /// Somebody leaves.
    pub fn leave(&mut self, id: &ParticipantId) -> Option<Participant> {
        self.roster.leave(id);
        let left = self.participants.remove(id)?;
        for (_, track) in left.tracks.iter() {
            self.sources.remove(&track.source);
        }
        Some(left)
    }

    /// Whether nobody is in it, on any node.
    pub fn is_empty(&self) -> bool {
        self.participant_count() == 0
    }

    /// A track of somebody's begins or ends. `None` if nothing changed.
    pub fn set_publishing(
        &mut self,
        id: &ParticipantId,
        origin: TrackOrigin,
        publishing: bool,
    ) -> Option<&Publication> {
        let before = self.participants.get(id)?.tracks[origin].publishing;
        let amended =
            self.amend(id, |participant| participant.tracks[origin].publishing = publishing).ok()?;
        (before != publishing).then_some(&amended.tracks[origin])
    }

    /// Somebody mutes a track of their own, or lets it be heard again.
    ///
    /// # Errors
    /// [`Refusal::NoSuchParticipant`].
    pub fn set_muted(
        &mut self,
        id: &ParticipantId,
        origin: TrackOrigin,
        muted: bool,
    ) -> Result<&Participant, Refusal> {
        self.amend(id, |participant| participant.tracks[origin].muted = muted)
    }

    /// Somebody asks to speak, or withdraws.
    ///
    /// # Errors
    /// [`Refusal::NoSuchParticipant`].
    pub fn raise_hand(&mut self, id: &ParticipantId, raised: bool) -> Result<&Participant, Refusal> {
        self.amend(id, |participant| participant.hand_raised = raised)
    }

    /// Whether somebody may do this to others.
    ///
    /// # Errors
    /// [`Refusal::NotModerator`].
    pub fn may_moderate(&self, actor: &ParticipantId) -> Result<(), Refusal> {
        let role = self.participants.get(actor).map(|p| p.role);
        if role == Some(Role::Moderator) { Ok(()) } else { Err(Refusal::NotModerator) }
    }

    /// A moderator, who [may](Room::may_moderate), does something to somebody.
    ///
    /// # Errors
    /// [`Refusal::NoSuchParticipant`].
    pub fn moderate(&mut self, id: &ParticipantId, moderation: Moderation) -> Result<&Participant, Refusal> {
        self.amend(id, |participant| match moderation {
            Moderation::Mute(origin) => participant.tracks[origin].muted = true,
            Moderation::LowerHand => participant.hand_raised = false,
            Moderation::SetRole(role) => {
                let promoted = role.may_speak() && !participant.role.may_speak();
                participant.role = role;
                participant.hand_raised &= !promoted;
            }
            Moderation::SetStanding(standing) => participant.standing = standing,
        })
    }

    /// Somebody who came back is what they were.
    ///
    /// # Errors
    /// [`Refusal::NoSuchParticipant`].
    pub fn restore(&mut self, id: &ParticipantId, restored: &Restored) -> Result<&Participant, Refusal> {
        self.amend(id, |participant| {
            participant.role = restored.role;
            participant.standing = restored.standing;
            participant.hand_raised = restored.hand_raised;
            for origin in TrackOrigin::ALL {
                participant.tracks[origin].muted = restored.muted[origin];
            }
        })
    }

    fn amend(
        &mut self,
        id: &ParticipantId,
        change: impl FnOnce(&mut Participant),
    ) -> Result<&Participant, Refusal> {
        let participant = self.participants.get_mut(id).ok_or(Refusal::NoSuchParticipant)?;
        change(participant);
        self.roster.amend(participant);
        Ok(participant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_on_other_nodes_are_listed_and_counted_too() {
        let (mut room, _, ben) = room();
        let there = NodeId { zone: 1, index: 2 };
        let ben = room.leave(&ben).expect("ben was there");
        let adopted = room.adopt(Participant { node: Some(there), ..ben.clone() });
        assert_eq!(adopted.node, Some(there));
        room.set_uncounted(there, 5);
        assert_eq!((room.participant_count(), room.lists_all(), room.is_listed(&ben.id)), (7, false, true));
        room.set_uncounted(there, 0);
        assert!(room.lists_all());
        assert_eq!(room.leave(&ben.id).and_then(|left| left.node), Some(there));
    }

    fn room() -> (Room, ParticipantId, ParticipantId) {
        let settings =
            RoomSettings { slots: 3, video_slots: 4, participants_max: 2, listed_listeners_max: 2 };
        let mut room = Room::new("town-hall".into(), settings, SourceNumbers::all());
        let (ada, ben) = (ParticipantId::from("ada"), ParticipantId::from("ben"));
        room.enter(ada.clone(), "Ada".into(), Role::Moderator, Transport::Webrtc).expect("room is empty");
        room.enter(ben.clone(), "Ben".into(), Role::Listener, Transport::Webrtc)
            .expect("room has place for two");
        (room, ada, ben)
    }

    #[test]
    fn a_full_room_refuses_the_next() {
        let (mut room, _, _) = room();
        let refused =
            room.enter("cyd".into(), "Cyd".into(), Role::Speaker, Transport::Webrtc).map(|p| p.id.clone());
        assert_eq!(refused, Err(Refusal::RoomFull));
    }

    #[test]
    fn a_promotion_opens_the_gate_and_lowers_the_hand() {
        let (mut room, _, ben) = room();
        room.raise_hand(&ben, true).expect("ben is there");
        let gates = |ben: &Participant| TrackOrigin::ALL.map(|origin| ben.gate(origin));
        assert_eq!(room.participant(&ben).map(gates), Some([Gate::ListenOnly; 4]));
        let ben = room.moderate(&ben, Moderation::SetRole(Role::Speaker)).expect("ben is there");
        assert_eq!((gates(ben), ben.hand_raised), ([Gate::Open; 4], false));
    }

    #[test]
    fn only_moderators_moderate() {
        let (mut room, ada, ben) = room();
        assert_eq!(room.may_moderate(&ada), Ok(()));
        assert_eq!(room.may_moderate(&ben), Err(Refusal::NotModerator));
        assert_eq!(room.may_moderate(&"cyd".into()), Err(Refusal::NotModerator));
        let muted = room.moderate(&"cyd".into(), Moderation::Mute(TrackOrigin::Microphone)).map(|_| ());
        assert_eq!(muted, Err(Refusal::NoSuchParticipant));
    }

    #[test]
    fn whoever_was_muted_by_a_moderator_can_unmute_themselves() {
        let (mut room, _, ben) = room();
        room.moderate(&ben, Moderation::SetRole(Role::Speaker)).expect("ben is there");
        for (origin, other) in
            [(TrackOrigin::Microphone, TrackOrigin::Screen), (TrackOrigin::Screen, TrackOrigin::Microphone)]
        {
            let muted = room.moderate(&ben, Moderation::Mute(origin)).expect("ben is there");
            assert_eq!((muted.gate(origin), muted.gate(other)), (Gate::Muted, Gate::Open));
            assert_eq!(room.set_muted(&ben, origin, false).map(|ben| ben.gate(origin)), Ok(Gate::Open));
        }
    }

    #[test]
    fn no_two_tracks_share_a_source() {
        let (mut room, ada, ben) = room();
        let first = room.leave(&ben).expect("ben was there");
        let again =
            room.enter(ben, "Ben".into(), Role::Speaker, Transport::Webrtc).expect("there is place").clone();
        let ada = room.participant(&ada).expect("ada is there");
        let tracks = [&first, &again, ada].into_iter().flat_map(|participant| participant.tracks.iter());
        let sources: std::collections::BTreeSet<SourceId> = tracks.map(|(_, track)| track.source).collect();
        assert_eq!(sources.len(), 12);
    }

    /// A moderator and four listeners, of whom two are listed.
    fn audience() -> Room {
        let settings =
            RoomSettings { slots: 3, video_slots: 4, participants_max: 10, listed_listeners_max: 2 };
        let mut room = Room::new("town-hall".into(), settings, SourceNumbers::all());
        for (id, role) in [("mod", Role::Moderator), ("l1", Role::Listener), ("l2", Role::Listener)] {
            room.enter(id.into(), id.into(), role, Transport::Webrtc).expect("there is place");
            assert!(room.lists_all(), "{id}");
        }
        for id in ["l3", "l4"] {
            room.enter(id.into(), id.into(), Role::Listener, Transport::Webrtc).expect("there is place");
        }
        room
    }

    fn listed(room: &Room) -> Vec<&str> {
        room.listed().map(|participant| participant.id.as_str()).collect()
    }

    #[test]
    fn listeners_are_listed_up_to_the_bound_and_speakers_beyond_it() {
        let mut room = audience();
        assert_eq!(listed(&room), ["l1", "l2", "mod"]);
        room.enter("s".into(), "s".into(), Role::Speaker, Transport::Webrtc).expect("there is place");
        assert_eq!(listed(&room), ["l1", "l2", "mod", "s"]);
        assert_eq!((room.participant_count(), room.lists_all()), (6, false));
    }

    #[test]
    fn whoever_does_more_than_listen_is_listed_and_stays_so() {
        let l3 = ParticipantId::from("l3");
        type Change = fn(&mut Room, &ParticipantId, bool) -> bool;
        let changes: [Change; 4] = [
            |room, l3, on| room.raise_hand(l3, on).is_ok(),
            |room, l3, on| room.set_publishing(l3, TrackOrigin::Screen, on).is_some(),
            |room, l3, on| {
                let standing = if on { Standing::Priority } else { Standing::Ordinary };
                room.moderate(l3, Moderation::SetStanding(standing)).is_ok()
            },
            |room, l3, on| {
                let role = if on { Role::Speaker } else { Role::Listener };
                room.moderate(l3, Moderation::SetRole(role)).is_ok()
            },
        ];
        for change in changes {
            let mut room = audience();
            assert!(change(&mut room, &l3, true));
            assert_eq!(listed(&room), ["l1", "l2", "l3", "mod"]);
            assert!(change(&mut room, &l3, false));
            assert!(room.is_listed(&l3) && room.participant(&l3).is_some_and(Participant::only_listens));
        }
    }

    #[test]
    fn a_mute_or_a_place_that_got_free_lists_nobody_who_is_there() {
        let mut room = audience();
        room.leave(&"l1".into());
        room.moderate(&"l3".into(), Moderation::Mute(TrackOrigin::Microphone)).expect("l3 is there");
        assert_eq!(listed(&room), ["l2", "mod"]);
        room.enter("l5".into(), "l5".into(), Role::Listener, Transport::Webrtc).expect("there is place");
        assert_eq!(listed(&room), ["l2", "l5", "mod"]);
    }

    #[test]
    fn a_listed_listener_has_a_place_only_while_they_listen() {
        let mut room = audience();
        room.raise_hand(&"l1".into(), true).expect("l1 is there");
        room.enter("l5".into(), "l5".into(), Role::Listener, Transport::Webrtc).expect("there is place");
        // Three who only listen are listed now, one more than are let in.
        room.raise_hand(&"l1".into(), false).expect("l1 is there");
        for (leaver, newcomer, is_listed) in [("l2", "l6", false), ("l5", "l7", true)] {
            room.leave(&leaver.into());
            room.enter(newcomer.into(), newcomer.into(), Role::Listener, Transport::Webrtc)
                .expect("there is place");
            assert_eq!(room.is_listed(&newcomer.into()), is_listed, "{newcomer}");
        }
    }
}
