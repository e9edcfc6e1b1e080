//! One source's pictures after another's in; one continuous stream out, in which each begins with a keyframe.

use std::time::{Duration, Instant};

use selector::SourceId;

use super::{CLOCK_HZ, VideoPacket};
use crate::continuity::Continuity;
use crate::{Rewritten, StreamEpoch};

/// A larger gap is passed on as time only, and needs a keyframe: what was in it comes no more.
const GAP_PACKETS_MAX: u64 = 500;

/// A packet is of no use any more so long after one that follows it; and str0m, which keeps packets for those who lost some, keeps
/// none any more once it is given one older than all that it has.
const LATE_MAX: Duration = Duration::from_millis(500);

/// A viewer who can't go on time and again gets a keyframe so often: all others have to take it too.
const WISH_INTERVAL: Duration = Duration::from_secs(2);

/// A fixed video position of a viewer: one m-line, one SSRC, one source at a time.
///
/// When it is to show another source, the former one keeps it until the first packet of a keyframe of the other (make before
/// break). Then sequence numbers go on by one and the timestamp by the time that has passed, as in [`Slot`](crate::Slot).
#[derive(Clone, Debug)]
pub struct VideoSlot {
    wanted: Option<SourceId>,
    stream: Continuity<(SourceId, StreamEpoch)>,
    wishes: Wishes,
}

/// Keyframes that a slot's viewer wants, other than those with which it changes to another source.
#[derive(Clone, Debug, Default)]
struct Wishes {
    /// One was asked for.
    is_asked: bool,
    /// One is to be asked for when it is time again.
    is_waiting: bool,
    /// When one came that was asked for.
    served_at: Option<Instant>,
}

impl VideoSlot {
    /// A slot that begins with these numbers. RFC 3550, section 5.1, wants both random.
    pub fn new(first_seq: u16, first_timestamp: u32) -> VideoSlot {
        VideoSlot {
            wanted: None,
            stream: Continuity::new(first_seq, first_timestamp),
            wishes: Wishes::default(),
        }
    }

    /// What it is to show.
    pub fn wanted(&self) -> Option<SourceId> {
        self.wanted
    }

    /// What it shows, until a keyframe comes of what it is to show.
    pub fn shown(&self) -> Option<SourceId> {
        self.stream.current().map(|(source, _)| *source)
    }

    /// Sets what it is to show.
    pub fn show(&mut self, source: Option<SourceId>) {
        self.wanted = source;
        if source.is_none() {
            self.interrupt();
        }
    }

    /// What it showed has ended, or did not arrive: it needs a keyframe, whosever it is.
    pub fn interrupt(&mut self) {
        self.stream.interrupt();
    }

    /// Its viewer can't go on without a keyframe. Returns whether one is to be asked for now; otherwise one is when
    /// [`VideoSlot::is_wish_due`].
    pub fn wish(&mut self, now: Instant) -> bool {
        self.wishes.is_waiting = true;
        self.is_wish_due(now)
    }

    /// Whether a keyframe is to be asked for now for which it was too soon.
    pub fn is_wish_due(&mut self, now: Instant) -> bool {
        let wishes = &mut self.wishes;
        let is_time = wishes.served_at.is_none_or(|at| now.saturating_duration_since(at) >= WISH_INTERVAL);
        let is_due = wishes.is_waiting && is_time;
        if is_due {
            (wishes.is_asked, wishes.is_waiting) = (true, false);
        }
        is_due
    }

    /// Whether its viewer waits for a keyframe for which it is too soon.
    pub fn has_wish(&self) -> bool {
        self.wishes.is_waiting
    }

    /// The packet's numbers in this slot, or `None` if it doesn't belong into it.
    pub fn rewrite(&mut self, now: Instant, packet: &VideoPacket) -> Option<Rewritten> {
        let key = (packet.source, packet.epoch);
        if self.stream.current() == Some(&key) {
            // From before the keyframe that it began with: nothing.
            let (seq, timestamp) = self.stream.moved(&key, packet.seq, packet.timestamp)?;
            let last = self.stream.last()?;
            if seq <= last.seq + GAP_PACKETS_MAX {
                if seq > last.seq {
                    self.wishes.passed(now, packet);
                    self.stream.passed(now, (seq, timestamp));
                } else if now.saturating_duration_since(last.at) > LATE_MAX {
                    return None;
                }
                return Some(Rewritten { seq, timestamp, marker: packet.marker });
            }
            self.interrupt();
        }
        if self.wanted != Some(packet.source) || !packet.begins_keyframe {
            return None;
        }
        self.wishes.passed(now, packet);
        let numbers = (packet.seq, packet.timestamp);
        let (seq, timestamp) = self.stream.switch(now, key, numbers, |elapsed| ticks_in(elapsed).max(1));
        Some(Rewritten { seq, timestamp, marker: packet.marker })
    }
}

impl Wishes {
    fn passed(&mut self, now: Instant, packet: &VideoPacket) {
        if !packet.begins_keyframe {
            return;
        }
        if self.is_asked {
            self.served_at = Some(now);
        }
        (self.is_asked, self.is_waiting) = (false, false);
    }
}

