//! Joining and leaving: a newcomer in, somebody who is present out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use futures_util::{StreamExt, stream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Run, room_name};
use crate::driver::{CameraKind, DrivenPeer, Parting, PeerKey};
use crate::hearing::ROOM_SHIFT;
use crate::progress;
use crate::scenario::Video;
use crate::target::{JoinRequest, Joined, Leg, Link};
use crate::{SignallingError, VideoOffer};

/// How long one join may take.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long all leaves may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(60);
const LEAVES_AT_A_TIME: usize = 64;
/// How long somebody who is told to come again later does so.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody to join.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newcomer {
    pub(super) room: u32,
    /// In the room.
    pub(super) number: u32,
    pub(super) speaks: bool,
    pub(super) opens: bool,
    pub(super) stays: bool,
}

/// Somebody who has joined and is connected.
pub(super) struct Present {
    pub(super) newcomer: Newcomer,
    keys: Vec<PeerKey>,
    leave: watch::Sender<bool>,
    attending: JoinHandle<()>,
    /// From the join request to the connected media.
    pub(super) took: Duration,
}

/// How joins went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcomes {
    pub(crate) times: Vec<Duration>,
    pub(crate) errors: Vec<String>,
    /// How often somebody was told to come again later, and did.
    pub(crate) put_off: u64,
    /// From the first request to the last connection.
    pub(crate) elapsed: Duration,
}

impl Outcomes {
    pub(super) fn add(&mut self, outcome: &anyhow::Result<Present>) {
        match outcome {
            Ok(present) => self.times.push(present.took),
            Err(error) => self.errors.push(format!("{error:#}")),
        }
    }
}

impl Present {
    /// Leaves with a goodbye; the task ends when that is done.
    pub(super) fn leave(self) -> JoinHandle<()> {
        let _ = self.leave.send(true);
        self.attending
    }

    /// Is gone without a word, as if the network were.
    pub(super) fn vanish(self, run: &Run) -> Newcomer {
        self.attending.abort();
        self.keys.into_iter().for_each(|key| run.driver.remove(key, Parting::Silent));
        self.newcomer
    }
}

/// Joins everybody, a bounded number at a time. On a ramp, so many a second at most, and whoever is told to come again later
/// does: the server is not to be overrun, but filled.
pub(super) async fn join_all(
    run: &Arc<Run>,
    newcomers: Vec<Newcomer>,
    ramp_per_second: Option<u32>,
) -> (Outcomes, Vec<Present>) {
    let places = Arc::new(Semaphore::new(run.options.concurrent_joins.max(1)));
    let patience = if ramp_per_second.is_some() { PATIENCE } else { Duration::ZERO };
    let bar = progress::bar("joining", newcomers.len() as u64);
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    let (mut outcomes, mut everybody) = (Outcomes::default(), Vec::new());
    let mut note = |ended: Result<Attempts, JoinError>| {
        let (outcome, put_off) =
            ended.map_or_else(|error| (Err(error.into()), 0), |it| (it.outcome, it.put_off));
        outcomes.put_off += put_off;
        outcomes.add(&outcome);
        everybody.extend(outcome);
        bar.inc(1);
    };
    for (number, newcomer) in newcomers.into_iter().enumerate() {
        if let Some(per_second) = ramp_per_second {
            sleep_until(started + Duration::from_secs(number as u64) / per_second.max(1)).await;
        }
        let place = places.clone().acquire_owned().await.expect("nobody closes the semaphore");
        while let Some(ended) = tasks.try_join_next() {
            note(ended);
        }
        let run = run.clone();
        tasks.spawn(async move {
            let attempts = join_patiently(&run, newcomer, patience).await;
            drop(place);
            attempts
        });
    }
    while let Some(ended) = tasks.join_next().await {
        note(ended);
    }
    outcomes.elapsed = started.elapsed();
    bar.finish_and_clear();
    (outcomes, everybody)
}

/// What came of somebody's attempts to join.
struct Attempts {
    outcome: anyhow::Result<Present>,
    /// How many of them ended with a time to come again.
    put_off: u64,
}

/// Joins one participant, and again when the server says so, for as long as patience lasts.
async fn join_patiently(run: &Arc<Run>, newcomer: Newcomer, patience: Duration) -> Attempts {
    let (started, mut put_off) = (Instant::now(), 0);
    loop {
        let outcome = join(run, newcomer).await;
        let again_after = outcome.as_ref().err().and_then(again_after);
        match again_after.filter(|after| started.elapsed() + *after < patience) {
            Some(after) => sleep(after).await,
            None => return Attempts { outcome, put_off },
        }
        put_off += 1;
    }
}

