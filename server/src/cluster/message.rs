//! What the nodes of a room tell each other of it, in order and without loss.

use selector::SourceId;
use serde::{Deserialize, Serialize};
use tercet_core::{
    Content, Layer, LayerCost, Moderation, NodeId, Participant, Publication, Refusal, Restored, SourceLayers,
};
use tercet_protocol::{AudioOrigin, ByOrigin, LeaveReason, Role, Standing, TrackOrigin, Transport};

/// What one node tells another.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum NodeMessage {
    /// For the control plane.
    OfRoom { room: String, message: RoomMessage },
    /// For the workers: a source is silent.
    Silenced { room: String, origin: AudioOrigin, source: u32 },
    /// For the workers: somebody who watches a picture needs a keyframe.
    KeyframeWanted { room: String, source: u32, encoding: u8 },
    /// For the workers: what clients of the sender want of a picture on the receiver: of its streams those to be shown now, bit by bit,
    /// and how many of its sizes they would look at. The sender waits for `streams` of them, bit by bit, on their channels of that
    /// `attempt`.
    VideoWanted { room: String, source: u32, encodings: u8, layers: u8, streams: u8, attempt: u8 },
    /// For the workers: what is known of the layers of a picture on the sender.
    VideoLayers { room: String, source: u32, layers: RemoteLayers },
    /// For the workers: how many changes the room has seen.
    Turn { room: String, origin: AudioOrigin, turn: u64 },
}

/// What is known of a picture's layers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RemoteLayers {
    /// Spatial, temporal, kbit/s, height.
    costs: Vec<(u8, u8, u32, u32)>,
    smallest_height: u32,
    encodings: u8,
    is_of_screen: bool,
}

impl RemoteLayers {
    pub(super) fn of(layers: &SourceLayers) -> RemoteLayers {
        let cost = |it: &LayerCost| (it.layer.spatial, it.layer.temporal, it.kbps, it.height);
        let SourceLayers { content, costs, smallest_height, encodings } = layers;
        let (costs, is_of_screen) = (costs.iter().map(cost).collect(), *content == Content::Screen);
        RemoteLayers { costs, smallest_height: *smallest_height, encodings: *encodings, is_of_screen }
    }

    /// As they are known here; `None` for what no node of ours sends.
    pub(super) fn read(self) -> Option<SourceLayers> {
        const COSTS_MAX: usize = 32;
        let cost = |(spatial, temporal, kbps, height)| LayerCost {
            layer: Layer { spatial, temporal },
            kbps,
            height,
        };
        let RemoteLayers { costs, smallest_height, encodings, is_of_screen } = self;
        let costs = (costs.len() <= COSTS_MAX).then(|| costs.into_iter().map(cost).collect())?;
        let content = if is_of_screen { Content::Screen } else { Content::Camera };
        Some(SourceLayers { content, costs, smallest_height, encodings })
    }
}

/// What one node tells another of a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum RoomMessage {
    /// What follows, up to the end of the roster, is all that is to be known of those who are on the sender.
    Roster {
        /// How many are there besides.
        uncounted: u32,
        /// Whether the receiver's is wanted in return.
        wants_yours: bool,
    },
    RosterEnd,
    /// These on the sender are new, or something about them is.
    Participants(Vec<RemoteParticipant>),
    /// Somebody left whom the receiver was told of.
    Left {
        id: String,
        reason: LeaveReason,
    },
    /// How many are there of whom the receiver was not told.
    Uncounted(u32),
    /// These entered, told of or not, each with their turn: whoever has their identity elsewhere, from before, is replaced.
    Entered(Vec<(String, u64)>),
    /// Somebody who was on the sender, which stops, has joined on the receiver: what they were, and what they publish
    /// on the sender until they leave it, in the order of [`TrackOrigin::ALL`].
    HandedOver {
        was: CarriedParticipant,
        sources: [u32; TrackOrigin::ALL.len()],
    },
    /// A moderator on the sender does something to somebody on the receiver.
    Moderate {
        request: u64,
        whom: String,
        what: RemoteModeration,
    },
    /// What became of it.
    Moderated {
        request: u64,
        outcome: Result<(), Refusal>,
    },
    /// Which pictures on the receiver are watched on the sender: these, and no others any more.
    Watched(Vec<u32>),
    /// A data frame for those on the receiver, or for some of them.
    Data {
        to: Option<Vec<String>>,
        reliable: bool,
        frame: Vec<u8>,
    },
    /// The sources on the receiver that somebody on the sender wants to hear, speakers or not.
    Wanted(Vec<u32>),
}

