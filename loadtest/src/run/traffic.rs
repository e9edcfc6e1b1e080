//! The window: time passes, and meanwhile some come and go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::attendance::{Newcomer, Outcomes, Present, join, join_all};
use super::readings::Readings;
use super::{Run, Window};
use crate::progress;
use crate::scenario::Traffic;

/// From the beginning of the window to the storm.
const STORM_AFTER: Duration = Duration::from_secs(1);
/// Participants of each room of a rush: more would measure the events instead.
const RUSH_ROOM_PARTICIPANTS: u32 = 10;
/// Of how many visitors one decrypts what it receives.
const OPENING_EVERY: u32 = 8;

/// Lets the window pass. Returns the joins in it.
pub(super) async fn pass_window(run: &Arc<Run>, present: &mut Vec<Present>) -> anyhow::Result<Outcomes> {
    let scenario = &run.options.scenario;
    let window = Window { began: Instant::now(), length: scenario.window };
    let outcomes = match scenario.traffic {
        Traffic::None => Outcomes::default(),
        Traffic::Churn { joins_per_second, stay } => churn(run, &window, joins_per_second, stay).await,
        Traffic::Storm => storm(run, present).await,
        Traffic::Rush { joins_max } => rush(run, &window, joins_max).await,
        Traffic::Soak { line_every } => {
            soak(run, &window, line_every).await?;
            Outcomes::default()
        }
    };
    progress::wait("measuring", window.left()).await;
    Ok(outcomes)
}

/// Visitors come at a steady rate, and leave before the window ends.
async fn churn(run: &Arc<Run>, window: &Window, joins_per_second: f64, stay: Duration) -> Outcomes {
    let scenario = &run.options.scenario;
    let visits = (window.length.saturating_sub(stay).as_secs_f64() * joins_per_second) as u32;
    let mut tasks = JoinSet::new();
    let bar = progress::bar("visitors", visits.into());
    for visit in 0..visits {
        let due = Duration::from_secs_f64(f64::from(visit) / joins_per_second);
        sleep(due.saturating_sub(window.began.elapsed())).await;
        let newcomer = Newcomer {
            room: visit % scenario.rooms,
            number: scenario.speakers + scenario.listeners + visit,
            speaks: false,
            opens: visit.is_multiple_of(OPENING_EVERY),
            stays: false,
        };
        let run = run.clone();
        tasks.spawn(async move { visitor(&run, newcomer, stay).await });
        bar.inc(1);
    }
    let mut outcomes = gather(tasks, window).await;
    bar.finish_and_clear();
    // While the last ones stay, nobody comes.
    outcomes.elapsed = outcomes.elapsed.saturating_sub(stay);
    outcomes
}

/// Joins, stays, and leaves.
async fn visitor(run: &Arc<Run>, newcomer: Newcomer, stay: Duration) -> Outcomes {
    let outcome = join(run, newcomer).await;
    let mut outcomes = Outcomes::default();
    outcomes.add(&outcome);
    if let Ok(present) = outcome {
        sleep(stay).await;
        // A task that panicked has said so already.
        let _ = present.leave().await;
    }
    outcomes
}

async fn gather(mut tasks: JoinSet<Outcomes>, window: &Window) -> Outcomes {
    let mut total = Outcomes::default();
    while let Some(outcomes) = tasks.join_next().await {
        total.extend(outcomes.unwrap_or_default());
    }
    total.elapsed = window.began.elapsed();
    total
}

/// All listeners are gone at once, and come back as fast as they can.
async fn storm(run: &Arc<Run>, present: &mut Vec<Present>) -> Outcomes {
    sleep(STORM_AFTER).await;
    let (speakers, listeners): (Vec<_>, Vec<_>) =
        std::mem::take(present).into_iter().partition(|it| it.newcomer.speaks);
    let back = listeners.into_iter().map(|it| Newcomer { stays: false, ..it.vanish(run) });
    let (outcomes, listeners) = join_all(run, back.collect(), None).await;
    present.extend(speakers.into_iter().chain(listeners));
    outcomes
}

/// One after another joins, a bounded number at a time, and leaves at once.
async fn rush(run: &Arc<Run>, window: &Window, joins_max: u32) -> Outcomes {
    let places = Arc::new(Semaphore::new(run.options.concurrent_joins.max(1)));
    let bar = progress::bar("joining", window.length.as_secs());
    let (mut tasks, mut total) = (JoinSet::new(), Outcomes::default());
    for number in 0..joins_max {
        let Ok(place) = places.clone().acquire_owned().await else { break };
        if window.left().is_zero() {
            break;
        }
        while let Some(outcomes) = tasks.try_join_next() {
            total.extend(outcomes.unwrap_or_default());
        }
        bar.set_position(window.began.elapsed().as_secs());
        let (room, number) = (number / RUSH_ROOM_PARTICIPANTS, number % RUSH_ROOM_PARTICIPANTS);
        let newcomer = Newcomer { room, number, speaks: false, opens: false, stays: false };
        let run = run.clone();
        tasks.spawn(async move {
            let outcomes = visitor(&run, newcomer, Duration::ZERO).await;
            drop(place);
            outcomes
        });
    }
    let rest = gather(tasks, window).await;
    bar.finish_and_clear();
    let elapsed = rest.elapsed;
    total.extend(rest);
    Outcomes { elapsed, ..total }
}

/// A line of figures from time to time: what grows shows.
async fn soak(run: &Arc<Run>, window: &Window, line_every: Duration) -> anyhow::Result<()> {
    let mut former = Readings::take(run)?;
    while window.left() >= line_every {
        sleep(line_every).await;
        let now = Readings::take(run)?;
        println!("{:5.0} s  {}", window.began.elapsed().as_secs_f64(), now.since(&former));
        former = now;
    }
    Ok(())
}

impl Outcomes {
    fn extend(&mut self, other: Outcomes) {
        self.times.extend(other.times);
        self.errors.extend(other.errors);
        self.put_off += other.put_off;
    }
}
