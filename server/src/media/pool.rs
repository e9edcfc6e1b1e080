//! Starts the worker threads and passes commands to them.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Context;
use mio::{Poll, Waker};
use str0m::Candidate;
use str0m::net::TcpType;
use tercet_dtls::SharedCrypto;
use tokio::sync::mpsc;
use tracing::{error, info};

use super::crossing::{CrossingSender, Doorbell, crossing};
use super::metrics::WorkerMetrics;
use super::plane::Plane;
use super::socket::MediaSocket;
use super::tcp::{Connections, Directory, Door, Inbox, Listener};
use super::worker::{DOORBELL, Worker};
use super::{WorkerCommand, WorkerEvent, WorkerId};
use crate::config::Config;

/// Commands under way to a worker; the control plane waits when there are more.
const COMMANDS_MAX: usize = 1024;

/// TCP connections on their way to a worker; the door closes those for which there is no room.
const NEWCOMERS_MAX: usize = 1024;

/// EX_SOFTWARE of sysexits.h: a fault of ours.
const EXIT_WORKER_FAILED: i32 = 70;

/// The worker threads of a node.
pub(crate) struct WorkerPool {
    workers: Vec<Handle>,
    media: usize,
    /// Which of them is that of phones.
    phones: Option<WorkerId>,
    inboxes: Vec<CrossingSender>,
    /// Where TCP comes for all of them.
    tcp: Vec<SocketAddr>,
}

/// How the control plane reaches a worker.
pub(crate) struct Handle {
    pub(crate) commands: mpsc::Sender<WorkerCommand>,
    pub(crate) doorbell: Arc<Doorbell>,
    pub(crate) thread: JoinHandle<()>,
    pub(crate) bound: Vec<SocketAddr>,
}

impl WorkerPool {
    /// Binds all sockets, then starts all threads, and the door for TCP, on the runtime that this is called on: a node starts whole or not at all. What crosses to the thread of phones
    /// goes to `phones`, and what crosses to other nodes to `cluster`, as to a worker after all the others.
    pub(crate) fn start(
        config: &Config,
        phones: Option<CrossingSender>,
        cluster: Option<CrossingSender>,
        events: &mpsc::Sender<WorkerEvent>,
    ) -> anyhow::Result<WorkerPool> {
        let crypto = SharedCrypto::generate().context("making a DTLS certificate")?;
        let listeners =
            config.media_tcp().iter().map(|&at| Listener::bind(at, |bound| config.public_tcp(bound)));
        let listeners = listeners.collect::<anyhow::Result<Vec<_>>>()?;
        let tcp: Vec<SocketAddr> = listeners.iter().map(|listener| listener.bound).collect();
        let directory = Directory::default();
        let mut tcp_inboxes = Vec::with_capacity(config.worker_count());
        let count = config.worker_count();
        let mut parts = Vec::with_capacity(count);
        for index in 0..count {
            let poll = Poll::new().context("creating a poll")?;
            let doorbell = Arc::new(Doorbell::new(Waker::new(poll.registry(), DOORBELL)?));
            let sockets = bind(config, index)?;
            parts.push((poll, doorbell.clone(), sockets, crossing(doorbell)));
        }
        let own = parts.iter().map(|(.., (sender, _))| sender.clone());
        let phones_worker = phones.as_ref().map(|_| WorkerId(count));
        let inboxes: Vec<_> = own.chain(phones).chain(cluster).collect();
        let mut workers = Vec::with_capacity(count);
        for (index, (poll, doorbell, sockets, (_, crossings))) in parts.into_iter().enumerate() {
            let id = WorkerId(index);
            let candidates = candidates(&sockets, &listeners)?;
            let bound: Vec<SocketAddr> = sockets.iter().map(|s| s.bound).collect();
            info!(worker = index, ?bound, ?candidates, "media worker");
            let (commands, command_queue) = mpsc::channel(COMMANDS_MAX);
            let metrics = WorkerMetrics::register(id);
            let mut plane = Plane::new(id, crypto.clone(), candidates, inboxes.clone(), metrics);
            plane.register_in(directory.clone());
            let (newcomers, newcomer_queue) = mpsc::channel(NEWCOMERS_MAX);
            tcp_inboxes.push(Inbox { newcomers, doorbell: doorbell.clone() });
            let worker = Worker {
                poll,
                sockets,
                connections: Connections::new(Instant::now(), newcomer_queue),
                doorbell: doorbell.clone(),
                commands: command_queue,
                crossings,
                events: events.clone(),
                plane,
            };
            let thread = std::thread::Builder::new().name(format!("media-{index}")).spawn(move || {
                let ended = catch_unwind(AssertUnwindSafe(|| worker.run()));
                if !matches!(ended, Ok(Ok(()))) {
                    // Its rooms are silent and its sessions lost; whoever restarts the node mends both.
                    error!(worker = index, ?ended, "a media worker failed: the node ends");
                    std::process::exit(EXIT_WORKER_FAILED);
                }
            });
            let thread = thread.context("starting a media worker")?;
            workers.push(Handle { commands, doorbell, thread, bound });
        }
        let door = Door::new(directory, config.limits.media_tcp_connections_max as usize, tcp_inboxes);
        listeners.into_iter().try_for_each(|listener| door.open(listener))?;
        Ok(WorkerPool { workers, media: count, phones: phones_worker, inboxes, tcp })
    }

