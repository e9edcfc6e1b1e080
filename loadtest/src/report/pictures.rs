//! Figures of pictures: what viewers saw in their slots, and what a larger meeting would cost.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::figures::{Distribution, MediaFigures, ServerFigures};
use super::promises::Promise;
use super::table::{Maybe, line};
use crate::counts::millis;
use crate::video::{FREEZE_MAX, Faults, LARGE, PictureCounts, SMALL, SlotCounts};

/// Another picture is there after so long, 95th percentile.
const SWITCH_MS_MAX: f64 = 700.0;
/// Of the frames of slots that have shown the same for a while, so many have the size that was asked for.
const SIZE_PERCENT_MIN: f64 = 99.0;

/// What LiveKit publishes of its large meeting (docs.livekit.io, self-hosting, benchmarks): packets from its server a second, to 150
/// subscribers of 150 cameras; and the CPUs of its machine, which were used to so much.
const LIVEKIT_PACKETS_OUT_PER_SECOND: f64 = 762_749.0;
const LIVEKIT_CPUS: f64 = 16.0;
const LIVEKIT_CPU_SHARE: f64 = 0.85;
const LIVEKIT_PUBLISHERS: u32 = 150;
const LIVEKIT_SUBSCRIBERS: u32 = 150;

/// What the viewers saw, all of them together.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PictureFigures {
    pub(super) viewers: u64,
    /// Those who saw nobody; those who didn't see all whom the server said that they see.
    pub(super) blind: u64,
    pub(super) partly_blind: u64,
    /// Of one viewer, of the first slot and of another one.
    pub(super) first_slot: SlotFigures,
    pub(super) other_slots: SlotFigures,
    pub(super) faults: Faults,
    pub(super) faults_total: u64,
    /// Frames that a switch cut short, which a decoder passes over.
    pub(super) cut_short: u64,
    /// Packets of the viewer's own camera.
    pub(super) own: u64,
    /// Packets of somebody whom the slot wasn't said to show.
    pub(super) foreign: u64,
    /// From the message that says whom a slot shows to the first packet of their keyframe.
    pub(super) switch: Distribution,
    /// The same in the first slot, to the first packet of a large keyframe.
    pub(super) switch_to_large: Distribution,
    /// Slots that didn't show whom they were said to for two seconds.
    pub(super) unseen: u64,
    /// Slots that showed somebody, those of them that stood still for over a second, and the longest of these times.
    pub(super) slots_watched: u64,
    pub(super) frozen: u64,
    pub(super) longest_freeze_ms: f64,
    /// Keyframes that the cameras sent because they were asked for, and frames of sizes that nobody wanted.
    pub(super) keyframes_sent: u64,
    pub(super) frames_rested: u64,
    /// Absent without the server's process id.
    pub(super) simulated: Option<SimulatedMeeting>,
}

/// Of a slot of a viewer, on average.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SlotFigures {
    /// How many showed somebody, of all viewers.
    pub(super) slots: u64,
    pub(super) packets: u64,
    pub(super) frames: u64,
    pub(super) kbps: f64,
    pub(super) frames_per_second: f64,
    pub(super) keyframes: u64,
    /// Frames by their height, where the slot has shown the same for three seconds.
    pub(super) heights: BTreeMap<u16, u64>,
    /// Of these, those of the height that was asked for.
    pub(super) right_height_percent: Option<f64>,
}

/// A meeting of LiveKit's size, worked out by what a packet and a viewer took in this run. It was not measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct SimulatedMeeting {
    pub(super) publishers: u32,
    pub(super) subscribers: u32,
    /// What LiveKit's server sends by its own account, what that would take here, and what it takes of LiveKit's machine.
    pub(super) livekit_packets_out_per_second: f64,
    pub(super) cpus_for_as_many_packets: f64,
    pub(super) livekit_cpus: f64,
    /// What a room of ours with so many participants would send, all of whom watch, and what it would take.
    pub(super) our_packets_out_per_second: f64,
    pub(super) cpus_for_our_packets: f64,
}

