//! A scenario in, a [`Report`] out: joins the participants, lets them settle, measures over a window between two
//! readings of the counters and of `/proc`, and leaves. Everything is bounded: joins at a time, the time of a join,
//! the window.

mod attendance;
mod calls;
mod files;
mod pair;
mod readings;
mod traffic;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::driver::{Addresses, Driver, DriverOptions, VIDEO_PACKET_BYTES};
use crate::floor::{self, CallFloor, Floor};
use crate::process;
use crate::progress;
use crate::report::Report;
use crate::scenario::Scenario;
use crate::video;
use crate::{Histogram, PhoneOptions, ProcessSample, ServerUrl, Target};
use attendance::{Newcomer, join_all, leave_all};
use calls::{CalledIn, CpuReading};
use pair::Pair;

pub(crate) use attendance::Outcomes;
pub(crate) use calls::MeasuredCalls;
pub(crate) use readings::Readings;

/// Between the last join and the window: the first turns are taken, the joins' events are through.
const SETTLE: Duration = Duration::from_secs(2);
/// The same with pictures: what each viewer's network takes has to be found out, and more of it isn't asked for all at once.
const SETTLE_PICTURES: Duration = Duration::from_secs(12);
/// Of how many receivers one decrypts and checks what it receives.
const OPENING_EVERY: u32 = 8;
/// Where so few are there, all do.
const OPENING_ALL_MAX: u32 = 32;

/// How to run a scenario.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Which.
    pub scenario: Scenario,
    /// The kind of server.
    pub target: Target,
    /// Its version, for the report.
    pub target_version: Option<String>,
    /// The server.
    pub server: ServerUrl,
    /// The server's token secret; without it, tokens come from the demo endpoint.
    pub secret: Option<String>,
    /// The server's process.
    pub server_pid: Option<u32>,
    /// Threads that drive the peers.
    pub threads: usize,
    /// Where the clients' addresses come from.
    pub addresses: Addresses,
    /// Whether the kernel may join datagrams on their way to the clients.
    pub joins_datagrams: bool,
    /// How many joins are under way at a time, at least one.
    pub concurrent_joins: usize,
    /// How many of those who are there from the beginning join a second, at most; whoever of them is told to come again later
    /// does so, and nobody talks before all are there. If absent, they join as fast as they can, and nobody asks twice.
    pub ramp_per_second: Option<u32>,
    /// How phones call, where a scenario has some.
    pub phones: PhoneOptions,
    /// Whether the floor is measured before and after.
    pub floor: bool,
}

impl RunOptions {
    /// A scenario as it is, against a server of which nothing more is known; without the floor.
    pub fn new(scenario: Scenario, target: Target, server: ServerUrl) -> RunOptions {
        RunOptions {
            scenario,
            target,
            target_version: None,
            server,
            secret: None,
            server_pid: None,
            threads: 1,
            addresses: Addresses::LoopbackRange,
            joins_datagrams: false,
            concurrent_joins: 32,
            ramp_per_second: None,
            phones: PhoneOptions::default(),
            floor: false,
        }
    }

    /// The same against a server that nobody asks.
    #[cfg(test)]
    pub(crate) fn of_tests(scenario: &str) -> RunOptions {
        let scenario = Scenario::named(scenario).expect("it is one of ours");
        let server = "http://127.0.0.1:8080".parse().expect("it is well formed");
        RunOptions { server_pid: Some(1), ..RunOptions::new(scenario, Target::Tercet, server) }
    }
}

/// What all parts of a run share.
struct Run {
    options: RunOptions,
    driver: Driver,
    /// Keeps the rooms of two runs on one server apart.
    id: u32,
    /// Participants whose signalling failed while they were there.
    signalling_failed: AtomicU64,
}

/// Everything that was measured, for the report.
pub(crate) struct Measured {
    pub(crate) options: RunOptions,
    /// Of the server's process.
    pub(crate) server_name: Option<String>,
    pub(crate) joins: Outcomes,
    /// Joins during the window.
    pub(crate) late_joins: Outcomes,
    /// The server before its first join; absent where it had served others.
    pub(crate) empty: Option<ProcessSample>,
    pub(crate) before: Readings,
    pub(crate) after: Readings,
    /// From mouth to ear in the window without a server between them, where clients of standards are compared with that.
    pub(crate) direct: Option<Histogram>,
    pub(crate) floors: Option<(Floor, Floor)>,
    /// Where the scenario has phones.
    pub(crate) calls: Option<MeasuredCalls>,
}

