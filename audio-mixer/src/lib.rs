//! What phones hear.

mod codec;
mod frame;

pub use codec::{Codec, DecodeError, Decoder, Encoder};
pub use frame::{FRAME_SAMPLES, Frame, RATE_HZ, SILENCE};
