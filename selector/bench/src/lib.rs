//! Conversations with seeds, packet by packet, and documents whose tables are generated: what the bench of the selector shares with
//! the simulation of clusters.

pub mod conversation;
pub mod document;
pub mod room;
pub mod trace;
pub mod voice;
