//! What has to hold of everything of Tercet that reads what others write, whatever they write. Each module is one such
//! reader, with a `check` that panics where it doesn't hold.
//!
//! `tests/mutations.rs` tries them with what is committed as `tests/fuzz/seeds` and what becomes of it by a few changes, in
//! each test run; the targets in `tests/fuzz` are for as long as one likes, guided by coverage and with a sanitizer.

pub mod cluster_datagram;
pub mod data_frame;
pub mod ingest_slot;
pub mod sdp;
pub mod selector;
pub mod session_id;
pub mod signalling;
pub mod sip_message;