fn ticks_in(time: Duration) -> u32 {
    (time.as_micros() * u128::from(CLOCK_HZ) / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::super::{VideoCodec, VideoFormat};
    use super::*;

    const VP8: VideoFormat = VideoFormat { codec: VideoCodec::Vp8, profile: 0, mode: 0 };

    fn packet(source: u32, seq: u64, timestamp: u32, begins_keyframe: bool) -> VideoPacket {
        VideoPacket {
            source: SourceId(source),
            epoch: StreamEpoch(0),
            seq,
            timestamp,
            marker: true,
            format: VP8,
            begins_keyframe,
            payload: [1].into(),
        }
    }

    fn numbers(rewritten: Option<Rewritten>) -> Option<(u64, u32)> {
        rewritten.map(|it| (it.seq, it.timestamp))
    }

    #[test]
    fn the_former_source_stays_until_a_keyframe_of_the_next() {
        let (mut slot, start) = (VideoSlot::new(100, 5_000), Instant::now());
        slot.show(Some(SourceId(1)));
        assert_eq!(slot.rewrite(start, &packet(1, 6, 900, false)), None, "nothing to begin with");
        assert_eq!(numbers(slot.rewrite(start, &packet(1, 7, 1_000, true))), Some((100, 5_000)));
        assert_eq!(numbers(slot.rewrite(start, &packet(1, 8, 1_000, false))), Some((101, 5_000)));
        slot.show(Some(SourceId(2)));
        assert_eq!(slot.rewrite(start, &packet(2, 50, 9, false)), None);
        assert_eq!(numbers(slot.rewrite(start, &packet(1, 9, 4_000, false))), Some((102, 8_000)));
        assert_eq!(slot.shown(), Some(SourceId(1)));
        let later = start + Duration::from_millis(100);
        assert_eq!(numbers(slot.rewrite(later, &packet(2, 51, 90, true))), Some((103, 17_000)));
        assert_eq!(slot.rewrite(later, &packet(1, 10, 7_000, false)), None);
        assert_eq!(slot.shown(), Some(SourceId(2)));
        assert_eq!(slot.rewrite(later, &packet(2, 49, 5, true)), None, "from before its keyframe");
    }

    #[test]
    fn what_comes_late_has_its_own_number_and_a_hole_stays_one() {
        let (mut slot, now) = (VideoSlot::new(0, 0), Instant::now());
        slot.show(Some(SourceId(1)));
        slot.rewrite(now, &packet(1, 10, 0, true));
        assert_eq!(numbers(slot.rewrite(now, &packet(1, 13, 3_000, false))), Some((3, 3_000)));
        assert_eq!(numbers(slot.rewrite(now, &packet(1, 12, 3_000, false))), Some((2, 3_000)));
        assert_eq!(numbers(slot.rewrite(now, &packet(1, 14, 6_000, false))), Some((4, 6_000)));
    }

    #[test]
    fn what_comes_long_after_what_follows_it_comes_too_late() {
        let (mut slot, now) = (VideoSlot::new(0, 0), Instant::now());
        slot.show(Some(SourceId(1)));
        slot.rewrite(now, &packet(1, 10, 0, true));
        slot.rewrite(now, &packet(1, 13, 3_000, false));
        assert!(slot.rewrite(now + LATE_MAX, &packet(1, 12, 3_000, false)).is_some());
        let later = now + LATE_MAX + Duration::from_millis(1);
        assert_eq!(slot.rewrite(later, &packet(1, 11, 3_000, false)), None);
        assert!(slot.rewrite(later, &packet(1, 14, 6_000, false)).is_some());
    }

    #[test]
    fn a_gap_that_nobody_fills_ends_in_a_keyframe() {
        let (mut slot, now) = (VideoSlot::new(0, 0), Instant::now());
        slot.show(Some(SourceId(1)));
        slot.rewrite(now, &packet(1, 0, 0, true));
        let beyond = GAP_PACKETS_MAX + 1;
        assert_eq!(slot.rewrite(now, &packet(1, beyond, 90_000, false)), None);
        assert_eq!(slot.rewrite(now, &packet(1, 1, 0, false)), None);
        assert_eq!(numbers(slot.rewrite(now, &packet(1, beyond + 5, 93_000, true))), Some((1, 1)));
    }

    #[test]
    fn a_viewer_who_never_can_go_on_gets_a_keyframe_every_two_seconds() {
        let (mut slot, start) = (VideoSlot::new(0, 0), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        slot.show(Some(SourceId(1)));
        slot.rewrite(start, &packet(1, 0, 0, true));
        let mut asked = Vec::new();
        for ms in (1..9_000_u64).step_by(50) {
            if slot.wish(at(ms)) {
                asked.push(ms);
                slot.rewrite(at(ms + 10), &packet(1, ms, 0, true));
            }
        }
        assert_eq!(asked, [1, 2_051, 4_101, 6_151, 8_201]);
        assert!(!slot.wish(at(9_000)) && slot.has_wish());
        assert!(!slot.is_wish_due(at(10_210)) && slot.is_wish_due(at(10_211)), "what had to wait isn't lost");
        assert!(slot.wish(at(10_300)), "nothing came yet");
    }

    #[test]
    fn an_empty_slot_and_an_interrupted_one_begin_anew() {
        let (mut slot, now) = (VideoSlot::new(0, 0), Instant::now());
        slot.show(Some(SourceId(1)));
        slot.rewrite(now, &packet(1, 0, 0, true));
        slot.interrupt();
        assert_eq!(slot.rewrite(now, &packet(1, 1, 0, false)), None);
        assert!(slot.rewrite(now, &packet(1, 2, 3_000, true)).is_some());
        slot.show(None);
        assert_eq!(slot.rewrite(now, &packet(1, 3, 6_000, true)), None);
    }
}