/// When the server would like to be asked again.
fn again_after(error: &anyhow::Error) -> Option<Duration> {
    match error.downcast_ref()? {
        SignallingError::Refused(refused) => refused.retry_after_ms.map(Duration::from_millis),
        _ => None,
    }
}

/// All leave, a bounded number at a time: those of thousands who left at once would wait for their answers too long. Who came
/// last goes first: who came first is on the list that everybody is told of, and should have few left to tell.
pub(super) async fn leave_all(present: Vec<Present>) {
    let leaves =
        stream::iter(present.into_iter().rev()).for_each_concurrent(LEAVES_AT_A_TIME, async |present| {
            // A task that panicked has said so already.
            let _ = present.leave().await;
        });
    // Those who can't say goodbye in time don't get to: the server may be gone, and they go with the process.
    let _ = timeout(LEAVE_TIMEOUT, leaves).await;
}

/// Joins one participant and waits for their media connections.
pub(super) async fn join(run: &Arc<Run>, newcomer: Newcomer) -> anyhow::Result<Present> {
    let Newcomer { room, number, speaks, opens, stays } = newcomer;
    let turns = run.options.scenario.turns(room);
    let request = JoinRequest {
        server: run.options.server,
        secret: run.options.secret.clone(),
        room: room_name(run, room),
        name: format!("load-{number}"),
        speaks,
        video: offered_video(run, newcomer),
        is_standard: run.options.scenario.is_standard,
    };
    let joining = async {
        let Joined { started, legs, link } = run.options.target.join(&request, &run.driver).await?;
        let (mut keys, mut connections) = (Vec::new(), Vec::new());
        let has_one_leg = legs.len() == 1;
        for Leg { peer, place, publishes } in legs {
            let (connected, connection) = oneshot::channel();
            connections.push(connection);
            keys.push(run.driver.add(DrivenPeer {
                peer,
                place,
                participant: room << ROOM_SHIFT | number,
                speaks: (speaks && publishes).then_some((number, turns)),
                camera: camera_of(run, newcomer).filter(|_| publishes).map(camera_kind),
                watches: run.options.scenario.is_simulcast(),
                // Of two legs, one sends and the other receives.
                has_voices: (has_one_leg || !publishes) && turns.has_voices_for(speaks),
                spells: turns.spells,
                opens,
                stays,
                connected,
            }));
        }
        // At once: while others join, signalling goes on.
        let (leave, leaving) = watch::channel(false);
        let attending = tokio::spawn(attend(run.clone(), keys.clone(), link, leaving));
        let mut took = Duration::ZERO;
        for connection in connections {
            let connected_at = connection.await.context("the media connection failed")?;
            took = took.max(connected_at.saturating_duration_since(started));
        }
        anyhow::Ok(Present { newcomer, keys, leave, attending, took })
    };
    timeout(JOIN_TIMEOUT, joining).await.with_context(|| format!("no join within {JOIN_TIMEOUT:?}"))?
}

/// What somebody's camera sends, if they have one.
fn camera_of(run: &Run, newcomer: Newcomer) -> Option<Video> {
    run.options.scenario.video.filter(|video| newcomer.speaks && newcomer.number < video.cameras)
}

fn camera_kind(video: Video) -> CameraKind {
    if video.is_simulcast { CameraKind::Simulcast } else { CameraKind::Filler { kbps: video.kbps } }
}

fn offered_video(run: &Run, newcomer: Newcomer) -> Option<VideoOffer> {
    let camera = camera_of(run, newcomer).is_some();
    let Video { slots, is_simulcast, .. } = run.options.scenario.video?;
    Some(VideoOffer { camera, slots, is_simulcast })
}

/// Keeps somebody in the room until it is time to leave.
async fn attend(run: Arc<Run>, keys: Vec<PeerKey>, link: Link, mut leaving: watch::Receiver<bool>) {
    if let Err(error) = link.attend(&run.driver, &keys, leaving.clone()).await {
        // One line tells enough where the server ends, and with it the signalling of thousands.
        match run.signalling_failed.fetch_add(1, Ordering::Relaxed) {
            0 => tracing::warn!(%error, "signalling failed; failures after this one are only counted"),
            _ => tracing::debug!(%error, "signalling failed"),
        }
        // Media may go on without it; and if they don't, that is to be noticed.
        let _ = leaving.wait_for(|leaves| *leaves).await;
    }
    keys.into_iter().for_each(|key| run.driver.remove(key, Parting::Goodbye));
}
