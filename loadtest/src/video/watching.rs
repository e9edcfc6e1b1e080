//! A viewer's slots: whom the server says that they show, and what comes in them, in; counts out.

use std::time::{Duration, Instant};

use super::PictureCounts;
use super::continuity::{Begins, Continuity, Faults, Packet};
use super::counts::SLOTS_MAX;
use crate::ReceivedPacket;

/// Somebody who isn't seen so long after the message isn't seen.
const UNSEEN_AFTER: Duration = Duration::from_secs(2);
/// So long after a change a slot has the size that it is to have: sizes that rested begin anew.
const SETTLED_AFTER: Duration = Duration::from_secs(3);
/// A picture that stands still for longer is a fault.
pub(crate) const FREEZE_MAX: Duration = Duration::from_secs(1);
/// How high slots are drawn: the first large, the others small.
pub(crate) const LARGE: u16 = 720;
pub(crate) const SMALL: u16 = 180;

/// How high a slot is drawn.
pub(crate) fn height_of(slot: usize) -> u16 {
    if slot == 0 { LARGE } else { SMALL }
}

/// One viewer.
#[derive(Clone, Debug)]
pub(crate) struct Watching {
    /// The source of their own camera.
    own: Option<u32>,
    slots: [Slot; SLOTS_MAX],
    since: Instant,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    /// Whom it is to show, and since when.
    wanted: Option<(u32, Instant)>,
    /// Whom before.
    former: Option<u32>,
    /// It has not shown them yet; nor in the size that was asked for.
    is_due: bool,
    is_blurred: bool,
    shown: Option<u32>,
    height: u16,
    continuity: Continuity,
    /// Of a time of the same picture: when its newest frame began, and the longest pause.
    frame_at: Option<Instant>,
    longest_pause: Duration,
    frames: u64,
}

impl Watching {
    pub(crate) fn new(now: Instant) -> Watching {
        Watching { own: None, slots: Default::default(), since: now }
    }

    /// Their own camera has this source.
    pub(crate) fn is_source(&mut self, source: u32) {
        self.own = Some(source);
    }

    /// The server says whom the slots show.
    pub(crate) fn shows(&mut self, at: Instant, sources: &[Option<u32>], counts: &mut PictureCounts) {
        for (number, (slot, source)) in self.slots.iter_mut().zip(sources).enumerate() {
            if slot.wanted.map(|(wanted, _)| wanted) != *source {
                slot.change(at, *source, number == 0, counts);
            }
        }
    }

    /// A packet came in a slot.
    pub(crate) fn note(
        &mut self,
        number: usize,
        packet: &ReceivedPacket,
        at: Instant,
        counts: &mut PictureCounts,
    ) {
        let (Some(slot), Some(totals)) = (self.slots.get_mut(number), counts.slots.get_mut(number)) else {
            return;
        };
        // Padding shows nothing.
        if packet.payload.is_empty() {
            return;
        }
        totals.packets += 1;
        totals.bytes += packet.payload.len() as u64;
        let source = packet.csrc.first().copied();
        counts.own += u64::from(source.is_some() && source == self.own);
        let wanted = slot.wanted.map(|(wanted, _)| wanted);
        // The message and the packets go different ways: what is new in the slot may come before it is said.
        let is_known =
            source.is_some() && (source == wanted || source == slot.former || source == slot.shown);
        let begins = slot.continuity.note(Packet {
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
            source: source.unwrap_or(0),
            payload: &packet.payload,
        });
        counts.foreign += u64::from(!is_known && !matches!(begins, Begins::Keyframe(_)));
        match begins {
            Begins::Nothing => return,
            Begins::Frame => {}
            Begins::Keyframe(height) => {
                totals.keyframes += 1;
                slot.height = height;
                slot.shown = source;
                slot.seen(at, height, counts);
            }
        }
        let totals = &mut counts.slots[number];
        totals.frames += 1;
        slot.frames += 1;
        if let Some(former) = slot.frame_at.replace(at) {
            slot.longest_pause = slot.longest_pause.max(at.saturating_duration_since(former));
        }
        if slot.wanted.is_some_and(|(_, since)| at.saturating_duration_since(since) > SETTLED_AFTER) {
            *totals.heights.entry(slot.height).or_default() += 1;
        }
    }

