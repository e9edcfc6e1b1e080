//! Counts and samples in, figures out: as text for people, as JSON for programs.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::counts::{loss_percent, millis};
use crate::{Counts, Histogram, ProcessSample};

/// Publishers that send later than this at the 99th percentile are too slow for their figures to
/// tell of the server.
const SEND_LAG_MAX_MS: f64 = 10.0;

/// Above this share of all CPUs, in percent, threads wait for each other.
const MACHINE_PERCENT_MAX: f64 = 90.0;

/// Above this, in percent of one CPU, others disturb the measurement.
const OTHERS_PERCENT_MAX: f64 = 20.0;

/// Packets a second of one 20 ms stream.
const PACKETS_PER_S: f64 = 50.0;

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The kind of server.
    pub target: &'static str,
    /// Participants that publish.
    pub speakers: u32,
    /// Participants that only listen.
    pub listeners: u32,
    /// Length of the measured window.
    pub seconds: f64,
    /// CPUs of the machine, shared by the server and the tester.
    pub cpus: usize,
    /// How the joins went.
    pub joins: JoinFigures,
    /// Media in the window; absent where the scenario has none.
    pub media: Option<MediaFigures>,
    /// The server's cost in the window; absent without its process id.
    pub server: Option<ServerFigures>,
    /// The tester's own cost in the window.
    pub tester: TesterFigures,
    /// What all processes of the machine used in the window, in percent of one CPU.
    pub machine_cpu_percent: f64,
    /// Reasons to distrust the figures.
    pub warnings: Vec<String>,
}

/// Joins, from the join request to the connected media.
#[derive(Clone, Debug, Serialize)]
pub struct JoinFigures {
    /// That succeeded.
    pub succeeded: usize,
    /// That failed.
    pub failed: usize,
    /// A second, of those that succeeded.
    pub per_second: f64,
    /// Median, in ms.
    pub p50_ms: Option<f64>,
    /// 95th percentile, in ms.
    pub p95_ms: Option<f64>,
    /// The slowest, in ms.
    pub max_ms: Option<f64>,
    /// Why the first of the failed ones failed.
    pub first_error: Option<String>,
}

/// RTP packets in the window.
#[derive(Clone, Debug, Serialize)]
pub struct MediaFigures {
    /// Packets to the server.
    pub packets_in: u64,
    /// Their octets, without UDP and IP headers.
    pub bytes_in: u64,
    /// Packets received by the clients.
    pub packets_out: u64,
    /// Their octets.
    pub bytes_out: u64,
    /// Packets a second received by the clients.
    pub packets_out_per_second: f64,
    /// Packets that the streams' sequence numbers promise.
    pub packets_expected: u64,
    /// Those that didn't come, in percent of the promised.
    pub loss_percent: f64,
    /// Packets received in percent of what they were if everybody heard all talkers all the time.
    /// Some more is normal: a slot is held for a while when its speaker stops talking.
    pub heard_percent: f64,
    /// Publisher's send to receiver's receive, of packets that were forwarded as they came.
    pub latency: LatencyFigures,
    /// The same, of packets from before their source was chosen, which the server kept for a moment.
    pub pre_roll: LatencyFigures,
    /// Datagrams the tester couldn't send.
    pub sends_failed: u64,
    /// Connections that broke in the window.
    pub peers_failed: u64,
}

/// A distribution of latencies.
#[derive(Clone, Debug, Serialize)]
pub struct LatencyFigures {
    /// How many packets were looked into.
    pub samples: u64,
    /// Median, in ms.
    pub p50_ms: Option<f64>,
    /// 95th percentile, in ms.
    pub p95_ms: Option<f64>,
    /// 99th percentile, in ms.
    pub p99_ms: Option<f64>,
    /// The slowest, in ms.
    pub max_ms: f64,
}

/// The server's cost in the window.
#[derive(Clone, Debug, Serialize)]
pub struct ServerFigures {
    /// User and kernel mode.
    pub cpu_seconds: f64,
    /// Of one CPU.
    pub cpu_percent: f64,
    /// CPU time a packet received by the clients, in µs.
    pub us_per_packet_out: Option<f64>,
    /// CPU time a packet in or out, in µs.
    pub us_per_packet: Option<f64>,
    /// CPU time a join and its leave, in ms; only where the window holds nothing else.
    pub ms_per_join: Option<f64>,
    /// Resident memory at the end of the window, in MB.
    pub resident_mb: f64,
}

