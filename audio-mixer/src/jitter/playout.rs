//! Packets in order in; sound without a gap out, at the delay that is wanted.

use crate::jitter::conceal::{Concealer, MUTE_AFTER};
use crate::jitter::decoders::Decoders;
use crate::jitter::delay::Delay;
use crate::jitter::pace::{Change, Pace};
use crate::jitter::queue::{Queue, Waiting};
use crate::jitter::stretch::{LENGTHEN_FROM, SHORTEN_FROM, lengthen, shorten};
use crate::jitter::tape::Tape;
use crate::{FRAME_SAMPLES, Frame};

pub(super) const FRAME: i64 = FRAME_SAMPLES as i64;

/// 10 ms: what codecs conceal is asked for in multiples of it. Timestamps that skip no more than that skip nothing.
const STEP: i64 = 160;

/// The longest packet, in samples: 200 ms (RFC 3551, section 4.2, asks receivers for as much).
pub(super) const PACKET_MAX: i64 = 3200;

/// What is concealed at most before nothing is expected any more, in samples: 80 ms, the last 20 of them mute.
const ERASED_MAX: i64 = MUTE_AFTER as i64 + 2 * STEP;

/// How a decoded packet meets what is on the tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seam {
    /// The decoder goes on where it was.
    Whole,
    /// The concealer was at work.
    Concealed,
    /// The two don't belong together.
    Jump,
}

/// What plays a stream.
///
/// ```text
///              the first packet has waited for the target delay
///   silent ──────────────────────────────────────────────────────▶ playing
///          ◀──────────────────────────────────────────────────────
///           nothing came for 80 ms, or timestamps say that nothing was sent
/// ```
#[derive(Debug)]
pub(super) struct Playout {
    pub(super) decoders: Decoders,
    pub(super) counts: Counts,
    tape: Tape,
    concealer: Concealer,
    is_playing: bool,
    seam: Seam,
    /// The last packet that was taken, played or not.
    last_sequence: i64,
    last_duration: i64,
    /// The last packet that was taken had no sound: none is expected.
    is_paused: bool,
    /// What stands at the end of the tape, in the sender's sound.
    next: i64,
    /// Concealed since the last packet.
    erased: i64,
    /// Concealed in the place of nothing yet: of what comes late, which makes the delay longer, or of what is lost.
    lent: i64,
    pace: Pace,
}

/// What was done to sound.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) undecodable: u64,
    pub(super) overlapping: u64,
    pub(super) concealed_samples: u64,
    pub(super) shortened: u64,
    pub(super) lengthened: u64,
}

/// What the sound of a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// What was sent.
    Speech,
    /// Some of it stands in the place of what was lost, or is late.
    Concealed,
    /// Nothing: nothing is expected.
    Silence,
}

impl Playout {
    pub(super) fn new(decoders: Decoders) -> Playout {
        Playout {
            decoders,
            counts: Counts::default(),
            tape: Tape::new(),
            concealer: Concealer::new(),
            is_playing: false,
            seam: Seam::Jump,
            last_sequence: i64::MIN,
            last_duration: FRAME,
            is_paused: true,
            next: 0,
            erased: 0,
            lent: 0,
            pace: Pace::new(),
        }
    }

    /// A packet of this number comes too late.
    pub(super) fn has_passed(&self, sequence: i64) -> bool {
        sequence <= self.last_sequence
    }

    /// Whether sound is played, or waited for.
    pub(super) fn is_playing(&self) -> bool {
        self.is_playing
    }

    /// How long after it was due, had it arrived without any delay, sound is played at `at`.
    pub(super) fn behind(&self, at: i64) -> i64 {
        at - (self.next - self.tape.unplayed() as i64)
    }

    /// Packets were dropped from the front of the queue: what follows is played at once.
    pub(super) fn skip_to(&mut self, first: &Waiting) {
        if self.is_playing {
            (self.next, self.last_sequence) = (first.position, first.sequence - 1);
            (self.erased, self.lent) = (0, 0);
            self.seam = Seam::Jump;
        }
    }

    /// What follows is of another sender: its numbers and timestamps have nothing to do with those before.
    pub(super) fn restart(&mut self) {
        self.fall_silent();
        self.last_sequence = i64::MIN;
    }

    /// Plays 20 ms, at `at`.
    pub(super) fn pull(&mut self, at: i64, queue: &mut Queue, delay: &Delay, frame: &mut Frame) -> FrameKind {
        let concealed_before = self.counts.concealed_samples;
        let base = delay.base().unwrap_or(0);
        if !self.is_playing {
            self.start_if_due(at - base - delay.target(), queue);
        }
        let lead = self.lead(at) - base;
        while self.is_playing && self.tape.unplayed() < FRAME_SAMPLES {
            self.take_or_conceal(queue);
        }
        let is_concealed = self.counts.concealed_samples > concealed_before;
        if self.is_playing && !is_concealed {
            self.adjust(lead, delay.target(), queue);
        }
        let kind = match (is_concealed, self.tape.unplayed()) {
            (true, _) => FrameKind::Concealed,
            (false, 0) => FrameKind::Silence,
            (false, _) => FrameKind::Speech,
        };
        let is_silent = self.tape.is_silent();
        self.tape.play(frame);
        self.pace.played(if is_silent { &[] } else { frame });
        kind
    }

