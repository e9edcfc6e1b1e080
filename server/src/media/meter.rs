//! How loud audio is that comes without levels (RFC 6464): packets in, levels out, by decoding them.
//!
//! OBS and FFmpeg offer no level extension, and without a level nobody can be ranked
//! (`docs/adr/0028-levels-by-decoding.md`). What is decoded is measured and forgotten; what is forwarded is as it came.

use std::panic::{AssertUnwindSafe, catch_unwind};

use audio_mixer::{Codec, Decoder, level_dbov};
use selector::Level;
use tercet_core::{Encoding, IncomingRtp};
use tracing::warn;

/// Measures one track.
pub(super) struct Meter {
    decoder: Box<dyn Decoder>,
    samples: Vec<i16>,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter { decoder: Codec::Opus.decoder(), samples: Vec::new() }
    }
}

impl Meter {
    /// How loud a packet is; `None` for one that isn't Opus.
    pub(super) fn level(&mut self, rtp: &IncomingRtp) -> Option<Level> {
        let payload = match rtp.encoding {
            Encoding::Opus => &rtp.payload[..],
            Encoding::Red { primary_at, .. } => rtp.payload.get(primary_at..)?,
        };
        // libopus is C, and reads what strangers made: a fault that shows as a panic costs this packet.
        match catch_unwind(AssertUnwindSafe(|| self.measure(payload))) {
            Ok(level) => level,
            Err(_) => {
                warn!("decoding a packet panicked");
                *self = Meter::default();
                None
            }
        }
    }

    fn measure(&mut self, payload: &[u8]) -> Option<Level> {
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
        let (mut encoder, mut meter, mut payload) = (Codec::Opus.encoder(), Meter::default(), Vec::new());
        let mut last = None;
        for _ in 0..10 {
            let sample = |n: usize| (peak * (n as f32 / 16.0 * std::f32::consts::TAU).sin()) as i16;
            let frame: Frame = std::array::from_fn(sample);
            assert_eq!(frame.len(), FRAME_SAMPLES);
            encoder.encode(&frame, &mut payload);
            last = meter.level(&packet(encoding, &[before, &payload].concat()));
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
        let mut meter = Meter::default();
        for payload in [&[][..], &[0xFF; 3], &[0x03]] {
            assert_eq!(meter.level(&packet(Encoding::Opus, payload)), None);
        }
        let beyond = Encoding::Red { opus_pt: 111, primary_at: 9 };
        assert_eq!(meter.level(&packet(beyond, &[111])), None);
    }
}
