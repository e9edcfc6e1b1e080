//! Pictures: packets of publishers in, numbered for each video slot that shows them out.
//!
//! Nobody ranks video packets: the control plane says which source a slot is to show, and the slot changes to it with its next
//! keyframe.
//!
//! ```text
//! RTP of a camera ─▶ VideoIngest ─▶ VideoPacket ─▶ VideoShard ─▶ each slot that shows it, with numbers of its own
//!                    ▲                                 │
//!                    └──── keyframe ◀─ KeyframeGate ◀──┘ a slot is to show somebody else, or its viewer lost something
//! ```

mod allocator;
mod dependency;
mod focus;
mod ingest;
mod keyframes;
mod layer;
mod meter;
mod packet;
mod pictures;
mod shard;
mod slot;

pub use allocator::{Allocation, Allocator, Content, Demand};
pub use dependency::{
    DecodeTarget, Dependency, DependencyError, DependencyReader, FrameStructure, Indication, Resolution,
};
pub use focus::Focus;
pub use ingest::{IncomingVideo, VIDEO_PAYLOAD_BYTES_MAX, VideoIngest};
pub use keyframes::KeyframeGate;
pub use layer::{Layer, LayerCost};
pub(crate) use meter::LayerMeter;
pub use packet::{ENCODINGS_MAX, EncodingId, Part, PictureNumbers, VideoCodec, VideoFormat, VideoPacket};
pub use pictures::RewrittenPicture;
pub use shard::{Allotted, SourceLayers, VideoShard, Wanted};
pub use slot::{RewrittenVideo, VideoSlot};

/// RFC 7741, 9628, 6184 and AV1's RTP format: all of them count so.
const CLOCK_HZ: u32 = 90_000;
