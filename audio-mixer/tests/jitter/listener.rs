//! A jitter buffer that is given what arrives, and pulled each 20 ms.

use std::time::{Duration, Instant};

use audio_mixer::{DecodeError, Decoder, FrameKind, JitterBuffer, JitterStats, Packet, SILENCE};

use crate::network::Arriving;

/// Linear 16-bit PCM at the rate of the mix; it conceals nothing.
pub(crate) struct Linear;

impl Decoder for Linear {
    fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), DecodeError> {
        self.duration(payload).ok_or(DecodeError)?;
        samples.extend(payload.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
        Ok(())
    }

    fn duration(&self, payload: &[u8]) -> Option<usize> {
        payload.len().is_multiple_of(2).then_some(payload.len() / 2)
    }

    fn conceal(&mut self, _: Option<&[u8]>, _: usize, _: &mut Vec<i16>) -> bool {
        false
    }
}

pub(crate) fn linear(sound: &[i16]) -> Vec<u8> {
    sound.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

/// What is heard, and what was seen of it.
pub(crate) struct Listener {
    pub(crate) buffer: JitterBuffer,
    start: Instant,
    /// The time of the next pull.
    pub(crate) at_us: u64,
    pub(crate) heard: Vec<i16>,
    pub(crate) kinds: Vec<FrameKind>,
    pub(crate) stats: Vec<JitterStats>,
}

impl Listener {
    /// Pulls at `phase_us`, and each 20 ms after.
    pub(crate) fn new(phase_us: u64) -> Listener {
        Listener::of(Box::new(Linear), phase_us)
    }

    pub(crate) fn of(decoder: Box<dyn Decoder>, phase_us: u64) -> Listener {
        Listener {
            buffer: JitterBuffer::new(decoder, 16_000),
            start: Instant::now(),
            at_us: phase_us,
            heard: Vec::new(),
            kinds: Vec::new(),
            stats: Vec::new(),
        }
    }

    pub(crate) fn instant(&self, at_us: u64) -> Instant {
        self.start + Duration::from_micros(at_us)
    }

    /// Packets of `said` (over and over) arrive, until `end_ms`.
    pub(crate) fn listen(&mut self, said: &[i16], arrivals: &[Arriving], end_ms: u64) {
        let mut payload = Vec::new();
        let mut arrivals = arrivals.iter().peekable();
        while self.at_us < end_ms * 1000 {
            while let Some(arriving) = arrivals.next_if(|arriving| arriving.at_us <= self.at_us) {
                let sound = (arriving.start..arriving.start + arriving.count).map(|n| said[n % said.len()]);
                payload.clear();
                payload.extend(sound.flat_map(i16::to_le_bytes));
                let (sequence, timestamp) = (arriving.sequence, arriving.timestamp);
                let packet = Packet { sequence, timestamp, payload: &payload };
                self.buffer.push(self.instant(arriving.at_us), &packet);
            }
            self.pull();
        }
    }

    pub(crate) fn pull(&mut self) {
        let mut frame = SILENCE;
        self.kinds.push(self.buffer.pull(self.instant(self.at_us), &mut frame));
        self.heard.extend_from_slice(&frame);
        self.stats.push(self.buffer.stats());
        self.at_us += 20_000;
    }

    /// Pulls of a kind, from one time to another in ms.
    pub(crate) fn count(&self, kind: FrameKind, from_ms: usize, to_ms: usize) -> usize {
        self.kinds[from_ms / 20..to_ms / 20].iter().filter(|&&other| other == kind).count()
    }

    /// Statistics after the last pull.
    pub(crate) fn last(&self) -> &JitterStats {
        self.stats.last().expect("something was pulled")
    }

    /// Statistics at a time in ms.
    pub(crate) fn stats_at(&self, at_ms: usize) -> &JitterStats {
        &self.stats[at_ms / 20 - 1]
    }
}
