//! A sender's sequence numbers and timestamps in; numbers without its padding out, and where they begin anew.

use std::time::{Duration, Instant};

use crate::left_out::LeftOut;
use crate::{Dropped, StreamEpoch};

/// How far the RTP clock may run from real time before it counts as a new numbering.
const CLOCK_JUMP_MAX: Duration = Duration::from_secs(2);

/// Frames of video come in the order in which they are decoded: one that is shown before the one that it follows is so much earlier at
/// most, in seconds.
const FRAME_EARLIER_MAX_S: i32 = 1;

/// How late a packet may be and still have its padding accounted for.
const PADDING_HISTORY_PACKETS: usize = 64;

/// Jitter buffers give up long before: a packet this far behind the newest is of no use to anybody,
/// and one this far ahead begins a new numbering. A listener's SRTP loses track of the roll-over
/// counter at a jump of 2^15 (RFC 3711, section 3.3.1), so jumps are never passed on.
const REORDER_PACKETS_MAX: u64 = 500;

/// A packet's numbers, as its sender gave them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RtpNumbers {
    pub(crate) ssrc: u32,
    /// Extended beyond 16 bits.
    pub(crate) seq: u64,
    pub(crate) timestamp: u32,
    /// It has no payload.
    pub(crate) is_padding: bool,
}

/// The numbering of one track.
pub(crate) struct Numbering {
    clock_hz: u32,
    /// By how many ticks of the clock a packet is later than the one before it, at least.
    ticks_min: i32,
    epoch: StreamEpoch,
    newest: Option<Newest>,
    padding: LeftOut,
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

impl Numbering {
    /// Of a track whose packets each have a time of their own.
    pub(crate) fn of_audio(clock_hz: u32) -> Numbering {
        Numbering::new(clock_hz, 1)
    }

    /// Of a track whose packets share the time of a frame; frames may come in another order than they are shown in.
    pub(crate) fn of_video(clock_hz: u32) -> Numbering {
        Numbering::new(clock_hz, -clock_hz.cast_signed() * FRAME_EARLIER_MAX_S)
    }

    fn new(clock_hz: u32, ticks_min: i32) -> Numbering {
        let (epoch, padding) = (StreamEpoch::default(), LeftOut::new(PADDING_HISTORY_PACKETS));
        Numbering { clock_hz, ticks_min, epoch, newest: None, padding }
    }

    /// To which numbering the packet belongs that was placed last.
    pub(crate) fn epoch(&self) -> StreamEpoch {
        self.epoch
    }

    /// Whether nothing newer was placed than the packet of this number.
    pub(crate) fn is_newest(&self, seq: u64) -> bool {
        self.newest.is_some_and(|newest| newest.seq == seq)
    }

    /// Starts a new numbering.
    pub(crate) fn restart(&mut self) {
        self.newest = None;
        self.padding.clear();
        self.epoch.0 = self.epoch.0.wrapping_add(1);
    }

    /// The number that a packet has when padding doesn't count.
    pub(crate) fn place(&mut self, now: Instant, packet: RtpNumbers) -> Result<u64, Dropped> {
        if self.newest.is_some_and(|newest| self.is_broken_by(newest, now, packet)) {
            self.restart();
        }
        let ahead_ticks = self.newest.map_or(0, |newest| self.ahead_ticks_at(newest, now, packet));
        let behind = self.newest.map_or(0, |newest| newest.seq.saturating_sub(packet.seq));
        if behind > REORDER_PACKETS_MAX {
            return Err(Dropped::Late);
        }
        let RtpNumbers { ssrc, seq, timestamp, is_padding } = packet;
        let is_newest = self.newest.is_none_or(|newest| seq > newest.seq);
        if is_newest {
            self.newest = Some(Newest { ssrc, seq, timestamp, at: now, ahead_ticks });
        }
        if is_padding {
            // A late probe leaves its hole: its successors are already on their way.
            if is_newest {
                self.padding.leave_out(seq);
            }
            return Err(Dropped::Padding);
        }
        self.padding.place(seq).ok_or(Dropped::Late)
    }

    /// How many probes are remembered one by one.
    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        self.padding.remembered()
    }

    /// Whether the packet belongs to another numbering: another SSRC, or numbers that jumped.
    fn is_broken_by(&self, newest: Newest, now: Instant, packet: RtpNumbers) -> bool {
        if packet.ssrc != newest.ssrc {
            return true;
        }
        if packet.seq <= newest.seq {
            return false;
        }
        if packet.seq - newest.seq > REORDER_PACKETS_MAX {
            return true;
        }
        // A probe has the time of the packet before it.
        let ticks_min = if packet.is_padding { self.ticks_min.min(0) } else { self.ticks_min };
        let jump_max = self.ticks_in(CLOCK_JUMP_MAX);
        ticks_to(newest, packet) < ticks_min || self.ahead_ticks_at(newest, now, packet).abs() > jump_max
    }

    fn ahead_ticks_at(&self, newest: Newest, now: Instant, packet: RtpNumbers) -> i64 {
        let elapsed = self.ticks_in(now.saturating_duration_since(newest.at));
        newest.ahead_ticks.saturating_add(i64::from(ticks_to(newest, packet))).saturating_sub(elapsed)
    }

    fn ticks_in(&self, time: Duration) -> i64 {
        i64::try_from(time.as_micros() * u128::from(self.clock_hz) / 1_000_000).unwrap_or(i64::MAX)
    }
}

fn ticks_to(newest: Newest, packet: RtpNumbers) -> i32 {
    packet.timestamp.wrapping_sub(newest.timestamp).cast_signed()
}
