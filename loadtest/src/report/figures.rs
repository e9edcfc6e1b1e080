//! Figures: what was counted, with its unit and its share.

use std::time::Duration;

use serde::Serialize;

use crate::counts::{Silences, StreamTotals, millis};
use crate::run::Outcomes;
use crate::{Counts, HeardCounts, Histogram, ProcessSample};

/// Publishers that send later than this at the 99th percentile are too slow.
pub(super) const SEND_LAG_MAX_MS: f64 = 10.0;

/// So much may be missing where the cost of a packet is held against the floor.
const NEARLY_WHOLE_PERCENT: f64 = 1.0;

/// Joins, from the join request to the connected media.
#[derive(Clone, Debug, Serialize)]
pub(super) struct JoinFigures {
    pub(super) succeeded: usize,
    pub(super) failed: usize,
    /// How often somebody was told to come again later, and did.
    pub(super) put_off: u64,
    /// Of those that succeeded.
    pub(super) per_second: f64,
    pub(super) p50_ms: Option<f64>,
    pub(super) p95_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    pub(super) max_ms: Option<f64>,
    /// Why the first of the failed ones failed.
    pub(super) first_error: Option<String>,
}

/// RTP packets in the window.
#[derive(Clone, Debug, Serialize)]
pub(super) struct MediaFigures {
    /// To the server.
    pub(super) packets_in: u64,
    /// Without UDP and IP headers.
    pub(super) bytes_in: u64,
    /// Received by the clients.
    pub(super) packets_out: u64,
    pub(super) bytes_out: u64,
    pub(super) packets_out_per_second: f64,
    /// Streams of those who are there for the whole of the window.
    pub(super) steady: StreamTotals,
    /// Streams of those who come or go in it.
    pub(super) passing: StreamTotals,
    /// Packets of the steady streams that didn't come.
    pub(super) lost: u64,
    /// Of all streams' packets, those that the tester's own sockets dropped: no fault of the server's.
    pub(super) dropped_by_tester: u64,
    /// What is left of `lost`.
    pub(super) lost_by_server: u64,
    pub(super) loss_percent: f64,
    /// Datagrams the tester couldn't send.
    pub(super) sends_failed: u64,
    /// Connections that broke in the window.
    pub(super) peers_failed: u64,
    /// Of those who are there for the whole of the window, and always have somebody to hear.
    pub(super) silences: SilenceFigures,
}

/// How long receivers heard nothing while somebody talked.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SilenceFigures {
    pub(super) receivers: u64,
    /// Those that heard nothing for more than a second, at the end of the window or before.
    pub(super) interrupted: u64,
    pub(super) longest_ms: f64,
}

/// What the opened receivers heard: a sample of all.
#[derive(Clone, Debug, Serialize)]
pub(super) struct HeardFigures {
    pub(super) packets: u64,
    /// Payloads that aren't what was sent.
    pub(super) damaged: u64,
    /// Payloads that hold nothing of the tester's.
    pub(super) foreign: u64,
    /// The receiver's own voice.
    pub(super) own: u64,
    pub(super) of_other_rooms: u64,
    pub(super) misordered: u64,
    /// From the publisher's send call to the arrival in the receiver's socket, of packets that were forwarded as they
    /// came.
    pub(super) mouth_to_ear: Distribution,
    /// The same, of two clients without a server between them.
    pub(super) mouth_to_ear_direct: Option<Distribution>,
    /// The same, of packets from before their source was chosen, which the server kept for a moment.
    pub(super) pre_roll: Distribution,
    /// From the beginning of a turn to the arrival of the first packet of it.
    pub(super) switch_delay: Distribution,
    /// What is missing of the first 100 ms of turns.
    pub(super) onset_missing: Distribution,
    /// Share of the turns that began and of whose first 100 ms no more than one frame is missing.
    pub(super) onsets_whole_percent: Option<f64>,
    /// Turns of which nothing came.
    pub(super) turns_missed: u64,
}

/// Values in ms.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Distribution {
    pub(super) samples: u64,
    pub(super) p50_ms: Option<f64>,
    pub(super) p95_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    pub(super) max_ms: f64,
}

/// The server's cost in the window.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ServerFigures {
    pub(super) cpu_seconds: f64,
    pub(super) user_seconds: f64,
    pub(super) system_seconds: f64,
    /// Of one CPU.
    pub(super) cpu_percent: f64,
    /// CPU time a packet sent to the clients.
    pub(super) ns_per_packet_out: Option<f64>,
    pub(super) user_ns_per_packet_out: Option<f64>,
    pub(super) system_ns_per_packet_out: Option<f64>,
    /// CPU time a join and its leave; only where the window holds nothing else.
    pub(super) ms_per_join: Option<f64>,
    /// At the beginning and at the end of the window.
    pub(super) resident_mb_before: f64,
    pub(super) resident_mb: f64,
    /// What the participants added, each; absent where that can't be told.
    pub(super) resident_kb_per_participant: Option<f64>,
}

