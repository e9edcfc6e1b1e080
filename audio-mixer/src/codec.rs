//! Codecs of phones behind one pair of traits, each from and to the rate of the mix.

use crate::Frame;

/// A codec that a phone may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 µ-law, 8 kHz.
    Pcmu,
    /// G.711 A-law, 8 kHz.
    Pcma,
    /// G.722, 16 kHz, with an RTP clock of 8 kHz (RFC 3551, section 4.5.2).
    G722,
    /// Opus, with an RTP clock of 48 kHz (RFC 7587).
    Opus,
}

/// From frames of the mix to packets of 20 ms.
pub trait Encoder: Send {
    /// Replaces what is in `packet` by the payload for 20 ms.
    fn encode(&mut self, frame: &Frame, packet: &mut Vec<u8>);
}

/// From packets of any length to samples of the mix.
pub trait Decoder: Send {
    /// Appends what the payload holds, at [`RATE_HZ`](crate::RATE_HZ).
    ///
    /// # Errors
    /// The payload is not of this codec; nothing was appended.
    fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), DecodeError>;

    /// How many samples the payload holds at [`RATE_HZ`](crate::RATE_HZ), if it is of this codec.
    fn duration(&self, payload: &[u8]) -> Option<usize>;

    /// Appends so many samples in the place of what was lost, from what the codec itself knows: of the packet that
    /// comes after, if it is at hand and repeats what was before it (forward error correction), or as a continuation.
    /// Returns whether it could: if not, nothing was appended.
    fn conceal(&mut self, next: Option<&[u8]>, count: usize, samples: &mut Vec<i16>) -> bool;
}

/// A payload that is not of its codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payload that is not of its codec")]
pub struct DecodeError;
