//! A speaker who is not on one of these phones: packets as the room forwards them in, frames of the mix out.
//!
//! It is decoded once, however many phones hear it.

use std::time::Instant;

use audio_mixer::{Codec, Frame, JitterBuffer, Packet, SILENCE};
use tercet_core::{AudioPacket, Encoding, StreamEpoch};

/// Nobody of whom nothing came for so many ticks is decoded: what there was has been played.
const IDLE_TICKS: u32 = 50;

/// A speaker of another worker.
pub(super) struct Stream {
    jitter: JitterBuffer,
    epoch: StreamEpoch,
    idle_ticks: u32,
    frame: Frame,
}

impl Stream {
    pub(super) fn new(epoch: StreamEpoch) -> Stream {
        let jitter = JitterBuffer::new(Codec::Opus.decoder(), Codec::Opus.clock_rate_hz());
        Stream { jitter, epoch, idle_ticks: 0, frame: SILENCE }
    }

    pub(super) fn packet(&mut self, now: Instant, packet: &AudioPacket) {
        if packet.epoch != self.epoch {
            self.epoch = packet.epoch;
            self.jitter.reset();
        }
        self.idle_ticks = 0;
        let primary_at = match packet.encoding {
            Encoding::Opus => 0,
            Encoding::Red { primary_at, .. } => primary_at,
        };
        let payload = packet.payload.get(primary_at..).unwrap_or_default();
        self.jitter.push(now, &Packet { sequence: packet.seq as u16, timestamp: packet.timestamp, payload });
    }

    /// 20 ms pass.
    pub(super) fn tick(&mut self, now: Instant) {
        self.idle_ticks += 1;
        self.jitter.pull(now, &mut self.frame);
    }

    /// What is heard of it in this tick.
    pub(super) fn frame(&self) -> &Frame {
        &self.frame
    }

    pub(super) fn is_over(&self) -> bool {
        self.idle_ticks > IDLE_TICKS
    }
}
