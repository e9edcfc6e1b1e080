//! One phone's RTP packets in, as its network delivers them; a frame of the mix out each 20 ms.
//!
//! ```text
//!           reception   what was lost, late, twice: numbers for RTCP
//!           timeline    RTP timestamps to positions, in samples of the mix
//!  push ──▶ delay       arrivals to the delay that catches 97 % of them
//!           queue       what waits, in order: at most 500 ms and 64 packets
//!                                     │
//!           playout     decodes, conceals what is missing, shortens and lengthens
//!  pull ◀── tape        what was played last, and what is decoded beyond the frame
//! ```
//!
//! All positions, times and delays inside are in samples of the mix: 16 a millisecond.

mod conceal;
mod decoders;
mod delay;
mod pace;
mod pitch;
mod playout;
mod queue;
mod reception;
mod stats;
mod stretch;
mod tape;
mod timeline;

use std::time::{Duration, Instant};

use crate::{Decoder, FRAME_SAMPLES, Frame, RATE_HZ};
use decoders::Decoders;
use delay::{Delay, TARGET_MAX};
use playout::{PACKET_MAX, Playout};
use queue::{PACKETS_MAX, Queue, Waiting};
use timeline::Timeline;

pub use playout::FrameKind;
pub use reception::{Arrival, Reception, ReceptionReport};
pub use stats::JitterStats;

/// The longest payload, in bytes: G.711 fills 1600 in 200 ms.
const PAYLOAD_BYTES_MAX: usize = 2048;

/// Transits that differ by more are no network's but a sender's that set its clock: 2 s.
const TRANSIT_STEP: i64 = 32_000;

/// Where timestamps begin anew and numbers go on, sound goes on if it would be no further off: 200 ms.
const CONTINUED_WITHIN: i64 = 3200;

/// Timestamps may overlap by so much, for senders that round: 10 ms.
const OVERLAP: i64 = 160;

/// Of what waits when the queue is over, so much is kept at least: 100 ms.
const KEPT: i64 = 1600;

const FRAME: i64 = FRAME_SAMPLES as i64;

/// An RTP packet, as far as a jitter buffer looks into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its sequence number.
    pub sequence: u16,
    /// Its timestamp, in units of the clock that goes with the decoder.
    pub timestamp: u32,
    /// What the decoder decodes. Empty for a packet of the same source that holds no sound (an event of RFC 4733, comfort
    /// noise of RFC 3389): its number is counted, and nothing is concealed in its place.
    pub payload: &'a [u8],
}

/// Turns the packets of one source into steady sound, at the least delay that its network allows.
///
/// Sound that is expected and not there is concealed, by the codec where that can, else by repeating periods
/// (ITU-T G.711 Appendix I). What was concealed while a packet was late makes the delay longer; between what is wanted and
/// what is there, sound is shortened and lengthened by whole periods, and where it is silent first.
///
/// Memory is bounded whatever is pushed, and once buffers have grown nothing is allocated.
#[derive(Debug)]
pub struct JitterBuffer {
    clock_hz: u32,
    origin: Option<Instant>,
    /// When frames are pulled, smoothed.
    tick: Option<i64>,
    reception: Reception,
    timeline: Timeline,
    delay: Delay,
    queue: Queue,
    playout: Playout,
    newest: Option<Newest>,
    counts: Counts,
}

/// The packet of the highest number.
#[derive(Clone, Copy, Debug)]
struct Newest {
    sequence: i64,
    end: i64,
    duration: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    received: u64,
    /// Of receptions before the current one.
    lost: u64,
    late: u64,
    duplicates: u64,
    malformed: u64,
    overflowed: u64,
    orphaned: u64,
}

impl JitterBuffer {
    /// A buffer for packets of this decoder, whose RTP clock has a rate in Hz.
    pub fn new(decoder: Box<dyn Decoder>, clock_hz: u32) -> JitterBuffer {
        let clock_hz = clock_hz.max(1);
        JitterBuffer {
            clock_hz,
            origin: None,
            tick: None,
            reception: Reception::new(clock_hz),
            timeline: Timeline::new(clock_hz),
            delay: Delay::new(),
            queue: Queue::new(),
            playout: Playout::new(Decoders::new(decoder)),
            newest: None,
            counts: Counts::default(),
        }
    }

