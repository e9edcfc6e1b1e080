//! The thread of phones: datagrams of phones, commands, and packets of workers in; the same out, each 20 ms.
//!
//! It waits as a media worker does. What arrives is taken at once; what phones hear is made at each tick.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use audio_mixer::SILENCE;
use bytes::BytesMut;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};
use rustc_hash::FxHashMap;
use tercet_core::{EndpointId, RoomId};
use tercet_protocol::TrackOrigin;
use tercet_sip_gateway::leg::{Leg, Numbers};
use tercet_sip_gateway::signalling::CallId;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::line::Line;
use super::metrics::PhoneMetrics;
use super::room::{PhoneEvent, PhoneRoom};
use super::{LineCommand, Lines};
use crate::media::{
    Crossing, CrossingSender, Doorbell, OpenEndpoint, WorkerCommand, WorkerEvent, WorkerHandle, WorkerId,
    crossing,
};

/// What phones hear is made so often.
const TICK: Duration = Duration::from_millis(20);

const DOORBELL: Token = Token(0);

const COMMANDS_MAX: usize = 4096;
const EVENTS_MAX: usize = 10_000;

/// What is done of one kind before the others have their turn.
const COMMANDS_A_TURN: usize = 256;
const CROSSINGS_A_TURN: usize = 4096;

/// Ticks over which it is smoothed how long one takes: five seconds, which no burst lasts.
const STRAIN_TICKS: u32 = 256;

/// A tick that takes more than this, smoothed, leaves too little for datagrams: no more calls are taken. Half of it, and they
/// are again.
const TICK_STRAINED: Duration = Duration::from_millis(15);
const TICK_RELIEVED: Duration = Duration::from_millis(10);

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
    crossings: Receiver<Crossing>,
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
            backlog: VecDeque::new(),
            lines: BTreeMap::new(),
            rooms: FxHashMap::default(),
            endpoints: FxHashMap::default(),
            unfinished: BTreeSet::new(),
            silent_after,
            is_strained,
            tick_takes: Duration::ZERO,
            metrics: PhoneMetrics::register(),
            datagram: BytesMut::new(),
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

struct Thread {
    poll: Poll,
    doorbell: Arc<Doorbell>,
    crossings: Receiver<Crossing>,
    line_commands: mpsc::Receiver<LineCommand>,
    worker_commands: mpsc::Receiver<WorkerCommand>,
    workers: Vec<CrossingSender>,
    events: mpsc::Sender<WorkerEvent>,
    backlog: VecDeque<WorkerEvent>,
    lines: BTreeMap<CallId, Line>,
    rooms: FxHashMap<RoomId, PhoneRoom>,
    endpoints: FxHashMap<EndpointId, RoomId>,
    /// Sockets of which there may be more to read.
    unfinished: BTreeSet<Token>,
    silent_after: Duration,
    is_strained: Arc<AtomicBool>,
    /// How long a tick takes, smoothed.
    tick_takes: Duration,
    metrics: PhoneMetrics,
    datagram: BytesMut,
}

impl Thread {
    fn run(mut self) -> anyhow::Result<()> {
        let mut ready = Events::with_capacity(1024);
        let mut buffer = vec![0; 2048];
        let mut tick_at = Instant::now() + TICK;
        loop {
            let is_idle = self.lines.is_empty() && self.rooms.is_empty() && self.backlog.is_empty();
            let wait = if !self.unfinished.is_empty() {
                Duration::ZERO
            } else if is_idle {
                // Nobody is there: whoever comes rings.
                Duration::from_secs(3600)
            } else {
                tick_at.saturating_duration_since(Instant::now())
            };
            match self.poll.poll(&mut ready, Some(wait)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("waiting for datagrams"),
            }
            for event in &ready {
                match event.token() {
                    DOORBELL => self.doorbell.answer(),
                    token => {
                        self.unfinished.insert(token);
                    }
                }
            }
            let now = Instant::now();
            if is_idle {
                tick_at = now + TICK;
            }
            self.receive(now, &mut buffer);
            if !self.take_commands(now) {
                return Ok(());
            }
            self.take_crossings(now);
            let now = Instant::now();
            if now >= tick_at {
                self.metrics.lag.record(now.saturating_duration_since(tick_at));
                self.tick(now);
                self.judge_strain(now.elapsed());
                tick_at += TICK;
                if now.saturating_duration_since(tick_at) > CATCH_UP_MAX {
                    tick_at = now + TICK;
                }
            }
            self.flush();
        }
    }

    fn receive(&mut self, now: Instant, buffer: &mut [u8]) {
        for token in std::mem::take(&mut self.unfinished) {
            let (call, is_rtcp) = call_of(token);
            let Some(line) = self.lines.get_mut(&call) else {
                continue;
            };
            match catch_unwind(AssertUnwindSafe(|| line.receive(now, is_rtcp, buffer))) {
                Ok(received) => {
                    self.metrics.received(&received);
                    if received.is_unfinished {
                        self.unfinished.insert(token);
                    }
                }
                Err(_) => self.metrics.line_failed(call, line),
            }
        }
    }

