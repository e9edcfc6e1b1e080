//! The thread of phones: datagrams of phones, commands, and packets of workers in; the same out, each 20 ms.
//!
//! All is taken at ticks, for nothing is done with sound before: of what phones send the system says when it came, of what workers
//! pass on these do. A thread that each packet wakes spends more on waking than on packets.

mod commands;
mod tick;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::BytesMut;
use mio::{Events, Poll, Token, Waker};
use rustc_hash::FxHashMap;
use tercet_core::{EndpointId, RoomId};
use tercet_sip_gateway::signalling::CallId;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::line::{CALL_DATAGRAMS_MAX, Line};
use super::metrics::PhoneMetrics;
use super::room::PhoneRoom;
use super::socket::Inbox;
use super::{LineCommand, Lines};
use crate::backlog::Backlog;
use crate::media::{
    Crossing, CrossingSender, Doorbell, Passed, WorkerCommand, WorkerEvent, WorkerHandle, WorkerId, crossing,
};

/// What phones hear is made so often.
pub(super) const TICK: Duration = Duration::from_millis(20);

const DOORBELL: Token = Token(0);

const COMMANDS_MAX: usize = 4096;
const EVENTS_MAX: usize = 10_000;

/// What is done of one kind before the others have their turn.
const COMMANDING_MAX: Duration = Duration::from_millis(4);
const COMMANDS_A_TURN: usize = 256;
const CROSSINGS_A_TURN: usize = 8192;

/// So many calls are read before anything is done with what they say, and so many packets made before they are sent: system calls and
/// what we do with sound push each other out of the processor's caches.
const CALLS_AT_ONCE: usize = 16;

/// Ticks over which it is smoothed how long one takes: five seconds, which no burst lasts.
const STRAIN_TICKS: u32 = 256;

/// A tick that takes more than this, smoothed, leaves too little for all else: no more calls are taken. Two thirds of it, and
/// they are again.
const TICK_STRAINED: Duration = Duration::from_millis(17);
const TICK_RELIEVED: Duration = Duration::from_millis(12);

/// Ticks that were missed are not made up for beyond this: the sound of then is of no use.
const CATCH_UP_MAX: Duration = Duration::from_millis(100);

/// EX_SOFTWARE of sysexits.h: a fault of ours.
const EXIT_FAILED: i32 = 70;

/// What the thread is made of, before it runs.
pub(crate) struct Bound {
    /// Where workers pass on what phones hear.
    pub(crate) inbox: CrossingSender,
    poll: Poll,
    doorbell: Arc<Doorbell>,
    crossings: Receiver<Passed>,
}

/// Makes what the thread waits on.
pub(crate) fn bind() -> anyhow::Result<Bound> {
    let poll = Poll::new().context("creating a poll")?;
    let doorbell = Arc::new(Doorbell::new(Waker::new(poll.registry(), DOORBELL)?));
    let (inbox, crossings) = crossing(doorbell.clone());
    Ok(Bound { inbox, poll, doorbell, crossings })
}

impl Bound {
    /// Starts the thread. `workers`: the inboxes of all, its own among them. Of a phone from which nothing comes for
    /// `silent_after` its call's task is told.
    pub(crate) fn start(
        self,
        id: WorkerId,
        workers: Vec<CrossingSender>,
        events: mpsc::Sender<WorkerEvent>,
        silent_after: Duration,
    ) -> anyhow::Result<(WorkerHandle, Lines)> {
        let (line_sender, line_commands) = mpsc::channel(COMMANDS_MAX);
        let (worker_sender, worker_commands) = mpsc::channel(COMMANDS_MAX);
        let is_strained = Arc::new(AtomicBool::new(false));
        let doorbell = self.doorbell.clone();
        let lines =
            Lines { commands: line_sender, doorbell: doorbell.clone(), is_strained: is_strained.clone() };
        let thread = Thread {
            poll: self.poll,
            doorbell: self.doorbell,
            crossings: self.crossings,
            line_commands,
            worker_commands,
            workers,
            events,
            backlog: Backlog::default(),
            lines: BTreeMap::new(),
            rooms: BTreeMap::new(),
            room_keys: FxHashMap::default(),
            last_room: RoomKey(0),
            endpoints: FxHashMap::default(),
            silent_after,
            is_strained,
            tick_takes: Duration::ZERO,
            metrics: PhoneMetrics::register(),
            inbox: Inbox::new(Instant::now(), CALLS_AT_ONCE * CALL_DATAGRAMS_MAX),
            ticks: 0,
            outbox: Default::default(),
        };
        let run = move || {
            let ended = catch_unwind(AssertUnwindSafe(|| thread.run()));
            if !matches!(ended, Ok(Ok(()))) {
                error!(?ended, "the thread of phones failed: the node ends");
                std::process::exit(EXIT_FAILED);
            }
        };
        let thread = std::thread::Builder::new().name("phones".to_owned()).spawn(run);
        let thread = thread.context("starting the thread of phones")?;
        info!(worker = id.0, "phones");
        Ok((WorkerHandle { commands: worker_sender, doorbell, thread, bound: Vec::new() }, lines))
    }
}

