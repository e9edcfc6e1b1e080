//! A publisher's RTP in; packets that may be heard out, numbered without the sender's padding.
//!
//! The gate comes first: what is muted, or comes from somebody who may not speak, costs nothing more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use selector::{Level, SourceId};

use crate::{Allowance, AudioPacket, Encoding, StreamEpoch};

/// A sender of 10 ms packets sends 100 a second; the allowance leaves room for a burst after a stall.
const RATE_PACKETS_PER_S: u32 = 200;
const BURST_PACKETS: u32 = 400;

/// How far the RTP clock may run from real time before it counts as a new numbering.
const CLOCK_JUMP_MAX: Duration = Duration::from_secs(2);

/// How late a packet may be and still have its padding accounted for.
const PADDING_HISTORY_PACKETS: usize = 64;

/// Jitter buffers give up long before: a packet this far behind the newest is of no use to anybody,
/// and one this far ahead begins a new numbering. A listener's SRTP loses track of the roll-over
/// counter at a jump of 2^15 (RFC 3711, section 3.3.1), so jumps are never passed on.
const REORDER_PACKETS_MAX: u64 = 500;

const CLOCK_HZ: u128 = 48_000;

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
    epoch: StreamEpoch,
    newest: Option<Newest>,
    /// Sequence numbers that were padding, newest last; the ones before are in `padding_before`.
    padding: VecDeque<u64>,
    padding_before: u64,
    allowance: Allowance,
}

/// The newest packet, by sequence number.
#[derive(Clone, Copy)]
struct Newest {
    ssrc: u32,
    seq: u64,
    timestamp: u32,
    at: Instant,
    /// By how many ticks the stream's clock has gone further than ours since its numbering began.
    ahead_ticks: i64,
}

impl Ingest {
    /// The receiving side of a track that nothing arrived on yet.
    pub fn new(source: SourceId, gate: Gate, now: Instant) -> Ingest {
        Ingest {
            source,
            gate,
            epoch: StreamEpoch::default(),
            newest: None,
            padding: VecDeque::new(),
            padding_before: 0,
            allowance: Allowance::new(RATE_PACKETS_PER_S, BURST_PACKETS, now),
        }
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
        self.newest = None;
        self.padding.clear();
        self.padding_before = 0;
        self.epoch.0 = self.epoch.0.wrapping_add(1);
    }

    /// One packet from the transport.
    ///
    /// # Errors
    /// Why it goes no further.
    pub fn handle(&mut self, now: Instant, rtp: IncomingRtp) -> Result<AudioPacket, Dropped> {
        match self.gate {
            Gate::Open => {}
            Gate::Muted => return Err(Dropped::Muted),
            Gate::ListenOnly => return Err(Dropped::ListenOnly),
        }
        if !self.allowance.take(now) {
            return Err(Dropped::Flood);
        }
        if rtp.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(Dropped::Oversized);
        }
        if self.newest.is_some_and(|newest| newest.is_broken_by(now, &rtp)) {
            self.restart();
        }
        let ahead_ticks = self.newest.map_or(0, |newest| newest.ahead_ticks_at(now, &rtp));
        let behind = self.newest.map_or(0, |newest| newest.seq.saturating_sub(rtp.seq));
        if behind > REORDER_PACKETS_MAX {
            return Err(Dropped::Late);
        }
        let is_newest = self.newest.is_none_or(|newest| rtp.seq > newest.seq);
        if is_newest {
            let (ssrc, seq, timestamp) = (rtp.ssrc, rtp.seq, rtp.timestamp);
            self.newest = Some(Newest { ssrc, seq, timestamp, at: now, ahead_ticks });
        }
        if rtp.payload.is_empty() {
            // A late probe leaves its hole: its successors are already on their way.
            if is_newest {
                self.note_padding(rtp.seq);
            }
            return Err(Dropped::Padding);
        }
        let level = rtp.level.ok_or(Dropped::NoLevel)?;
        let seq = self.without_padding(rtp.seq).ok_or(Dropped::Late)?;
        Ok(AudioPacket {
            source: self.source,
            epoch: self.epoch,
            seq,
            timestamp: rtp.timestamp,
            marker: rtp.marker,
            encoding: rtp.encoding,
            level,
            voice: rtp.voice,
            payload: rtp.payload,
        })
    }

    fn note_padding(&mut self, seq: u64) {
        if self.padding.len() == PADDING_HISTORY_PACKETS {
            self.padding.pop_front();
            self.padding_before += 1;
        }
        self.padding.push_back(seq);
    }

    /// The number that the packet has when padding doesn't count, or `None` if it is older than the
    /// padding that we remember.
    fn without_padding(&self, seq: u64) -> Option<u64> {
        if self.padding_before > 0 && self.padding.front().is_some_and(|&oldest| seq < oldest) {
            return None;
        }
        let passed = self.padding.iter().filter(|&&padding| padding < seq).count() as u64;
        seq.checked_sub(self.padding_before + passed)
    }
}

impl Newest {
    /// Whether the packet belongs to another numbering: another SSRC, or numbers that jumped.
    fn is_broken_by(&self, now: Instant, rtp: &IncomingRtp) -> bool {
        if rtp.ssrc != self.ssrc {
            return true;
        }
        if rtp.seq <= self.seq {
            return false;
        }
        if rtp.seq - self.seq > REORDER_PACKETS_MAX {
            return true;
        }
        // A probe has the time of the packet before it.
        let ticks_min = if rtp.payload.is_empty() { 0 } else { 1 };
        self.ticks_to(rtp) < ticks_min || self.ahead_ticks_at(now, rtp).abs() > ticks_in(CLOCK_JUMP_MAX)
    }

    fn ahead_ticks_at(&self, now: Instant, rtp: &IncomingRtp) -> i64 {
        let elapsed = now.saturating_duration_since(self.at);
        self.ahead_ticks.saturating_add(i64::from(self.ticks_to(rtp))).saturating_sub(ticks_in(elapsed))
    }

    fn ticks_to(&self, rtp: &IncomingRtp) -> i32 {
        rtp.timestamp.wrapping_sub(self.timestamp) as i32
    }
}

fn ticks_in(time: Duration) -> i64 {
    i64::try_from(time.as_micros() * CLOCK_HZ / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
