//! Phones in a run: they call in, the first one alone, and what the server uses is read before, with one, and with all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use super::{OPENING_EVERY, Outcomes, Run, SETTLE, room_name};
use crate::floor::CallFloor;
use crate::phones::{CallCounts, Lost, Phones};
use crate::{process, progress};

/// The server is read for half of the window before anybody calls, and with one call; for no longer than this.
const ALONE_MAX: Duration = Duration::from_secs(10);

/// More decode nothing, so that the tester has time to send.
const OPENED_MAX: u32 = 16;

/// Everything that was measured of calls, for the report.
pub(crate) struct MeasuredCalls {
    pub(crate) outcomes: Outcomes,
    /// What the server used, as a part of a CPU: before anybody called, with one call, and in the window. Absent without its
    /// process.
    pub(crate) room_cpu: Option<f64>,
    pub(crate) one_cpu: Option<f64>,
    pub(crate) all_cpu: Option<f64>,
    pub(crate) lost: Lost,
    pub(crate) counts: CallCounts,
    /// Of before and after.
    pub(crate) floors: Option<(CallFloor, CallFloor)>,
}

/// Phones that have called in.
pub(super) struct CalledIn {
    phones: Phones,
    outcomes: Outcomes,
    room_cpu: Option<f64>,
    one_cpu: Option<f64>,
}

/// The server's CPU time at some time.
pub(super) struct CpuReading {
    at: Instant,
    cpu: Duration,
}

/// All phones call in, after the rooms are full.
pub(super) async fn call_in(run: &Arc<Run>) -> anyhow::Result<CalledIn> {
    let scenario = &run.options.scenario;
    let alone = (scenario.window / 2).min(ALONE_MAX);
    let phones = Phones::start(run.options.phones).await?;
    let room_cpu = share(run, "room alone", alone).await;

    let phones = Arc::new(phones);
    let mut outcomes = Outcomes::default();
    let calls = scenario.rooms * scenario.listeners;
    dial(run, &phones, 0..calls.min(1), &mut outcomes).await;
    sleep(SETTLE).await;
    let one_cpu = share(run, "one call", alone).await;
    dial(run, &phones, calls.min(1)..calls, &mut outcomes).await;
    let phones = Arc::into_inner(phones).expect("all who dialled have an answer");
    Ok(CalledIn { phones, outcomes, room_cpu, one_cpu })
}

impl CalledIn {
    pub(super) fn start_counting(&self) {
        self.phones.start_counting();
    }

    /// At the end of a window that began with a reading of the server.
    pub(super) async fn finish(self, run: &Run, before: Option<CpuReading>) -> anyhow::Result<MeasuredCalls> {
        let all_cpu = before.and_then(|before| before.share(run));
        let CalledIn { phones, outcomes, room_cpu, one_cpu } = self;
        let (counts, lost) = (phones.collect(), phones.lost());
        phones.hang_up().await?;
        Ok(MeasuredCalls { outcomes, room_cpu, one_cpu, all_cpu, lost, counts, floors: None })
    }
}

impl CpuReading {
    /// To the nanosecond: what one call costs is less than a clock tick in a second.
    pub(super) fn take(run: &Run) -> Option<CpuReading> {
        let cpu = process::cpu_time(run.options.server_pid?).ok()?;
        Some(CpuReading { at: Instant::now(), cpu })
    }

    /// What was used since, as a part of a CPU.
    fn share(&self, run: &Run) -> Option<f64> {
        let now = CpuReading::take(run)?;
        let used = now.cpu.checked_sub(self.cpu)?;
        Some(used.as_secs_f64() / (now.at - self.at).as_secs_f64().max(1e-9))
    }
}

async fn share(run: &Run, what: &'static str, time: Duration) -> Option<f64> {
    let before = CpuReading::take(run)?;
    progress::wait(what, time).await;
    before.share(run)
}

/// Some of the phones call, so many a second, and rooms side by side.
async fn dial(run: &Arc<Run>, phones: &Arc<Phones>, numbers: std::ops::Range<u32>, outcomes: &mut Outcomes) {
    let bar = progress::bar("calling", u64::from(numbers.end - numbers.start));
    let (started, rooms) = (tokio::time::Instant::now(), run.options.scenario.rooms);
    let mut tasks = JoinSet::new();
    for (count, number) in numbers.enumerate() {
        let per_second = run.options.phones.calls_per_second.max(1);
        sleep_until(started + Duration::from_secs(count as u64) / per_second).await;
        let (phones, room) = (phones.clone(), room_name(run, number % rooms));
        let opens = is_opened(number, run.options.scenario.listeners * rooms);
        tasks.spawn(async move { phones.call(&room, opens).await });
    }
    while let Some(ended) = tasks.join_next().await {
        match ended.map_err(Into::into).flatten() {
            Ok(took) => outcomes.times.push(took),
            Err(error) => outcomes.errors.push(format!("{error:#}")),
        }
        bar.inc(1);
    }
    outcomes.elapsed += started.elapsed();
    bar.finish_and_clear();
}

/// Whether a phone decodes what it hears: all of a few, one in eight of more, and only some of many.
fn is_opened(number: u32, calls: u32) -> bool {
    calls <= OPENED_MAX || number.is_multiple_of(OPENING_EVERY.max(calls / OPENED_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_phones_listen_and_the_first_is_one_of_them() {
        let opened = |calls| (0..calls).filter(|number| is_opened(*number, calls)).count();
        assert_eq!([1, 16, 100, 200, 1_000].map(opened), [1, 16, 13, 17, 17]);
        assert!(is_opened(0, 1_000));
    }
}
