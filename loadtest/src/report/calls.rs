//! Figures of phones: what they heard, and what a call costs beside its floor.

use std::fmt;

use audio_mixer::Codec;
use serde::Serialize;

use super::figures::{Distribution, JoinFigures};
use super::promises::Promise;
use super::table::{Maybe, line};
use crate::StreamTotals;
use crate::counts::millis;
use crate::floor::{CallFloor, PACKETS_A_SECOND};
use crate::phones::HeardSound;
use crate::run::MeasuredCalls;

/// Listening calls that a core has to hold.
const CALLS_A_CORE_MIN: f64 = 500.0;

/// What many calls may cost beside the mixing of one and what the others receive, send and encode, as a factor.
const OVER_SHARED_MAX: f64 = 1.2;

/// Of fewer calls what is shared is too large a part of each.
const CALLS_JUDGED_MIN: usize = 100;

/// Of all frames that a phone heard, so many have sound where somebody talks.
const SOUND_PERCENT_MIN: f64 = 40.0;

/// Calls in the window.
#[derive(Clone, Debug, Serialize)]
pub(super) struct CallFigures {
    pub(super) codec: &'static str,
    /// From the INVITE to the answer.
    pub(super) answered: JoinFigures,
    /// Calls that ended before we hung up.
    pub(super) lost: u64,
    /// Why the first of them did.
    pub(super) first_lost_by: Option<String>,
    /// RTP to the server, and from it.
    pub(super) packets_in: u64,
    pub(super) packets_out: u64,
    pub(super) packets_out_per_second: f64,
    /// Of the phone that received the fewest.
    pub(super) packets_of_a_phone_min: Option<u64>,
    /// By their sequence numbers.
    pub(super) streams: StreamTotals,
    /// Packets that didn't come, those that the tester's own sockets dropped, and the others.
    pub(super) packets_lost: u64,
    pub(super) dropped_by_tester: u64,
    pub(super) lost_by_server: u64,
    pub(super) sends_failed: u64,
    /// By how much packets in a row came closer or further apart than their timestamps are.
    pub(super) jitter: Distribution,
    /// How late the tester sent.
    pub(super) send_lag_p99_ms: Option<f64>,
    pub(super) sound: SoundFigures,
    /// Absent without the server's process id.
    pub(super) cost: Option<CallCost>,
    /// Halfway between that before and that after; absent where it wasn't measured.
    pub(super) floor: Option<CallFloor>,
}

/// What the phones heard that decode.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SoundFigures {
    pub(super) phones: u64,
    /// Of frames of 20 ms.
    pub(super) with_sound_percent: Option<f64>,
    /// Those that heard nothing for over two seconds.
    pub(super) interrupted: u64,
    pub(super) longest_pause_ms: f64,
}

/// CPU time of the server.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct CallCost {
    /// In percent of a CPU, before anybody called, with one call and with all.
    pub(super) room_cpu_percent: f64,
    pub(super) one_cpu_percent: f64,
    pub(super) all_cpu_percent: f64,
    /// What the first call adds, in µs a second: for it alone the room is mixed.
    pub(super) first_us_per_second: f64,
    /// What a further one adds; absent where there is none.
    pub(super) added_us_per_second: Option<f64>,
    /// What one costs, of all.
    pub(super) us_per_second: f64,
    /// The same of a packet sent, and one received with it.
    pub(super) us_per_packet: f64,
    /// So many would fill a CPU.
    pub(super) calls_a_core: f64,
    /// As a multiple of what RTP and the codec, both ways, cost at least.
    pub(super) over_floor: Option<f64>,
    /// All calls, as a multiple of the first one and of what RTP and the encoding of the others cost at least.
    pub(super) over_shared: Option<f64>,
}

impl CallFigures {
    pub(super) fn new(measured: MeasuredCalls, codec: Codec, seconds: f64) -> CallFigures {
        let MeasuredCalls { outcomes, room_cpu, one_cpu, all_cpu, lost, counts, floors } = measured;
        let floor = floors.map(|(before, after)| before.mean(after));
        let calls = outcomes.times.len();
        let shares = room_cpu.zip(one_cpu).zip(all_cpu).filter(|_| calls > 0);
        let cost = shares.map(|((room, one), all)| CallCost::new(room, one, all, calls, floor));
        let packets_lost = counts.streams.lost();
        CallFigures {
            codec: codec.encoding_name(),
            answered: JoinFigures::new(outcomes),
            lost: lost.calls,
            first_lost_by: lost.first_reason,
            packets_in: counts.packets_in,
            packets_out: counts.packets_out,
            packets_out_per_second: counts.packets_out as f64 / seconds.max(1e-9),
            packets_of_a_phone_min: counts.packets_of_a_phone_min,
            streams: counts.streams,
            packets_lost,
            dropped_by_tester: counts.dropped_here,
            lost_by_server: packets_lost.saturating_sub(counts.dropped_here),
            sends_failed: counts.sends_failed,
            jitter: Distribution::new(&counts.jitter),
            send_lag_p99_ms: counts.send_lag.percentile(99.0).map(millis),
            sound: SoundFigures::new(&counts.heard),
            cost,
            floor,
        }
    }

