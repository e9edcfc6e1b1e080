//! A publisher's RTP in; packets that may be heard out, numbered without the sender's padding.
//!
//! The gate comes first: what is muted, or comes from somebody who may not speak, costs nothing more.

use std::sync::Arc;
use std::time::Instant;

use selector::{Level, SourceId};

use crate::numbering::{Numbering, RtpNumbers};
use crate::{Allowance, AudioPacket, Encoding};

/// A sender of 10 ms packets sends 100 a second; the allowance leaves room for a burst after a stall.
const RATE_PACKETS_PER_S: u32 = 200;
const BURST_PACKETS: u32 = 400;

const CLOCK_HZ: u32 = 48_000;

/// The largest payload that is forwarded: with 44 bytes of RTP header and SRTP tag and 48 of UDP and IPv6, it
/// fits the datagram of 1,280 bytes that every IPv6 path takes (RFC 8200, section 5).
const PAYLOAD_BYTES_MAX: usize = 1_180;

/// Whether a participant's audio may be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It competes for the slots.
    Open,
    /// The participant is muted.
    Muted,
    /// The participant's role is to listen.
    ListenOnly,
}

impl Gate {
    /// Whether a packet may pass.
    pub(crate) fn pass(self) -> Result<(), Dropped> {
        match self {
            Gate::Open => Ok(()),
            Gate::Muted => Err(Dropped::Muted),
            Gate::ListenOnly => Err(Dropped::ListenOnly),
        }
    }
}

/// Why a packet was not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dropped {
    /// The publisher is muted.
    Muted,
    /// The publisher's role is to listen.
    ListenOnly,
    /// Padding only: a bandwidth probe.
    Padding,
    /// No audio level (RFC 6464): it can't be ranked.
    NoLevel,
    /// Too late to be of use. What came twice was dropped before, by SRTP (RFC 3711, section 3.3.2).
    Late,
    /// More packets than any audio sender has reason for.
    Flood,
    /// Too large to be forwarded in one datagram.
    Oversized,
}

/// A publisher's packet as the transport decrypted it.
#[derive(Clone, Debug)]
pub struct IncomingRtp {
    /// The sender's synchronization source.
    pub ssrc: u32,
    /// Sequence number, extended beyond 16 bits.
    pub seq: u64,
    /// RTP timestamp, 48 kHz.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// How to read the payload.
    pub encoding: Encoding,
    /// RFC 6464, where the packet has it.
    pub level: Option<Level>,
    /// RFC 6464's V bit.
    pub voice: Option<bool>,
    /// Without header and padding.
    pub payload: Arc<[u8]>,
}

/// The receiving side of one published audio track.
pub struct Ingest {
    source: SourceId,
    gate: Gate,
    numbering: Numbering,
    allowance: Allowance,
}

impl Ingest {
    /// The receiving side of a track that nothing arrived on yet.
    pub fn new(source: SourceId, gate: Gate, now: Instant) -> Ingest {
        let allowance = Allowance::new(RATE_PACKETS_PER_S, BURST_PACKETS, now);
        Ingest { source, gate, numbering: Numbering::of_audio(CLOCK_HZ), allowance }
    }

    /// Opens or shuts the gate.
    pub fn set_gate(&mut self, gate: Gate) {
        if gate == Gate::Open && self.gate != Gate::Open {
            // Nothing was forwarded meanwhile: the numbering starts anew.
            self.restart();
        }
        self.gate = gate;
    }

    /// Whether the gate is open.
    pub fn gate(&self) -> Gate {
        self.gate
    }

    /// Starts a new numbering: the transport was replaced.
    pub fn restart(&mut self) {
        self.numbering.restart();
    }

    /// One packet from the transport.
    ///
    /// # Errors
    /// Why it goes no further.
    pub fn handle(&mut self, now: Instant, rtp: IncomingRtp) -> Result<AudioPacket, Dropped> {
        self.handle_measured(now, rtp, |_| None)
    }

    /// As [`Ingest::handle`]; a packet without level that passed everything before is measured.
    ///
    /// # Errors
    /// Why it goes no further.
    pub fn handle_measured(
        &mut self,
        now: Instant,
        rtp: IncomingRtp,
        measure: impl FnOnce(&IncomingRtp) -> Option<Level>,
    ) -> Result<AudioPacket, Dropped> {
        self.gate.pass()?;
        if !self.allowance.take(now) {
            return Err(Dropped::Flood);
        }
        if rtp.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Dropped::Oversized);
        }
        let IncomingRtp { ssrc, seq, timestamp, .. } = rtp;
        let numbers = RtpNumbers { ssrc, seq, timestamp, is_padding: rtp.payload.is_empty() };
        let seq = self.numbering.place(now, numbers)?;
        let level = rtp.level.or_else(|| measure(&rtp)).ok_or(Dropped::NoLevel)?;
        Ok(AudioPacket {
            source: self.source,
            epoch: self.numbering.epoch(),
            seq,
            timestamp: rtp.timestamp,
            marker: rtp.marker,
            encoding: rtp.encoding,
            level,
            voice: rtp.voice,
            payload: rtp.payload,
        })
    }
}

#[cfg(test)]
mod tests;
