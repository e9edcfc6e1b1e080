//! What a client sends.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DialOrder, Role, Standing, TrackOrigin};

/// One message from a client: a request, and a number by which the reply refers to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(expecting = "an object with a `type`")]
pub struct ClientMessage {
    /// Chosen by the client; the reply (`ok`, `answer`, `error`, ...) repeats it as `re`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// What is asked for.
    #[serde(flatten)]
    pub request: Request,
}

/// What a client can ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// Enter the room that the token names. First message of a new session.
    Join {
        /// The protocol version the client speaks: 1.
        version: u32,
        /// The access token (JWT).
        token: String,
        /// The name to show, in place of the token's; at most 64 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Whether the client understands `redirect`. One that doesn't is served through the node that it came to.
        #[serde(default)]
        may_redirect: bool,
    },
    /// Take a session up again on a new WebSocket. First message after a reconnect.
    Resume {
        /// The protocol version the client speaks: 1.
        version: u32,
        /// `session.id` of the welcome.
        session: String,
        /// `session.secret` of the latest welcome.
        secret: String,
        /// Whether the client understands `redirect`. One that doesn't is served through the node that it came to.
        #[serde(default)]
        may_redirect: bool,
    },
    /// A WebRTC session description: an audio m-line to send on and one for the sound of a screen, one
    /// `recvonly` audio m-line a slot and one for the screen slot, and the data channels; with video, an m-line
    /// to send the camera's on and one for the picture of a screen, and one `recvonly` video m-line a video slot. Sent again, with the same connection, it restarts ICE.
    Offer {
        /// RFC 8866.
        sdp: String,
        /// The offer is of a new peer connection, which replaces the session's former one.
        #[serde(default)]
        fresh: bool,
    },
    /// Withhold one's audio from the room, or give it again.
    Mute {
        /// The state wanted.
        muted: bool,
        /// Which of one's tracks.
        #[serde(default)]
        track: TrackOrigin,
    },
    /// Choose whom to hear: one's slots carry the speakers among these, in place of those of the room. Without
    /// `only` and `except`, those of the room again.
    Listen {
        /// These and nobody else, by id; at most 256.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(max = 256))]
        only: Option<BTreeSet<String>>,
        /// Not these; at most 256.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        #[schemars(length(max = 256))]
        except: BTreeSet<String>,
    },
    /// Choose whom to watch: the first video slots, after that of a shared screen, show them, in this order, for as long as they are there; the others, those who
    /// speak. Without anybody, only those who speak again.
    Watch {
        /// Whom in the first slot, by id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        participant: Option<String>,
        /// Whom in the next ones, by id; at most 16.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schemars(length(max = 16))]
        participants: Vec<String>,
    },
    /// Tell how large one's video slots are drawn: nobody is sent larger pictures than they need.
    View {
        /// The slots; one that isn't named may have pictures as large as there are. At most 16.
        #[schemars(length(max = 16))]
        slots: Vec<SlotView>,
    },
    /// Ask to speak, or withdraw.
    RaiseHand {
        /// The state wanted.
        raised: bool,
    },
    /// Moderators: mute somebody. Only they themselves can undo it.
    MuteParticipant {
        /// Whom.
        participant: String,
        /// Which of their tracks.
        #[serde(default)]
        track: TrackOrigin,
    },
    /// Moderators: lower somebody's hand.
    LowerHand {
        /// Whose.
        participant: String,
    },
    /// Moderators: promote or demote somebody, at once and without renegotiation.
    SetRole {
        /// Whom.
        participant: String,
        /// The role from now on.
        role: Role,
    },
    /// Moderators: let somebody's voice come before others.
    SetStanding {
        /// Whose.
        participant: String,
        /// How it stands from now on.
        standing: Standing,
    },
    /// Moderators: end somebody's session.
    RemoveParticipant {
        /// Whom.
        participant: String,
    },
    /// Moderators who may: have somebody called into the room, by phone.
    Dial(DialOrder),
    /// Moderators who may: hang up a call out of the room, whether it was answered or not.
    HangUp {
        /// Which one.
        call: u64,
    },
    /// Keep-alive: answered by `pong`. A connection silent for longer than `session.idle_ms` is closed.
    Ping,
    /// End the session.
    Leave,
}

/// How large a video slot is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SlotView {
    /// Counted from 0.
    pub index: u8,
    /// How high, in pixels of the screen; 0 where it isn't visible, and nothing need be sent.
    pub height: u16,
}

/// A data-channel frame from a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DataFrameIn {
    /// Participants to deliver to; absent means everybody else in the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Vec<String>>,
    /// Any JSON value; the server doesn't look inside.
    pub data: serde_json::Value,
}