    /// A window begins. What goes on isn't forgotten.
    pub(crate) fn start_counting(&mut self, now: Instant) {
        self.since = now;
        for slot in &mut self.slots {
            (slot.continuity.faults, slot.continuity.cut_short) = (Faults::default(), 0);
            (slot.longest_pause, slot.frames) = (Duration::ZERO, 0);
            // Those who were to be seen before are not held against the window.
            (slot.is_due, slot.is_blurred) = (false, false);
            slot.frame_at = slot.frame_at.map(|_| now);
        }
    }

    /// Adds what was counted here.
    pub(crate) fn finish(&self, now: Instant, counts: &mut PictureCounts) {
        let (mut watched, mut seen) = (0, 0);
        for (slot, totals) in self.slots.iter().zip(&mut counts.slots) {
            counts.faults += slot.continuity.faults;
            counts.cut_short += slot.continuity.cut_short;
            totals.in_use += u64::from(slot.frames > 0);
            let Some((_, since)) = slot.wanted else { continue };
            counts.unseen += u64::from(slot.is_due && now.saturating_duration_since(since) > UNSEEN_AFTER);
            if now.saturating_duration_since(since) < UNSEEN_AFTER && slot.frames == 0 {
                continue;
            }
            watched += 1;
            seen += u64::from(slot.frames > 0);
            let newest = slot.frame_at.unwrap_or(self.since).max(self.since);
            let longest = slot.longest_pause.max(now.saturating_duration_since(newest));
            counts.frozen += u64::from(longest > FREEZE_MAX);
            counts.longest_freeze = counts.longest_freeze.max(longest);
        }
        counts.viewers += 1;
        counts.watched += watched;
        counts.blind += u64::from(seen == 0);
        counts.partly_blind += u64::from(seen > 0 && seen < watched);
    }
}

impl Slot {
    fn change(&mut self, at: Instant, source: Option<u32>, is_first: bool, counts: &mut PictureCounts) {
        if let Some((_, since)) = self.wanted.filter(|_| self.is_due) {
            counts.unseen += u64::from(at.saturating_duration_since(since) > UNSEEN_AFTER);
        }
        self.former = self.wanted.map(|(wanted, _)| wanted);
        self.wanted = source.map(|source| (source, at));
        (self.is_due, self.is_blurred) = (source.is_some(), source.is_some() && is_first);
        if source.is_some() && self.shown == source {
            // Their keyframe came before the message.
            self.seen(at, self.height, counts);
        }
        if source.is_none() {
            self.frame_at = None;
        }
    }

