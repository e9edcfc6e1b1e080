//! One speaker's packets after another's in; one continuous stream out.

use std::time::{Duration, Instant};

use selector::SourceId;

use crate::continuity::Continuity;
use crate::{AudioPacket, StreamEpoch};

const CLOCK_HZ: u128 = 48_000;
/// 20 ms at 48 kHz: what a receiver takes for the distance of two packets when it knows no better.
const FRAME_TICKS: u32 = 960;

/// A larger gap is passed on as time only: it is a pause in which the listener could not be reached, or a
/// publisher who jumps. A listener that loses 2^15 numbers loses its SRTP roll-over counter with them
/// (RFC 3711, section 3.3.1).
const GAP_PACKETS_MAX: u64 = 64;

/// The numbers under which a listener gets a packet. Payload, level and voice bit stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// Sequence number without roll-over; starts below 2^16.
    pub seq: u64,
    /// RTP timestamp, 48 kHz.
    pub timestamp: u32,
    /// Set on the first packet of each speaker, and after a gap in which numbers were left out.
    pub marker: bool,
}

/// A fixed downstream position of a listener: one m-line, one SSRC, one speaker at a time.
///
/// When another speaker takes the slot, sequence numbers go on by one and the timestamp by the time
/// that has passed, so that the receiver's jitter buffer sees neither loss nor a jump. The former
/// speaker keeps the slot until the first packet of the successor (make before break); what
/// arrives of the former one afterwards is dropped.
///
/// Packets from before the switch that are sent with it (the pre-roll) go on from there, so the stream's clock gets
/// ahead of ours and stays so. To the receiver they are early, which costs nothing; packets whose time has passed, now
/// or at the next pause, would be late ones, and its jitter buffer would keep a delay for more of them.
#[derive(Clone, Debug)]
pub struct Slot(Continuity<Occupation>);

/// Whose packets a slot carries, and which occupation of the position that is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Occupation {
    tenure: u64,
    source: SourceId,
    epoch: StreamEpoch,
}

/// Where a packet stands in a slot's stream, with its numbers there.
enum Place {
    /// After all others.
    Next(u64, u32),
    /// Between others.
    Late(u64, u32),
    /// Before the first, or with a time that doesn't fit its number.
    Gone,
    /// In another stream: somebody else's, or one whose numbers jumped.
    Elsewhere,
}

impl Slot {
    /// A slot that begins with these numbers. RFC 3550, section 5.1, wants both random.
    pub fn new(first_seq: u16, first_timestamp: u32) -> Slot {
        Slot(Continuity::new(first_seq, first_timestamp))
    }

    /// The packet's numbers in this slot, or `None` for one from before the switch to its speaker.
    ///
    /// `tenure` tells one occupation of the position from the next, also by the same speaker.
    pub fn rewrite(&mut self, now: Instant, tenure: u64, packet: &AudioPacket) -> Option<Rewritten> {
        let occupation = Occupation { tenure, source: packet.source, epoch: packet.epoch };
        let (seq, timestamp) = match self.place(&occupation, packet) {
            Place::Next(seq, timestamp) => (seq, timestamp),
            Place::Late(seq, timestamp) => return Some(Rewritten { seq, timestamp, marker: packet.marker }),
            Place::Gone => return None,
            Place::Elsewhere => {
                let numbers = (packet.seq, packet.timestamp);
                let (seq, timestamp) = self.0.switch(now, occupation, numbers, elapsed_ticks);
                return Some(Rewritten { seq, timestamp, marker: true });
            }
        };
        self.0.passed(now, (seq, timestamp));
        Some(Rewritten { seq, timestamp, marker: packet.marker })
    }

    /// Where a packet stands in the stream of whom this slot carries now.
    fn place(&self, occupation: &Occupation, packet: &AudioPacket) -> Place {
        let Some(last) = self.0.last().filter(|_| self.0.current() == Some(occupation)) else {
            return Place::Elsewhere;
        };
        let Some((seq, timestamp)) = self.0.moved(occupation, packet.seq, packet.timestamp) else {
            return Place::Gone;
        };
        let is_after_last = timestamp.wrapping_sub(last.timestamp).wrapping_sub(1) < 1 << 31;
        match seq.checked_sub(last.seq) {
            Some(1..=GAP_PACKETS_MAX) if is_after_last => Place::Next(seq, timestamp),
            Some(1..) => Place::Elsewhere,
            _ if is_after_last => Place::Gone,
            _ => Place::Late(seq, timestamp),
        }
    }
}

/// Elapsed time on the RTP clock, in whole frames and at least one: two packets of a stream never
/// share a timestamp.
fn elapsed_ticks(elapsed: Duration) -> u32 {
    let ticks = elapsed.as_micros() * CLOCK_HZ / 1_000_000;
    let frames = (ticks + u128::from(FRAME_TICKS) / 2) / u128::from(FRAME_TICKS);
    (frames.max(1) as u32).wrapping_mul(FRAME_TICKS)
}

#[cfg(test)]
mod tests;
