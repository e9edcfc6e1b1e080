//! Opus, straight from and to the rate of the mix: libopus resamples within.

use ::opus::{Application, Bitrate, Channels};

use super::{DecodeError, Decoder, Encoder, PACKET_SAMPLES_MAX};
use crate::{Frame, RATE_HZ};

const BITS_PER_SECOND: i32 = 24_000;

/// Half of libopus's best: what is above costs more than it is heard to give at this rate.
const COMPLEXITY: i32 = 5;

/// The loss that packets are made for: without any, none would repeat what was before it.
const EXPECTED_LOSS_PERCENT: i32 = 10;

/// The largest packet of 20 ms (RFC 6716, section 3.2.1).
const PACKET_BYTES_MAX: usize = 1275;

/// libopus conceals in multiples of 2.5 ms.
const GRAIN_SAMPLES: usize = RATE_HZ as usize / 400;

/// 16 kHz, one channel, about 24 kbit/s, with what is important of the packet before it (in-band FEC, RFC 6716,
/// section 2.1.7). Late by 6.5 ms.
pub(super) struct OpusEncoder(::opus::Encoder);

impl OpusEncoder {
    pub(super) fn new() -> OpusEncoder {
        OpusEncoder(configured().expect("libopus takes these settings, and has memory for them"))
    }
}

fn configured() -> ::opus::Result<::opus::Encoder> {
    let mut encoder = ::opus::Encoder::new(RATE_HZ, Channels::Mono, Application::Voip)?;
    encoder.set_bitrate(Bitrate::Bits(BITS_PER_SECOND))?;
    encoder.set_complexity(COMPLEXITY)?;
    encoder.set_inband_fec(true)?;
    encoder.set_packet_loss_perc(EXPECTED_LOSS_PERCENT)?;
    Ok(encoder)
}

impl Encoder for OpusEncoder {
    fn encode(&mut self, frame: &Frame, packet: &mut Vec<u8>) {
        packet.clear();
        packet.resize(PACKET_BYTES_MAX, 0);
        let length = self.0.encode(frame, packet).expect("a frame is 20 ms, and fits the largest packet");
        packet.truncate(length);
    }
}

/// One channel, whatever the packet has.
pub(super) struct OpusDecoder(::opus::Decoder);

impl OpusDecoder {
    pub(super) fn new() -> OpusDecoder {
        let decoder = ::opus::Decoder::new(RATE_HZ, Channels::Mono);
        OpusDecoder(decoder.expect("libopus takes this rate, and has memory for it"))
    }

    /// Appends at most what is in `count`, a multiple of the grain, and at most 120 ms.
    fn append(&mut self, packet: &[u8], count: usize, is_fec: bool, samples: &mut Vec<i16>) -> bool {
        let before = samples.len();
        samples.resize(before + count, 0);
        let done = self.0.decode(packet, &mut samples[before..], is_fec);
        samples.truncate(before + done.as_ref().copied().unwrap_or(0));
        done.is_ok()
    }
}

impl Decoder for OpusDecoder {
    fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), DecodeError> {
        // An empty payload means a loss to libopus, which it would fill.
        let count = self.duration(payload).ok_or(DecodeError)?;
        if self.append(payload, count, false, samples) { Ok(()) } else { Err(DecodeError) }
    }

    fn duration(&self, payload: &[u8]) -> Option<usize> {
        if payload.is_empty() {
            return None;
        }
        // More than 120 ms is an error to libopus.
        self.0.get_nb_samples(payload).ok()
    }

    fn conceal(&mut self, next: Option<&[u8]>, count: usize, samples: &mut Vec<i16>) -> bool {
        let before = samples.len();
        let mut left = count.next_multiple_of(GRAIN_SAMPLES);
        while left > PACKET_SAMPLES_MAX {
            self.append(&[], PACKET_SAMPLES_MAX, false, samples);
            left -= PACKET_SAMPLES_MAX;
        }
        // Where the packet repeats less than was lost, libopus continues up to there; where it repeats nothing, to its
        // end.
        let is_repeated = next
            .filter(|next| self.duration(next).is_some())
            .is_some_and(|next| self.append(next, left, true, samples));
        if !is_repeated {
            self.append(&[], left, false, samples);
        }
        samples.resize(before + count, 0);
        true
    }
}