    fn start_if_due(&mut self, due: i64, queue: &mut Queue) {
        self.take_silent_packets(queue);
        // The others of its frame have to be there too.
        let within = |first: &Waiting| (FRAME - 1) / first.duration * first.duration;
        let Some(first) = queue.first().filter(|first| first.position + within(first) <= due) else { return };
        (self.next, self.last_sequence) = (first.position, first.sequence - 1);
        (self.erased, self.lent) = (0, 0);
        self.pace.restart();
        self.seam = Seam::Jump;
        self.is_playing = true;
    }

    fn take_silent_packets(&mut self, queue: &mut Queue) {
        while queue.first().is_some_and(|first| first.duration == 0) {
            self.take(queue);
        }
    }

    /// Appends something to the tape, or stops playing.
    fn take_or_conceal(&mut self, queue: &mut Queue) {
        let expected = self.last_sequence + 1;
        if queue.first().is_some_and(|first| first.duration == 0 && first.sequence == expected) {
            self.take_silent_packets(queue);
        }
        let Some(first) = queue.first() else {
            // Late, lost, or not sent: who knows.
            if self.is_paused || self.erased >= ERASED_MAX {
                self.fall_silent();
            } else {
                self.lent += self.conceal(None, None);
            }
            return;
        };
        let is_lost = first.sequence > self.last_sequence + 1 && !self.is_paused;
        let missing = first.position - self.next;
        if missing <= 0 || (!is_lost && missing <= STEP && self.lent == 0) {
            return self.take(queue);
        }
        // What was concealed while it was not known whether it was late was not: it is lost, or was never sent.
        let repaid = self.lent.min(missing);
        self.next += repaid;
        self.lent -= repaid;
        if repaid == missing {
            return self.take(queue);
        }
        if !is_lost || self.erased >= ERASED_MAX {
            return self.fall_silent();
        }
        self.next += self.conceal(Some(missing - repaid), Some(queue));
    }

    /// Appends the first packet.
    fn take(&mut self, queue: &mut Queue) {
        let Some(packet) = queue.pop() else { return };
        let is_behind = packet.position + packet.duration <= self.next;
        if packet.duration == 0 || is_behind {
            self.is_paused = packet.duration == 0;
            self.counts.overlapping += u64::from(packet.duration > 0);
            self.last_sequence = packet.sequence;
            return queue.recycle(packet.payload);
        }
        if self.seam == Seam::Whole && !self.decoders.is_selected(packet.generation) {
            self.seam = Seam::Jump;
        }
        let count = self.pass(&packet).or_else(|| self.decode(&packet));
        queue.recycle(packet.payload);
        let Some(count) = count else {
            // It stays missing, as if lost.
            self.counts.undecodable += 1;
            return;
        };
        (self.last_sequence, self.last_duration) = (packet.sequence, count);
        self.next = packet.position + count;
        (self.erased, self.lent) = (0, 0);
        self.is_paused = false;
        self.seam = Seam::Whole;
    }

    /// Appends the silence of a packet to silence. How many samples it were, if it was that.
    fn pass(&mut self, packet: &Waiting) -> Option<i64> {
        if self.seam != Seam::Whole || !self.tape.is_silent() {
            return None;
        }
        let count = self.decoders.select(packet.generation).pass(&packet.payload)?;
        self.tape.pass(count);
        Some(count as i64)
    }

    /// Appends the sound of a packet. How many samples it were, if it could be decoded.
    fn decode(&mut self, packet: &Waiting) -> Option<i64> {
        let start = self.tape.samples().len();
        let is_decoded =
            self.decoders.select(packet.generation).decode(&packet.payload, self.tape.end()).is_ok();
        self.tape.end().truncate(start + PACKET_MAX as usize);
        let count = self.tape.samples().len() - start;
        if !is_decoded || count == 0 {
            self.tape.end().truncate(start);
            return None;
        }
        if self.seam == Seam::Jump {
            self.concealer.begin(&self.tape.samples()[..start]);
        }
        if self.seam != Seam::Whole {
            self.concealer.merge(&mut self.tape.end()[start..]);
        }
        Some(count as i64)
    }