impl PictureFigures {
    pub(super) fn new(counts: &PictureCounts, seconds: f64) -> PictureFigures {
        let [first, others @ ..] = &counts.slots;
        let others = others.iter().fold(SlotCounts::default(), |mut all, slot| {
            all.merge(slot);
            all
        });
        PictureFigures {
            viewers: counts.viewers,
            blind: counts.blind,
            partly_blind: counts.partly_blind,
            first_slot: SlotFigures::new(first, LARGE, seconds),
            other_slots: SlotFigures::new(&others, SMALL, seconds),
            faults: counts.faults,
            faults_total: counts.faults.total(),
            cut_short: counts.cut_short,
            own: counts.own,
            foreign: counts.foreign,
            switch: Distribution::new(&counts.switches),
            switch_to_large: Distribution::new(&counts.sharp),
            unseen: counts.unseen,
            slots_watched: counts.watched,
            frozen: counts.frozen,
            longest_freeze_ms: millis(counts.longest_freeze),
            keyframes_sent: counts.keyframes_sent,
            frames_rested: counts.frames_rested,
            simulated: None,
        }
    }

    /// Works out what a larger meeting would cost.
    pub(super) fn simulate(&mut self, media: &MediaFigures, server: Option<&ServerFigures>) {
        let ns = server.and_then(|server| server.ns_per_packet_out).filter(|_| self.viewers > 0);
        self.simulated = ns.map(|ns| {
            let of_a_viewer = media.packets_out_per_second / self.viewers as f64;
            SimulatedMeeting::new(ns, of_a_viewer)
        });
    }

    /// The verdicts on what is promised to viewers. Where the tester dropped datagrams, or sent late, some can't be told.
    pub(super) fn promises(&self, tester_dropped: u64, is_starved: bool) -> Vec<Promise> {
        let mut promises = Vec::new();
        let mut judge =
            |promise, kept: Option<bool>, because| promises.push(Promise { promise, kept, because });
        let frames = self.first_slot.frames + self.other_slots.frames;
        let is_whole = self.faults_total == 0 && frames > 0;
        let kept = (is_whole || tester_dropped == 0).then_some(is_whole);
        judge("pictures without a gap", kept, format!("{}", self.faults));
        let PictureFigures { viewers, blind, partly_blind, unseen, .. } = self;
        let because = format!(
            "{blind} of {viewers} see nobody, {partly_blind} not all; {unseen} times nobody for over 2 s"
        );
        let sees = *viewers > 0 && blind + partly_blind + unseen == 0;
        judge("everybody sees somebody", (sees || !is_starved).then_some(sees), because);
        let because = format!("{} packets, {} of strangers", self.own, self.foreign);
        judge("nobody sees themselves", Some(self.own + self.foreign == 0), because);
        for (promise, slots) in
            [("the first slot is large", &self.first_slot), ("the others are small", &self.other_slots)]
        {
            if let Some(percent) = slots.right_height_percent {
                let because = format!("{percent:.1} % of frames; {}", heights(&slots.heights));
                let is_kept = percent >= SIZE_PERCENT_MIN;
                // What a network takes is told by when packets come, and a starved tester is wrong about that.
                judge(promise, (is_kept || !is_starved).then_some(is_kept), because);
            }
        }
        if let Some(p95_ms) = self.switch.p95_ms {
            let is_fast = p95_ms <= SWITCH_MS_MAX;
            let because = format!("p95 {p95_ms:.0} ms of {}", self.switch.samples);
            judge("another picture in 700 ms", (is_fast || !is_starved).then_some(is_fast), because);
        }
        let goes_on = self.frozen == 0;
        let because = format!(
            "{} of {} stood still for over {} s, the longest for {:.2} s",
            self.frozen,
            self.slots_watched,
            FREEZE_MAX.as_secs(),
            self.longest_freeze_ms / 1e3
        );
        judge("pictures move", (goes_on || !is_starved).then_some(goes_on), because);
        promises
    }

    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "first slot", &self.first_slot)?;
        line(f, "other slots", &self.other_slots)?;
        line(f, "picture after", &self.switch)?;
        line(f, "large after", &self.switch_to_large)?;
        let PictureFigures { cut_short, keyframes_sent, frames_rested, .. } = self;
        line(f, "cut short", format_args!("{cut_short} frames, by the keyframe of another source or size"))?;
        line(
            f,
            "cameras",
            format_args!("{keyframes_sent} keyframes asked for; {frames_rested} frames of sizes that rested"),
        )
    }
}

