//! What was measured in, figures out: as a table for people, as JSON for programs and for the pictures of the
//! documentation.

mod calls;
mod figures;
mod pictures;
mod promises;
mod table;
mod warnings;

use std::time::SystemTime;

use serde::Serialize;

use crate::driver::Addresses;
use crate::floor::Floor;
use crate::machine::Machine;
use crate::run::Measured;
use crate::scenario::Scenario;
use calls::CallFigures;
use figures::{HeardFigures, JoinFigures, MediaFigures, ServerFigures, TesterFigures};
use pictures::PictureFigures;
use promises::Promise;

/// A run in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All promises were kept, or can't be judged.
    Kept,
    /// One was broken, at least.
    Broken,
    /// The server's process was gone at the end.
    ServerEnded,
}

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// When it ended (RFC 3339).
    date: String,
    /// Of the load tester.
    tester_version: &'static str,
    target: TargetFacts,
    machine: Machine,
    scenario: Scenario,
    options: OptionFacts,
    /// Length of the measured window.
    seconds: f64,
    /// Those who are there from the beginning.
    joins: JoinFigures,
    /// Joins in the window, where the scenario has some.
    late_joins: Option<JoinFigures>,
    /// Packets in the window; absent where the scenario has none.
    media: Option<MediaFigures>,
    /// Participants whose signalling failed before the window's end.
    signalling_failed: u64,
    /// What the opened receivers heard.
    heard: Option<HeardFigures>,
    /// What viewers saw; absent where the scenario has no simulcast.
    pictures: Option<PictureFigures>,
    /// Phones; absent where the scenario has none.
    calls: Option<CallFigures>,
    /// The server's cost in the window; absent without its process id, and where it ended.
    server: Option<ServerFigures>,
    /// Whether its process was gone at the end of the window.
    server_ended: bool,
    /// The tester's own cost in the window.
    tester: TesterFigures,
    /// What all processes of the machine used in the window, in percent of one CPU.
    machine_cpu_percent: f64,
    floor: Option<FloorFacts>,
    promises: Vec<Promise>,
    /// Reasons to distrust the figures.
    warnings: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct TargetFacts {
    name: &'static str,
    version: Option<String>,
    /// Of the server's process.
    process: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct OptionFacts {
    threads: usize,
    addresses: &'static str,
    gro: bool,
    concurrent_joins: usize,
    ramp_per_second: Option<u32>,
}

/// The floor right before and right after.
#[derive(Clone, Debug, Serialize)]
struct FloorFacts {
    before: Floor,
    after: Floor,
    /// Their mean.
    total_ns: f64,
    /// The server's CPU time a packet out, as a multiple of it; absent where over 1 % of the packets were lost or dropped.
    cpu_per_packet_over_floor: Option<f64>,
}

impl Report {
    pub(crate) fn new(measured: Measured) -> Report {
        let Measured { options, server_name, joins, late_joins, empty, before, after, direct, floors, calls } =
            measured;
        let window = after.at - before.at;
        let scenario = options.scenario;
        let has_late_joins = !late_joins.times.is_empty() || !late_joins.errors.is_empty();
        let joins_in_window = late_joins.times.len();
        let counts = &after.counts;
        let samples = before.server.zip(after.server);
        let by_phones = calls.as_ref().map_or(0, |calls| calls.counts.packets_out);
        let participants = joins.times.len() + calls.as_ref().map_or(0, |calls| calls.outcomes.times.len());
        let server = samples.map(|(from, to)| {
            let mut server = ServerFigures::new(from, to, window, counts);
            server.share_memory(empty, participants);
            if !scenario.has_media() {
                server.share_cpu_of_joins(joins_in_window);
            }
            if scenario.by_phone {
                server.forget_packets();
            }
            server
        });
        let media = scenario.has_media().then(|| MediaFigures::new(counts, window));
        let is_nearly_whole = media.as_ref().is_none_or(MediaFigures::is_nearly_whole);
        let floor = floors.map(|(before, after)| {
            let total_ns = (before.total_ns + after.total_ns) / 2.0;
            let ns = server.as_ref().and_then(|server| server.ns_per_packet_out).filter(|_| is_nearly_whole);
            FloorFacts { cpu_per_packet_over_floor: ns.map(|ns| ns / total_ns), before, after, total_ns }
        });
        let pictures = media.as_ref().filter(|_| scenario.is_simulcast()).map(|media| {
            let mut pictures = PictureFigures::new(&counts.pictures, window.as_secs_f64());
            pictures.simulate(media, server.as_ref().filter(|_| is_nearly_whole));
            pictures
        });
        let mut report = Report {
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            tester_version: env!("CARGO_PKG_VERSION"),
            target: TargetFacts {
                name: options.target.name(),
                version: options.target_version,
                process: server_name,
            },
            machine: Machine::here(options.server_pid),
            options: OptionFacts {
                threads: options.threads,
                addresses: match options.addresses {
                    Addresses::LoopbackRange => "loopback-range",
                    Addresses::Ports => "ports",
                },
                gro: options.joins_datagrams,
                concurrent_joins: options.concurrent_joins,
                ramp_per_second: options.ramp_per_second,
            },
            seconds: window.as_secs_f64(),
            joins: JoinFigures::new(joins),
            late_joins: has_late_joins.then(|| JoinFigures::new(late_joins)),
            media,
            signalling_failed: after.signalling_failed,
            heard: scenario.has_media().then(|| HeardFigures::new(&counts.heard, direct.as_ref())),
            pictures,
            calls: calls.map(|calls| CallFigures::new(calls, options.phones.codec, window.as_secs_f64())),
            server,
            server_ended: options.server_pid.is_some() && after.server.is_none(),
            tester: TesterFigures::new(before.tester, after.tester, window, counts, by_phones),
            machine_cpu_percent: figures::cpu_percent(
                after.machine_cpu.saturating_sub(before.machine_cpu),
                window,
            ),
            floor,
            promises: Vec::new(),
            warnings: Vec::new(),
            scenario,
        };
        report.promises = promises::of(&report);
        report.warnings = warnings::of(&report);
        report
    }

    /// What is to be said first.
    pub fn outcome(&self) -> Outcome {
        if self.server_ended {
            return Outcome::ServerEnded;
        }
        match self.promises.iter().any(|it| it.kept == Some(false)) {
            true => Outcome::Broken,
            false => Outcome::Kept,
        }
    }
}

#[cfg(test)]
mod tests;