    /// Takes a packet that arrived.
    pub fn push(&mut self, now: Instant, packet: &Packet<'_>) {
        let at = self.at(now);
        self.counts.received += 1;
        let lost_before = self.reception.lost();
        let sequence = match self.reception.receive(packet.sequence) {
            Arrival::New(sequence) => sequence,
            Arrival::Duplicate => {
                self.counts.duplicates += 1;
                return;
            }
            Arrival::Suspect => {
                self.counts.orphaned += 1;
                return;
            }
            Arrival::Restarted(sequence) => {
                self.counts.lost += lost_before;
                self.begin_anew();
                sequence
            }
        };
        let Some(duration) = self.duration(packet.payload) else {
            self.counts.malformed += 1;
            return;
        };
        let Some(position) = self.place(now, at, (sequence, duration), packet) else {
            self.counts.orphaned += 1;
            return;
        };
        if self.playout.has_passed(sequence) {
            self.counts.late += 1;
            return;
        }
        let generation = self.playout.decoders.generation();
        let waiting = Waiting { sequence, position, duration, generation, payload: Vec::new() };
        self.queue.insert(waiting, packet.payload);
        if self.queue.is_over() {
            self.drop_oldest();
        }
    }

    /// The next 20 ms, in place of what is in `frame`, and what they are. To be called each 20 ms, late or early by some
    /// milliseconds.
    pub fn pull(&mut self, now: Instant, frame: &mut Frame) -> FrameKind {
        let now = self.at(now);
        let at = match self.tick.map(|tick| tick + FRAME) {
            // A tick that was late is no delay of packets; a timer that has another rate is followed.
            Some(due) if (now - due).abs() <= 2 * FRAME => due + (now - due) / 8,
            _ => now,
        };
        self.tick = Some(at);
        self.playout.pull(at, &mut self.queue, &self.delay, frame)
    }

    /// Packets are for another decoder from now on, whose RTP clock has a rate in Hz. Those that wait are decoded by the
    /// one they came for.
    pub fn set_decoder(&mut self, decoder: Box<dyn Decoder>, clock_hz: u32) {
        let clock_hz = clock_hz.max(1);
        self.counts.orphaned += self.queue.keep_generation(self.playout.decoders.generation());
        self.playout.decoders.replace(decoder);
        if clock_hz != self.clock_hz {
            self.clock_hz = clock_hz;
            self.timeline.restart(clock_hz);
            self.reception.set_clock(clock_hz);
        }
    }

    /// Packets are of another source (SSRC) from now on: those that wait are dropped, and reception reports begin anew.
    pub fn reset(&mut self) {
        self.counts.lost += self.reception.lost();
        self.reception = Reception::new(self.clock_hz);
        self.begin_anew();
    }

    /// What an RTCP report block says of this source now. What was lost is counted from here for the next one.
    pub fn report(&mut self) -> ReceptionReport {
        self.reception.report()
    }

    /// What became of the stream so far.
    pub fn stats(&self) -> JitterStats {
        let playout = &self.playout.counts;
        let behind = match (self.tick, self.delay.base()) {
            (Some(tick), Some(base)) if self.playout.is_playing() => self.playout.behind(tick + FRAME) - base,
            _ => 0,
        };
        JitterStats {
            received: self.counts.received,
            lost: self.counts.lost + self.reception.lost(),
            late: self.counts.late + playout.overlapping,
            duplicates: self.counts.duplicates,
            malformed: self.counts.malformed + playout.undecodable,
            overflowed: self.counts.overflowed,
            orphaned: self.counts.orphaned,
            concealed_samples: playout.concealed_samples,
            shortened: playout.shortened,
            lengthened: playout.lengthened,
            delay_ms: ms(behind),
            target_ms: ms(self.delay.target()),
            waiting_packets: self.queue.len(),
            waiting_ms: ms(self.queue.duration()),
            jitter: self.reception.jitter(),
        }
    }

