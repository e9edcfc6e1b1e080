//! The cluster's thread: datagrams of nodes, commands, and packets of workers in; the same out.
//!
//! It waits as a media worker does, and takes what there is. What decides is [`Cluster`].

mod cameras;
mod doubts;
mod rooms;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};
use rustc_hash::FxHashMap;
use tercet_cluster::{
    BootId, Bundle, Cluster, ClusterConfig, ClusterEvent as NetworkEvent, NodeInfo, Output, Secret, Unbundler,
};
use tercet_core::{NodeId, RoomId};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info, warn};

use self::cameras::CamerasElsewhere;
use self::doubts::Doubts;
use super::message::{NodeMessage, RoomMessage};
use super::metrics::ClusterMetrics;
use super::{
    Bound, CarriedParticipant, ClusterCommand, ClusterEvent, ClusterHandle, Load, Located, Snapshot,
    first_info, own_id,
};
use crate::backlog::Backlog;
use crate::config::Config;
use crate::media::{CrossingSender, Doorbell, Passed, WorkerId, crossing};

const DOORBELL: Token = Token(0);
const SOCKET: Token = Token(1);

/// What other nodes send at once: 4 MB.
const BUFFER_BYTES: usize = 4 << 20;

/// No node sends a longer datagram.
const DATAGRAM_BYTES_MAX: usize = 2048;

const COMMANDS_MAX: usize = 4096;

/// What is done of one kind before the others have their turn.
const DATAGRAMS_A_TURN: usize = 512;
const CROSSINGS_A_TURN: usize = 4096;
const COMMANDS_A_TURN: usize = 256;

/// Events that the control plane has yet to take. What is beyond would be the work of minutes.
const BACKLOG_MAX: usize = 100_000;

const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The tables of atm0s-sdn are made on the stack.
const STACK_BYTES: usize = 16 << 20;

/// EX_SOFTWARE and EX_CONFIG of sysexits.h: a fault of ours, and the operator's.
const EXIT_FAILED: i32 = 70;
const EXIT_ID_TAKEN: i32 = 78;

/// What the thread is made of, before it runs.
pub(super) struct Parts {
    poll: Poll,
    doorbell: Arc<Doorbell>,
    socket: UdpSocket,
    crossings: Receiver<Passed>,
}

/// Binds the socket for other nodes.
pub(crate) fn bind(config: &Config) -> anyhow::Result<Bound> {
    let poll = Poll::new().context("creating a poll")?;
    let doorbell = Arc::new(Doorbell::new(Waker::new(poll.registry(), DOORBELL)?));
    let socket = open_socket(config.cluster.udp).with_context(|| {
        format!("nodes' UDP on {} (choose another with --cluster-udp)", config.cluster.udp)
    })?;
    let address = socket.local_addr()?;
    let (inbox, crossings) = crossing(doorbell.clone());
    Ok(Bound { address, inbox, parts: Parts { poll, doorbell, socket, crossings } })
}

fn open_socket(address: SocketAddr) -> anyhow::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    let options = socket2::SockRef::from(&socket);
    // The system may grant less: then bursts are lost sooner.
    let _ = options.set_recv_buffer_size(BUFFER_BYTES);
    let _ = options.set_send_buffer_size(BUFFER_BYTES);
    Ok(UdpSocket::from_std(socket))
}

impl Bound {
    /// Starts the thread. `workers`: the inboxes of all.
    pub(crate) fn start(
        self,
        config: &Config,
        http: SocketAddr,
        workers: Vec<CrossingSender>,
        events: mpsc::Sender<ClusterEvent>,
    ) -> anyhow::Result<ClusterHandle> {
        let secret = config.cluster.secret.as_deref().context("a cluster has a secret")?;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        let wall_ms = wall.as_millis() as u64;
        let node = own_id(config);
        let boot = BootId::new(wall_ms, rand::random());
        let info = first_info(config, self.address, http);
        let secret = Secret::from_text(secret);
        let cluster = ClusterConfig { node, boot, secret, info: info.clone(), wall_ms };
        let snapshot = Snapshot {
            node,
            boot,
            own: info.clone(),
            others: BTreeMap::new(),
            links: Vec::new(),
            routes: Vec::new(),
            rooms: BTreeMap::new(),
            doubted: BTreeSet::new(),
        };
        let snapshot = Arc::new(RwLock::new(Arc::new(snapshot)));
        let (commands, command_queue) = mpsc::channel(COMMANDS_MAX);
        let doorbell = self.parts.doorbell.clone();
        let handle = ClusterHandle {
            node,
            started: Instant::now(),
            has_seeds: !config.cluster.seeds.is_empty(),
            commands,
            doorbell,
            snapshot: snapshot.clone(),
        };
        let thread = std::thread::Builder::new().name("cluster".to_owned()).stack_size(STACK_BYTES);
        info!(%node, address = %self.address, announced = %info.cluster, http = %info.http, "cluster");
        let run = move || {
            // It is made where it stays: atm0s-sdn is of one thread.
            let thread = Thread {
                parts: self.parts,
                commands: command_queue,
                workers,
                events,
                backlog: Backlog::default(),
                cluster: Cluster::new(Instant::now(), cluster),
                info,
                rooms: FxHashMap::default(),
                bundled: Vec::new(),
                watched: FxHashMap::default(),
                asked: Vec::new(),
                unbundlers: FxHashMap::default(),
                metrics: ClusterMetrics::register(),
                snapshot,
                doubts: Doubts::default(),
                doubted: BTreeSet::new(),
                others_told: Vec::new(),
                report_at: Instant::now(),
                left: None,
            };
            let ended = catch_unwind(AssertUnwindSafe(|| thread.run()));
            if !matches!(ended, Ok(Ok(()))) {
                error!(?ended, "the cluster's thread failed: the node ends");
                std::process::exit(EXIT_FAILED);
            }
        };
        thread.spawn(run).context("starting the cluster's thread")?;
        Ok(handle)
    }
}

