//! Codecs of phones behind one pair of traits, each from and to the rate of the mix.

mod g711;
mod g722;
mod opus;
mod resampler;

use crate::{Frame, RATE_HZ};

/// No packet holds more than 120 ms, the most that Opus has (RFC 6716, section 3.2.5). RFC 3551, section 4.2 has
/// receivers take up to 200 ms; no phone sends that, and a mix that waited for it would be no conversation.
pub(crate) const PACKET_SAMPLES_MAX: usize = RATE_HZ as usize * 120 / 1000;

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

impl Codec {
    /// All of them.
    pub const ALL: [Codec; 4] = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus];

    /// By its name in SDP, without regard to case.
    pub fn from_encoding_name(name: &str) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| codec.encoding_name().eq_ignore_ascii_case(name))
    }

    /// An encoder of one stream.
    pub fn encoder(self) -> Box<dyn Encoder> {
        match self {
            Codec::Pcmu => Box::new(g711::G711Encoder::new(g711::Law::Mu)),
            Codec::Pcma => Box::new(g711::G711Encoder::new(g711::Law::A)),
            Codec::G722 => Box::new(g722::G722Encoder::new()),
            Codec::Opus => Box::new(opus::OpusEncoder::new()),
        }
    }

    /// A decoder of one stream.
    pub fn decoder(self) -> Box<dyn Decoder> {
        match self {
            Codec::Pcmu => Box::new(g711::G711Decoder::new(g711::Law::Mu)),
            Codec::Pcma => Box::new(g711::G711Decoder::new(g711::Law::A)),
            Codec::G722 => Box::new(g722::G722Decoder::new()),
            Codec::Opus => Box::new(opus::OpusDecoder::new()),
        }
    }

    /// The rate of its RTP timestamps, in Hz. Not always that of its sound: G.722's is half of it, by an error that
    /// became the standard (RFC 3551, section 4.5.2).
    pub const fn clock_rate_hz(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 8_000,
            Codec::Opus => 48_000,
        }
    }

    /// Its name in SDP (RFC 3551, section 6; RFC 7587, section 6.1), which is compared without regard to case.
    pub const fn encoding_name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
        }
    }

    /// The payload type that it has without being told (RFC 3551, section 6); none for Opus.
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Codec::Pcmu => Some(0),
            Codec::Pcma => Some(8),
            Codec::G722 => Some(9),
            Codec::Opus => None,
        }
    }

    /// RTP timestamp units of a frame of the mix.
    pub const fn frame_ticks(self) -> u32 {
        self.clock_rate_hz() / 50
    }
}

/// From frames of the mix to packets of 20 ms.
///
/// Late by 80 samples of the mix for G.711, 11 for G.722, 104 for Opus.
pub trait Encoder: Send {
    /// Replaces what is in `packet` by the payload for 20 ms.
    fn encode(&mut self, frame: &Frame, packet: &mut Vec<u8>);
}

/// From packets of any length, up to 120 ms, to samples of the mix.
///
/// Late by 80 samples for G.711, 11 for G.722, none for Opus. A G.711 decoder whose packets aren't whole multiples of
/// 10 ms is late by 160 more: they are resampled in chunks of that.
pub trait Decoder: Send {
    /// Appends what the payload holds, at [`RATE_HZ`]: as many samples as [`Decoder::duration`] says.
    ///
    /// # Errors
    /// The payload is not of this codec, empty, or longer than 120 ms; nothing was appended.
    fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), DecodeError>;

    /// In place of [`Decoder::decode`]: how many samples the payload holds if all that it appended were silence. `None` if that isn't
    /// known so easily; then nothing has happened.
    fn pass(&mut self, _payload: &[u8]) -> Option<usize> {
        None
    }

    /// How many samples the payload holds at [`RATE_HZ`], if it is of this codec.
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

/// Samples of the mix in a payload of a codec that spends `per_byte` of them on each byte.
fn samples_of_bytes(payload: &[u8], per_byte: usize) -> Option<usize> {
    let samples = payload.len() * per_byte;
    (1..=PACKET_SAMPLES_MAX).contains(&samples).then_some(samples)
}

#[cfg(test)]
mod tests;