/// Names a room as long as phones are in it, more shortly than its name does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RoomKey(u64);

struct Thread {
    poll: Poll,
    doorbell: Arc<Doorbell>,
    crossings: Receiver<Passed>,
    line_commands: mpsc::Receiver<(CallId, LineCommand)>,
    worker_commands: mpsc::Receiver<WorkerCommand>,
    workers: Vec<CrossingSender>,
    events: mpsc::Sender<WorkerEvent>,
    backlog: Backlog<WorkerEvent>,
    lines: BTreeMap<CallId, Line>,
    rooms: BTreeMap<RoomKey, PhoneRoom>,
    room_keys: FxHashMap<RoomId, RoomKey>,
    last_room: RoomKey,
    endpoints: FxHashMap<EndpointId, RoomKey>,
    silent_after: Duration,
    is_strained: Arc<AtomicBool>,
    /// How long a tick takes, smoothed.
    tick_takes: Duration,
    metrics: PhoneMetrics,
    inbox: Inbox,
    ticks: u64,
    /// What is sent to phones at once.
    outbox: [BytesMut; CALLS_AT_ONCE],
}

impl Thread {
    fn run(mut self) -> anyhow::Result<()> {
        let mut ready = Events::with_capacity(8);
        let mut tick_at = Instant::now() + TICK;
        loop {
            let is_idle = self.lines.is_empty() && self.rooms.is_empty() && self.backlog.is_empty();
            if is_idle {
                // Nobody is there: whoever comes rings.
                match self.poll.poll(&mut ready, None) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error).context("waiting for commands"),
                }
                tick_at = Instant::now();
            } else {
                std::thread::sleep(tick_at.saturating_duration_since(Instant::now()));
            }
            self.doorbell.answer();
            let now = Instant::now();
            self.metrics.lag.record(now.saturating_duration_since(tick_at));
            if !self.take_commands(now) {
                return Ok(());
            }
            self.take_crossings(now);
            // Datagrams are stamped by the clock: what was done meanwhile is no delay of theirs.
            self.tick(Instant::now());
            self.judge_strain(now.elapsed());
            tick_at += TICK;
            if now.saturating_duration_since(tick_at) > CATCH_UP_MAX {
                tick_at = now + TICK;
            }
            self.backlog.hand_over(&self.events);
        }
    }

    /// Returns whether the thread goes on.
    fn take_commands(&mut self, now: Instant) -> bool {
        let mut taken = 0;
        // What the control plane opens is there before the call's task enters it. Of all that it tells workers most is nothing to
        // phones, and it waits for whoever doesn't take it.
        while now.elapsed() < COMMANDING_MAX
            && let Ok(command) = self.worker_commands.try_recv()
        {
            taken += 1;
            if matches!(command, WorkerCommand::Stop) {
                return false;
            }
            self.worker_command(now, command);
        }
        let mut of_lines = 0;
        while of_lines < COMMANDS_A_TURN
            && let Ok((call, command)) = self.line_commands.try_recv()
        {
            of_lines += 1;
            self.line_command(now, call, command);
        }
        if taken + of_lines > 0 {
            self.metrics.lines.set(self.lines.len() as f64);
            self.metrics.rooms.set(self.rooms.len() as f64);
        }
        if of_lines == COMMANDS_A_TURN || now.elapsed() >= COMMANDING_MAX {
            // There may be more. Who is idle looks again at once, and everybody else with the next tick.
            self.doorbell.ring();
        }
        true
    }

    fn take_crossings(&mut self, now: Instant) {
        for _ in 0..CROSSINGS_A_TURN {
            let passed = match self.crossings.try_recv() {
                Ok(passed) => passed,
                Err(_) => return,
            };
            let Passed::Audio(Crossing { room, origin, news }) = passed else {
                continue;
            };
            if let Some(room) = self.room_keys.get(&room).and_then(|key| self.rooms.get_mut(key)) {
                room.crossing(now, origin, news);
            }
        }
        self.doorbell.ring();
    }

    fn judge_strain(&mut self, took: Duration) {
        self.metrics.tick.record(took);
        self.tick_takes = (self.tick_takes * (STRAIN_TICKS - 1) + took) / STRAIN_TICKS;
        let was_strained = self.is_strained.load(Ordering::Relaxed);
        let is_strained = self.tick_takes > if was_strained { TICK_RELIEVED } else { TICK_STRAINED };
        if was_strained != is_strained {
            warn!(takes = ?self.tick_takes, calls = self.lines.len(), is_strained, "phones: a tick is 20 ms");
            self.is_strained.store(is_strained, Ordering::Relaxed);
        }
    }
}