/// A room that is open here.
#[derive(Default)]
struct OpenRoom {
    workers: Vec<WorkerId>,
    bundle: Bundle,
    cameras: CamerasElsewhere,
    carried: Vec<CarriedParticipant>,
    carry_at: Option<Instant>,
}

/// A room that somebody asked for.
struct Watched {
    since: Instant,
    asked_at: Instant,
    replies: Vec<oneshot::Sender<Located>>,
}

struct Thread {
    parts: Parts,
    commands: mpsc::Receiver<ClusterCommand>,
    workers: Vec<CrossingSender>,
    events: mpsc::Sender<ClusterEvent>,
    backlog: Backlog<ClusterEvent>,
    cluster: Cluster,
    info: NodeInfo,
    rooms: FxHashMap<RoomId, OpenRoom>,
    /// Rooms with packets that have yet to leave, each once.
    bundled: Vec<RoomId>,
    watched: FxHashMap<RoomId, Watched>,
    /// Those of the watched whom somebody waits for.
    asked: Vec<RoomId>,
    unbundlers: FxHashMap<(RoomId, NodeId), Unbundler>,
    metrics: ClusterMetrics,
    snapshot: Arc<RwLock<Arc<Snapshot>>>,
    doubts: Doubts,
    /// The nodes that may be gone, as was last told.
    doubted: BTreeSet<NodeId>,
    /// Where clients were last said to reach other nodes.
    others_told: Vec<String>,
    report_at: Instant,
    left: Option<oneshot::Sender<()>>,
}

impl Thread {
    fn run(mut self) -> anyhow::Result<()> {
        let Parts { poll, socket, .. } = &mut self.parts;
        poll.registry().register(socket, SOCKET, Interest::READABLE).context("registering a socket")?;
        let mut ready = Events::with_capacity(8);
        let mut readable = true;
        loop {
            let wait = if readable { Duration::ZERO } else { self.wait() };
            match self.parts.poll.poll(&mut ready, Some(wait)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("waiting for datagrams"),
            }
            for event in &ready {
                match event.token() {
                    DOORBELL => self.parts.doorbell.answer(),
                    _ => readable = true,
                }
            }
            let now = Instant::now();
            self.take_commands(now);
            self.take_crossings(now);
            if readable {
                readable = self.receive(now);
            }
            if self.cluster.next_timeout() <= now {
                self.cluster.handle_timeout(now);
            }
            self.answer_located(now);
            self.look_for_silence(now);
            if self.report_at <= now {
                self.report_at = now + REPORT_INTERVAL;
                self.report(now);
                self.subscribe_all(now);
            }
            self.act(now);
            self.backlog.hand_over(&self.events);
            if let Some(left) = self.left.take() {
                let _ = left.send(());
                return Ok(());
            }
        }
    }

    fn wait(&self) -> Duration {
        const RETRY: Duration = Duration::from_millis(5);
        let now = Instant::now();
        let due = self.cluster.next_timeout().min(self.report_at).saturating_duration_since(now);
        let is_waiting = !self.backlog.is_empty() || !self.asked.is_empty();
        if is_waiting { due.min(RETRY) } else { due }
    }

    /// Does what the cluster wants done.
    fn act(&mut self, now: Instant) {
        while let Some(output) = self.cluster.poll_output() {
            match output {
                Output::Transmit { to, datagram } => self.transmit(to, &datagram),
                Output::Event(event) => self.network_event(now, event),
            }
        }
    }

    fn transmit(&mut self, to: SocketAddr, datagram: &[u8]) {
        match self.parts.socket.send_to(datagram, to) {
            Ok(_) => {
                self.metrics.datagrams_out.increment(1);
                self.metrics.bytes_out.increment(datagram.len() as u64);
            }
            Err(error) => {
                self.metrics.send_refused.increment(1);
                debug!(%error, %to, "sending to a node");
            }
        }
    }

