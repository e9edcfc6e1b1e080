//! The signalling protocol of Tercet, version 1: JSON messages on the WebSocket `/v1/ws`, and the
//! frames of the two data channels.
//!
//! Requests come in from a client ([`ClientMessage`]), replies and events go out to it
//! ([`ServerMessage`]). `docs/protocol.md` tells the story, `docs/protocol.schema.json` is
//! generated from these types, and a test validates real messages against it.

mod calls;
mod client;
mod error;
mod model;
mod origin;
mod server;

pub use calls::{CallState, DialOrder, DialRights, WireCall};
pub use client::{ClientMessage, DataFrameIn, Request, SlotView};
pub use error::{ErrorCode, ProtocolError};
pub use model::{
    Role, SpeakerLevel, Standing, TrackKind, Transport, WireParticipant, WireSlot, WireTrack, WireVideoSlot,
};
pub use origin::{AudioOrigin, ByAudio, ByOrigin, ByVideo, MediaOrigin, TrackOrigin, VideoOrigin};
pub use server::{
    DataFrameOut, IceServer, LeaveReason, RoomInfo, ServerMessage, SessionInfo, SlotMid, Welcome,
};

/// The version that `join` and `resume` have to name.
pub const VERSION: u32 = 1;

/// The largest signalling message that the server reads, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// The most participants that a client can list in `listen`, in each of its lists.
pub const LISTEN_MAX: usize = 256;

/// The largest data-channel frame that the server forwards, in bytes.
pub const DATA_BYTES_MAX: usize = 15 * 1024;

/// Label of the ordered, reliable data channel.
pub const CHANNEL_RELIABLE: &str = "reliable";

/// Label of the unordered data channel without retransmissions.
pub const CHANNEL_LOSSY: &str = "lossy";

/// Every message of the protocol, as one JSON Schema (draft 2020-12) with a definition each.
pub fn schema() -> serde_json::Value {
    #[derive(schemars::JsonSchema)]
    #[allow(dead_code, reason = "exists for its schema")]
    struct Tercet {
        client: ClientMessage,
        server: ServerMessage,
        data_in: DataFrameIn,
        data_out: DataFrameOut,
    }
    schemars::schema_for!(Tercet).to_value()
}
