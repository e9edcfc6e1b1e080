//! Many peers on few threads, for load: negotiated peers come in, [`Counts`] come out.
//!
//! ```text
//! place ──▶ offer, answer ──▶ add ──▶ thread: Port ─ batch ─▶ Receiver, all: RTP header, in the clear
//!                                       ▲                        │ a sample, and what isn't media
//!                                       └────── 20 ms grid ── Entry: Peer ─▶ Hearing
//! ```
//!
//! To cost little beside the server on the same machine, a receiver only reads the RTP header of a packet,
//! which SRTP leaves in the clear. Those that were added with `opens` also decrypt it and look what is in it.
//! The others hand their peer one packet of 64, so that it sends receiver reports as often as a client
//! does; the losses that these reports speak of are that choice's, not the network's.

mod camera;
mod entry;
mod place;
mod port;
mod receiver;
mod simulcast;
mod speech;
mod thread;
mod timers;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Poll, Waker};
use tokio::sync::oneshot;

use crate::{Counts, Peer, PeerError, Spells, Turns};
pub(crate) use camera::PACKET_BYTES as VIDEO_PACKET_BYTES;
pub(crate) use port::{Arrival, Batch, Port, UdpTable, bind_shared};
use thread::Thread;

pub use place::{Addresses, Place};

/// How long a thread may take to answer.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// Sockets that the clients of a thread share: each has a buffer of its own in the kernel.
const SHARED_SOCKETS: usize = 4;

/// How a [`Driver`] works.
#[derive(Clone, Copy, Debug)]
pub struct DriverOptions {
    /// How many threads, at least one.
    pub threads: usize,
    /// Where the clients' addresses come from.
    pub addresses: Addresses,
    /// The loopback address for [`Addresses::Ports`]: of the server's family.
    pub ip: IpAddr,
    /// Whether the kernel may join datagrams on their way to the clients (GRO). It then also skips taking apart
    /// what the server sent joined (GSO), which on a real network somebody has to do: the server's figures get better
    /// than they are.
    pub joins_datagrams: bool,
    /// Whether all rooms are silent until [`Driver::start_talking`].
    pub hushed: bool,
}

/// A negotiated peer to be driven.
pub struct DrivenPeer {
    /// The peer, which has its answer or has given it.
    pub peer: Peer,
    /// Its place, whose address it was made with.
    pub place: Place,
    /// The participant's number, with the room's in the upper half: nobody should hear themselves, or another room.
    pub participant: u32,
    /// If it publishes: its number among the speakers of the room, and who talks when.
    pub speaks: Option<(u32, Turns)>,
    /// What its camera sends, if it has one.
    pub camera: Option<CameraKind>,
    /// Whether it looks at what comes in its video slots.
    pub watches: bool,
    /// Whether there is always somebody else to hear, pauses between turns aside: a long silence is the server's fault.
    pub has_voices: bool,
    /// When there is, if not always.
    pub spells: Option<Spells>,
    /// Whether what it receives is decrypted and looked into.
    pub opens: bool,
    /// Whether it is there for the whole of the run: what it doesn't hear counts as lost by those who stay.
    pub stays: bool,
    /// Told once when ICE and DTLS are done; dropped if they fail.
    pub connected: oneshot::Sender<Instant>,
}

/// What a camera sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CameraKind {
    /// One stream of so many kbit/s, which no decoder would take.
    Filler {
        /// How many.
        kbps: u32,
    },
    /// Pictures in three sizes.
    Simulcast,
}

/// What the signalling of a participant says of pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PictureNews {
    /// Their own camera has this source.
    IsSource(u32),
    /// The video slots show these from now on.
    Shows(Instant, Vec<Option<u32>>),
    /// So many sizes of their camera are wanted, the smallest first.
    LayersWanted(u8),
}

/// Refers to a peer of a [`Driver`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerKey {
    thread: usize,
    index: u32,
}

/// How a peer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// The server is told.
    Goodbye,
    /// As if the network were gone.
    Silent,
}

/// Threads that drive peers. Dropping it stops them.
pub struct Driver {
    threads: Vec<DriverThread>,
    options: DriverOptions,
    next: AtomicU32,
}

struct DriverThread {
    commands: mpsc::Sender<Command>,
    waker: Arc<Waker>,
    handle: Option<JoinHandle<()>>,
    /// Of its shared sockets.
    ports: Vec<u16>,
}

/// What is done with a peer on its thread.
type PeerAction = Box<dyn FnOnce(Result<&mut Peer, PeerError>) + Send>;

enum Command {
    Add(Box<DrivenPeer>),
    Remove(u32, Parting),
    With(u32, PeerAction),
    Tell(u32, PictureNews),
    StartTalking,
    StartCounting,
    Collect(mpsc::Sender<Counts>),
    Stop,
}