    /// Reads what there is, up to a turn's worth. Returns whether there may be more.
    fn receive(&mut self, now: Instant) -> bool {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        for _ in 0..DATAGRAMS_A_TURN {
            match self.parts.socket.recv_from(&mut buffer) {
                Ok((length, from)) => {
                    self.metrics.datagrams_in.increment(1);
                    self.metrics.bytes_in.increment(length as u64);
                    self.cluster.handle_datagram(now, from, &buffer[..length]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                // An ICMP error of a node that is gone.
                Err(error) => debug!(%error, "reading the socket of nodes"),
            }
        }
        true
    }

    fn take_commands(&mut self, now: Instant) {
        for _ in 0..COMMANDS_A_TURN {
            match self.commands.try_recv() {
                Ok(command) => self.command(now, command),
                Err(_) => return,
            }
        }
        // More may wait: come back after the others had their turn.
        self.parts.doorbell.ring();
    }

    fn command(&mut self, now: Instant, command: ClusterCommand) {
        match command {
            ClusterCommand::OpenRoom(room) => {
                self.cluster.open_room(now, &room);
                self.rooms.entry(room).or_default();
            }
            ClusterCommand::CloseRoom(room) => {
                self.rooms.remove(&room);
                self.unbundlers.retain(|(of, _), _| *of != room);
                self.watched.remove(&room);
                self.cluster.close_room(now, &room);
            }
            ClusterCommand::SetRoomWorkers { room, workers } => {
                if let Some(open) = self.rooms.get_mut(&room) {
                    open.workers = workers;
                }
            }
            ClusterCommand::Tell { to, room, message } => {
                if let RoomMessage::Watched(sources) = &message
                    && let Some(open) = self.rooms.get_mut(&room)
                {
                    let ended = open.cameras.watch(to, sources);
                    for streams in ended.into_iter().chain(open.cameras.streams(now)) {
                        self.subscribe(now, &room, streams);
                    }
                }
                let message = NodeMessage::OfRoom { room: room.to_string(), message };
                self.cluster.send(now, to, &message.write());
            }
            ClusterCommand::Carry { room, participants } => {
                if let Some(open) = self.rooms.get_mut(&room).filter(|open| open.carried != participants) {
                    open.carried = participants;
                    self.carry(now, &room);
                }
            }
            ClusterCommand::SetLoad(load) => {
                let Load { sessions, rooms, is_strained, is_draining } = load;
                self.info = NodeInfo { sessions, rooms, is_strained, is_draining, ..self.info.clone() };
                self.cluster.set_info(now, self.info.clone());
            }
            ClusterCommand::SetSeeds(seeds) => self.cluster.set_seeds(now, seeds),
            ClusterCommand::Locate { room, reply } => self.locate(now, room, reply),
            ClusterCommand::Doubt { node, since, reply } => self.doubt(now, node, since, reply),
            ClusterCommand::Leave { left } => {
                self.cluster.leave(now);
                self.left = Some(left);
            }
        }
    }

    fn network_event(&mut self, now: Instant, event: NetworkEvent) {
        match event {
            NetworkEvent::NodeUp(node, boot) => {
                info!(%node, %boot, "node up");
                self.report_at = now;
            }
            NetworkEvent::NodeDown(node, boot) => {
                warn!(%node, %boot, "node down");
                self.unbundlers.retain(|(_, of), _| *of != node);
                self.report_at = now;
                self.tell(ClusterEvent::NodeDown(node));
            }
            NetworkEvent::NodeChanged(_) => self.report_at = now.min(self.report_at),
            NetworkEvent::RoomNode { room, node, is_present } => {
                let open = self.rooms.get_mut(&room).filter(|_| !is_present);
                for streams in open.map(|open| open.cameras.watch(node, &[])).unwrap_or_default() {
                    self.subscribe(now, &room, streams);
                }
                self.tell(ClusterEvent::RoomNode { room, node, is_present });
            }
            NetworkEvent::Carried { room, node, boot, carried } => {
                self.carried(now, room, node, boot, &carried)
            }
            NetworkEvent::Data { room, node, data } => self.heard(now, room, node, &data),
            NetworkEvent::StreamBegan(node) => self.tell(ClusterEvent::StreamBegan(node)),
            NetworkEvent::Message(from, message) => self.message(now, from, &message),
            NetworkEvent::ClockMoved(by) => {
                self.metrics.clock_moved.increment(1);
                warn!(?by, "another node's clock is ahead: set the clocks by NTP");
                self.tell(ClusterEvent::ClockMoved(by));
            }
            NetworkEvent::IdTaken(told_by) => {
                let node = self.cluster.node();
                error!(%node, %told_by, "another node has this id: choose another --node-id, or --zone");
                std::process::exit(EXIT_ID_TAKEN);
            }
            NetworkEvent::LinkLost(node, why) => {
                self.metrics.link_lost(node);
                warn!(%node, ?why, "link lost");
                self.doubt_lost(now, node, why);
            }
            NetworkEvent::Routes(routes) => {
                let mut snapshot = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
                Arc::make_mut(&mut snapshot).routes = routes;
            }
        }
    }

    fn tell(&mut self, event: ClusterEvent) {
        if self.backlog.len() >= BACKLOG_MAX {
            // The control plane has not moved for minutes, or ever: a node in that state serves nobody.
            error!("the control plane takes no events of the cluster: the node ends");
            std::process::exit(EXIT_FAILED);
        }
        self.backlog.push(event);
    }
}
