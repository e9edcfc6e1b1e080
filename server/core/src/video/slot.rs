//! One source's pictures after another's in, in one size after another; one continuous stream out, in which each begins with a
//! keyframe.

use std::time::{Duration, Instant};

use selector::SourceId;

use super::pictures::{Pictures, RewrittenPicture};
use super::{CLOCK_HZ, EncodingId, Layer, VideoPacket};
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
/// When it is to show another source, or another of a source's streams, the former one keeps it until the first packet of a keyframe
/// of the other (make before break). Then sequence numbers go on by one and the timestamp by the time that has passed, as in
/// [`Slot`](crate::Slot).
///
/// Of a stream that has layers it passes on those that it is to: fewer from the next picture on, more pictures from the next one
/// that needs none of those that weren't passed on, larger ones from the next keyframe on. Numbers have no holes where something was
/// left out.
///
/// ```text
///            show(None)                 keyframe of what is to be shown
///   empty ◀────────────── showing ◀───────────────────────── empty, or showing something else
///     ▲                      │  ▲
///     └── paused, a gap ─────┘  └── layers: down with the next picture, up where nothing is missing
/// ```
#[derive(Clone, Debug)]
pub struct VideoSlot {
    wanted: Option<SourceId>,
    /// How much of it; nothing while paused.
    target: Option<Layer>,
    stream: Continuity<(SourceId, u8, StreamEpoch)>,
    passing: Passing,
    pictures: Pictures,
    wishes: Wishes,
}

/// What of a stream is passed on.
#[derive(Clone, Debug, Default)]
struct Passing {
    layer: Layer,
    /// How many streams its source has.
    encodings: u8,
    /// Nothing is passed on until another stream begins.
    is_cut: bool,
    /// Sequence number and timestamp of its newest packet, passed on or not.
    newest: (u64, u32),
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

/// A packet's numbers in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RewrittenVideo {
    /// Those of RTP.
    pub rtp: Rewritten,
    /// Those of its picture, if it has some.
    pub picture: Option<RewrittenPicture>,
    /// Another stream begins here: nobody needs what came before any more.
    pub begins: bool,
}

impl VideoSlot {
    /// A slot that begins with these numbers. RFC 3550, section 5.1, wants both random.
    pub fn new(first_seq: u16, first_timestamp: u32) -> VideoSlot {
        VideoSlot {
            wanted: None,
            target: Some(Layer::MAX),
            stream: Continuity::new(first_seq, first_timestamp),
            passing: Passing::default(),
            pictures: Pictures::default(),
            wishes: Wishes::default(),
        }
    }

    /// What it is to show.
    pub fn wanted(&self) -> Option<SourceId> {
        self.wanted
    }

    /// What it shows, until a keyframe comes of what it is to show.
    pub fn shown(&self) -> Option<SourceId> {
        self.stream.current().map(|(source, ..)| *source)
    }

    /// The stream of which it shows something.
    pub fn shown_encoding(&self) -> Option<EncodingId> {
        self.stream.current().map(|&(source, number, _)| EncodingId { source, number })
    }

    /// The stream of which it is to show something; `None` if it is empty or paused.
    pub fn wanted_encoding(&self) -> Option<EncodingId> {
        Some(EncodingId { source: self.wanted?, number: self.target?.spatial })
    }

    /// Whether it needs a keyframe to show what it is to show.
    pub fn needs_keyframe(&self) -> bool {
        let is_shown = self.shown() == self.wanted;
        self.wanted.is_some() && self.target.is_some() && (!is_shown || self.needs_other_layer())
    }

    /// Whether it shows fewer or larger pictures of its source than it is to, for want of a keyframe.
    fn needs_other_layer(&self) -> bool {
        let (Some(target), Some((_, encoding, _))) = (self.target, self.stream.current()) else {
            return false;
        };
        match self.passing.encodings {
            0 | 1 => target.spatial > self.passing.layer.spatial,
            encodings => encoding_in(target, encodings) != *encoding,
        }
    }

    /// Sets what it is to show.
    pub fn show(&mut self, source: Option<SourceId>) {
        self.wanted = source;
        if source.is_none() {
            self.interrupt();
        }
    }

    /// What it passes on until it can change to a smaller stream is too much: nothing is better.
    pub fn cut(&mut self) {
        self.passing.is_cut = true;
    }

    /// Whether it passes on a larger stream of its source than it is to, for want of a keyframe of that one: which one.
    pub fn passes_larger(&self) -> Option<u8> {
        let (source, encoding, _) = self.stream.current()?;
        let is_larger = self.passing.encodings > 1 && self.target?.spatial < *encoding;
        (is_larger && self.wanted == Some(*source)).then_some(*encoding)
    }

