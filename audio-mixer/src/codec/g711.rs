//! G.711: a byte a sample at 8 kHz, by either law of companding.

use audio_codec::pcma::{PcmaDecoder, PcmaEncoder};
use audio_codec::pcmu::{PcmuDecoder, PcmuEncoder};
use audio_codec::{Decoder as _, Encoder as _};

use super::resampler::Resampler;
use super::{DecodeError, Decoder, Encoder, PACKET_SAMPLES_MAX, samples_of_bytes};
use crate::{FRAME_SAMPLES, Frame, RATE_HZ};

const NARROW_HZ: u32 = 8_000;

/// Samples of the mix for each of G.711's.
const RATIO: usize = (RATE_HZ / NARROW_HZ) as usize;

/// How samples are companded (ITU-T G.711).
#[derive(Clone, Copy)]
pub(super) enum Law {
    Mu,
    A,
}

impl Law {
    fn compress(self, samples: &[i16], bytes: &mut [u8]) {
        let done = match self {
            Law::Mu => PcmuEncoder::new().encode_into(samples, bytes),
            Law::A => PcmaEncoder::new().encode_into(samples, bytes),
        };
        debug_assert_eq!(done, Ok(samples.len()));
    }

    fn expand(self, bytes: &[u8], samples: &mut [i16]) {
        let done = match self {
            Law::Mu => PcmuDecoder::new().decode_into(bytes, samples),
            Law::A => PcmaDecoder::new().decode_into(bytes, samples),
        };
        debug_assert_eq!(done, Ok(bytes.len()));
    }
}

/// Late by 5 ms, the resampler's.
pub(super) struct G711Encoder {
    law: Law,
    resampler: Resampler,
    narrow: Vec<i16>,
}

impl G711Encoder {
    pub(super) fn new(law: Law) -> G711Encoder {
        let narrow = Vec::with_capacity(FRAME_SAMPLES / RATIO);
        G711Encoder { law, resampler: Resampler::new(RATE_HZ, NARROW_HZ), narrow }
    }
}

impl Encoder for G711Encoder {
    fn encode(&mut self, frame: &Frame, packet: &mut Vec<u8>) {
        self.narrow.clear();
        self.resampler.resample(frame, &mut self.narrow);
        packet.clear();
        packet.resize(self.narrow.len(), 0);
        self.law.compress(&self.narrow, packet);
    }
}

/// Late by 5 ms, the resampler's. Knows no concealment: that is of the mix (ITU-T G.711 appendix I has it aside of the
/// codec too).
pub(super) struct G711Decoder {
    law: Law,
    resampler: Resampler,
}

impl G711Decoder {
    pub(super) fn new(law: Law) -> G711Decoder {
        G711Decoder { law, resampler: Resampler::new(NARROW_HZ, RATE_HZ) }
    }
}

impl Decoder for G711Decoder {
    fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), DecodeError> {
        self.duration(payload).ok_or(DecodeError)?;
        let mut narrow = [0; PACKET_SAMPLES_MAX / RATIO];
        let narrow = &mut narrow[..payload.len()];
        self.law.expand(payload, narrow);
        self.resampler.resample(narrow, samples);
        Ok(())
    }

    fn duration(&self, payload: &[u8]) -> Option<usize> {
        samples_of_bytes(payload, RATIO)
    }

    fn conceal(&mut self, _next: Option<&[u8]>, _count: usize, _samples: &mut Vec<i16>) -> bool {
        false
    }
}