    /// The verdicts on what is promised to phones.
    pub(super) fn promises(&self) -> Vec<Promise> {
        let mut promises = Vec::new();
        let mut judge =
            |promise, kept: Option<bool>, because| promises.push(Promise { promise, kept, because });
        let JoinFigures { succeeded, failed, .. } = self.answered;
        judge("every call answered", Some(failed == 0), format!("{succeeded} of {}", succeeded + failed));
        judge("no call lost", Some(self.lost == 0), format!("{} of {succeeded}", self.lost));
        let kept = match (self.packets_lost, self.dropped_by_tester) {
            (0, _) => Some(self.streams.received > 0),
            (_, 0) => Some(false),
            _ => None,
        };
        let because = format!(
            "{} lost of {}, the tester dropped {}; the fewest of a phone are {}",
            self.packets_lost,
            self.streams.expected,
            self.dropped_by_tester,
            self.packets_of_a_phone_min.unwrap_or(0)
        );
        judge("no loss to phones", kept, because);
        if let Some(percent) = self.sound.with_sound_percent {
            let because = format!(
                "{percent:.0} % of the time, to {} phones; the longest pause was {:.2} s",
                self.sound.phones,
                self.sound.longest_pause_ms / 1e3
            );
            let is_kept = percent >= SOUND_PERCENT_MIN && self.sound.interrupted == 0;
            judge("phones hear who talks", Some(is_kept), because);
        }
        if let Some(cost) = self.cost.filter(|_| succeeded >= CALLS_JUDGED_MIN) {
            let because = format!("{:.0} by what {succeeded} cost", cost.calls_a_core);
            judge("500 calls on a core", Some(cost.calls_a_core >= CALLS_A_CORE_MIN), because);
            if let Some(ratio) = cost.over_shared {
                let because =
                    format!("{ratio:.2} times the mixing of one, and RTP and encoding of the others");
                judge("listeners share the mixing", Some(ratio <= OVER_SHARED_MAX), because);
            }
        }
        promises
    }
}

impl SoundFigures {
    fn new(heard: &HeardSound) -> SoundFigures {
        SoundFigures {
            phones: heard.phones,
            with_sound_percent: (heard.frames > 0)
                .then(|| heard.with_sound as f64 * 100.0 / heard.frames as f64),
            interrupted: heard.interrupted,
            longest_pause_ms: millis(heard.longest_pause),
        }
    }
}

impl CallCost {
    /// The first three are parts of a CPU.
    fn new(room: f64, one: f64, all: f64, calls: usize, floor: Option<CallFloor>) -> CallCost {
        let us = |share: f64| (share * 1e6).max(0.0);
        let (count, others) = (calls as f64, (calls - 1) as f64);
        let (first_us, all_us) = (us(one - room), us(all - room));
        let us_per_second = all_us / count;
        let shared = floor.map(|floor| first_us + others * floor.rtp_and_encode_us_per_second());
        CallCost {
            room_cpu_percent: room * 100.0,
            one_cpu_percent: one * 100.0,
            all_cpu_percent: all * 100.0,
            first_us_per_second: first_us,
            added_us_per_second: (calls > 1).then(|| us(all - one) / others),
            us_per_second,
            us_per_packet: us_per_second / PACKETS_A_SECOND,
            calls_a_core: 1e6 / us_per_second.max(1e-9),
            over_floor: floor.map(|floor| us_per_second / floor.us_per_second()),
            over_shared: shared.filter(|_| calls > 1).map(|shared| all_us / shared),
        }
    }
}