/// The load tester's own cost in the window.
#[derive(Clone, Debug, Serialize)]
pub(super) struct TesterFigures {
    pub(super) cpu_seconds: f64,
    pub(super) user_seconds: f64,
    pub(super) system_seconds: f64,
    /// Of one CPU.
    pub(super) cpu_percent: f64,
    pub(super) ns_per_packet_received: Option<f64>,
    pub(super) user_ns_per_packet_received: Option<f64>,
    /// How late the publishers sent, 99th percentile.
    pub(super) send_lag_p99_ms: Option<f64>,
    pub(super) resident_mb: f64,
}

impl TesterFigures {
    /// Whether its publishers were too late for figures to tell of the server.
    pub(super) fn is_starved(&self) -> bool {
        self.send_lag_p99_ms.is_some_and(|lag| lag > SEND_LAG_MAX_MS)
    }
}

impl JoinFigures {
    pub(super) fn new(outcomes: Outcomes) -> Self {
        let Outcomes { mut times, errors, put_off, elapsed } = outcomes;
        times.sort_unstable();
        let ms = |percent| percentile(&times, percent).map(millis);
        JoinFigures {
            succeeded: times.len(),
            failed: errors.len(),
            put_off,
            per_second: times.len() as f64 / elapsed.as_secs_f64().max(1e-9),
            p50_ms: ms(50.0),
            p95_ms: ms(95.0),
            p99_ms: ms(99.0),
            max_ms: ms(100.0),
            first_error: errors.into_iter().next(),
        }
    }
}

impl MediaFigures {
    pub(super) fn new(counts: &Counts, window: Duration) -> Self {
        let Counts { steady, passing, .. } = *counts;
        let lost_by_server = steady.lost().saturating_sub(counts.dropped_here);
        MediaFigures {
            packets_in: counts.packets_in,
            bytes_in: counts.bytes_in,
            packets_out: counts.packets_out,
            bytes_out: counts.bytes_out,
            packets_out_per_second: counts.packets_out as f64 / window.as_secs_f64().max(1e-9),
            steady,
            passing,
            lost: steady.lost(),
            dropped_by_tester: counts.dropped_here,
            lost_by_server,
            loss_percent: lost_by_server as f64 * 100.0 / steady.expected.max(1) as f64,
            sends_failed: counts.sends_failed,
            peers_failed: counts.peers_failed,
            silences: SilenceFigures::new(&counts.silences),
        }
    }
}

impl MediaFigures {
    /// Whether so much came that the cost of a packet means something.
    pub(super) fn is_nearly_whole(&self) -> bool {
        let dropped_percent =
            self.dropped_by_tester as f64 * 100.0 / (self.packets_out + self.dropped_by_tester).max(1) as f64;
        self.loss_percent <= NEARLY_WHOLE_PERCENT && dropped_percent <= NEARLY_WHOLE_PERCENT
    }
}

impl SilenceFigures {
    fn new(silences: &Silences) -> Self {
        SilenceFigures {
            receivers: silences.receivers,
            interrupted: silences.interrupted,
            longest_ms: millis(silences.longest),
        }
    }
}

impl HeardFigures {
    pub(super) fn new(counts: &HeardCounts, direct: Option<&Histogram>) -> Self {
        let onsets = &counts.onset_missing;
        let began = onsets.count() + counts.turns_missed;
        let whole = onsets.count_up_to(Duration::from_millis(20));
        HeardFigures {
            packets: counts.packets,
            damaged: counts.damaged,
            foreign: counts.foreign,
            own: counts.own,
            of_other_rooms: counts.of_other_rooms,
            misordered: counts.misordered,
            mouth_to_ear: Distribution::new(&counts.mouth_to_ear),
            mouth_to_ear_direct: direct.map(Distribution::new),
            pre_roll: Distribution::new(&counts.pre_roll),
            switch_delay: Distribution::new(&counts.switch_delay),
            onset_missing: Distribution::new(onsets),
            onsets_whole_percent: (began > 0).then(|| whole as f64 * 100.0 / began as f64),
            turns_missed: counts.turns_missed,
        }
    }
}

impl Distribution {
    pub(super) fn new(histogram: &Histogram) -> Self {
        let ms = |percent| histogram.percentile(percent).map(millis);
        Distribution {
            samples: histogram.count(),
            p50_ms: ms(50.0),
            p95_ms: ms(95.0),
            p99_ms: ms(99.0),
            max_ms: millis(histogram.max()),
        }
    }
}

