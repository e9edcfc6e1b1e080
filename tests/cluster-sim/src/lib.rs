//! Clusters in virtual time.
//!
//! ```text
//! talk ─▶ conference: a shard of each room on its nodes ─▶ network: real nodes, and what is between them ─▶ figures
//! ```
//!
//! Nothing of the product is modelled: nodes are [`tercet_cluster::Cluster`]s, and what crosses between them is what
//! [`tercet_core::RoomShard`]s say. Whoever only listens has no part in what crosses, and is a number here.

pub mod conference;
pub mod figures;
pub mod network;
pub mod scenarios;
pub mod talk;
