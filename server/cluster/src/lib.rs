//! Nodes that find each other, and what rooms on several of them tell one another: sans-IO.
//!
//! Data flows one way, and the modules stand in that order:
//!
//! ```text
//! UDP ─▶ link (noise) ─▶ sdn ─▶ members: who is there
//!        sealed,         routes ├▶ rooms:   where a room is, and what is heard in it
//!        who lives              └▶ stream:  what has to arrive
//! ```
//!
//! [`Cluster`] is all of it: datagrams, rooms and messages in, datagrams and events out, and the time is passed in. It is the only
//! place that knows of atm0s-sdn; docs/adr/0024-atm0s-sdn-behind-one-boundary.md says what of it is
//! worked around, and how.

mod clock;
mod ids;
mod link;
mod noise;
mod sdn;

mod heard;
mod members;
mod rooms;
mod routes;
mod stream;

mod cluster;

pub use cluster::{Cluster, ClusterConfig, ClusterCounts, ClusterEvent, LinkStatus, Output};
pub use heard::{BUNDLE_BYTES_MAX, Brought, Bundle, Heard, Unbundler, seen};
pub use ids::BootId;
pub use link::{DEAD_AFTER, Farewell, LinkQuality};
pub use members::{NodeInfo, NodeRole, NodeState};
pub use noise::Secret;
pub use routes::Route;
pub use tercet_core::NodeId;