impl CallFigures {
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CallFigures { codec, lost, answered, packets_in, packets_out, .. } = self;
        line(f, "calls", format_args!("{codec}, {lost} lost; {answered}"))?;
        let per_second = self.packets_out_per_second;
        line(
            f,
            "phones' RTP",
            format_args!("{packets_in} in, {packets_out} out, {per_second:.0} out a second"),
        )?;
        line(f, "jitter", &self.jitter)?;
        if let Some(CallCost { us_per_second, us_per_packet, calls_a_core, .. }) = self.cost {
            let text = format_args!(
                "{us_per_second:.0} µs a second, {us_per_packet:.1} a packet out and one in: {calls_a_core:.0} on a core"
            );
            line(f, "a call", text)?;
        }
        if let Some(CallCost { first_us_per_second, added_us_per_second, room_cpu_percent, .. }) = self.cost {
            let added = Maybe(added_us_per_second);
            let text = format_args!(
                "the first {first_us_per_second:.0} µs a second, each after it {added}; the room alone {room_cpu_percent:.1} % of a CPU"
            );
            line(f, "", text)?;
        }
        if let Some(floor) = &self.floor {
            let ratio = Maybe(self.cost.and_then(|cost| cost.over_floor));
            let us = floor.us_per_second();
            line(
                f,
                "its floor",
                format_args!("{us:.0} µs a second: {floor}; the cost is {ratio} times that"),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::phones::{CallCounts, Lost};
    use crate::run::Outcomes;

    const FLOOR: CallFloor =
        CallFloor { receive_ns: 1_000.0, send_ns: 4_000.0, decode_ns: 2_000.0, encode_ns: 1_000.0 };

    fn measured(calls: usize) -> MeasuredCalls {
        let received = calls as u64 * 500;
        let mut counts = CallCounts { phones: calls as u64, packets_out: received, ..CallCounts::default() };
        counts.streams = StreamTotals { expected: received, received, ..StreamTotals::default() };
        counts.heard = HeardSound { phones: 16, frames: 8_000, with_sound: 6_000, ..HeardSound::default() };
        let times = vec![Duration::from_millis(9); calls];
        MeasuredCalls {
            outcomes: Outcomes { times, elapsed: Duration::from_secs(5), ..Outcomes::default() },
            room_cpu: Some(0.05),
            one_cpu: Some(0.06),
            all_cpu: Some(0.17),
            lost: Lost::default(),
            counts,
            floors: Some((FLOOR, FLOOR)),
        }
    }

    fn verdict(figures: &CallFigures, name: &str) -> Option<bool> {
        figures.promises().into_iter().find(|it| it.promise == name).and_then(|it| it.kept)
    }

    #[test]
    fn what_calls_add_is_shared_out_and_held_against_the_floor() {
        let figures = CallFigures::new(measured(200), Codec::Pcmu, 10.0);
        let cost = figures.cost.unwrap();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6 * b, "{a} is not {b}");
        near(cost.first_us_per_second, 10_000.0);
        near(cost.us_per_second, 600.0);
        near(cost.us_per_packet, 12.0);
        near(cost.added_us_per_second.unwrap(), 110_000.0 / 199.0);
        near(cost.calls_a_core, 1e6 / 600.0);
        near(cost.over_floor.unwrap(), 600.0 / 400.0);
        // 120 ms a second, beside 10 of the first and 0.3 of each of the others.
        near(cost.over_shared.unwrap(), 120_000.0 / (10_000.0 + 199.0 * 300.0));
        assert_eq!(verdict(&figures, "500 calls on a core"), Some(true));
        assert_eq!(verdict(&figures, "listeners share the mixing"), Some(false));
        assert_eq!(verdict(&figures, "phones hear who talks"), Some(true));
    }

    #[test]
    fn one_call_costs_what_the_first_does_and_is_no_measure_of_many() {
        let figures = CallFigures::new(measured(1), Codec::Pcmu, 10.0);
        let cost = figures.cost.unwrap();
        assert_eq!((cost.added_us_per_second, cost.over_shared), (None, None));
        assert_eq!(verdict(&figures, "500 calls on a core"), None);
        assert_eq!(verdict(&figures, "no loss to phones"), Some(true));
    }

    #[test]
    fn loss_and_silence_are_told() {
        let mut lossy = measured(200);
        lossy.counts.streams.received -= 3;
        lossy.counts.heard.interrupted = 1;
        lossy.lost.calls = 2;
        lossy.outcomes.errors.push("503".to_owned());
        let figures = CallFigures::new(lossy, Codec::Pcmu, 10.0);
        for name in ["every call answered", "no call lost", "no loss to phones", "phones hear who talks"] {
            assert_eq!(verdict(&figures, name), Some(false), "{name}");
        }
        let mut dropped = measured(200);
        dropped.counts.streams.received -= 3;
        dropped.counts.dropped_here = 3;
        assert_eq!(verdict(&CallFigures::new(dropped, Codec::Pcmu, 10.0), "no loss to phones"), None);
    }
}
