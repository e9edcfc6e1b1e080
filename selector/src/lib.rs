//! Chooses the speakers of a room.
//!
//! In: one [`Observation`] a packet (RFC 6464 level and voice bit), or silence. Out: [`Change`]s
//! of positions. A selector has `slots` main positions and one *reserve*: the next in line, so that
//! a talker, who must not hear themselves, still hears as many others as everybody else.
//!
//! The selector is pure: time is passed in, there is no I/O, no randomness and no floating point,
//! so the same observations give the same changes on every machine. Each call does work for at
//! most nine positions, whatever the number of sources, and allocates only for a source it has
//! not seen before.
//!
//! ```
//! use selector::{Level, Observation, Params, Selector, SourceId};
//! use std::time::Duration;
//!
//! let mut selector = Selector::new(Params::with_slots(3));
//! let talker = SourceId(7);
//! let now = Duration::from_millis(20);
//! let packet = Observation::Packet { level: Level::from_dbov(-25), voice: Some(true) };
//! let changes = selector.observe(now, talker, packet);
//! assert_eq!(changes[0].source, Some(talker));
//! assert_eq!(selector.positions()[0], Some(talker));
//! ```

mod activity;
mod candidate;
mod change;
mod level;
mod occupant;
mod params;
mod ranking;
mod selector;
mod tunable;

pub use candidate::{Candidate, Claim, Heard, Standing};
pub use change::{Change, Changes, Positions, Reason};
pub use level::Level;
pub use params::{Params, SLOTS_MAX};
pub use selector::{Observation, Selector, SourceId};
pub use tunable::{OutOfRange, Tunable};