    /// Returns whether the thread goes on.
    fn take_commands(&mut self, now: Instant) -> bool {
        let mut taken = 0;
        // What the control plane opens is there before the call's task enters it.
        while taken < COMMANDS_A_TURN
            && let Ok(command) = self.worker_commands.try_recv()
        {
            taken += 1;
            if matches!(command, WorkerCommand::Stop) {
                return false;
            }
            self.worker_command(now, command);
        }
        while taken < COMMANDS_A_TURN
            && let Ok(command) = self.line_commands.try_recv()
        {
            taken += 1;
            self.line_command(now, command);
        }
        if taken > 0 {
            self.metrics.lines.set(self.lines.len() as f64);
            self.metrics.rooms.set(self.rooms.len() as f64);
        }
        if taken == COMMANDS_A_TURN {
            // There may be more: look again before sleeping.
            self.doorbell.ring();
        }
        true
    }

    fn worker_command(&mut self, now: Instant, command: WorkerCommand) {
        match command {
            WorkerCommand::Open(open) => self.open(now, &open),
            WorkerCommand::Close { endpoint } => {
                if let Some(room) = self.endpoints.remove(&endpoint)
                    && let Some(local) = self.rooms.get_mut(&room)
                {
                    local.remove(endpoint);
                    self.pass_on(&room);
                    if self.rooms.get(&room).is_some_and(PhoneRoom::is_empty) {
                        self.rooms.remove(&room);
                    }
                }
            }
            WorkerCommand::SetGates { endpoint, gates } => {
                self.with_room_of(endpoint, |room| room.set_gate(endpoint, gates.microphone));
            }
            WorkerCommand::SetStanding { endpoint, standing } => {
                self.with_room_of(endpoint, |room| room.set_standing(endpoint, standing));
            }
            WorkerCommand::SetOwnElsewhere { endpoint, sources } => {
                self.with_room_of(endpoint, |room| room.set_own_elsewhere(endpoint, sources.microphone));
            }
            WorkerCommand::SetWanted { room, wanted_by } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.set_wanted(wanted_by);
                }
            }
            WorkerCommand::Silence { room, sources } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.silence(&sources);
                }
            }
            WorkerCommand::SetRoomWorkers { room, others } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.set_others(others);
                }
            }
            // A phone makes no offers here, chooses nobody and takes no data; traces are of workers with packets of their own.
            WorkerCommand::Offer { .. }
            | WorkerCommand::SetListening { .. }
            | WorkerCommand::SendData { .. }
            | WorkerCommand::Trace { .. }
            | WorkerCommand::Stop => {}
        }
    }

    fn open(&mut self, now: Instant, open: &OpenEndpoint) {
        let room = self
            .rooms
            .entry(open.room.clone())
            .or_insert_with(|| PhoneRoom::new(now, open.room.clone(), open.audio.clone()));
        room.add(open);
        self.endpoints.insert(open.endpoint, open.room.clone());
    }

    fn with_room_of(&mut self, endpoint: EndpointId, change: impl FnOnce(&mut PhoneRoom)) {
        if let Some(room) = self.endpoints.get(&endpoint).and_then(|room| self.rooms.get_mut(room)) {
            change(room);
        }
    }

    fn line_command(&mut self, now: Instant, command: LineCommand) {
        let of_line = |lines: &mut BTreeMap<CallId, Line>, call, act: &mut dyn FnMut(&mut Line)| {
            if let Some(line) = lines.get_mut(&call) {
                act(line);
            }
        };
        match command {
            LineCommand::Open { call, ports, events } => {
                let (rtp, rtcp) = (UdpSocket::from_std(ports.rtp), UdpSocket::from_std(ports.rtcp));
                let mut line = Line::new(rtp, rtcp, events);
                for (socket, is_rtcp) in line.sockets().into_iter().zip([false, true]) {
                    let token = token_of(call, is_rtcp);
                    if let Err(error) = self.poll.registry().register(socket, token, Interest::READABLE) {
                        warn!(%call, %error, "registering a socket");
                    }
                }
                self.lines.insert(call, line);
            }
            LineCommand::Agree { call, agreed } => of_line(&mut self.lines, call, &mut |line| {
                let is_possible = match &mut line.leg {
                    Some(leg) => leg.agree(now, (*agreed).clone()),
                    None => {
                        line.leg = Leg::new(now, (*agreed).clone(), numbers());
                        line.leg.is_some()
                    }
                };
                if !is_possible {
                    warn!(%call, "keys that don't fit their suite");
                }
            }),
            LineCommand::Enter { call, room, endpoint } => {
                of_line(&mut self.lines, call, &mut |line| line.room = Some((room.clone(), endpoint)));
            }
            LineCommand::Leave { call } => of_line(&mut self.lines, call, &mut |line| line.room = None),
            LineCommand::Say { call, sound } => {
                of_line(&mut self.lines, call, &mut |line| line.say(sound.clone()));
            }
            LineCommand::Music { call, sound } => {
                of_line(&mut self.lines, call, &mut |line| line.set_music(sound.clone()));
            }
            LineCommand::SetVolume { call, gain_db } => {
                of_line(&mut self.lines, call, &mut |line| line.set_volume(gain_db));
            }
            LineCommand::Close { call } => {
                if let Some(mut line) = self.lines.remove(&call) {
                    for socket in line.sockets() {
                        let _ = self.poll.registry().deregister(socket);
                    }
                    if let Some(leg) = &line.leg {
                        self.metrics.call_ended(leg);
                    }
                }
            }
        }
    }

    fn take_crossings(&mut self, now: Instant) {
        for _ in 0..CROSSINGS_A_TURN {
            let Ok(Crossing { room, origin, news }) = self.crossings.try_recv() else {
                return;
            };
            if let Some(room) = self.rooms.get_mut(&room) {
                room.crossing(now, origin, news);
            }
        }
        self.doorbell.ring();
    }

    /// 20 ms pass: hears all phones, adds up what there is, and tells each.
    fn tick(&mut self, now: Instant) {
        for (call, line) in &mut self.lines {
            // What a phone sent is decoded here: it can end its own call at most.
            let pulled = catch_unwind(AssertUnwindSafe(|| line.pull(now)));
            let Ok(pulled) = pulled.inspect_err(|_| self.metrics.line_failed(*call, line)) else {
                continue;
            };
            let Some(pulled) = pulled else {
                continue;
            };
            if let Some((room, endpoint)) = &line.room
                && let Some(room) = self.rooms.get_mut(room)
            {
                room.hear(now, *endpoint, &pulled.frame, pulled.kind);
            }
            line.look_whether_it_is_there(now, self.silent_after);
        }
        for room in self.rooms.values_mut() {
            room.handle_timeout(now);
            room.mix(now);
        }
        self.speak(now);
        for room in self.rooms.keys().cloned().collect::<Vec<_>>() {
            self.pass_on(&room);
        }
    }

    /// Tells each phone what it hears in this tick.
    fn speak(&mut self, now: Instant) {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        for line in self.lines.values_mut() {
            let Some(codec) = line.leg.as_ref().filter(|leg| leg.sends()).map(|leg| leg.agreed().codec)
            else {
                continue;
            };
            let room =
                line.room.as_ref().and_then(|(room, endpoint)| Some((self.rooms.get_mut(room)?, *endpoint)));
            let payload = match (line.next_played(), room) {
                (Some(played), _) => line.encode(&played, &SILENCE, codec),
                (None, Some((room, endpoint))) => match room.own_frame(endpoint) {
                    None if !line.has_volume() => {
                        line.forget_encoder();
                        room.shared_payload(codec)
                    }
                    own => {
                        let mut frame = own.unwrap_or(*room.shared());
                        line.amplify(&mut frame);
                        line.encode(&frame, room.shared_before(), codec)
                    }
                },
                (None, None) => line.encode(&SILENCE, &SILENCE, codec),
            };
            let Some(leg) = &mut line.leg else {
                continue;
            };
            if let Some(to) = leg.packet(&payload, &mut self.datagram) {
                let bytes = self.datagram.len();
                let is_sent = line.send(false, &self.datagram, to);
                self.metrics.sent(is_sent, bytes);
            }
            if let Some(leg) = &mut line.leg
                && let Some((report, to)) = leg.report(now, wall, rand::random())
            {
                let is_on_rtp = leg.agreed().rtcp_mux;
                line.send(!is_on_rtp, &report, to);
            }
        }
    }

    /// Tells other workers and the control plane what a room has for them.
    fn pass_on(&mut self, room: &RoomId) {
        let Some(local) = self.rooms.get_mut(room) else {
            return;
        };
        for (worker, crossing) in local.outgoing() {
            let sent = self.workers.get(worker.0).is_some_and(|sender| sender.send(crossing));
            if !sent {
                self.metrics.crossing_dropped.increment(1);
            }
        }
        let origin = TrackOrigin::Microphone;
        for event in local.events() {
            let event = match event {
                PhoneEvent::Started(endpoint) => WorkerEvent::PublishingStarted { endpoint, origin },
                PhoneEvent::Ended(endpoint) => WorkerEvent::PublishingEnded { endpoint, origin },
            };
            if self.backlog.len() < EVENTS_MAX {
                self.backlog.push_back(event);
            }
        }
    }

    /// Gives the control plane what it has room for.
    fn flush(&mut self) {
        while let Some(event) = self.backlog.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.backlog.push_front(event);
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return,
            }
        }
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

/// Each call has two sockets, and so two tokens; the first two are the doorbell's.
fn token_of(call: CallId, is_rtcp: bool) -> Token {
    Token((call.0 as usize + 1) * 2 + usize::from(is_rtcp))
}

fn call_of(token: Token) -> (CallId, bool) {
    (CallId((token.0 / 2 - 1) as u64), token.0 % 2 == 1)
}

fn numbers() -> Numbers {
    Numbers { ssrc: rand::random(), sequence_number: rand::random(), timestamp: rand::random() }
}