impl SlotFigures {
    fn new(counts: &SlotCounts, wanted_height: u16, seconds: f64) -> SlotFigures {
        let of_each = |count: f64| count / seconds.max(1e-9) / counts.in_use.max(1) as f64;
        let judged: u64 = counts.heights.values().sum();
        let right = counts.heights.get(&wanted_height).copied().unwrap_or(0);
        SlotFigures {
            slots: counts.in_use,
            packets: counts.packets,
            frames: counts.frames,
            kbps: of_each(counts.bytes as f64 * 8.0 / 1e3),
            frames_per_second: of_each(counts.frames as f64),
            keyframes: counts.keyframes,
            heights: counts.heights.clone(),
            right_height_percent: (judged > 0).then(|| right as f64 * 100.0 / judged as f64),
        }
    }
}

impl SimulatedMeeting {
    fn new(ns_per_packet: f64, packets_of_a_viewer: f64) -> SimulatedMeeting {
        let cpus = |packets: f64| packets * ns_per_packet / 1e9;
        let ours = packets_of_a_viewer * f64::from(LIVEKIT_PUBLISHERS + LIVEKIT_SUBSCRIBERS);
        SimulatedMeeting {
            publishers: LIVEKIT_PUBLISHERS,
            subscribers: LIVEKIT_SUBSCRIBERS,
            livekit_packets_out_per_second: LIVEKIT_PACKETS_OUT_PER_SECOND,
            cpus_for_as_many_packets: cpus(LIVEKIT_PACKETS_OUT_PER_SECOND),
            livekit_cpus: LIVEKIT_CPUS * LIVEKIT_CPU_SHARE,
            our_packets_out_per_second: ours,
            cpus_for_our_packets: cpus(ours),
        }
    }

    /// Not measured: it stands apart from what was.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SimulatedMeeting { publishers, subscribers, livekit_packets_out_per_second: theirs, .. } = self;
        line(
            f,
            "simulated",
            format_args!(
                "{publishers} x {subscribers}, worked out by this run's cost a packet, not measured:"
            ),
        )?;
        let (cpus, livekit) = (self.cpus_for_as_many_packets, self.livekit_cpus);
        line(
            f,
            "",
            format_args!(
                "LiveKit's {theirs:.0} packets out a second would take {cpus:.1} CPUs here; of its machine's they take {livekit:.1}"
            ),
        )?;
        let (packets, cpus) = (self.our_packets_out_per_second, self.cpus_for_our_packets);
        line(
            f,
            "",
            format_args!("with slots such a room is sent {packets:.0} packets a second: {cpus:.1} CPUs"),
        )
    }
}

impl fmt::Display for SlotFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SlotFigures { slots, packets, kbps, frames_per_second, keyframes, .. } = self;
        write!(
            f,
            "{slots}: {kbps:.0} kbit/s and {frames_per_second:.1} frames a second each, {packets} packets, {keyframes} keyframes; {}",
            heights(&self.heights)
        )
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Faults { missing, late, unreadable, incomplete, picture_ids, tl0, timestamps, undecodable } =
            self;
        write!(
            f,
            "{missing} packets missing, {late} late, {unreadable} unreadable; frames: {incomplete} in part, {undecodable} without what \
             they need; numbers: {picture_ids} PictureID, {tl0} TL0PICIDX, {timestamps} time"
        )
    }
}

