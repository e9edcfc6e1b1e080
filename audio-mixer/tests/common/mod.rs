//! Tones in, and what became of them out.

use std::f64::consts::TAU;

use audio_mixer::{Codec, FRAME_SAMPLES, Frame, RATE_HZ};

/// Of a level that is the root of the mean square.
pub(crate) fn sine(hz: f64, dbov: f64, frames: usize) -> Vec<Frame> {
    let peak = 32_768.0 * 2_f64.sqrt() * 10_f64.powf(dbov / 20.0);
    let sample = |n: usize| (peak * (hz * n as f64 / f64::from(RATE_HZ) * TAU).sin()).round() as i16;
    (0..frames).map(|frame| std::array::from_fn(|n| sample(frame * FRAME_SAMPLES + n))).collect()
}

/// The packets of frames.
pub(crate) fn encoded(codec: Codec, frames: &[Frame]) -> Vec<Vec<u8>> {
    let mut encoder = codec.encoder();
    let encode = |frame| {
        let mut packet = Vec::new();
        encoder.encode(frame, &mut packet);
        packet
    };
    frames.iter().map(encode).collect()
}

/// What a phone hears of packets.
pub(crate) fn heard(codec: Codec, packets: &[Vec<u8>]) -> Vec<i16> {
    let (mut decoder, mut samples) = (codec.decoder(), Vec::new());
    for packet in packets {
        decoder.decode(packet, &mut samples).expect("what was encoded can be decoded");
    }
    samples
}

/// Of the tone of this frequency, its peak. Exact for whole periods.
pub(crate) fn amplitude_at(samples: &[i16], hz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        let phase = hz * n as f64 / f64::from(RATE_HZ) * TAU;
        re += f64::from(sample) * phase.cos();
        im += f64::from(sample) * phase.sin();
    }
    2.0 * re.hypot(im) / samples.len() as f64
}

pub(crate) fn db(amplitude: f64) -> f64 {
    20.0 * amplitude.max(1e-9).log10()
}