impl Driver {
    /// Starts its threads.
    pub fn start(options: DriverOptions) -> io::Result<Driver> {
        if options.addresses == Addresses::LoopbackRange && options.ip.is_ipv6() {
            return Err(io::Error::other("the clients of a server on IPv6 need a port each"));
        }
        let threads = (0..options.threads.max(1))
            .map(|number| DriverThread::start(number, options))
            .collect::<io::Result<_>>()?;
        Ok(Driver { threads, options, next: AtomicU32::new(0) })
    }

    /// An address for a new peer; threads are filled in turn.
    pub fn place(&self) -> io::Result<Place> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let threads = self.threads.len() as u32;
        let (thread, index) = ((number % threads) as usize, number / threads);
        match self.options.addresses {
            Addresses::LoopbackRange => Place::shared(thread, index, &self.threads[thread].ports),
            Addresses::Ports => Place::own(thread, index, self.options.ip),
        }
    }

    /// Takes a peer over.
    pub fn add(&self, peer: DrivenPeer) -> PeerKey {
        let key = PeerKey { thread: peer.place.thread, index: peer.place.index };
        self.threads[key.thread].command(Command::Add(Box::new(peer)));
        key
    }

    /// Forgets the peer.
    pub fn remove(&self, key: PeerKey, parting: Parting) {
        self.threads[key.thread].command(Command::Remove(key.index, parting));
    }

    /// Does something with a peer on its thread, and sends what it then has to send: for servers that negotiate
    /// again. [`PeerError::Ended`] if the peer is gone.
    pub async fn with_peer<T: Send + 'static>(
        &self,
        key: PeerKey,
        action: impl FnOnce(&mut Peer) -> Result<T, PeerError> + Send + 'static,
    ) -> Result<T, PeerError> {
        let (reply, outcome) = oneshot::channel();
        // Whoever asked may have stopped waiting.
        let action = move |peer: Result<&mut Peer, PeerError>| drop(reply.send(peer.and_then(action)));
        self.threads[key.thread].command(Command::With(key.index, Box::new(action)));
        outcome.await.unwrap_or(Err(PeerError::Ended))
    }

    /// Tells a peer what its signalling says. If it is gone, nobody.
    pub fn tell(&self, key: PeerKey, news: PictureNews) {
        self.threads[key.thread].command(Command::Tell(key.index, news));
    }

    /// From now on rooms talk when it is their turn.
    pub fn start_talking(&self) {
        for thread in &self.threads {
            thread.command(Command::StartTalking);
        }
    }

    /// Forgets what was counted: a window of measurement begins.
    pub fn start_counting(&self) {
        for thread in &self.threads {
            thread.command(Command::StartCounting);
        }
    }

    /// What was counted since the start of the window. Blocks until all threads have told.
    pub fn collect(&self) -> Counts {
        let (reply, replies) = mpsc::channel();
        for thread in &self.threads {
            thread.command(Command::Collect(reply.clone()));
        }
        drop(reply);
        let mut total = Counts::default();
        while let Ok(counts) = replies.recv_timeout(REPLY_TIMEOUT) {
            total.merge(&counts);
        }
        total
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for thread in &self.threads {
            thread.command(Command::Stop);
        }
        for thread in &mut self.threads {
            if let Some(handle) = thread.handle.take() {
                // A thread that panicked has said so already.
                let _ = handle.join();
            }
        }
    }
}

impl DriverThread {
    fn start(number: usize, options: DriverOptions) -> io::Result<DriverThread> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), thread::WAKE)?);
        let (commands, queue) = mpsc::channel();
        let shared = match options.addresses {
            Addresses::LoopbackRange => SHARED_SOCKETS,
            Addresses::Ports => 0,
        };
        let (mut sockets, mut ports) = (Vec::new(), Vec::new());
        for _ in 0..shared {
            let socket = bind_shared()?;
            ports.push(socket.local_addr()?.port());
            sockets.push(Port::new(socket, None, options.joins_datagrams)?);
        }
        let mut state = Thread::new(poll, queue, sockets, options)?;
        let handle = std::thread::Builder::new().name(format!("driver-{number}")).spawn(move || {
            if let Err(error) = state.run() {
                tracing::error!(%error, "driver thread failed");
            }
        })?;
        Ok(DriverThread { commands, waker, handle: Some(handle), ports })
    }

    fn command(&self, command: Command) {
        // A thread that has ended obeys no more; its counts are missing from the report.
        if self.commands.send(command).is_ok() {
            let _ = self.waker.wake();
        }
    }
}