    /// The thread of phones runs.
    pub(crate) fn add_phones(&mut self, phones: Handle) {
        self.workers.push(phones);
    }

    /// Where each takes what others pass on, the cluster included.
    pub(crate) fn inboxes(&self) -> &[CrossingSender] {
        &self.inboxes
    }

    /// How many there are for WebRTC.
    pub(crate) fn len(&self) -> usize {
        self.media
    }

    /// Which of them is that of phones.
    pub(crate) fn phones(&self) -> Option<WorkerId> {
        self.phones
    }

    /// What workers know the cluster as: one more of them.
    pub(crate) fn cluster(&self) -> WorkerId {
        WorkerId(self.media + usize::from(self.phones.is_some()))
    }

    /// Where their sockets are bound, by worker.
    pub(crate) fn bound(&self) -> impl Iterator<Item = &[SocketAddr]> {
        self.workers.iter().map(|worker| worker.bound.as_slice())
    }

    /// Where media over TCP comes.
    pub(crate) fn tcp(&self) -> &[SocketAddr] {
        &self.tcp
    }

    /// Passes a command to a worker; waits while it has too many.
    pub(crate) async fn send(&self, worker: WorkerId, command: WorkerCommand) {
        if let Some(handle) = self.workers.get(worker.0) {
            // It fails only after the worker has stopped: there is nothing left to command.
            let _ = handle.commands.send(command).await;
            handle.doorbell.ring();
        }
    }

    /// Ends all threads, after they said goodbye to their peers.
    pub(crate) async fn stop(self) {
        for index in 0..self.workers.len() {
            self.send(WorkerId(index), WorkerCommand::Stop).await;
        }
        let joined = tokio::task::spawn_blocking(move || {
            for worker in self.workers {
                let _ = worker.thread.join();
            }
        });
        let _ = joined.await;
    }
}

/// A worker's sockets: the configured addresses, each at the worker's own port.
fn bind(config: &Config, index: usize) -> anyhow::Result<Vec<MediaSocket>> {
    let addresses = config.media_udp.iter().map(|address| {
        let mut address = *address;
        if address.port() != 0 {
            address.set_port(address.port() + index as u16);
        }
        address
    });
    addresses.map(|address| MediaSocket::bind(address, |bound| config.public_udp(index, bound))).collect()
}

/// What the clients of a worker are told: its own UDP ports, and the TCP ports of all.
fn candidates(sockets: &[MediaSocket], listeners: &[Listener]) -> anyhow::Result<Vec<Candidate>> {
    let udp = sockets.iter().flat_map(|socket| socket.announced.addresses());
    let udp = udp.map(|&at| (at, Candidate::builder().udp().host(at).build()));
    let tcp = listeners.iter().flat_map(|listener| listener.announced.addresses());
    // RFC 6544, section 4.5: clients connect, this end listens.
    let tcp = tcp.map(|&at| (at, Candidate::builder().tcp().host(at).tcptype(TcpType::Passive).build()));
    udp.chain(tcp)
        .map(|(at, made)| made.with_context(|| format!("{at} can't be told to clients: set --public-ip")))
        .collect()
}