/// The load tester's own cost in the window.
#[derive(Clone, Debug, Serialize)]
pub struct TesterFigures {
    /// User and kernel mode.
    pub cpu_seconds: f64,
    /// Of one CPU.
    pub cpu_percent: f64,
    /// How late the publishers sent, 99th percentile, in ms.
    pub send_lag_p99_ms: Option<f64>,
    /// Resident memory at the end of the window, in MB.
    pub resident_mb: f64,
}

impl JoinFigures {
    /// The figures of joins that took these times, within `elapsed` in all.
    pub fn new(mut times: Vec<Duration>, errors: &[String], elapsed: Duration) -> Self {
        times.sort_unstable();
        let ms = |percent| percentile(&times, percent).map(millis);
        JoinFigures {
            succeeded: times.len(),
            failed: errors.len(),
            per_second: times.len() as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE),
            p50_ms: ms(50.0),
            p95_ms: ms(95.0),
            max_ms: ms(100.0),
            first_error: errors.first().cloned(),
        }
    }
}

impl MediaFigures {
    /// The figures of what was counted in a window in which there were `voices` streams to hear, of
    /// all receivers together.
    pub fn new(counts: &Counts, window: Duration, voices: u64) -> Self {
        let seconds = window.as_secs_f64().max(f64::MIN_POSITIVE);
        let full = voices as f64 * PACKETS_PER_S * seconds;
        MediaFigures {
            packets_in: counts.packets_in,
            bytes_in: counts.bytes_in,
            packets_out: counts.packets_out,
            bytes_out: counts.bytes_out,
            packets_out_per_second: counts.packets_out as f64 / seconds,
            packets_expected: counts.steady.expected,
            loss_percent: loss_percent(counts.steady.expected, counts.steady.received),
            heard_percent: if full > 0.0 { counts.packets_out as f64 * 100.0 / full } else { 0.0 },
            latency: LatencyFigures::new(&counts.latency),
            pre_roll: LatencyFigures::new(&counts.pre_roll),
            sends_failed: counts.sends_failed,
            peers_failed: counts.peers_failed,
        }
    }
}

impl LatencyFigures {
    fn new(histogram: &Histogram) -> Self {
        let ms = |percent| histogram.percentile(percent).map(millis);
        LatencyFigures {
            samples: histogram.count(),
            p50_ms: ms(50.0),
            p95_ms: ms(95.0),
            p99_ms: ms(99.0),
            max_ms: millis(histogram.max()),
        }
    }
}

impl ServerFigures {
    /// The cost between two samples, shared out over what was counted between them.
    pub fn new(before: ProcessSample, after: ProcessSample, window: Duration, work: Work) -> Self {
        let cpu = after.cpu.saturating_sub(before.cpu);
        let us_per = |packets: u64| (packets > 0).then(|| cpu.as_secs_f64() * 1e6 / packets as f64);
        ServerFigures {
            cpu_seconds: cpu.as_secs_f64(),
            cpu_percent: cpu_percent(cpu, window),
            us_per_packet_out: us_per(work.packets_out),
            us_per_packet: us_per(work.packets_in + work.packets_out),
            ms_per_join: (work.joins > 0).then(|| millis(cpu) / work.joins as f64),
            resident_mb: megabytes(after.resident_bytes),
        }
    }
}

/// What the server did in a window, to share its cost out over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// RTP packets received from publishers.
    pub packets_in: u64,
    /// RTP packets received by clients.
    pub packets_out: u64,
    /// Joins, where the window holds nothing else.
    pub joins: usize,
}

impl TesterFigures {
    /// The tester's cost between two samples.
    pub fn new(before: ProcessSample, after: ProcessSample, window: Duration, send_lag: &Histogram) -> Self {
        let cpu = after.cpu.saturating_sub(before.cpu);
        TesterFigures {
            cpu_seconds: cpu.as_secs_f64(),
            cpu_percent: cpu_percent(cpu, window),
            send_lag_p99_ms: send_lag.percentile(99.0).map(millis),
            resident_mb: megabytes(after.resident_bytes),
        }
    }
}

