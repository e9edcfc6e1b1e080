//! Calls that are made out of a room: whom a moderator wants called, and how it stands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Role;

/// Somebody to be called into the room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DialOrder {
    /// A number, or the name of a user of the server's: 1 to 64 letters, digits, and `+ * # . - _`.
    pub to: String,
    /// Through which trunk. It may be left out if there is only one, and is for a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// How others see them; without it the number, masked as the server does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What they may do: `speaker`, by default, or `listener`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The language of what they are told: `en`, `de`, `fr` or `es`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// Whom the receiver may have called into the room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DialRights {
    /// Whether there are users of the server's, who are called by their names.
    pub users: bool,
    /// The trunks through which numbers are called.
    pub trunks: Vec<String>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Nobody has answered in any way.
    Dialling,
    /// It rings there.
    Ringing,
    /// It was answered.
    Talking,
    /// It is over.
    Ended,
}

/// A call out of the room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WireCall {
    /// Which one, on this node.
    pub call: u64,
    /// How the one who is called is shown.
    pub name: String,
    /// How far it is.
    pub state: CallState,
    /// Who they are in the room, once they are there.
    pub participant: Option<String>,
    /// Of one that has ended: a word, such as `rejected`, `not_answered`, `hung_up` or `peer_hung_up`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The status of SIP that it ended by, if there was one: 486 is busy (RFC 3261, section 21).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}