/// Runs a scenario to its end.
pub async fn run(options: RunOptions) -> anyhow::Result<Report> {
    files::provide(&options)?;
    let sample = |pid| ProcessSample::of(pid).with_context(|| format!("--server-pid {pid}"));
    let empty = options.server_pid.map(sample).transpose()?;
    let server_name = options.server_pid.and_then(|pid| process::name(pid).ok());
    if let (Some(pid), Some(name)) = (options.server_pid, &server_name) {
        let listens = process::listens(pid, options.server.address());
        ensure!(
            listens != Some(false),
            "--server-pid {pid} is {name}, which doesn't listen on {}: its figures would say nothing of the server",
            options.server
        );
    }
    // What those of before left behind would be shared out over those who come.
    let empty = if options.target.has_served(options.server).await { None } else { empty };
    let (floor_before, call_floor_before) =
        (measure_floor(&options).await?, measure_call_floor(&options).await?);
    let driver = Driver::start(DriverOptions {
        threads: options.threads,
        addresses: options.addresses,
        ip: options.server.address().ip(),
        joins_datagrams: options.joins_datagrams,
        // What can be held against a join is not the point of a ramp: they take the less from each other.
        hushed: options.ramp_per_second.is_some(),
    })?;
    let run = Arc::new(Run { driver, id: rand::random(), signalling_failed: AtomicU64::new(0), options });
    let scenario = &run.options.scenario;

    let everybody = everybody(scenario);
    let expected = everybody.len();
    let (joins, mut present) = join_all(&run, everybody, run.options.ramp_per_second).await;
    let error = joins.errors.first().map_or("", String::as_str);
    ensure!(expected == 0 || !present.is_empty(), "nobody could join: {error}");
    run.driver.start_talking();
    let phones = if scenario.by_phone { Some(calls::call_in(&run).await?) } else { None };
    let pair = if scenario.is_standard { Some(Pair::connect(&run.options).await?) } else { None };
    if scenario.has_media() {
        let settle = if scenario.is_simulcast() { SETTLE_PICTURES } else { SETTLE };
        progress::wait("settling", settle).await;
    }

    run.driver.start_counting();
    pair.iter().for_each(Pair::start_counting);
    phones.iter().for_each(CalledIn::start_counting);
    let cpu_before = CpuReading::take(&run);
    let before = Readings::take(&run)?;
    let late_joins = traffic::pass_window(&run, &mut present).await?;
    let after = Readings::take(&run)?;
    let direct = pair.map(Pair::finish);
    let mut calls = match phones {
        Some(phones) => Some(phones.finish(&run, cpu_before).await?),
        None => None,
    };

    leave_all(present).await;
    if let Some(calls) = &mut calls {
        calls.floors = call_floor_before.zip(measure_call_floor(&run.options).await?);
    }
    let floors = floor_before.zip(measure_floor(&run.options).await?);
    let options = run.options.clone();
    Ok(Report::new(Measured {
        options,
        server_name,
        joins,
        late_joins,
        empty,
        before,
        after,
        direct,
        floors,
        calls,
    }))
}

async fn measure_floor(options: &RunOptions) -> anyhow::Result<Option<Floor>> {
    if !options.floor || options.scenario.by_phone {
        return Ok(None);
    }
    let bytes = match options.scenario.video {
        Some(video) if video.is_simulcast => video::mean_payload_bytes(),
        Some(_) => VIDEO_PACKET_BYTES,
        None => floor::VOICE_BYTES,
    };
    let floor = tokio::task::spawn_blocking(move || floor::measure_of(floor::DESTINATIONS, bytes));
    floor.await?.context("the floor").map(Some)
}

/// That of calls.
async fn measure_call_floor(options: &RunOptions) -> anyhow::Result<Option<CallFloor>> {
    if !options.floor || !options.scenario.by_phone {
        return Ok(None);
    }
    let codec = options.phones.codec;
    let floor = tokio::task::spawn_blocking(move || floor::calls::measure(codec));
    floor.await?.context("the floor of calls").map(Some)
}

/// What a room of this run is called.
fn room_name(run: &Run, room: u32) -> String {
    format!("load-{:08x}-{room}", run.id)
}

/// Those who are there from the beginning, but for phones. Rooms fill side by side, as they do in the morning.
fn everybody(scenario: &Scenario) -> Vec<Newcomer> {
    // Whoever tells the server when packets come has to see them all.
    let all_open = scenario.participants() <= OPENING_ALL_MAX || scenario.is_simulcast();
    let opening_every = if all_open { 1 } else { OPENING_EVERY };
    let in_room = scenario.participants() / scenario.rooms.max(1);
    let places = (0..in_room).flat_map(|number| (0..scenario.rooms).map(move |room| (room, number)));
    let newcomers = places.map(|(room, number)| Newcomer {
        room,
        number,
        speaks: number < scenario.speakers,
        opens: (room + number).is_multiple_of(opening_every),
        stays: true,
    });
    newcomers.collect()
}

/// The time since the run's window began, and how much of it is left.
struct Window {
    began: Instant,
    length: Duration,
}

impl Window {
    fn left(&self) -> Duration {
        self.length.saturating_sub(self.began.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_all_opened_and_of_many_one_in_eight() {
        let opened = |name, rooms| {
            let scenario = Scenario { rooms, ..Scenario::named(name).expect("it is one of ours") };
            everybody(&scenario).iter().filter(|it| it.opens).count()
        };
        assert_eq!(opened("meeting", 1), 10);
        assert_eq!(opened("townhall", 1), 39, "of 310");
        assert_eq!(opened("rooms", 100), 125, "of 1000");
    }

    #[test]
    fn speakers_are_those_with_the_first_numbers() {
        let scenario = Scenario::named("rooms").expect("it is one of ours");
        let everybody = everybody(&scenario);
        assert_eq!(everybody.len(), 100);
        assert!(everybody.iter().all(|it| it.speaks == (it.number < 3) && it.stays));
    }
}
