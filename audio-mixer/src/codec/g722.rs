//! G.722 at 64 kbit/s: a byte for two samples at 16 kHz, the rate of the mix.

use audio_codec::{Decoder as _, Encoder as _, g722};

use super::{DecodeError, Decoder, Encoder, samples_of_bytes};
use crate::{FRAME_SAMPLES, Frame};

/// Samples of the mix for each byte.
const RATIO: usize = 2;

/// Late by 11 samples, the delay of the filters that part the bands (ITU-T G.722, section 3.1); 22 with the decoder's.
pub(super) struct G722Encoder(g722::G722Encoder);

impl G722Encoder {
    pub(super) fn new() -> G722Encoder {
        G722Encoder(g722::G722Encoder::new())
    }
}

impl Encoder for G722Encoder {
    fn encode(&mut self, frame: &Frame, packet: &mut Vec<u8>) {
        packet.clear();
        packet.resize(FRAME_SAMPLES / RATIO, 0);
        let done = self.0.encode_into(frame, packet);
        debug_assert!(matches!(done, Ok(length) if length == packet.len()));
    }
}

/// Late by 11 samples. Knows no concealment: that is of the mix.
pub(super) struct G722Decoder(g722::G722Decoder);

impl G722Decoder {
    pub(super) fn new() -> G722Decoder {
        G722Decoder(g722::G722Decoder::new())
    }
}

impl Decoder for G722Decoder {
    fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), DecodeError> {
        let count = self.duration(payload).ok_or(DecodeError)?;
        let before = samples.len();
        samples.resize(before + count, 0);
        let done = self.0.decode_into(payload, &mut samples[before..]);
        debug_assert!(matches!(done, Ok(length) if length == count));
        Ok(())
    }

    fn duration(&self, payload: &[u8]) -> Option<usize> {
        samples_of_bytes(payload, RATIO)
    }

    fn conceal(&mut self, _next: Option<&[u8]>, _count: usize, _samples: &mut Vec<i16>) -> bool {
        false
    }
}
