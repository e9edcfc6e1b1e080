//! What the server sends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    DialRights, ProtocolError, SpeakerLevel, VideoOrigin, WireCall, WireParticipant, WireSlot, WireTrack,
    WireVideoSlot,
};

/// One message from the server: a reply to a request, or an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// Reply to `join`.
    Joined(Welcome),
    /// Reply to `resume`: the session as it is now.
    Resumed(Welcome),
    /// Reply to `join` or `resume`: another node serves it. The WebSocket closes after it; connect to the other and send the
    /// same again, without `may_redirect`.
    Redirect {
        /// The request's `id`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        re: Option<u32>,
        /// The base URL of the other node, such as `https://node-2.example.com`.
        url: String,
    },
    /// Reply to `offer`.
    Answer {
        /// The request's `id`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        re: Option<u32>,
        /// RFC 8866.
        sdp: String,
        /// Which m-line carries which slot.
        slots: Vec<SlotMid>,
        /// The m-line of the screen slot; `null` where none was offered for it.
        screen: Option<String>,
        /// Which m-line carries which video slot.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        video: Vec<SlotMid>,
    },
    /// Reply to `dial`: they are being called. What becomes of it is told by `call_updated`.
    Dialled {
        /// The request's `id`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        re: Option<u32>,
        /// Which call it is.
        call: u64,
    },
    /// The request was carried out. Sent only for requests that had an `id`.
    Ok {
        /// The request's `id`.
        re: u32,
    },
    /// Reply to `ping`.
    Pong {
        /// The request's `id`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        re: Option<u32>,
    },
    /// A request was refused, or the connection is about to be closed for the reason given.
    Error(ProtocolError),
    /// Somebody else is on the list of participants: they entered the room, or did something for which everybody is
    /// told of them.
    ParticipantJoined {
        /// Who, and their state.
        participant: WireParticipant,
    },
    /// Somebody's role, mute states, hand or name changed.
    ParticipantUpdated {
        /// Their state now.
        participant: WireParticipant,
    },
    /// Somebody listed left.
    ParticipantLeft {
        /// Who.
        participant: String,
        /// Why.
        reason: LeaveReason,
    },
    /// How many are in the room, while not all of them are listed, after a change. At most one a second.
    Attendance {
        /// With those who are listed, and the receiver.
        participant_count: u32,
    },
    /// Somebody's audio began to arrive.
    TrackPublished {
        /// Who.
        participant: String,
        /// What.
        track: WireTrack,
    },
    /// Somebody's audio ended.
    TrackUnpublished {
        /// Who.
        participant: String,
        /// The track's id.
        track: String,
    },
    /// Who is heard in each of the receiver's slots, after a change. At most ten a second.
    Slots {
        /// All slots, in order.
        slots: Vec<WireSlot>,
    },
    /// Who is seen in each of the receiver's video slots, after a change: first whose screen is shared, then whoever spoke last,
    /// or whom the receiver watches.
    Video {
        /// All video slots that were offered, in order.
        slots: Vec<WireVideoSlot>,
    },
    /// To somebody who sends video: how much of it anybody watches, after a change.
    VideoWanted {
        /// Of which of their tracks.
        origin: VideoOrigin,
        /// Of the sizes in which it is sent (simulcast, or spatial layers), the smallest so many, 1 or more. The others needn't be
        /// sent.
        layers: u8,
    },
    /// Whose screen is heard by those who have a screen slot, after a change. At most ten a second.
    Screen {
        /// The sharer, who is told too but doesn't hear themselves; `null` while nobody shares sound.
        participant: Option<String>,
    },
    /// How loud the speakers are. At most ten a second, and only while somebody speaks.
    Speakers {
        /// The selected speakers; whoever is absent is silent.
        levels: Vec<SpeakerLevel>,
    },
    /// To moderators who may dial: a call out of the room began, or stands otherwise than before.
    CallUpdated {
        /// How it stands now.
        call: WireCall,
    },
    /// Whom the receiver may have called, after a change: with another role, or none of it any more.
    DialRights {
        /// Whom; `null` if nobody.
        dial: Option<DialRights>,
        /// The calls out of the room, as in a welcome.
        calls: Vec<WireCall>,
    },
    /// The node is going to stop; the session ends when the time is over.
    Closing {
        /// Time left, in ms.
        deadline_ms: u64,
        /// Base URLs of other nodes. Whoever joins on one of them, with the same token, goes on hearing and being heard on
        /// this one until media flows there.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        nodes: Vec<String>,
    },
    /// The receiver's own session is over; the WebSocket closes after it.
    Left {
        /// The number of the `leave` that it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        re: Option<u32>,
        /// Why.
        reason: LeaveReason,
    },
}

/// A session from its client's side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Welcome {
    /// The request's `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub re: Option<u32>,
    /// The protocol version spoken from here on.
    pub version: u32,
    /// How to come back.
    pub session: SessionInfo,
    /// Where the client is.
    pub room: RoomInfo,
    /// The client's own participant id.
    pub participant: String,
    /// Who is listed, and the client itself. In a large room, not everybody who only listens is.
    pub participants: Vec<WireParticipant>,
    /// How many are in the room, listed or not.
    pub participant_count: u32,
    /// Who is heard now.
    pub slots: Vec<WireSlot>,
    /// Whose screen is heard now.
    pub screen: Option<String>,
    /// Who is seen now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub video: Vec<WireVideoSlot>,
    /// Whom the client may have called into the room; absent if nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dial: Option<DialRights>,
    /// For those who may dial: the calls out of the room that stand on this node, and those that ended within a minute. The
    /// latest 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<WireCall>,
    /// Base URLs of other nodes by which the room is reached, should this one be gone: join there anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// Relays, for clients whose network lets nothing else through: what `RTCPeerConnection` takes as `iceServers`. The
    /// credentials serve for hours; a resumed session's are new.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ice_servers: Vec<IceServer>,
}

/// TURN servers, and what lets this client in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IceServer {
    /// RFC 7065.
    pub urls: Vec<String>,
    /// Until when it serves, in seconds since 1970, and whom.
    pub username: String,
    /// The password to it.
    pub credential: String,
}

/// How to come back to a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionInfo {
    /// Random bits in hexadecimal, 112 or more.
    pub id: String,
    /// 256 random bits in hexadecimal. Each welcome brings a new one; the old one ends with the client's next message.
    pub secret: String,
    /// How long the session outlives its WebSocket, in ms.
    pub resume_ms: u64,
    /// How long the WebSocket may be silent, in ms.
    pub idle_ms: u64,
}

/// What a client needs to know of the room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoomInfo {
    /// The room's name.
    pub id: String,
    /// How many speakers a participant hears at once: the number of `recvonly` m-lines to offer, and
    /// one more for the screen slot.
    #[schemars(range(min = 1, max = 8))]
    pub slots: u8,
    /// How many participants one can watch at once: as many `recvonly` video m-lines may be offered. 0 where the room has no
    /// video.
    #[schemars(range(min = 0, max = 16))]
    pub video_slots: u8,
}

/// The m-line of a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SlotMid {
    /// Counted from 0.
    pub index: u8,
    /// RFC 8843.
    pub mid: String,
}

/// Why somebody is no longer in the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// They said so.
    Left,
    /// The connection broke and was not taken up again in time.
    TimedOut,
    /// A newer session with the same identity took the place.
    Replaced,
    /// A moderator removed them.
    Removed,
    /// The node stopped.
    Shutdown,
}

/// A data-channel frame to a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DataFrameOut {
    /// Who sent it.
    pub from: String,
    /// As it was sent.
    pub data: serde_json::Value,
}
