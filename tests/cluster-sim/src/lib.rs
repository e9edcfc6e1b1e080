//! Clusters in virtual time.
//!
//! ```text
//! talkers ─▶ rooms: a shard on each node ─▶ network: real nodes, and what is between them ─▶ figures
//! ```
//!
//! Nothing of the product is modelled: nodes are [`tercet_cluster::Cluster`]s, what is heard is what [`tercet_core::RoomShard`]s
//! say. Whoever only listens takes no part in what crosses, and is a number here.

pub mod conference;
pub mod network;
