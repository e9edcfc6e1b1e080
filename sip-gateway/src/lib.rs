//! Calls of phones, for a room of any server.
//!
//! In: SIP over UDP, TCP and TLS, and the application's commands. Out: events of calls. The crate decides nothing
//! about rooms: it tells who calls whom with which offer, and does what it is told.
//!
//! ```text
//! datagrams ─▶ signalling ─▶ Event ─▶ application ─▶ sdp: what both sides can ─▶ media of the call
//!              dialogs,      ◀─ Handle (ring, answer, hang up, dial)
//!              credentials
//! ```
//!
//! [`sdp`] is pure. [`signalling`] has a pure core too; docs/adr says which crate is behind it, and what of that crate is
//! worked around.

mod buckets;

pub mod fuzz;
pub mod leg;
pub mod menu;
pub mod prompts;
pub mod sdp;
pub mod signalling;

pub use buckets::Buckets;