    /// How much of it; `None` if it is paused.
    pub fn target(&self) -> Option<Layer> {
        self.target
    }

    /// Sets how much of it; `None` pauses it.
    pub fn set_target(&mut self, target: Option<Layer>) {
        self.target = target;
        if self.passing.is_cut && self.passes_larger().is_none() {
            // What was left out is missing.
            self.interrupt();
        }
        if target.is_none() {
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
    pub fn rewrite(&mut self, now: Instant, packet: &VideoPacket) -> Option<RewrittenVideo> {
        let key = (packet.source, packet.encoding, packet.epoch);
        if self.stream.current() == Some(&key) {
            // From before the keyframe that it began with, or left out: nothing.
            let (seq, timestamp) = self.stream.moved(&key, packet.seq, packet.timestamp)?;
            let last = self.stream.last()?;
            if seq <= last.seq + GAP_PACKETS_MAX {
                let is_late = seq <= last.seq;
                if is_late && now.saturating_duration_since(last.at) > LATE_MAX {
                    return None;
                }
                return self.go_on(now, packet, (seq, timestamp));
            }
            self.interrupt();
        }
        self.begin(now, packet)
    }

    /// A packet of the stream that passes, with the numbers that it has if it does.
    fn go_on(
        &mut self,
        now: Instant,
        packet: &VideoPacket,
        (seq, timestamp): (u64, u32),
    ) -> Option<RewrittenVideo> {
        let is_newest = packet.seq > self.passing.newest.0;
        if is_newest {
            let target = self.target.unwrap_or_default();
            self.passing.follow(packet, target);
        }
        let layer = packet.part.layer;
        let Layer { spatial, temporal } = self.passing.layer;
        if layer.spatial > spatial || layer.temporal > temporal || self.passing.is_cut {
            if is_newest {
                self.stream.leave_out(packet.seq);
                self.pictures.leave_out(packet);
            }
            return None;
        }
        let picture = self.pictures.place(packet).ok()?;
        if self.stream.last().is_none_or(|last| seq > last.seq) {
            self.wishes.passed(now, packet);
            self.stream.passed(now, (seq, timestamp));
        }
        // The smaller picture ends where the larger ones that belong to it begin.
        let marker = packet.marker || (packet.part.ends_frame && layer.spatial == spatial);
        Some(RewrittenVideo { rtp: Rewritten { seq, timestamp, marker }, picture, begins: false })
    }

    /// A packet of another stream: it is the first one here, if it can be.
    fn begin(&mut self, now: Instant, packet: &VideoPacket) -> Option<RewrittenVideo> {
        let target = self.target.filter(|_| self.wanted == Some(packet.source) && packet.begins_keyframe)?;
        let wanted = encoding_in(target, packet.encodings);
        let is_fit = match self.stream.current() {
            // What is shown may stay until there is what is wanted.
            Some((source, encoding, _)) if *source == packet.source && *encoding != packet.encoding => {
                packet.encoding == wanted
            }
            _ => packet.encoding <= wanted,
        };
        if !is_fit {
            return None;
        }
        self.wishes.passed(now, packet);
        let key = (packet.source, packet.encoding, packet.epoch);
        let numbers = (packet.seq, packet.timestamp);
        let (seq, timestamp) = self.stream.switch(now, key, numbers, |elapsed| ticks_in(elapsed).max(1));
        self.passing = Passing { layer: target, encodings: packet.encodings, is_cut: false, newest: numbers };
        if packet.encodings > 1 {
            self.passing.layer.spatial = 0;
        }
        let picture = self.pictures.begin(packet);
        let marker = packet.marker
            || (packet.part.ends_frame && self.passing.layer.spatial == packet.part.layer.spatial);
        Some(RewrittenVideo { rtp: Rewritten { seq, timestamp, marker }, picture, begins: true })
    }
}

impl Passing {
    /// The newest packet of the stream has come: what is passed on from it on.
    fn follow(&mut self, packet: &VideoPacket, target: Layer) {
        let (layer, part) = (&mut self.layer, &packet.part);
        let begins_picture = packet.timestamp != self.newest.1;
        self.newest = (packet.seq, packet.timestamp);
        let is_simulcast = self.encodings > 1;
        let goes_down = is_simulcast && encoding_in(target, self.encodings) < packet.encoding;
        // All sizes have a keyframe at once, the largest first: that of the smaller pictures is about to come, and this one would be in
        // its way.
        self.is_cut |= goes_down && packet.begins_keyframe;
        // Until there is a keyframe of the smaller pictures, fewer of these.
        let temporal = if goes_down { 0 } else { target.temporal };
        if packet.begins_keyframe {
            layer.temporal = temporal;
            layer.spatial = if is_simulcast { 0 } else { target.spatial };
        } else if begins_picture {
            layer.temporal = layer.temporal.min(temporal);
            layer.spatial = layer.spatial.min(if is_simulcast { 0 } else { target.spatial });
        }
        // Of a frame that isn't passed on yet its own layer has to say so: it may need what wasn't passed on either.
        let is_decodable =
            part.layer.temporal <= layer.temporal || part.rises & 1 << part.layer.temporal != 0;
        let may_rise = |to: &u8| is_decodable && *to <= temporal && part.rises & 1 << to != 0;
        let rises = (0..u8::BITS as u8).rev().find(may_rise);
        layer.temporal = layer.temporal.max(rises.unwrap_or(0));
    }
}

/// Which of a source's streams is meant: of several the one of that size, or the largest.
fn encoding_in(target: Layer, encodings: u8) -> u8 {
    if encodings > 1 { target.spatial.min(encodings - 1) } else { 0 }
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
    use super::super::{Part, PictureNumbers, VideoCodec, VideoFormat};
    use super::*;

    const VP8: VideoFormat = VideoFormat { codec: VideoCodec::Vp8, profile: 0, mode: 0 };

    fn packet(source: u32, seq: u64, timestamp: u32, begins_keyframe: bool) -> VideoPacket {
        VideoPacket {
            source: SourceId(source),
            encoding: 0,
            encodings: 1,
            epoch: StreamEpoch(0),
            seq,
            timestamp,
            marker: true,
            format: VP8,
            begins_keyframe,
            part: Part::default(),
            descriptor: None,
            payload: [1].into(),
        }
    }

    fn numbers(rewritten: Option<RewrittenVideo>) -> Option<(u64, u32)> {
        rewritten.map(|it| (it.rtp.seq, it.rtp.timestamp))
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

    /// A packet of VP8 in three temporal layers as Chromium sends it, a picture a packet: 0, 2, 1, 2.
    fn layered(encoding: u8, picture: u32, begins_keyframe: bool) -> VideoPacket {
        let temporal = [0, 2, 1, 2][picture as usize % 4];
        let numbers = PictureNumbers { id: picture as u16, bits: 15, tl0: Some((picture / 4) as u8) };
        let part = Part {
            layer: Layer { spatial: 0, temporal },
            ends_frame: true,
            rises: if picture % 4 < 3 { 1 << temporal } else { 0 },
            picture: Some(numbers),
        };
        let one = packet(1, u64::from(picture), picture * 3_000, begins_keyframe);
        VideoPacket { encoding, encodings: 3, part, ..one }
    }

    fn ids(rewritten: Option<RewrittenVideo>) -> Option<(u64, u16, u8)> {
        let rewritten = rewritten?;
        let picture = rewritten.picture.expect("VP8 has numbers");
        Some((rewritten.rtp.seq, picture.id, picture.tl0.expect("it has layers")))
    }

    #[test]
    fn fewer_pictures_a_second_have_numbers_without_holes() {
        let (mut slot, now) = (VideoSlot::new(0, 0), Instant::now());
        slot.show(Some(SourceId(1)));
        slot.set_target(Some(Layer { spatial: 0, temporal: 1 }));
        let mut pass = |picture, key| ids(slot.rewrite(now, &layered(0, picture, key)));
        assert_eq!(pass(8, true), Some((0, 8, 2)));
        let seen: Vec<_> = (9..17).map(|picture| pass(picture, false)).collect();
        let some = |seq, id, tl0| Some((seq, id, tl0));
        assert_eq!(
            seen,
            [None, some(1, 9, 2), None, some(2, 10, 3), None, some(3, 11, 3), None, some(4, 12, 4)]
        );
    }

    #[test]
    fn more_pictures_a_second_begin_where_none_is_missing_and_fewer_at_once() {
        let (mut slot, now) = (VideoSlot::new(0, 0), Instant::now());
        slot.show(Some(SourceId(1)));
        let temporal = |temporal| Some(Layer { spatial: 0, temporal });
        slot.set_target(temporal(0));
        let passes = |slot: &mut VideoSlot, pictures: std::ops::Range<u32>| {
            let seen =
                pictures.filter(|&picture| slot.rewrite(now, &layered(0, picture, picture == 0)).is_some());
            seen.collect::<Vec<_>>()
        };
        assert_eq!(passes(&mut slot, 0..7), [0, 4]);
        slot.set_target(temporal(2));
        // The seventh needs the fifth and the sixth, which did not pass.
        assert_eq!(passes(&mut slot, 7..11), [8, 9, 10]);
        slot.set_target(temporal(0));
        assert_eq!(passes(&mut slot, 11..16), [12]);
    }

    #[test]
    fn another_size_goes_on_with_the_numbers_and_the_former_stays_until_then() {
        let (mut slot, start) = (VideoSlot::new(0, 0), Instant::now());
        slot.show(Some(SourceId(1)));
        let spatial = |spatial| Some(Layer { spatial, temporal: 2 });
        slot.set_target(spatial(2));
        // The smallest may come first.
        assert_eq!(ids(slot.rewrite(start, &layered(0, 0, true))), Some((0, 0, 0)));
        assert!(slot.needs_keyframe());
        assert_eq!(
            slot.rewrite(start, &layered(1, 400, true)),
            None,
            "neither what is shown nor what is wanted"
        );
        assert_eq!(slot.rewrite(start, &layered(2, 801, false)), None);
        assert_eq!(ids(slot.rewrite(start, &layered(0, 1, false))), Some((1, 1, 0)));
        assert_eq!(ids(slot.rewrite(start, &layered(2, 804, true))), Some((2, 2, 1)));
        assert!(!slot.needs_keyframe());
        assert_eq!(slot.rewrite(start, &layered(0, 2, false)), None);
        assert_eq!(ids(slot.rewrite(start, &layered(2, 805, false))), Some((3, 3, 1)));
        // Down again: until the keyframe as few of the large ones as can be.
        slot.set_target(spatial(0));
        assert_eq!(slot.rewrite(start, &layered(2, 806, false)), None);
        assert_eq!(slot.rewrite(start, &layered(2, 807, false)), None);
        assert_eq!(ids(slot.rewrite(start, &layered(2, 808, false))), Some((4, 4, 2)));
        // The large ones' own keyframe, which comes first, would only be in the way.
        assert_eq!(slot.rewrite(start, &layered(2, 812, true)), None);
        assert_eq!(slot.rewrite(start, &layered(2, 816, false)), None);
        assert_eq!(ids(slot.rewrite(start, &layered(0, 12, true))), Some((5, 5, 3)));
        assert!(!slot.needs_keyframe());
    }

    #[test]
    fn what_is_paused_comes_back_with_a_keyframe() {
        let (mut slot, now) = (VideoSlot::new(0, 0), Instant::now());
        slot.show(Some(SourceId(1)));
        assert!(slot.rewrite(now, &layered(0, 0, true)).is_some());
        slot.set_target(None);
        assert!(!slot.needs_keyframe());
        assert_eq!(
            (slot.rewrite(now, &layered(0, 1, false)), slot.rewrite(now, &layered(0, 4, true))),
            (None, None)
        );
        slot.set_target(Some(Layer::MAX));
        assert!(slot.needs_keyframe());
        assert_eq!(slot.rewrite(now, &layered(0, 5, false)), None);
        assert_eq!(ids(slot.rewrite(now, &layered(0, 8, true))), Some((1, 1, 1)));
    }

    #[test]
    fn scalable_pictures_end_with_the_largest_that_passes() {
        let (mut slot, now) = (VideoSlot::new(0, 0), Instant::now());
        slot.show(Some(SourceId(1)));
        slot.set_target(Some(Layer { spatial: 1, temporal: 0 }));
        // Three sizes of a picture, a packet each.
        let scalable = |seq: u64| {
            let spatial = (seq % 3) as u8;
            let layer = Layer { spatial, temporal: 0 };
            let part = Part { layer, ends_frame: true, ..Part::default() };
            let one = packet(1, seq, (seq / 3) as u32 * 3_000, seq.is_multiple_of(9) && spatial == 0);
            VideoPacket { marker: spatial == 2, part, ..one }
        };
        let pass = |slot: &mut VideoSlot, seq| {
            slot.rewrite(now, &scalable(seq)).map(|it| (it.rtp.seq, it.rtp.marker))
        };
        let three = |slot: &mut VideoSlot, seq| [seq, seq + 1, seq + 2].map(|seq| pass(slot, seq));
        assert_eq!(three(&mut slot, 0), [Some((0, false)), Some((1, true)), None]);
        assert_eq!(three(&mut slot, 3), [Some((2, false)), Some((3, true)), None]);
        slot.set_target(Some(Layer { spatial: 2, temporal: 0 }));
        assert!(slot.needs_keyframe(), "larger ones need what did not pass");
        assert_eq!(three(&mut slot, 6), [Some((4, false)), Some((5, true)), None]);
        assert_eq!(three(&mut slot, 9), [Some((6, false)), Some((7, false)), Some((8, true))]);
        slot.set_target(Some(Layer::default()));
        assert_eq!(three(&mut slot, 12), [Some((9, true)), None, None], "smaller ones do not");
    }
}
