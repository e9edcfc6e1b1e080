//! G.711: a byte a sample at 8 kHz, by either law of companding.

use std::sync::LazyLock;

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

    /// The squares of the samples that bytes stand for.
    fn squares(self) -> &'static [u32; 256] {
        static SQUARES: LazyLock<[[u32; 256]; 2]> = LazyLock::new(|| {
            [Law::Mu, Law::A].map(|law| {
                let (bytes, mut samples): ([u8; 256], _) = (std::array::from_fn(|n| n as u8), [0; 256]);
                law.expand(&bytes, &mut samples);
                samples.map(|sample: i16| u32::from(sample.unsigned_abs()).pow(2))
            })
        });
        &SQUARES[self as usize]
    }

    /// Whether what bytes stand for is softer than [`QUIET_POWER`]. They are looked up: to expand them costs four times as much, and most
    /// of what phones send is this.
    fn is_quiet(self, bytes: &[u8]) -> bool {
        let squares = self.squares();
        let sum: u64 = bytes.iter().map(|&byte| u64::from(squares[usize::from(byte)])).sum();
        sum < QUIET_POWER * bytes.len() as u64
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

/// The mean square of what a line that nobody speaks on has of noise, at most: -65 dBov, which nobody hears beside a voice.
const QUIET_POWER: u64 = 340;

/// Late by 5 ms, the resampler's. Knows no concealment: that is of the mix (ITU-T G.711 appendix I has it aside of the
/// codec too).
///
/// Of many phones most are silent most of the time. What is quiet for longer than a packet comes out as silence, for the
/// resampler is most of what decoding costs.
pub(super) struct G711Decoder {
    law: Law,
    resampler: Resampler,
    /// The last packet was quiet: there is nothing of it left in the resampler that could be heard.
    is_quiet: bool,
    /// There is nothing left in it at all.
    is_passed: bool,
}

impl G711Decoder {
    pub(super) fn new(law: Law) -> G711Decoder {
        G711Decoder { law, resampler: Resampler::new(NARROW_HZ, RATE_HZ), is_quiet: false, is_passed: false }
    }
}

impl Decoder for G711Decoder {
    fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), DecodeError> {
        self.duration(payload).ok_or(DecodeError)?;
        if let Some(count) = self.pass(payload) {
            samples.resize(samples.len() + count, 0);
            return Ok(());
        }
        let mut narrow = [0; PACKET_SAMPLES_MAX / RATIO];
        let narrow = &mut narrow[..payload.len()];
        self.law.expand(payload, narrow);
        self.resampler.resample(narrow, samples);
        (self.is_quiet, self.is_passed) = (self.law.is_quiet(payload), false);
        Ok(())
    }

    /// Quiet after quiet.
    fn pass(&mut self, payload: &[u8]) -> Option<usize> {
        let count = self.duration(payload)?;
        if !self.is_quiet || !self.law.is_quiet(payload) {
            return None;
        }
        if !std::mem::replace(&mut self.is_passed, true) {
            self.resampler.begin_anew();
        }
        Some(count)
    }

    fn duration(&self, payload: &[u8]) -> Option<usize> {
        samples_of_bytes(payload, RATIO)
    }

    fn conceal(&mut self, _next: Option<&[u8]>, _count: usize, _samples: &mut Vec<i16>) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::{dbov, mean_square};

    fn packet(sample: impl Fn(usize) -> f32) -> Vec<u8> {
        let samples: Vec<i16> = (0..160).map(|n| sample(n) as i16).collect();
        let mut packet = vec![0; samples.len()];
        Law::Mu.compress(&samples, &mut packet);
        packet
    }

    #[test]
    fn what_is_quiet_by_its_bytes_is_so_by_its_samples() {
        for law in [Law::Mu, Law::A] {
            for byte in 0..=u8::MAX {
                let (bytes, mut samples) = ([byte; 160], [0; 160]);
                law.expand(&bytes, &mut samples);
                let is_quiet = dbov(mean_square(&samples)) < -65.0;
                assert_eq!(law.is_quiet(&bytes), is_quiet, "{byte:#x}: {}", samples[0]);
            }
            let mut silence = [0; 160];
            law.compress(&[0; 160], &mut silence);
            assert!(law.is_quiet(&silence));
        }
    }

    #[test]
    fn the_noise_of_a_silent_line_is_silence_and_what_follows_it_is_whole() {
        let noise = packet(|n| if n % 3 == 0 { 9.0 } else { -9.0 });
        let tone = packet(|n| 8_000.0 * (n as f32 * 0.4).sin());
        let mut decoder = G711Decoder::new(Law::Mu);
        let mut decode = |payload: &[u8]| {
            let mut samples = Vec::new();
            decoder.decode(payload, &mut samples).expect("a packet");
            samples
        };
        assert!(decode(&noise).iter().any(|sample| *sample != 0), "until it lasts");
        for _ in 0..5 {
            assert_eq!(decode(&noise), [0; FRAME_SAMPLES]);
        }
        let (heard, noise_after, silence) = (decode(&tone), decode(&noise), decode(&noise));
        let mut fresh = G711Decoder::new(Law::Mu);
        let mut expected = Vec::new();
        for payload in [&tone, &noise] {
            fresh.decode(payload, &mut expected).expect("a packet");
        }
        assert_eq!([heard, noise_after].concat(), expected, "its end comes out of the resampler");
        assert_eq!(silence, [0; FRAME_SAMPLES]);
    }
}