impl Report {
    /// Adds the reasons to distrust the figures.
    pub fn judge(&mut self) {
        let mut warnings = Vec::new();
        if let Some(lag) = self.tester.send_lag_p99_ms.filter(|lag| *lag > SEND_LAG_MAX_MS) {
            warnings.push(format!(
                "the tester is overloaded or starved: publishers sent {lag:.1} ms late (p99); latency includes the like"
            ));
        }
        if self.machine_cpu_percent > MACHINE_PERCENT_MAX * self.cpus as f64 {
            warnings.push(format!(
                "the machine is full: {:.0} % used of {} CPUs",
                self.machine_cpu_percent, self.cpus
            ));
        }
        // Without the server's figure, its part can't be told from that of others.
        if let Some(server) = &self.server {
            let others = self.machine_cpu_percent - server.cpu_percent - self.tester.cpu_percent;
            if others > OTHERS_PERCENT_MAX {
                warnings.push(format!("the machine is shared: others used {others:.0} % of a CPU"));
            }
        }
        if let Some(media) = &self.media {
            if media.sends_failed > 0 {
                warnings.push(format!("{} datagrams of the tester were not sent", media.sends_failed));
            }
            if media.peers_failed > 0 {
                warnings.push(format!("{} connections broke", media.peers_failed));
            }
        }
        if let Some(error) = &self.joins.first_error {
            warnings.push(format!("{} joins failed, the first: {error}", self.joins.failed));
        }
        self.warnings = warnings;
    }
}

/// The value that `percent` of the sorted values don't exceed (nearest rank); `None` of no values.
pub fn percentile<T: Copy>(sorted: &[T], percent: f64) -> Option<T> {
    let rank = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

pub(crate) fn cpu_percent(cpu: Duration, window: Duration) -> f64 {
    cpu.as_secs_f64() * 100.0 / window.as_secs_f64().max(f64::MIN_POSITIVE)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// A figure that may be missing.
struct Maybe(Option<f64>);

impl fmt::Display for Maybe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, "{value:.2}"),
            None => f.write_str("-"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "scenario {} on {}: {} speakers, {} listeners, {:.1} s measured, {} CPUs",
            self.scenario, self.target, self.speakers, self.listeners, self.seconds, self.cpus
        )?;
        writeln!(f, "{}", self.joins)?;
        if let Some(media) = &self.media {
            writeln!(f, "{media}")?;
        }
        match &self.server {
            Some(server) => writeln!(f, "{server}")?,
            None => writeln!(f, "server    not measured: pass --server-pid")?,
        }
        write!(f, "{}", self.tester)?;
        for warning in &self.warnings {
            write!(f, "\nwarning   {warning}")?;
        }
        Ok(())
    }
}

impl fmt::Display for JoinFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p95, max) = (Maybe(self.p50_ms), Maybe(self.p95_ms), Maybe(self.max_ms));
        write!(
            f,
            "joins     {} succeeded, {} failed, {:.1}/s; p50 {p50} ms, p95 {p95} ms, max {max} ms",
            self.succeeded, self.failed, self.per_second
        )
    }
}

impl fmt::Display for MediaFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = &self.latency;
        writeln!(f, "in        {} packets, {:.1} MB", self.packets_in, megabytes(self.bytes_in))?;
        writeln!(
            f,
            "out       {} packets, {:.1} MB, {:.0} packets/s; {:.1} % of all that was said",
            self.packets_out,
            megabytes(self.bytes_out),
            self.packets_out_per_second,
            self.heard_percent
        )?;
        writeln!(f, "loss      {:.4} % of {} expected", self.loss_percent, self.packets_expected)?;
        write!(
            f,
            "latency   p50 {} ms, p95 {} ms, p99 {} ms, max {:.2} ms ({} packets)",
            Maybe(latency.p50_ms),
            Maybe(latency.p95_ms),
            Maybe(latency.p99_ms),
            latency.max_ms,
            latency.samples
        )?;
        if self.pre_roll.samples > 0 {
            let pre_roll = &self.pre_roll;
            let (p50, max) = (Maybe(pre_roll.p50_ms), pre_roll.max_ms);
            write!(f, "\npre-roll  p50 {p50} ms, max {max:.2} ms ({} packets)", pre_roll.samples)?;
        }
        Ok(())
    }
}

impl fmt::Display for ServerFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server    {:.2} s CPU, {:.1} % of a CPU", self.cpu_seconds, self.cpu_percent)?;
        if let (Some(out), Some(all)) = (self.us_per_packet_out, self.us_per_packet) {
            write!(f, "; {out:.2} µs a packet out, {all:.2} µs a packet in or out")?;
        }
        if let Some(join) = self.ms_per_join {
            write!(f, "; {join:.2} ms a join")?;
        }
        write!(f, "; {:.1} MB resident", self.resident_mb)
    }
}