    /// A keyframe of whoever is `shown` came.
    fn seen(&mut self, at: Instant, height: u16, counts: &mut PictureCounts) {
        let Some((_, since)) = self.wanted.filter(|(wanted, _)| self.shown == Some(*wanted)) else { return };
        let took = at.saturating_duration_since(since);
        if std::mem::take(&mut self.is_due) {
            counts.switches.record(took);
        }
        if self.is_blurred && height >= LARGE {
            self.is_blurred = false;
            counts.sharp.record(took);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Packetizer, sizes};
    use super::*;
    use crate::MediaStream;

    struct Viewer {
        watching: Watching,
        counts: PictureCounts,
        packetizer: Packetizer,
        sequence: u64,
        began: Instant,
    }

    impl Viewer {
        fn new() -> Viewer {
            let began = Instant::now();
            let mut watching = Watching::new(began);
            watching.is_source(1);
            let (counts, packetizer) = (PictureCounts::default(), Packetizer::new(9));
            Viewer { watching, counts, packetizer, sequence: 0, began }
        }

        fn at(&self, ms: u64) -> Instant {
            self.began + Duration::from_millis(ms)
        }

        fn is_told(&mut self, ms: u64, sources: &[Option<u32>]) {
            self.watching.shows(self.at(ms), sources, &mut self.counts);
        }

        /// Frames in the first slot, from a keyframe on.
        fn gets(&mut self, source: u32, size: usize, from_ms: u64, frames: u64) {
            let mut place = 0;
            for ms in (0..frames).map(|number| from_ms + number * 33) {
                let (frame, layers) = sizes()[size].frame(place);
                place = sizes()[size].after(place);
                let payloads = self.packetizer.packetize(frame, layers);
                let last = payloads.len() - 1;
                for (number, payload) in payloads.into_iter().enumerate() {
                    self.sequence += 1;
                    let packet = self.packet(source, ms, number == last, payload);
                    self.watching.note(0, &packet, self.at(ms), &mut self.counts);
                }
            }
        }

        fn packet(&self, source: u32, ms: u64, marker: bool, payload: Arc<[u8]>) -> ReceivedPacket {
            ReceivedPacket {
                mid: MediaStream::from("v"),
                ssrc: 7,
                sequence: self.sequence,
                timestamp: (ms * 90) as u32,
                marker,
                payload_type: 96,
                csrc: vec![source],
                level_dbov: None,
                voice: None,
                payload,
                is_red: false,
                received: self.at(ms),
            }
        }

        fn finish(&self, ms: u64) -> PictureCounts {
            let mut counts = self.counts.clone();
            self.watching.finish(self.at(ms), &mut counts);
            counts
        }
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_switch_takes_from_the_message_to_the_keyframe_and_on_to_the_large_one() {
        let mut viewer = Viewer::new();
        viewer.is_told(0, &[Some(2)]);
        viewer.gets(2, 0, 100, 10);
        viewer.gets(2, 2, 450, 150);
        let counts = viewer.finish(5_500);
        assert_eq!((counts.switches.max(), counts.sharp.max()), (ms(100), ms(450)));
        assert_eq!((counts.faults.total(), counts.foreign, counts.unseen), (0, 0, 0));
        let heights: Vec<_> = counts.slots[0].heights.keys().copied().collect();
        assert_eq!(heights, [720], "of what came three seconds after the change");
        assert_eq!((counts.watched, counts.blind, counts.frozen), (1, 0, 0));
    }

    #[test]
    fn a_keyframe_that_is_faster_than_the_message_took_no_time() {
        let mut viewer = Viewer::new();
        viewer.is_told(0, &[Some(2)]);
        viewer.gets(2, 2, 10, 5);
        viewer.gets(3, 2, 300, 5);
        viewer.is_told(302, &[Some(3)]);
        let counts = viewer.finish(700);
        assert_eq!((counts.switches.count(), counts.switches.max()), (2, ms(10)));
        assert_eq!(counts.foreign, 0);
    }

    #[test]
    fn somebody_who_is_not_shown_is_unseen_and_the_viewer_blind() {
        let mut viewer = Viewer::new();
        viewer.is_told(0, &[Some(2), None]);
        let counts = viewer.finish(2_500);
        assert_eq!((counts.unseen, counts.blind, counts.frozen), (1, 1, 1));
        viewer.gets(2, 0, 2_600, 3);
        viewer.is_told(2_700, &[Some(3), Some(2)]);
        viewer.is_told(4_800, &[None, None]);
        assert_eq!(viewer.finish(5_000).unseen, 2);
    }

    #[test]
    fn ones_own_picture_is_noticed_and_one_that_stands_still() {
        let mut viewer = Viewer::new();
        viewer.is_told(0, &[Some(1)]);
        viewer.gets(1, 0, 0, 3);
        viewer.gets(1, 0, 1_400, 3);
        let counts = viewer.finish(1_500);
        assert!(counts.own > 0);
        assert_eq!((counts.frozen, counts.longest_freeze), (1, ms(1_334)));
    }

    #[test]
    fn a_window_begins_without_what_was_before() {
        let mut viewer = Viewer::new();
        viewer.is_told(0, &[Some(2)]);
        viewer.gets(2, 2, 10, 3);
        viewer.counts = PictureCounts::default();
        viewer.watching.start_counting(viewer.at(5_000));
        let counts = viewer.finish(5_500);
        assert_eq!((counts.switches.count(), counts.unseen, counts.frozen), (0, 0, 0));
    }
}
