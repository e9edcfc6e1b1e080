//! The one form in which sound is mixed: 20 ms at 16 kHz, one channel.

/// Samples a second of everything that is mixed, in Hz.
pub const RATE_HZ: u32 = 16_000;

/// Samples of a frame: 20 ms.
pub const FRAME_SAMPLES: usize = 320;

/// 20 ms of sound, linear, full scale at the ends of `i16`.
pub type Frame = [i16; FRAME_SAMPLES];

/// A frame without sound.
pub const SILENCE: Frame = [0; FRAME_SAMPLES];
