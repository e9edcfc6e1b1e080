//! What phones hear.
//!
//! In: packets of those who speak. Out, each 20 ms: a packet for each phone, with everybody else in it and never
//! themselves. Everything between is PCM in one form, [`Frame`]: 20 ms at 16 kHz, one channel.
//!
//! ```text
//!  packet ─▶ Decoder ─▶ GainControl ─▶ Ramp ─▶ MixMinus ─┬─ without(own) ─▶ Limiter ─▶ Encoder ─▶ who speaks
//!                 │     of phones      begins, │         └─ all() ────────▶ Limiter ─▶ Encoder ─▶ all others,
//!                 └▶ DtmfDetector      ends    └▶ own                                             the same packet
//! ```
//!
//! Who speaks has a limiter and an encoder of their own; all others share one of each per codec, so the thousandth
//! listener costs a copy of a packet. Who begins to speak takes over without a click if their encoder has encoded the
//! last shared frame before: what it made of that is dropped.
//!
//! | | Late by, at 16 kHz |
//! | --- | --- |
//! | G.711 encoder, decoder | 80 samples each |
//! | G.722 encoder, decoder | 11 samples each |
//! | Opus encoder | 104 samples |
//! | [`Limiter`] | 32 samples ([`LIMITER_DELAY_SAMPLES`]) |
//! | the rest | nothing |
//!
//! The crate is pure: no I/O, no clock, and randomness by seeds. Each state is of one stream, is [`Send`], and is
//! owned by whoever has the stream.
//!
//! ```
//! use audio_mixer::{Codec, Limiter, MixMinus, Ramp};
//!
//! // Ada speaks; a listener has another codec.
//! let (mut decoder, mut ramp) = (Codec::Pcma.decoder(), Ramp::new());
//! let (mut limiter, mut encoder) = (Limiter::new(), Codec::G722.encoder());
//!
//! let mut samples = Vec::new();
//! decoder.decode(&[0xd5; 160], &mut samples).expect("160 bytes are 20 ms of A-law");
//! let ada = ramp.shape(samples.first_chunk()).expect("there is a frame");
//!
//! let mut mix = MixMinus::new();
//! mix.add(&ada);
//! assert_eq!(mix.without(&ada), [0; 320], "Ada hears nobody");
//!
//! let mut packet = Vec::new();
//! encoder.encode(&limiter.limit(mix.all()), &mut packet);
//! assert_eq!(packet.len(), 160);
//! ```

mod codec;
mod digit;
mod dtmf;
mod frame;
mod gain;
mod jitter;
mod level;
mod limiter;
mod mix;
mod noise;
mod ramp;
mod tone;
#[cfg(test)]
mod voices;

pub use codec::{Codec, DecodeError, Decoder, Encoder};
pub use digit::Digit;
pub use dtmf::DtmfDetector;
pub use frame::{FRAME_SAMPLES, Frame, RATE_HZ, SILENCE};
pub use gain::GainControl;
pub use jitter::{Arrival, FrameKind, JitterBuffer, JitterStats, Packet, Reception, ReceptionReport};
pub use level::level_dbov;
pub use limiter::{LIMITER_DELAY_SAMPLES, Limiter};
pub use mix::{MixMinus, Sum};
pub use noise::ComfortNoise;
pub use ramp::{RAMP_SAMPLES, Ramp, fade_in, fade_out};
pub use tone::{Signal, TonePlan, TonePlayer};