impl fmt::Display for TesterFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "tester    {:.2} s CPU, {:.1} % of a CPU; sent {} ms late (p99); {:.1} MB resident",
            self.cpu_seconds,
            self.cpu_percent,
            Maybe(self.send_lag_p99_ms),
            self.resident_mb
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(cpu_ms: u64, resident_bytes: u64) -> ProcessSample {
        ProcessSample { cpu: Duration::from_millis(cpu_ms), resident_bytes }
    }

    fn report(counts: &Counts) -> Report {
        let window = Duration::from_secs(10);
        let work = Work { packets_in: counts.packets_in, packets_out: counts.packets_out, joins: 0 };
        let mut report = Report {
            scenario: "room",
            target: "tercet",
            speakers: 10,
            listeners: 90,
            seconds: 10.0,
            cpus: 2,
            joins: JoinFigures::new(vec![Duration::from_millis(3)], &[], Duration::from_secs(1)),
            media: Some(MediaFigures::new(counts, window, 300)),
            server: Some(ServerFigures::new(sample(500, 0), sample(1_500, 64_000_000), window, work)),
            tester: TesterFigures::new(sample(0, 0), sample(2_000, 0), window, &counts.send_lag),
            machine_cpu_percent: 40.0,
            warnings: Vec::new(),
        };
        report.judge();
        report
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        assert_eq!(percentile::<u32>(&[], 50.0), None);
        assert_eq!(percentile(&[7], 0.0), Some(7));
        let values: Vec<u32> = (1..=20).collect();
        assert_eq!(percentile(&values, 50.0), Some(10));
        assert_eq!(percentile(&values, 95.0), Some(19));
        assert_eq!(percentile(&values, 95.1), Some(20));
        assert_eq!(percentile(&values, 100.0), Some(20));
    }

    #[test]
    fn join_times_need_no_order() {
        let times = [30, 10, 20, 40].map(Duration::from_millis).to_vec();
        let joins = JoinFigures::new(times, &["refused".to_owned()], Duration::from_secs(2));
        assert_eq!((joins.succeeded, joins.failed), (4, 1));
        assert_eq!((joins.p50_ms, joins.max_ms), (Some(20.0), Some(40.0)));
        assert_eq!(joins.per_second, 2.0);
    }

    #[test]
    fn the_servers_cost_is_shared_out_over_its_packets() {
        let counts = Counts {
            packets_in: 5_000,
            packets_out: 150_000,
            steady: crate::StreamTotals { expected: 150_150, received: 150_000, ..Default::default() },
            ..Counts::default()
        };
        let report = report(&counts);
        let server = report.server.as_ref().unwrap();
        assert_eq!(server.cpu_seconds, 1.0);
        assert_eq!(server.cpu_percent, 10.0);
        assert!((server.us_per_packet_out.unwrap() - 6.667).abs() < 0.001);
        assert!((server.us_per_packet.unwrap() - 6.452).abs() < 0.001);
        assert_eq!(server.resident_mb, 64.0);
        let media = report.media.as_ref().unwrap();
        assert_eq!(media.heard_percent, 100.0);
        assert!((media.loss_percent - 0.0999).abs() < 0.0001);
        assert_eq!(report.warnings, Vec::<String>::new());
    }

    #[test]
    fn nothing_received_has_no_cost_a_packet() {
        let report = report(&Counts::default());
        let server = report.server.as_ref().unwrap();
        assert_eq!((server.us_per_packet_out, server.us_per_packet), (None, None));
        assert_eq!(report.media.as_ref().unwrap().latency.p50_ms, None);
        assert!(report.to_string().contains("p50 - ms"));
    }

    #[test]
    fn an_overloaded_tester_is_told_of() {
        let mut counts = Counts { peers_failed: 1, ..Counts::default() };
        counts.send_lag.record(Duration::from_millis(30));
        let warnings = report(&counts).warnings;
        assert!(warnings[0].starts_with("the tester is overloaded"), "{warnings:?}");
        assert!(warnings[1].contains("1 connections broke"), "{warnings:?}");
    }

    #[test]
    fn a_machine_that_others_use_is_told_of() {
        let mut report = report(&Counts::default());
        report.machine_cpu_percent = 190.0;
        report.judge();
        assert_eq!(
            report.warnings,
            [
                "the machine is full: 190 % used of 2 CPUs",
                "the machine is shared: others used 160 % of a CPU"
            ]
        );
    }

    #[test]
    fn the_json_has_the_units_in_its_names() {
        let json = serde_json::to_value(report(&Counts::default())).unwrap();
        assert_eq!(json["server"]["cpu_seconds"], 1.0);
        assert_eq!(json["joins"]["p50_ms"], 3.0);
        assert!(json["media"]["latency"]["p99_ms"].is_null());
    }
}