impl RoomMessage {
    /// Whether it is of who is there, which a roster tells too.
    pub(crate) fn is_of_roster(&self) -> bool {
        use RoomMessage::{Entered, Left, Participants, Roster, RosterEnd, Uncounted};
        matches!(self, Roster { .. } | RosterEnd | Participants(_) | Left { .. } | Uncounted(_) | Entered(_))
    }
}

/// What a moderator does to somebody on another node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum RemoteModeration {
    Change(Moderation),
    Remove,
}

/// Somebody on another node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RemoteParticipant {
    id: String,
    name: String,
    role: Role,
    transport: Transport,
    standing: Standing,
    hand_raised: bool,
    microphone: RemoteTrack,
    screen: RemoteTrack,
    camera: RemoteTrack,
    screen_video: RemoteTrack,
    /// When they entered, as the room counts.
    pub(crate) turn: u64,
    /// Since when they share the picture of their screen, if they do, as the room counts.
    pub(crate) shares_since: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct RemoteTrack {
    source: u32,
    muted: bool,
    publishing: bool,
}

impl RemoteTrack {
    fn of(track: &Publication) -> RemoteTrack {
        RemoteTrack { source: track.source.0, muted: track.muted, publishing: track.publishing }
    }

    fn read(self) -> Publication {
        Publication { source: SourceId(self.source), muted: self.muted, publishing: self.publishing }
    }
}

impl RemoteParticipant {
    pub(crate) fn of(participant: &Participant, turn: u64, shares_since: Option<u64>) -> RemoteParticipant {
        RemoteParticipant {
            id: participant.id.to_string(),
            name: participant.name.clone(),
            role: participant.role,
            transport: participant.transport,
            standing: participant.standing,
            hand_raised: participant.hand_raised,
            microphone: RemoteTrack::of(&participant.tracks.microphone),
            screen: RemoteTrack::of(&participant.tracks.screen),
            camera: RemoteTrack::of(&participant.tracks.camera),
            screen_video: RemoteTrack::of(&participant.tracks.screen_video),
            turn,
            shares_since,
        }
    }

    /// As they are known here.
    pub(crate) fn on(self, node: NodeId) -> Participant {
        Participant {
            id: self.id.as_str().into(),
            name: self.name,
            role: self.role,
            transport: self.transport,
            standing: self.standing,
            hand_raised: self.hand_raised,
            tracks: ByOrigin {
                microphone: self.microphone.read(),
                screen: self.screen.read(),
                camera: self.camera.read(),
                screen_video: self.screen_video.read(),
            },
            node: Some(node),
        }
    }
}

/// What outlives a node: of those who are not as their token says, what they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Carried {
    /// When this was so, by the cluster's clock.
    pub(crate) at_ms: u64,
    pub(crate) participants: Vec<CarriedParticipant>,
}

/// Somebody who is not as their token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CarriedParticipant {
    pub(crate) id: String,
    pub(crate) role: Role,
    pub(crate) standing: Standing,
    pub(crate) hand_raised: bool,
    pub(crate) muted: bool,
    pub(crate) screen_muted: bool,
    pub(crate) camera_muted: bool,
    pub(crate) screen_video_muted: bool,
}

impl CarriedParticipant {
    /// What they are again when they come back.
    pub(crate) fn state(&self) -> Restored {
        Restored {
            role: self.role,
            standing: self.standing,
            hand_raised: self.hand_raised,
            muted: ByOrigin {
                microphone: self.muted,
                screen: self.screen_muted,
                camera: self.camera_muted,
                screen_video: self.screen_video_muted,
            },
        }
    }

