//! Pictures of real encoders, and what becomes of them on their way: clips in, packets out; packets in, whether a decoder could go
//! on from one to the next out.
//!
//! ```text
//! Clip ─ frames ─▶ Packetizer ─ payloads ─▶ (server) ─▶ PictureReader ─▶ Continuity ─┐
//!                                           `video` messages ─────────▶ Watching ◀──┴─▶ PictureCounts
//! ```

mod clip;

mod continuity;

mod counts;

mod descriptor;

mod watching;

pub(crate) use clip::{SIZES, mean_payload_bytes, sizes};
pub(crate) use continuity::Faults;
pub(crate) use counts::{PictureCounts, SlotCounts};
pub(crate) use descriptor::Packetizer;
pub(crate) use watching::{FREEZE_MAX, LARGE, SMALL, Watching, height_of};
