//! What can go wrong, as the client is told.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A refusal, with a code for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProtocolError {
    /// The request's `id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub re: Option<u32>,
    /// What kind of error.
    pub code: ErrorCode,
    /// What is wrong and what would be right.
    pub message: String,
    /// Whether the server closes the WebSocket after this message.
    pub fatal: bool,
    /// When to try again, in ms, where waiting is of use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// The kinds of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not JSON, or not a message of this protocol, or too large.
    BadMessage,
    /// The server doesn't speak the version that was asked for.
    UnsupportedVersion,
    /// The first message has to be `join` or `resume`.
    NotJoined,
    /// `join` or `resume` came a second time.
    AlreadyJoined,
    /// The token is not valid here: signature, room or identity.
    Unauthorized,
    /// The token was valid once.
    TokenExpired,
    /// The participant's role doesn't allow it.
    Forbidden,
    /// The room has as many participants as it may have.
    RoomFull,
    /// Nobody is in a room of that name.
    NoSuchRoom,
    /// Nobody of that id is in the room.
    NoSuchParticipant,
    /// The room has no such call.
    NoSuchCall,
    /// There is no trunk of that name, or none at all to call a number through.
    NoSuchTrunk,
    /// The node has no phones.
    NoPhones,
    /// The session ended, never existed, or the secret is wrong.
    NoSuchSession,
    /// The session description can't be read or isn't what a session needs.
    BadSdp,
    /// No m-line offers Opus.
    UnsupportedCodec,
    /// The packets that the client sends have no audio level (RFC 6464): they can't be ranked, and nobody hears them.
    NoAudioLevel,
    /// The session has no peer connection to renegotiate: send a fresh offer.
    NoConnection,
    /// Too many requests in a short time.
    RateLimited,
    /// The client reads more slowly than messages come. The session goes on: resume it.
    TooSlow,
    /// The node has no room for more.
    Overloaded,
    /// The node is stopping.
    ShuttingDown,
    /// The WebSocket was silent for longer than `session.idle_ms`.
    IdleTimeout,
    /// A fault of the server's.
    Internal,
}

impl ErrorCode {
    /// The code as it stands in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::BadMessage => "bad_message",
            ErrorCode::UnsupportedVersion => "unsupported_version",
            ErrorCode::NotJoined => "not_joined",
            ErrorCode::AlreadyJoined => "already_joined",
            ErrorCode::Unauthorized => "unauthorized",
            ErrorCode::TokenExpired => "token_expired",
            ErrorCode::Forbidden => "forbidden",
            ErrorCode::RoomFull => "room_full",
            ErrorCode::NoSuchRoom => "no_such_room",
            ErrorCode::NoSuchParticipant => "no_such_participant",
            ErrorCode::NoSuchCall => "no_such_call",
            ErrorCode::NoSuchTrunk => "no_such_trunk",
            ErrorCode::NoPhones => "no_phones",
            ErrorCode::NoSuchSession => "no_such_session",
            ErrorCode::BadSdp => "bad_sdp",
            ErrorCode::UnsupportedCodec => "unsupported_codec",
            ErrorCode::NoAudioLevel => "no_audio_level",
            ErrorCode::NoConnection => "no_connection",
            ErrorCode::RateLimited => "rate_limited",
            ErrorCode::TooSlow => "too_slow",
            ErrorCode::Overloaded => "overloaded",
            ErrorCode::ShuttingDown => "shutting_down",
            ErrorCode::IdleTimeout => "idle_timeout",
            ErrorCode::Internal => "internal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_written_as_it_stands_in_messages() {
        for code in [ErrorCode::BadMessage, ErrorCode::BadSdp, ErrorCode::NoSuchSession, ErrorCode::Internal]
        {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
