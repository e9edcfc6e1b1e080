//! How loud audio is that comes without levels (RFC 6464): packets in, levels out, by decoding them.
//!
//! OBS and FFmpeg offer no level extension, and without a level nobody can be ranked
//! (`docs/adr/0028-levels-by-decoding.md`). What is decoded is measured and forgotten; what is forwarded is as it came.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use audio_mixer::{Codec, Decoder, RATE_HZ, level_dbov};
use selector::Level;
use tercet_core::{Allowance, Encoding, IncomingRtp};
use tracing::warn;

/// Sound is as long as the time that passes. What a client sends beyond that isn't decoded: what came late all at once, and half
/// as much again.
const SAMPLES_PER_S: u32 = RATE_HZ + RATE_HZ / 2;
const SAMPLES_BURST: u32 = 2 * RATE_HZ;

/// The shortest frame of Opus (RFC 6716, section 2): what sound is counted by.
const SAMPLES_MIN: usize = RATE_HZ as usize / 400;

/// Measures one track.
pub(super) struct Meter {
    decoder: Box<dyn Decoder>,
    samples: Vec<i16>,
    /// In the shortest frames.
    allowance: Allowance,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Meter {
        let frames = |samples: u32| samples / SAMPLES_MIN as u32;
        let allowance = Allowance::new(frames(SAMPLES_PER_S), frames(SAMPLES_BURST), now);
        Meter { decoder: Codec::Opus.decoder(), samples: Vec::new(), allowance }
    }

    /// How loud a packet is; `None` for one that isn't Opus, or more sound than there is time.
    pub(super) fn level(&mut self, now: Instant, rtp: &IncomingRtp) -> Option<Level> {
        let payload = match rtp.encoding {
            Encoding::Opus => &rtp.payload[..],
            Encoding::Red { primary_at, .. } => rtp.payload.get(primary_at..)?,
        };
        // libopus is C, and reads what strangers made: a fault that shows as a panic costs this packet.
        match catch_unwind(AssertUnwindSafe(|| self.measure(now, payload))) {
            Ok(level) => level,
            Err(_) => {
                warn!("decoding a packet panicked");
                *self = Meter::new(now);
                None
            }
        }
    }

    fn measure(&mut self, now: Instant, payload: &[u8]) -> Option<Level> {
        let frames = self.decoder.duration(payload)?.div_ceil(SAMPLES_MIN);
        if !self.allowance.take_many(now, frames as u32) {
            return None;
        }
        self.samples.clear();
        self.decoder.decode(payload, &mut self.samples).ok()?;
        Some(Level::from_dbov(level_dbov(&self.samples)))
    }
}

#[cfg(test)]
mod tests {
    use audio_mixer::{FRAME_SAMPLES, Frame};

    use super::*;

    fn packet(encoding: Encoding, payload: &[u8]) -> IncomingRtp {
        IncomingRtp {
            ssrc: 1,
            seq: 1,
            timestamp: 960,
            marker: false,
            encoding,
            level: None,
            voice: None,
            payload: payload.into(),
        }
    }

    /// The level of the last of ten packets of a sine of that peak.
    fn measured(peak: f32, encoding: Encoding, before: &[u8]) -> Option<Level> {
        let (mut encoder, mut meter, mut payload) =
            (Codec::Opus.encoder(), Meter::new(Instant::now()), Vec::new());
        let mut last = None;
        for _ in 0..10 {
            let sample = |n: usize| (peak * (n as f32 / 16.0 * std::f32::consts::TAU).sin()) as i16;
            let frame: Frame = std::array::from_fn(sample);
            assert_eq!(frame.len(), FRAME_SAMPLES);
            encoder.encode(&frame, &mut payload);
            last = meter.level(Instant::now(), &packet(encoding, &[before, &payload].concat()));
        }
        last
    }

    #[test]
    fn a_sine_has_the_level_that_rfc_6464_gives_it() {
        let around = |level: Option<Level>, dbov: i8| {
            let level = level.expect("it is Opus");
            assert!((dbov - 2..=dbov + 2).map(Level::from_dbov).any(|near| near == level), "{level:?}");
        };
        around(measured(3_276.7, Encoding::Opus, &[]), -23);
        around(measured(327.67, Encoding::Opus, &[]), -43);
        around(measured(3_276.7, Encoding::Red { opus_pt: 111, primary_at: 1 }, &[111]), -23);
    }

    #[test]
    fn what_is_not_opus_has_no_level() {
        let now = Instant::now();
        let mut meter = Meter::new(now);
        for payload in [&[][..], &[0xFF; 3], &[0x03]] {
            assert_eq!(meter.level(now, &packet(Encoding::Opus, payload)), None);
        }
        let beyond = Encoding::Red { opus_pt: 111, primary_at: 9 };
        assert_eq!(meter.level(now, &packet(beyond, &[111])), None);
    }

    #[test]
    fn no_more_sound_is_decoded_than_there_is_time() {
        let (mut encoder, mut payload, start) = (Codec::Opus.encoder(), Vec::new(), Instant::now());
        encoder.encode(&[0; FRAME_SAMPLES], &mut payload);
        let mut meter = Meter::new(start);
        let packet = packet(Encoding::Opus, &payload);
        // Ten seconds of it in one: two at once, and a second and a half for each that passes.
        let measured = (0..5_000u64).filter(|n| {
            let now = start + std::time::Duration::from_millis(n / 5);
            meter.level(now, &packet).is_some()
        });
        let seconds = measured.count() as f64 / 50.0;
        assert!((3.3..3.6).contains(&seconds), "{seconds} s");
    }
}