    pub(crate) fn of(participant: &Participant) -> CarriedParticipant {
        CarriedParticipant {
            id: participant.id.to_string(),
            role: participant.role,
            standing: participant.standing,
            hand_raised: participant.hand_raised,
            muted: participant.tracks.microphone.muted,
            screen_muted: participant.tracks.screen.muted,
            camera_muted: participant.tracks.camera.muted,
            screen_video_muted: participant.tracks.screen_video.muted,
        }
    }
}

impl NodeMessage {
    pub(super) fn write(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("it can be written")
    }

    /// `None` for what no node of this version sends.
    pub(super) fn read(bytes: &[u8]) -> Option<NodeMessage> {
        postcard::from_bytes(bytes).ok()
    }
}

/// As many of them as fit into so many bytes.
pub(super) fn write_carried(at_ms: u64, participants: &[CarriedParticipant], bytes_max: usize) -> Vec<u8> {
    let mut count = participants.len();
    loop {
        let carried = Carried { at_ms, participants: participants[..count].to_vec() };
        let bytes = postcard::to_stdvec(&carried).expect("it can be written");
        if bytes.len() <= bytes_max || count == 0 {
            return bytes;
        }
        count = count * bytes_max / bytes.len().max(bytes_max + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reads_back_and_garbage_does_not() {
        let track = RemoteTrack { source: 0x0102_0003, muted: true, publishing: false };
        let participant = RemoteParticipant {
            id: "ada".to_owned(),
            name: "Ada".to_owned(),
            role: Role::Moderator,
            transport: Transport::Sip,
            standing: Standing::Priority,
            hand_raised: true,
            microphone: track,
            screen: track,
            camera: track,
            screen_video: track,
            turn: 7,
            shares_since: Some(8),
        };
        let messages = [
            RoomMessage::Roster { uncounted: 9, wants_yours: true },
            RoomMessage::Participants(vec![participant.clone()]),
            RoomMessage::Left { id: "ada".to_owned(), reason: LeaveReason::TimedOut },
            RoomMessage::Moderated { request: 1, outcome: Err(Refusal::NoSuchParticipant) },
            RoomMessage::Data { to: None, reliable: true, frame: b"{}".to_vec() },
        ];
        for message in messages {
            let sent = NodeMessage::OfRoom { room: "hall".to_owned(), message: message.clone() };
            let bytes = sent.write();
            let Some(NodeMessage::OfRoom { room, message: read }) = NodeMessage::read(&bytes) else {
                panic!("{message:?}");
            };
            assert_eq!((room.as_str(), read), ("hall", message));
            assert!(NodeMessage::read(&bytes[..bytes.len() / 2]).is_none());
        }
        let node = NodeId { zone: 1, index: 2 };
        let there = participant.clone().on(node);
        assert_eq!(there.node, Some(node));
        assert_eq!(RemoteParticipant::of(&there, 7, Some(8)), participant);
    }

    #[test]
    fn of_too_many_those_are_carried_who_fit() {
        let one = |n: usize| CarriedParticipant {
            id: format!("participant-{n}"),
            role: Role::Speaker,
            standing: Standing::Ordinary,
            hand_raised: false,
            muted: false,
            screen_muted: false,
            camera_muted: false,
            screen_video_muted: false,
        };
        let many: Vec<CarriedParticipant> = (0..500).map(one).collect();
        let bytes = write_carried(5, &many, 1000);
        assert!(bytes.len() <= 1000 && bytes.len() > 700, "{}", bytes.len());
        let read: Carried = postcard::from_bytes(&bytes).expect("it was written");
        assert_eq!(read.participants[..], many[..read.participants.len()]);
        assert_eq!(write_carried(5, &many[..3], 1000).len(), write_carried(6, &many[1..4], 1000).len());
    }
}
