//! WHIP and WHEP over plain HTTP: each rule of RFC 9725 and of draft-ietf-wish-whep-04 a row, and what breaks rules.
//!
//! Whether anything is heard is tested with clients of others: `tests/peers/whip.py`, `tests/browser/whip.test.js`.

mod events;
mod layers;
mod limits;
mod nodes;
mod restarts;
mod rules;
mod wire;
