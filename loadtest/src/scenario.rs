//! What the many clients do, and what is measured of it.
//!
//! A scenario joins its participants, lets them settle, measures over a window of time between two
//! readings of the counters and of `/proc`, and leaves. Everything is bounded: joins at a time, the
//! time of a join, the window.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::process::machine_cpu;
use crate::report::cpu_percent;
use crate::target::{JoinRequest, Joined, Leg, Link};
use crate::{
    Addresses, Counts, DrivenPeer, Driver, DriverOptions, JoinFigures, MediaFigures, Parting, PeerKey,
    ProcessSample, Report, ServerFigures, ServerUrl, Target, TesterFigures, Turns, Work,
};

/// How long one join may take.
const JOIN_TIMEOUT: Duration = Duration::from_secs(20);
/// Between the last join and the window: the first turns are taken, the joins' events are through.
const SETTLE: Duration = Duration::from_secs(2);
/// Participants of each room of the scenario `joins`: more would measure the events instead.
const JOINS_ROOM_PARTICIPANTS: u32 = 10;
/// Of how many receivers one decrypts what it receives and measures the latency.
const OPENING_EVERY: u32 = 8;

/// The kinds of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// One room: a few speakers take turns, many listen.
    Room,
    /// Joins as fast as the server takes them; each leaves at once.
    Joins,
}

/// How to run a scenario.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Which.
    pub scenario: Scenario,
    /// The kind of server.
    pub target: Target,
    /// The server.
    pub server: ServerUrl,
    /// The server's token secret; without it, tokens come from the demo endpoint.
    pub secret: Option<String>,
    /// Participants that publish. `joins` has none.
    pub speakers: u32,
    /// Participants that listen; in `joins`, how many join at most.
    pub listeners: u32,
    /// How long to measure.
    pub window: Duration,
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
}

/// Runs a scenario to its end.
pub async fn run(options: RunOptions) -> anyhow::Result<Report> {
    if let Some(pid) = options.server_pid {
        ProcessSample::of(pid).with_context(|| format!("--server-pid {pid}"))?;
    }
    ensure!(options.speakers + options.listeners > 0, "there is nobody to join");
    let driver = Driver::start(DriverOptions {
        threads: options.threads,
        addresses: options.addresses,
        ip: options.server.address().ip(),
        joins_datagrams: options.joins_datagrams,
    })?;
    let run = Arc::new(Run { driver, id: rand::random(), options });
    let mut report = match run.options.scenario {
        Scenario::Room => room(&run).await?,
        Scenario::Joins => joins(&run).await?,
    };
    report.judge();
    Ok(report)
}

/// What all joins of a run share.
struct Run {
    options: RunOptions,
    driver: Driver,
    /// Keeps the rooms of two runs on one server apart.
    id: u32,
}

/// Somebody to join.
struct Participant {
    number: u32,
    room: String,
    speaks: Option<(u32, Turns)>,
    opens: bool,
}

/// Somebody who has joined and is connected.
struct Present {
    leave: watch::Sender<bool>,
    attending: JoinHandle<()>,
    /// From the join request to the connected media.
    took: Duration,
}

async fn room(run: &Arc<Run>) -> anyhow::Result<Report> {
    let RunOptions { speakers, listeners, window, .. } = run.options;
    let turns = Turns { speakers };
    let started = Instant::now();
    let people = (0..speakers + listeners).map(|number| Participant {
        number,
        room: format!("load-{:08x}", run.id),
        speaks: (number < speakers).then_some((number, turns)),
        opens: number % OPENING_EVERY == 0,
    });
    let (outcomes, joined) = join_all(run, people).await;
    ensure!(!joined.is_empty(), "nobody could join: {}", outcomes.errors.first().map_or("", String::as_str));
    let joins = JoinFigures::new(outcomes.times, &outcomes.errors, started.elapsed());
    let present = joined.len() as u64;

    sleep(SETTLE).await;
    let measured = measure(run, window).await?;

    // Those who can't go because the server is gone go with the process.
    let attending = joined.into_iter().map(|present| {
        let _ = present.leave.send(true);
        present.attending
    });
    wait_all(attending.collect()).await;

    // Everybody hears all who talk, except themselves.
    let talkers = u64::from(turns.talkers());
    let voices_heard = talkers * present.saturating_sub(1);
    let work =
        Work { packets_in: measured.counts.packets_in, packets_out: measured.counts.packets_out, joins: 0 };
    let media = MediaFigures::new(&measured.counts, measured.window, voices_heard);
    Ok(measured.report(run, "room", joins, Some(media), work))
}

