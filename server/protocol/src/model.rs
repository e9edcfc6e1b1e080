//! What both directions speak about: participants, tracks, slots, levels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{TrackOrigin, VideoOrigin};

/// What a participant may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Hears the room.
    Listener,
    /// Hears the room and may be heard.
    Speaker,
    /// A speaker who may also mute, promote, demote and remove others.
    Moderator,
}

impl Role {
    /// Whether this role's audio competes for the slots.
    pub fn may_speak(self) -> bool {
        self != Role::Listener
    }
}

/// How somebody's voice stands among the others, whatever its level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It competes by its level.
    #[default]
    Ordinary,
    /// As soon as they speak they are heard, and no ordinary voice takes the slot while they do: an interpreter.
    Priority,
    /// They have a slot for as long as they send, whether they speak or not: music, somebody on a stage.
    Pinned,
}

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrackKind {
    /// Opus audio.
    Audio,
    /// VP8, VP9, H.264 or AV1.
    Video,
}

/// One published stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WireTrack {
    /// Unique within the room.
    pub id: String,
    /// What it carries.
    pub kind: TrackKind,
    /// Where it comes from.
    pub origin: TrackOrigin,
}

/// How a participant's client is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// WebRTC: a browser or an app with an SDK.
    #[default]
    Webrtc,
    /// SIP: a phone.
    Sip,
    /// WHIP: an encoder, such as OBS or FFmpeg.
    Whip,
    /// WHEP: a player.
    Whep,
}

impl Transport {
    /// Whether what a client wants comes over HTTP, one request at a time: there is no socket by which it could be told of
    /// anything, and its session is over when its media is.
    pub fn is_over_http(self) -> bool {
        matches!(self, Transport::Whip | Transport::Whep)
    }
}

/// Somebody in the room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WireParticipant {
    /// The identity of the participant's access token.
    pub id: String,
    /// The name to show.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// How they are attached: by a browser, by phone, by an encoder or player.
    pub transport: Transport,
    /// How their voice stands among the others.
    pub standing: Standing,
    /// Whether their microphone's audio is withheld from the room.
    pub muted: bool,
    /// Whether the sound of their screen is.
    pub screen_muted: bool,
    /// Whether the picture of their camera is.
    pub camera_muted: bool,
    /// Whether the picture of their screen is.
    pub screen_video_muted: bool,
    /// Whether they ask to speak.
    pub hand_raised: bool,
    /// The CSRC (RFC 3550, section 5.1) that packets of theirs carry in a listener's slot.
    pub source: u32,
    /// The CSRC of the sound of their screen, in the screen slot.
    pub screen_source: u32,
    /// The CSRC of the picture of their camera, in a video slot.
    pub camera_source: u32,
    /// The CSRC of the picture of their screen, in a video slot.
    pub screen_video_source: u32,
    /// What they publish now.
    pub tracks: Vec<WireTrack>,
}

/// Who is heard in a slot of the receiver of the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WireSlot {
    /// Counted from 0.
    pub index: u8,
    /// The m-line of the slot in the receiver's own session description; `null` before an offer was answered.
    pub mid: Option<String>,
    /// The speaker, or `null` while the slot is free.
    pub participant: Option<String>,
}

/// Who is seen in a video slot of the receiver of the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WireVideoSlot {
    /// Counted from 0.
    pub index: u8,
    /// The m-line of the slot in the receiver's own session description.
    pub mid: String,
    /// Whose picture it is, or `null` while the slot is free.
    pub participant: Option<String>,
    /// Their camera's, or their screen's.
    #[serde(default)]
    pub origin: VideoOrigin,
}

/// How loud a speaker is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SpeakerLevel {
    /// Who.
    pub participant: String,
    /// RFC 6464: dB relative to the overload point, -127 (silence) to 0.
    #[schemars(range(min = -127, max = 0))]
    pub level_dbov: i8,
}