    /// `now`, in samples since the first call.
    fn at(&mut self, now: Instant) -> i64 {
        let origin = *self.origin.get_or_insert(now);
        units(now.saturating_duration_since(origin), RATE_HZ) as i64
    }

    /// In samples; 0 without sound; `None` for what can't be decoded.
    fn duration(&self, payload: &[u8]) -> Option<i64> {
        if payload.is_empty() {
            return Some(0);
        }
        let duration = self.playout.decoders.current().duration(payload)?;
        let is_taken = payload.len() <= PAYLOAD_BYTES_MAX && (1..=PACKET_MAX as usize).contains(&duration);
        is_taken.then_some(duration as i64)
    }

    /// Where a packet stands, after having learnt from its arrival. `None` if its place contradicts its number.
    fn place(
        &mut self,
        now: Instant,
        at: i64,
        (sequence, duration): (i64, i64),
        packet: &Packet<'_>,
    ) -> Option<i64> {
        let is_newest = self.newest.is_none_or(|newest| sequence > newest.sequence);
        let end = self.newest.map_or(0, |newest| newest.end);
        if duration == 0 {
            // Timestamps of events stand still while they last, so they say nothing of the network.
            if let Some(newest) = self.newest.as_mut().filter(|_| is_newest) {
                newest.sequence = sequence;
            }
            return Some(end);
        }
        let expected = self.timeline.position(packet.timestamp).filter(|&position| {
            let is_in_order = !is_newest || self.newest.is_none() || position >= end - OVERLAP;
            is_in_order && self.is_plausible(at - position)
        });
        let position = match expected {
            Some(position) => {
                self.reception.time(now, packet.timestamp);
                position
            }
            None if is_newest => {
                let position = self.on_time(at, sequence);
                self.timeline.anchor(packet.timestamp, position);
                self.reception.restart_timing();
                self.reception.time(now, packet.timestamp);
                position
            }
            None => return None,
        };
        self.delay.arrived(at, at - position, duration);
        if is_newest {
            self.newest = Some(Newest { sequence, end: position + duration, duration });
        }
        Some(position)
    }

    fn is_plausible(&self, transit: i64) -> bool {
        let Some(base) = self.delay.base() else { return true };
        // After a pause, a clock that has stood still in it is put right, for that costs nothing then.
        let is_pause = !self.playout.is_playing() && self.queue.len() == 0;
        let late_max = if is_pause { TARGET_MAX } else { TRANSIT_STEP };
        (-TRANSIT_STEP..=late_max).contains(&(transit - base))
    }

    /// Where a packet stands whose timestamp doesn't say it.
    fn on_time(&self, at: i64, sequence: i64) -> i64 {
        let on_time = at - self.delay.base().unwrap_or(at);
        let Some(newest) = self.newest else { return on_time };
        let missing = (sequence - newest.sequence - 1).clamp(0, PACKETS_MAX as i64);
        let continued = newest.end + missing * newest.duration;
        if (continued - on_time).abs() <= CONTINUED_WITHIN { continued } else { on_time.max(newest.end) }
    }

    /// The queue is over: what has waited longest goes, down to what the delay asks for, so that one gap is heard and not
    /// one at each packet.
    fn drop_oldest(&mut self) {
        let kept = self.delay.target().max(KEPT);
        while self.queue.duration() > kept || self.queue.len() > PACKETS_MAX / 2 {
            self.queue.drop_first();
            self.counts.overflowed += 1;
        }
        if let Some(first) = self.queue.first() {
            self.playout.skip_to(first);
        }
    }

    fn begin_anew(&mut self) {
        self.counts.orphaned += self.queue.clear();
        self.timeline.restart(self.clock_hz);
        self.newest = None;
        self.playout.restart();
    }
}

/// A time in units of a clock.
fn units(time: Duration, clock_hz: u32) -> u64 {
    let clock_hz = u64::from(clock_hz);
    time.as_secs()
        .wrapping_mul(clock_hz)
        .wrapping_add(u64::from(time.subsec_nanos()) * clock_hz / 1_000_000_000)
}

fn ms(samples: i64) -> u32 {
    (samples.max(0) * 1000 / i64::from(RATE_HZ)).min(u32::MAX.into()) as u32
}