async fn joins(run: &Arc<Run>) -> anyhow::Result<Report> {
    let before = Readings::take(run)?;
    let end = before.at + run.options.window;
    let places = Arc::new(Semaphore::new(run.options.concurrent_joins.max(1)));
    let mut tasks = JoinSet::new();
    let mut outcomes = Outcomes::default();
    for number in 0..run.options.listeners + run.options.speakers {
        let place = places.clone().acquire_owned().await?;
        if Instant::now() >= end {
            break;
        }
        while let Some(outcome) = tasks.try_join_next() {
            outcomes.add(outcome?);
        }
        let run = run.clone();
        tasks.spawn(async move {
            let room = format!("load-{:08x}-{}", run.id, number / JOINS_ROOM_PARTICIPANTS);
            let outcome = join(&run, Participant { number, room, speaks: None, opens: false }).await;
            let took = outcome.as_ref().map(|joined| joined.took).map_err(|error| format!("{error:#}"));
            if let Ok(present) = outcome {
                let _ = present.leave.send(true);
                let _ = present.attending.await;
            }
            drop(place);
            took
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcomes.add(outcome?);
    }
    let measured = before.measured(run, run.driver.collect())?;
    ensure!(
        !outcomes.times.is_empty(),
        "nobody could join: {}",
        outcomes.errors.first().map_or("", String::as_str)
    );
    let work = Work { joins: outcomes.times.len(), ..Work::default() };
    let joins = JoinFigures::new(outcomes.times, &outcomes.errors, measured.window);
    Ok(measured.report(run, "joins", joins, None, work))
}

/// How joins went.
#[derive(Default)]
struct Outcomes {
    times: Vec<Duration>,
    errors: Vec<String>,
}

impl Outcomes {
    fn add(&mut self, outcome: Result<Duration, String>) {
        match outcome {
            Ok(took) => self.times.push(took),
            Err(error) => self.errors.push(error),
        }
    }
}

/// Joins everybody, a bounded number at a time.
async fn join_all(run: &Arc<Run>, people: impl Iterator<Item = Participant>) -> (Outcomes, Vec<Present>) {
    let places = Arc::new(Semaphore::new(run.options.concurrent_joins.max(1)));
    let mut tasks = JoinSet::new();
    for participant in people {
        let (run, places) = (run.clone(), places.clone());
        tasks.spawn(async move {
            let _place = places.acquire().await;
            join(&run, participant).await
        });
    }
    let (mut outcomes, mut everybody) = (Outcomes::default(), Vec::new());
    while let Some(outcome) = tasks.join_next().await {
        match outcome.map_err(anyhow::Error::from).and_then(|joined| joined) {
            Ok(joined) => {
                outcomes.add(Ok(joined.took));
                everybody.push(joined);
            }
            Err(error) => outcomes.add(Err(format!("{error:#}"))),
        }
    }
    (outcomes, everybody)
}

/// Joins one participant and waits for their media connections.
async fn join(run: &Arc<Run>, participant: Participant) -> anyhow::Result<Present> {
    let request = JoinRequest {
        server: run.options.server,
        secret: run.options.secret.clone(),
        room: participant.room,
        name: format!("load-{}", participant.number),
        speaks: participant.speaks.is_some(),
    };
    let joining = async {
        let Joined { started, legs, link } = run.options.target.join(&request, &run.driver).await?;
        let (mut keys, mut connections) = (Vec::new(), Vec::new());
        for Leg { peer, place, publishes } in legs {
            let (connected, connection) = oneshot::channel();
            connections.push(connection);
            keys.push(run.driver.add(DrivenPeer {
                peer,
                place,
                participant: participant.number,
                speaks: participant.speaks.filter(|_| publishes).map(|(_, turns)| turns),
                opens: participant.opens,
                stays: true,
                connected,
            }));
        }
        let mut took = Duration::ZERO;
        for connection in connections {
            let connected_at = connection.await.context("the media connection failed")?;
            took = took.max(connected_at.saturating_duration_since(started));
        }
        // At once: while others join, signalling goes on.
        let (leave, leaving) = watch::channel(false);
        anyhow::Ok(Present { leave, attending: tokio::spawn(attend(run.clone(), keys, link, leaving)), took })
    };
    timeout(JOIN_TIMEOUT, joining).await.with_context(|| format!("no join within {JOIN_TIMEOUT:?}"))?
}

/// Keeps somebody in the room until it is time to leave.
async fn attend(run: Arc<Run>, keys: Vec<PeerKey>, link: Link, leaving: watch::Receiver<bool>) {
    if let Err(error) = link.attend(&run.driver, &keys, leaving).await {
        tracing::warn!(%error, "signalling failed");
    }
    keys.into_iter().for_each(|key| run.driver.remove(key, Parting::Goodbye));
}

async fn wait_all(tasks: Vec<JoinHandle<()>>) {
    let all = async {
        for task in tasks {
            // A task that panicked has said so already.
            let _ = task.await;
        }
    };
    // Those who can't say goodbye in time don't get to.
    let _ = timeout(JOIN_TIMEOUT, all).await;
}

async fn measure(run: &Run, window: Duration) -> anyhow::Result<Measured> {
    run.driver.start_counting();
    let before = Readings::take(run)?;
    sleep(window).await;
    let counts = run.driver.collect();
    before.measured(run, counts)
}

/// Both processes at one time.
struct Readings {
    at: Instant,
    server: Option<ProcessSample>,
    tester: ProcessSample,
    machine_cpu: Duration,
}

impl Readings {
    fn take(run: &Run) -> anyhow::Result<Readings> {
        let server =
            run.options.server_pid.map(ProcessSample::of).transpose().context("the server's process")?;
        Ok(Readings {
            at: Instant::now(),
            server,
            tester: ProcessSample::own()?,
            machine_cpu: machine_cpu()?,
        })
    }

    /// The window from these readings to now.
    fn measured(self, run: &Run, counts: Counts) -> anyhow::Result<Measured> {
        let after = Readings::take(run)?;
        Ok(Measured { window: after.at - self.at, counts, before: self, after })
    }
}

struct Measured {
    window: Duration,
    counts: Counts,
    before: Readings,
    after: Readings,
}

impl Measured {
    fn report(
        self,
        run: &Run,
        scenario: &'static str,
        joins: JoinFigures,
        media: Option<MediaFigures>,
        work: Work,
    ) -> Report {
        let (before, after, window) = (self.before, self.after, self.window);
        let samples = before.server.zip(after.server);
        Report {
            scenario,
            target: run.options.target.name(),
            speakers: run.options.speakers,
            listeners: run.options.listeners,
            seconds: window.as_secs_f64(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            joins,
            media,
            server: samples.map(|(before, after)| ServerFigures::new(before, after, window, work)),
            tester: TesterFigures::new(before.tester, after.tester, window, &self.counts.send_lag),
            machine_cpu_percent: cpu_percent(after.machine_cpu.saturating_sub(before.machine_cpu), window),
            warnings: Vec::new(),
        }
    }
}
