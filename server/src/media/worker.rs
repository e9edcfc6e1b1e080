//! A media worker: datagrams, commands and candidates in; datagrams and events out.
//!
//! The loop waits for any of them, takes what there is, and only then lets the peers that were
//! written to speak, once each. [`Worker`] owns the sockets, [`Plane`] everything that decides.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::Context;
use mio::{Events, Interest, Poll, Token};
use str0m::net::{Protocol, Transmit};
use tokio::sync::mpsc;
use tracing::{debug, error};

use super::crossing::{Doorbell, Passed};
use super::fanout::Path;
use super::plane::Plane;
use super::socket::{MediaSocket, Sent};
use super::tcp::{Connections, FIRST_TOKEN};
use super::{WorkerCommand, WorkerEvent};

pub(super) const DOORBELL: Token = Token(usize::MAX);

/// Batches read from a socket before anything else gets its turn, and how long that may take: a batch of handshakes takes
/// as long as hundreds of packets.
const BATCHES_A_TURN: usize = 8;
pub(super) const READING_MAX: Duration = Duration::from_millis(2);

/// How long commands are carried out before anything else gets its turn: an offer takes as long as a thousand packets, and
/// where thousands join there is always another.
const COMMANDING_MAX: Duration = Duration::from_millis(2);

/// How soon events are offered again that the control plane had no room for.
const EVENTS_RETRY: Duration = Duration::from_millis(5);

/// Candidates taken from other workers before anything else gets its turn.
const CROSSINGS_A_TURN: usize = 4096;

/// What a worker thread is made of.
pub(super) struct Worker {
    pub(super) poll: Poll,
    pub(super) sockets: Vec<MediaSocket>,
    pub(super) connections: Connections,
    pub(super) doorbell: Arc<Doorbell>,
    pub(super) commands: mpsc::Receiver<WorkerCommand>,
    pub(super) crossings: Receiver<Passed>,
    pub(super) events: mpsc::Sender<WorkerEvent>,
    pub(super) plane: Plane,
}

impl Worker {
    /// Serves until told to stop.
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        for (index, socket) in self.sockets.iter_mut().enumerate() {
            let registry = self.poll.registry();
            registry
                .register(socket.source(), Token(index), Interest::READABLE)
                .context("registering a media socket")?;
        }
        let mut ready = Events::with_capacity(64);
        // Readiness is announced once; a socket stays readable until a read finds nothing.
        let mut readable = vec![true; self.sockets.len()];
        let mut running = true;
        while running {
            let wait = self.wait(&readable);
            let began = Instant::now();
            match self.poll.poll(&mut ready, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("waiting for datagrams"),
            }
            if wait != Some(Duration::ZERO) {
                self.plane.slept(began.elapsed());
            }
            for event in &ready {
                match event.token() {
                    DOORBELL => self.doorbell.answer(),
                    Token(index) if index >= FIRST_TOKEN => self.connections.ready(event.token()),
                    Token(index) => readable[index] = true,
                }
            }
            running = self.turn(&mut readable);
        }
        Ok(())
    }

    /// How long to wait for something to happen.
    fn wait(&self, readable: &[bool]) -> Option<Duration> {
        if readable.contains(&true) {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let deadlines = self.plane.next_deadline().into_iter().chain(self.connections.next_deadline(now));
        let deadline = deadlines.min().map(|at| at.saturating_duration_since(now));
        let retry = self.plane.has_events().then_some(EVENTS_RETRY);
        deadline.into_iter().chain(retry).min()
    }

    /// One round over everything that can be waiting. Returns whether to go on.
    fn turn(&mut self, readable: &mut [bool]) -> bool {
        let running = self.take_commands();
        self.take_crossings();
        for (socket, readable) in self.sockets.iter_mut().zip(readable) {
            if *readable {
                *readable = receive(socket, &mut self.plane);
            }
        }
        self.connections.receive(Instant::now(), self.poll.registry(), &mut self.plane);
        self.plane.handle_timeouts(Instant::now());
        self.transmit();
        self.plane.hand_over_events(&self.events);
        running
    }

    /// Returns whether to go on.
    fn take_commands(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < COMMANDING_MAX {
            match self.commands.try_recv() {
                Ok(WorkerCommand::Stop) => {
                    self.plane.command(Instant::now(), WorkerCommand::Stop);
                    return false;
                }
                Ok(command) => self.plane.command(Instant::now(), command),
                Err(_) => return true,
            }
        }
        // More may wait: come back after the others had their turn.
        self.doorbell.ring();
        true
    }

    fn take_crossings(&mut self) {
        let now = Instant::now();
        for _ in 0..CROSSINGS_A_TURN {
            match self.crossings.try_recv() {
                Ok(Passed::Audio(crossing)) => self.plane.crossing(now, crossing),
                Ok(Passed::Video(crossing)) => self.plane.video_crossing(now, crossing),
                Err(_) => return,
            }
        }
        // More may wait: come back after the others had their turn.
        self.doorbell.ring();
    }

    fn transmit(&mut self) {
        let mut sent = Sent::default();
        let (sockets, connections) = (&mut self.sockets, &mut self.connections);
        let mut send = |path: Path, datagram: &[u8]| match path.protocol {
            Protocol::Tcp => connections.send(path, datagram, &mut sent),
            _ => send(sockets, path, datagram, &mut sent),
        };
        self.plane.flush(Instant::now(), &mut send);
        for Transmit { proto: protocol, source, destination, contents } in self.plane.outgoing() {
            send(Path { protocol, source, destination }, &contents);
        }
        for socket in &mut self.sockets {
            socket.flush(&mut sent);
        }
        self.connections.flush(Instant::now());
        self.plane.sent(sent);
    }
}

fn send(sockets: &mut [MediaSocket], path: Path, datagram: &[u8], sent: &mut Sent) {
    match sockets.iter_mut().find(|socket| socket.announced.addresses().contains(&path.source)) {
        Some(socket) => socket.send(path, datagram, sent),
        None => debug!(source = %path.source, "no socket for a datagram"),
    }
}

/// Reads what a socket has, up to a turn's worth. Returns whether there may be more.
fn receive(socket: &mut MediaSocket, plane: &mut Plane) -> bool {
    let began = Instant::now();
    for _ in 0..BATCHES_A_TURN {
        let now = Instant::now();
        if now - began > READING_MAX {
            break;
        }
        match socket.receive(|from, to, datagram| plane.datagram(now, from, to, datagram)) {
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => {
                error!(%error, address = %socket.bound, "reading a media socket");
                return false;
            }
        }
    }
    true
}
