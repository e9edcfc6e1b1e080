//! A report, as far as the page tells of it, and which reports belong together.

use serde::Deserialize;

use crate::floor::CallFloor;

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Run {
    pub(super) date: String,
    /// The length of the window.
    pub(super) seconds: f64,
    pub(super) target: Target,
    pub(super) machine: Machine,
    pub(super) scenario: Scenario,
    pub(super) joins: Joins,
    pub(super) late_joins: Option<Joins>,
    pub(super) media: Option<Media>,
    pub(super) heard: Option<Heard>,
    pub(super) calls: Option<Calls>,
    pub(super) server: Option<Server>,
    pub(super) tester: Tester,
    pub(super) floor: Option<Floor>,
    pub(super) promises: Vec<Promise>,
    pub(super) warnings: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) version: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cpus: usize,
    #[serde(default)]
    pub(super) server_cpus: Option<usize>,
    pub(super) kernel: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) rooms: u32,
    /// All, if absent.
    #[serde(default)]
    pub(super) talking_rooms: Option<u32>,
    pub(super) speakers: u32,
    pub(super) listeners: u32,
    pub(super) talkers: u32,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Joins {
    pub(super) succeeded: usize,
    pub(super) failed: usize,
    pub(super) per_second: f64,
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Media {
    pub(super) packets_out_per_second: f64,
    /// What is lost is lost of these.
    pub(super) steady: Streams,
    pub(super) dropped_by_tester: u64,
    pub(super) lost_by_server: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Streams {
    pub(super) expected: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Calls {
    pub(super) codec: String,
    pub(super) answered: Joins,
    /// Calls; packets are lost of those of the streams.
    pub(super) lost: u64,
    pub(super) lost_by_server: u64,
    pub(super) streams: Streams,
    pub(super) jitter: Jitter,
    pub(super) cost: Option<CallCost>,
    pub(super) floor: Option<CallFloor>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Jitter {
    pub(super) p50_ms: Option<f64>,
    pub(super) p95_ms: Option<f64>,
    pub(super) max_ms: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct CallCost {
    pub(super) room_cpu_percent: f64,
    pub(super) all_cpu_percent: f64,
    pub(super) first_us_per_second: f64,
    pub(super) added_us_per_second: Option<f64>,
    pub(super) us_per_second: f64,
    pub(super) calls_a_core: f64,
    pub(super) over_floor: Option<f64>,
    pub(super) over_shared: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Heard {
    pub(super) mouth_to_ear: Distribution,
    pub(super) switch_delay: Distribution,
    pub(super) onsets_whole_percent: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Distribution {
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Server {
    pub(super) cpu_percent: f64,
    pub(super) ns_per_packet_out: Option<f64>,
    pub(super) user_ns_per_packet_out: Option<f64>,
    pub(super) system_ns_per_packet_out: Option<f64>,
    pub(super) ms_per_join: Option<f64>,
    pub(super) resident_mb: f64,
    pub(super) resident_kb_per_participant: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Tester {
    pub(super) ns_per_packet_received: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Floor {
    pub(super) total_ns: f64,
    pub(super) cpu_per_packet_over_floor: Option<f64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Promise {
    /// 0 or 1; neither where it can't be known.
    pub(super) kept: Option<u8>,
}

impl Run {
    /// When, how long and on what machine it ran: a sentence.
    pub(super) fn circumstances(&self) -> String {
        let Machine { cpu, cpus, server_cpus, kernel } = &self.machine;
        let whose = match server_cpus {
            None => "the server and the tester together on them".to_owned(),
            Some(server) => format!("{server} for the server, the rest for the tester"),
        };
        format!(
            "{}, {:.0} s a run, Tercet {}: {cpus} CPUs of {cpu}, Linux {kernel}, {whose}.",
            self.date.split('T').next().unwrap_or_default(),
            self.seconds,
            self.target.version.as_deref().unwrap_or("of unknown version"),
        )
    }

    /// What the curves have on their x axis: rooms; or participants, those who were taken in.
    pub(super) fn size(&self) -> f64 {
        if self.scenario.name == "rooms" {
            f64::from(self.scenario.rooms)
        } else {
            self.joins.succeeded as f64
        }
    }

    /// The order of the tables.
    pub(super) fn order(&self) -> impl Ord + use<> {
        let Scenario { name, rooms, speakers, listeners, .. } = self.scenario.clone();
        (self.target.name != "tercet", self.target.name.clone(), name, rooms, speakers, listeners)
    }

    fn is_ours(&self, scenario: &str) -> bool {
        self.target.name == "tercet" && self.scenario.name == scenario
    }
}

/// One room in which one talks, with ever more listeners.
pub(super) fn growth(runs: &[Run]) -> Vec<&Run> {
    runs.iter().filter(|run| run.is_ours("townhall") && run.scenario.talkers == 1).collect()
}

/// One room in which as many talk as are heard.
pub(super) fn townhalls(runs: &[Run]) -> Vec<&Run> {
    runs.iter().filter(|run| run.is_ours("townhall") && run.scenario.talkers == 3).collect()
}

/// Ever more rooms, of which the same number talk once there are more.
pub(super) fn rooms(runs: &[Run]) -> Vec<&Run> {
    runs.iter().filter(|run| run.is_ours("rooms")).collect()
}

/// Our other runs.
pub(super) fn others(runs: &[Run]) -> Vec<&Run> {
    let is_other =
        |run: &&Run| run.target.name == "tercet" && !["townhall", "rooms"].contains(&&*run.scenario.name);
    runs.iter().filter(is_other).collect()
}

/// Runs of one shape against several servers, ours first; the largest shape first.
pub(super) fn comparisons(runs: &[Run]) -> Vec<Vec<&Run>> {
    let mut shapes: Vec<Vec<&Run>> = Vec::new();
    for run in runs {
        match shapes.iter_mut().find(|shape| shape[0].scenario == run.scenario) {
            Some(shape) => shape.push(run),
            None => shapes.push(vec![run]),
        }
    }
    shapes.retain(|shape| shape.iter().any(|run| run.target.name != shape[0].target.name));
    shapes.sort_by_key(|shape| std::cmp::Reverse(shape[0].scenario.listeners));
    shapes
}