fn heights(heights: &BTreeMap<u16, u64>) -> String {
    let total: u64 = heights.values().sum();
    let percent = |frames: &u64| Maybe(Some(*frames as f64 * 100.0 / total.max(1) as f64));
    let each = heights.iter().map(|(height, frames)| format!("{height}p {} %", percent(frames)));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> PictureCounts {
        let mut counts = PictureCounts { viewers: 4, watched: 8, ..PictureCounts::default() };
        for (slot, height) in [(0, LARGE), (1, SMALL)] {
            let slot = &mut counts.slots[slot];
            (slot.packets, slot.bytes, slot.frames, slot.in_use) = (4_000, 2_000_000, 1_200, 4);
            slot.heights.insert(height, 1_000);
        }
        counts.switches.record(std::time::Duration::from_millis(120));
        counts
    }

    fn verdicts(counts: &PictureCounts, dropped: u64, is_starved: bool) -> Vec<(&'static str, Option<bool>)> {
        let promises = PictureFigures::new(counts, 10.0).promises(dropped, is_starved);
        promises.into_iter().filter(|it| it.kept != Some(true)).map(|it| (it.promise, it.kept)).collect()
    }

    #[test]
    fn a_good_run_keeps_all_promises_and_is_shared_out_over_the_slots() {
        assert_eq!(verdicts(&counts(), 0, false), []);
        let figures = PictureFigures::new(&counts(), 10.0);
        assert_eq!((figures.first_slot.kbps, figures.first_slot.frames_per_second), (400.0, 30.0));
        assert_eq!(figures.other_slots.slots, 4);
    }

    #[test]
    fn every_promise_can_be_broken() {
        let broken = |spoil: fn(&mut PictureCounts)| {
            let mut counts = counts();
            spoil(&mut counts);
            verdicts(&counts, 0, false)
        };
        let no = Some(false);
        assert_eq!(broken(|it| it.faults.tl0 = 1), [("pictures without a gap", no)]);
        assert_eq!(broken(|it| it.blind = 1), [("everybody sees somebody", no)]);
        assert_eq!(broken(|it| it.partly_blind = 1), [("everybody sees somebody", no)]);
        assert_eq!(broken(|it| it.own = 1), [("nobody sees themselves", no)]);
        let blurred: fn(&mut PictureCounts) = |it| _ = it.slots[0].heights.insert(360, 20);
        assert_eq!(broken(blurred), [("the first slot is large", no)]);
        let large: fn(&mut PictureCounts) = |it| _ = it.slots[1].heights.insert(360, 20);
        assert_eq!(broken(large), [("the others are small", no)]);
        let slow: fn(&mut PictureCounts) = |it| it.switches.record(std::time::Duration::from_secs(1));
        assert_eq!(broken(slow), [("another picture in 700 ms", no)]);
        assert_eq!(broken(|it| it.frozen = 1), [("pictures move", no)]);
        assert!(broken(|it| *it = PictureCounts::default()).contains(&("pictures without a gap", no)));
    }

    #[test]
    fn what_the_tester_may_have_spoilt_is_unknown() {
        let mut counts = counts();
        (counts.faults.missing, counts.frozen) = (1, 1);
        let unknown = [("pictures without a gap", None), ("pictures move", None)];
        assert_eq!(verdicts(&counts, 5, true), unknown);
    }

    #[test]
    fn a_larger_meeting_is_worked_out_by_the_packet() {
        let meeting = SimulatedMeeting::new(5_000.0, 500.0);
        assert!((meeting.cpus_for_as_many_packets - 3.81).abs() < 0.01);
        assert!((meeting.livekit_cpus - 13.6).abs() < 1e-9);
        assert_eq!((meeting.our_packets_out_per_second, meeting.cpus_for_our_packets), (150_000.0, 0.75));
    }
}
