//! Rooms, tracks, endpoints and slots: what a node decides, without I/O and without a clock.
//!
//! Data flows one way, and the modules stand in that order:
//!
//! ```text
//! RTP of a publisher ─▶ Ingest ─▶ AudioPacket ─▶ RoomShard ─▶ Forward ─▶ the listener's transport
//!                      (gate,                    (selector,   (slot, rewritten
//!                       numbering)                positions)   header, same payload)
//! ```
//!
//! Pictures go beside it, and are not ranked: [`VideoIngest`], [`VideoShard`] and, for who is looked at, [`Focus`].
//!
//! A [`RoomShard`] is the part of a room that lives on one worker, of its voices or of its shared
//! screens; a [`Room`] is who is in it and what they may do, of which the node has one. Time is passed in as `now`, and nothing here is
//! random, so a test replays a room exactly.

mod allowance;
mod continuity;
mod ids;
mod ingest;
mod left_out;
mod numbering;
mod packet;
mod pre_roll;
mod room;
mod roster;
mod shard;
mod slot;
mod sources;
mod video;
mod view;

pub use allowance::Allowance;
pub use ids::{EndpointId, NodeId, ParticipantId, RoomId, SessionId};
pub use ingest::{Dropped, Gate, IncomingRtp, Ingest};
pub use packet::{AudioPacket, Encoding, StreamEpoch};
pub use pre_roll::{Earlier, PRE_ROLL_DEFAULT, PRE_ROLL_MAX};
pub use room::{Moderation, Participant, Publication, Refusal, Restored, Room, RoomSettings};
pub use shard::{Arrival, FORWARDS_MAX, Forward, RoomAudio, RoomShard, SHARE_RELEASE_AFTER, Speaker, Turn};
pub use slot::{Rewritten, Slot};
pub use sources::SourceNumbers;
pub use video::{
    Allocation, Allocator, Allotted, Content, DecodeTarget, Demand, Dependency, DependencyError,
    DependencyReader, ENCODINGS_MAX, EncodingId, Focus, FrameStructure, IncomingVideo, Indication,
    KeyframeGate, Layer, LayerCost, Part, PictureNumbers, Resolution, RewrittenPicture, RewrittenVideo,
    SourceLayers, VIDEO_PAYLOAD_BYTES_MAX, VideoCodec, VideoFormat, VideoIngest, VideoPacket, VideoShard,
    VideoSlot, Wanted,
};
pub use view::Listening;