impl ServerFigures {
    pub(super) fn new(from: ProcessSample, to: ProcessSample, window: Duration, counts: &Counts) -> Self {
        let (user, system) = (to.user.saturating_sub(from.user), to.system.saturating_sub(from.system));
        // What the tester's sockets dropped was sent as well.
        let sent = counts.packets_out + counts.dropped_here;
        ServerFigures {
            cpu_seconds: (user + system).as_secs_f64(),
            user_seconds: user.as_secs_f64(),
            system_seconds: system.as_secs_f64(),
            cpu_percent: cpu_percent(user + system, window),
            ns_per_packet_out: ns_each(user + system, sent),
            user_ns_per_packet_out: ns_each(user, sent),
            system_ns_per_packet_out: ns_each(system, sent),
            ms_per_join: None,
            resident_mb_before: megabytes(from.resident_bytes),
            resident_mb: megabytes(to.resident_bytes),
            resident_kb_per_participant: None,
        }
    }

    pub(super) fn share_memory(&mut self, empty: Option<ProcessSample>, participants: usize) {
        let Some(empty) = empty.filter(|_| participants > 0) else { return };
        let added_mb = self.resident_mb_before - megabytes(empty.resident_bytes);
        self.resident_kb_per_participant = (added_mb >= 0.0).then(|| added_mb * 1e3 / participants as f64);
    }

    /// What isn't spent on the packets of WebRTC alone says nothing of one of them.
    pub(super) fn forget_packets(&mut self) {
        self.ns_per_packet_out = None;
        self.user_ns_per_packet_out = None;
        self.system_ns_per_packet_out = None;
    }

    pub(super) fn share_cpu_of_joins(&mut self, joins: usize) {
        self.ms_per_join = (joins > 0).then(|| self.cpu_seconds * 1e3 / joins as f64);
        self.ns_per_packet_out = None;
    }
}

impl TesterFigures {
    /// `by_phones`: packets that phones received, beside those of the counts.
    pub(super) fn new(
        from: ProcessSample,
        to: ProcessSample,
        window: Duration,
        counts: &Counts,
        by_phones: u64,
    ) -> Self {
        let received = counts.packets_out + by_phones;
        let (user, system) = (to.user.saturating_sub(from.user), to.system.saturating_sub(from.system));
        TesterFigures {
            cpu_seconds: (user + system).as_secs_f64(),
            user_seconds: user.as_secs_f64(),
            system_seconds: system.as_secs_f64(),
            cpu_percent: cpu_percent(user + system, window),
            ns_per_packet_received: ns_each(user + system, received),
            user_ns_per_packet_received: ns_each(user, received),
            send_lag_p99_ms: counts.send_lag.percentile(99.0).map(millis),
            resident_mb: megabytes(to.resident_bytes),
        }
    }
}

/// The value that `percent` of the sorted values don't exceed (nearest rank); `None` of no values.
fn percentile<T: Copy>(sorted: &[T], percent: f64) -> Option<T> {
    let rank = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

fn ns_each(time: Duration, number: u64) -> Option<f64> {
    (number > 0).then(|| time.as_nanos() as f64 / number as f64)
}

pub(super) fn cpu_percent(cpu: Duration, window: Duration) -> f64 {
    cpu.as_secs_f64() * 100.0 / window.as_secs_f64().max(1e-9)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        assert_eq!(percentile::<u32>(&[], 50.0), None);
        assert_eq!(percentile(&[7], 0.0), Some(7));
        let values: Vec<u32> = (1..=20).collect();
        assert_eq!([50.0, 95.0, 95.1, 100.0].map(|p| percentile(&values, p)), [10, 19, 20, 20].map(Some));
    }

    #[test]
    fn join_times_need_no_order() {
        let times = [30, 10, 20, 40].map(Duration::from_millis).to_vec();
        let elapsed = Duration::from_secs(2);
        let joins =
            JoinFigures::new(Outcomes { times, errors: vec!["refused".to_owned()], put_off: 0, elapsed });
        assert_eq!((joins.succeeded, joins.failed, joins.per_second), (4, 1, 2.0));
        assert_eq!((joins.p50_ms, joins.max_ms), (Some(20.0), Some(40.0)));
    }

    #[test]
    fn what_the_tester_dropped_is_not_the_servers_loss() {
        let steady = StreamTotals { expected: 1_000, received: 990, ..StreamTotals::default() };
        let counts = Counts { steady, dropped_here: 7, ..Counts::default() };
        let media = MediaFigures::new(&counts, Duration::from_secs(1));
        assert_eq!((media.lost, media.dropped_by_tester, media.lost_by_server), (10, 7, 3));
    }

    #[test]
    fn a_turn_that_was_missed_has_no_whole_beginning() {
        let mut counts = HeardCounts { turns_missed: 1, ..HeardCounts::default() };
        for missing_ms in [0, 20, 40] {
            counts.onset_missing.record(Duration::from_millis(missing_ms));
        }
        assert_eq!(HeardFigures::new(&counts, None).onsets_whole_percent, Some(50.0));
    }
}
