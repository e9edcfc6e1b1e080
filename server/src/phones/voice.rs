//! A phone's voice on its way to everybody: frames of its sound in, packets with their level out.

use std::sync::Arc;

use audio_mixer::{Codec, Encoder, Frame, GainControl, SILENCE, level_dbov};
use selector::{Level, SourceId};
use tercet_core::{AudioPacket, Encoding, StreamEpoch};

/// Opus counts at 48 kHz (RFC 7587, section 4.1).
const TICKS_A_FRAME: u32 = 960;

/// What is this much above the noise of the line may be speech, and is encoded. The selector decides what it is; this only
/// saves the work where there is nothing to decide.
const ABOVE_NOISE_DB: f32 = 6.0;

/// Nothing below is heard.
const AUDIBLE_DBOV: i8 = -65;

/// After speech it goes on being encoded: half a second, as long as a pause in a sentence.
const HANGOVER_FRAMES: u32 = 25;

/// The noise follows what is softer at once, and what is louder by 3 dB a second.
const NOISE_RISE_DB: f32 = 0.06;

/// Of a phone that has been inaudible for a second, so many times fewer packets are made: nothing is decided by them, and silence
/// says how little it needs (as of DTX, RFC 6716, section 2.1.9). They come often enough that it counts as sending.
const REST_AFTER_FRAMES: u32 = 50;
const REST_FRAMES: u32 = 5;

/// A packet of Opus that has no sound: a table-of-contents byte (RFC 6716, section 3.1; SILK, wideband, 20 ms, mono) and no
/// frame, which decoders take for a pause (RFC 6716, section 3.2.1).
const PAUSE: [u8; 1] = [0x48];

/// The voice of one phone.
pub(super) struct Voice {
    source: SourceId,
    gain: GainControl,
    encoder: Option<Box<dyn Encoder>>,
    payload: Vec<u8>,
    pause: Arc<[u8]>,
    noise_db: f32,
    hangover: u32,
    /// Frames since it was audible, or heard.
    inaudible: u32,
    seq: u64,
    timestamp: u32,
}

impl Voice {
    pub(super) fn new(source: SourceId) -> Voice {
        Voice {
            source,
            gain: GainControl::default(),
            encoder: None,
            payload: Vec::new(),
            pause: PAUSE.into(),
            noise_db: 0.0,
            hangover: 0,
            inaudible: 0,
            seq: 0,
            timestamp: 0,
        }
    }

    pub(super) fn source(&self) -> SourceId {
        self.source
    }

    /// Brings the frame to the loudness of others, and makes a packet of it; of one that has been silent for long, not of each.
    /// `None` for silence. Whether it `is_heard` now: then it is encoded in any case.
    pub(super) fn packet(&mut self, frame: Option<&mut Frame>, is_heard: bool) -> Option<AudioPacket> {
        self.timestamp = self.timestamp.wrapping_add(TICKS_A_FRAME);
        let is_inaudible = !is_heard && frame.is_none();
        self.inaudible = if is_inaudible { self.inaudible.wrapping_add(1) } else { 0 };
        if self.rests() && !self.inaudible.is_multiple_of(REST_FRAMES) {
            return None;
        }
        let mut silence = SILENCE;
        let frame = frame.unwrap_or(&mut silence);
        self.gain.apply(frame);
        let dbov = level_dbov(frame);
        let is_active = self.is_active(dbov);
        self.seq += 1;
        let payload = if is_active || is_heard {
            let encoder = self.encoder.get_or_insert_with(|| Codec::Opus.encoder());
            encoder.encode(frame, &mut self.payload);
            Arc::from(&self.payload[..])
        } else {
            self.encoder = None;
            self.pause.clone()
        };
        Some(AudioPacket {
            source: self.source,
            epoch: StreamEpoch(0),
            seq: self.seq,
            timestamp: self.timestamp,
            marker: false,
            encoding: Encoding::Opus,
            level: Level::from_dbov(dbov),
            voice: None,
            payload,
        })
    }

    /// 20 ms pass in which nothing comes of it, or nothing that may be heard.
    pub(super) fn pause(&mut self) {
        self.timestamp = self.timestamp.wrapping_add(TICKS_A_FRAME);
        self.inaudible = self.inaudible.wrapping_add(1);
    }

    /// It has been inaudible for long.
    pub(super) fn rests(&self) -> bool {
        self.inaudible > REST_AFTER_FRAMES
    }

    fn is_active(&mut self, dbov: i8) -> bool {
        // Softer noise than that is none: what comes and goes at that level is no speech either.
        let db = f32::from(dbov.max(AUDIBLE_DBOV));
        self.noise_db = db.min(self.noise_db + NOISE_RISE_DB);
        if dbov >= AUDIBLE_DBOV && db >= self.noise_db + ABOVE_NOISE_DB {
            self.hangover = HANGOVER_FRAMES;
        } else {
            self.hangover = self.hangover.saturating_sub(1);
        }
        self.hangover > 0
    }
}

#[cfg(test)]
mod tests {
    use audio_mixer::FRAME_SAMPLES;

    use super::*;

    #[test]
    fn long_silence_is_few_packets_and_its_end_is_one_at_once() {
        let mut voice = Voice::new(SourceId(1));
        let mut packets = |frame: Frame, is_heard, count: usize| {
            let frame = (frame != SILENCE).then_some(frame);
            (0..count).filter_map(|_| voice.packet({ frame }.as_mut(), is_heard)).collect::<Vec<_>>()
        };
        let loud: Frame = std::array::from_fn(|n| if n % 40 < 20 { 8_000 } else { -8_000 });
        assert_eq!(packets(SILENCE, false, 50).len(), 50, "for a second");
        assert_eq!(packets(SILENCE, false, 50).len(), 10);
        assert_eq!(packets(SILENCE, true, 10).len(), 10, "whoever is heard is heard to be silent");
        let silent = packets(SILENCE, false, 54);
        assert_eq!(silent.len(), 50);
        let spoken = packets(loud, false, 1);
        let (last, first) = (&silent[49], &spoken[0]);
        assert_eq!(first.seq, last.seq + 1, "none was lost");
        assert_eq!(first.timestamp - last.timestamp, 5 * TICKS_A_FRAME, "and time has passed");
        assert_eq!(FRAME_SAMPLES * 3, TICKS_A_FRAME as usize);
    }

    #[test]
    fn time_passes_while_nothing_comes() {
        let mut voice = Voice::new(SourceId(1));
        let before = voice.packet(None, true).expect("it is heard").timestamp;
        (0..7).for_each(|_| voice.pause());
        let after = voice.packet(None, true).expect("it is heard").timestamp;
        assert_eq!(after - before, 8 * TICKS_A_FRAME);
    }
}
