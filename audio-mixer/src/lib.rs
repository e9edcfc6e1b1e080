//! What phones hear.

mod codec;
mod digit;
mod dtmf;
mod frame;
mod gain;
mod level;
mod limiter;
mod mix;
mod noise;
mod ramp;
mod tone;

pub use codec::{Codec, DecodeError, Decoder, Encoder};
pub use digit::Digit;
pub use dtmf::DtmfDetector;
pub use frame::{FRAME_SAMPLES, Frame, RATE_HZ, SILENCE};
pub use gain::GainControl;
pub use level::level_dbov;
pub use limiter::{LIMITER_DELAY_SAMPLES, Limiter};
pub use mix::{MixMinus, Sum};
pub use noise::ComfortNoise;
pub use ramp::{RAMP_SAMPLES, Ramp, fade_in, fade_out};
pub use tone::{Signal, TonePlan, TonePlayer};