    /// Appends what stands in for at most `missing` samples; `queue` begins with what comes after them. How many it
    /// were.
    fn conceal(&mut self, missing: Option<i64>, queue: Option<&Queue>) -> i64 {
        let start = self.tape.samples().len();
        if self.seam != Seam::Whole || !self.conceal_by_codec(missing, queue) {
            if self.seam != Seam::Concealed {
                self.concealer.begin(self.tape.samples());
                self.seam = Seam::Concealed;
            }
            let wanted = FRAME - self.tape.unplayed() as i64;
            let count = missing.map_or(wanted, |missing| missing.min(wanted));
            self.concealer.append(count as usize, self.tape.end());
        }
        let count = (self.tape.samples().len() - start) as i64;
        self.erased += count;
        self.counts.concealed_samples += count as u64;
        count
    }

    fn conceal_by_codec(&mut self, missing: Option<i64>, queue: Option<&Queue>) -> bool {
        let start = self.tape.samples().len();
        let next = queue.and_then(Queue::first).filter(|first| self.decoders.is_selected(first.generation));
        // What the next packet repeats is what was right before it, of the length of a packet.
        let (repeat, kept) = match (missing, next) {
            (Some(missing), Some(next)) if missing <= self.last_duration => (Some(next), missing),
            (Some(missing), Some(_)) => (None, (missing - self.last_duration).min(FRAME)),
            (Some(missing), None) => (None, missing.min(FRAME)),
            (None, _) => (None, self.last_duration.min(FRAME)),
        };
        let asked = if repeat.is_some() { self.last_duration } else { (kept + STEP - 1) / STEP * STEP };
        let payload = repeat.map(|next| next.payload.as_slice());
        let can = self.decoders.selected().conceal(payload, asked as usize, self.tape.end());
        let made = self.tape.samples().len() - start;
        if !can || made == 0 {
            self.tape.end().truncate(start);
            return false;
        }
        if repeat.is_some() {
            let excess = made.saturating_sub(kept as usize);
            self.tape.end().drain(start..start + excess);
        } else {
            self.tape.end().truncate(start + kept as usize);
        }
        true
    }

    /// Nothing is expected: what is heard fades within 10 ms.
    fn fall_silent(&mut self) {
        if self.is_playing && !(self.seam == Seam::Concealed && self.concealer.is_mute()) {
            if self.seam != Seam::Concealed {
                self.concealer.begin(self.tape.samples());
            }
            let start = self.tape.samples().len();
            self.concealer.append(STEP as usize, self.tape.end());
            for (sample, left) in self.tape.end()[start..].iter_mut().zip((0..STEP as i32).rev()) {
                *sample = (i32::from(*sample) * left / STEP as i32) as i16;
            }
        }
        self.is_playing = false;
        self.seam = Seam::Jump;
        (self.erased, self.lent) = (0, 0);
    }

    /// How long after the transit 0 the last packet of the next frame that isn't whole is needed.
    fn lead(&self, at: i64) -> i64 {
        let unplayed = self.tape.unplayed() as i64;
        let (whole, rest) = (unplayed / FRAME * FRAME, unplayed % FRAME);
        let before = (FRAME - rest - 1) / self.last_duration * self.last_duration;
        at + whole - (self.next + before)
    }

    /// Brings the delay nearer to what it should be; `lead` is what it is, above the base.
    fn adjust(&mut self, lead: i64, target: i64, queue: &mut Queue) {
        let Some(change) = self.pace.judge(lead, target) else { return };
        let is_quiet = self.tape.is_silent() || self.pace.is_quiet(self.tape.unplayed_mut());
        match change {
            Change::Shorter(likeness_min) => {
                let likeness_min = if is_quiet { Some(0.0) } else { likeness_min };
                // Where the base is out of date, what is late is not in the queue.
                let held = self.tape.unplayed() as i64 + queue.duration();
                if let Some(likeness_min) = likeness_min.filter(|_| held >= target + FRAME) {
                    self.shorten(likeness_min, queue);
                }
            }
            Change::Longer(likeness_min) if self.tape.unplayed() >= LENGTHEN_FROM => {
                let is_done = lengthen(&mut self.tape, if is_quiet { 0.0 } else { likeness_min });
                self.counts.lengthened += u64::from(is_done);
            }
            // What is on the tape beyond this frame delays sound and saves no packet.
            Change::None
                if is_quiet && self.last_duration <= FRAME && self.tape.unplayed() >= SHORTEN_FROM =>
            {
                self.counts.shortened += u64::from(shorten(&mut self.tape, 0.0));
            }
            Change::Longer(_) | Change::None => {}
        }
    }

    fn shorten(&mut self, likeness_min: f32, queue: &mut Queue) {
        while self.tape.unplayed() < SHORTEN_FROM && self.is_whole_at(queue) {
            self.take(queue);
        }
        if self.tape.unplayed() >= SHORTEN_FROM {
            self.counts.shortened += u64::from(shorten(&mut self.tape, likeness_min));
        }
    }

    /// The first packet goes on right where the tape ends.
    fn is_whole_at(&self, queue: &Queue) -> bool {
        queue.first().is_some_and(|first| {
            first.sequence == self.last_sequence + 1 && first.position == self.next && first.duration > 0
        })
    }
}
