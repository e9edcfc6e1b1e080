//! Many peers on few threads, for load: sessions come in, [`Counts`] come out.
//!
//! Each thread has a readiness loop (mio) over its peers' sockets, plays their voices on a 20 ms
//! grid, and counts. To cost little beside the server on the same machine, a receiver only reads
//! the RTP header of a packet, which SRTP leaves in the clear; those that were added with `opens`
//! also decrypt it, check it, and look how long it was under way. The others send no RTCP receiver
//! reports either: str0m doesn't see their packets.

use std::io;
use std::net::UdpSocket as StdUdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token, Waker};
use tokio::sync::oneshot;

use crate::counts::rtp_header;
use crate::onset::Onsets;
use crate::{Audio, Counts, Peer, PeerError, PeerEvent, PeerOutput, StreamCount, SyntheticFrame, Turns};

const FRAME: Duration = Duration::from_millis(20);
/// A publisher that is further behind than this skips frames instead of catching up in a burst.
const LAG_MAX: Duration = Duration::from_millis(200);
/// The longest sleep of a thread.
const IDLE: Duration = Duration::from_millis(100);
const DATAGRAM_BYTES_MAX: usize = 2_048;
const EVENTS_MAX: usize = 1_024;
const WAKE: Token = Token(usize::MAX);

/// Octets of an Opus frame at 32 kbit/s.
const PAYLOAD_BYTES: usize = 80;

/// How long a thread may take to answer.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// A negotiated peer to be driven.
pub struct DrivenPeer {
    /// The peer, which has accepted its answer.
    pub peer: Peer,
    /// Its socket, non-blocking.
    pub socket: StdUdpSocket,
    /// If it publishes: its number among the speakers, and who talks when.
    pub speaks: Option<(u32, Turns)>,
    /// Whether what it receives is decrypted and its latency measured.
    pub opens: bool,
    /// Told once when ICE and DTLS are done; dropped if they fail.
    pub connected: oneshot::Sender<Instant>,
}

/// Refers to a peer of a [`Driver`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerKey(u64);

/// Threads that drive peers. Dropping it stops them.
pub struct Driver {
    threads: Vec<DriverThread>,
    next_key: AtomicU64,
}

struct DriverThread {
    commands: mpsc::Sender<Command>,
    waker: Arc<Waker>,
    handle: Option<JoinHandle<()>>,
}

enum Command {
    Add(PeerKey, Box<DrivenPeer>),
    Remove(PeerKey),
    StartCounting,
    Collect(mpsc::Sender<Counts>),
    Stop,
}

impl Driver {
    /// Starts `threads` threads, at least one.
    pub fn start(threads: usize) -> io::Result<Driver> {
        let threads = (0..threads.max(1)).map(DriverThread::start).collect::<io::Result<_>>()?;
        Ok(Driver { threads, next_key: AtomicU64::new(0) })
    }

    /// Takes a peer over; threads are filled in turn.
    pub fn add(&self, peer: DrivenPeer) -> PeerKey {
        let key = PeerKey(self.next_key.fetch_add(1, Ordering::Relaxed));
        self.thread_of(key).command(Command::Add(key, Box::new(peer)));
        key
    }

    /// Says goodbye to the server and forgets the peer.
    pub fn remove(&self, key: PeerKey) {
        self.thread_of(key).command(Command::Remove(key));
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

    fn thread_of(&self, key: PeerKey) -> &DriverThread {
        &self.threads[key.0 as usize % self.threads.len()]
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
    fn start(number: usize) -> io::Result<DriverThread> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let (commands, queue) = mpsc::channel();
        let mut state = Thread::new(poll, queue);
        let handle = thread::Builder::new().name(format!("driver-{number}")).spawn(move || {
            if let Err(error) = state.run() {
                tracing::error!(%error, "driver thread failed");
            }
        })?;
        Ok(DriverThread { commands, waker, handle: Some(handle) })
    }

    fn command(&self, command: Command) {
        // A thread that has ended obeys no more; its counts are missing from the report.
        if self.commands.send(command).is_ok() {
            let _ = self.waker.wake();
        }
    }
}

/// One thread's state.
struct Thread {
    poll: Poll,
    commands: mpsc::Receiver<Command>,
    peers: Vec<Option<Entry>>,
    free: Vec<usize>,
    counts: Counts,
    /// The earliest of the peers' deadlines; never later than any of them.
    next_due: Instant,
}

/// One driven peer.
struct Entry {
    key: PeerKey,
    peer: Peer,
    socket: UdpSocket,
    connected: Option<oneshot::Sender<Instant>>,
    is_connected: bool,
    opens: bool,
    speech: Option<Speech>,
    streams: Vec<(u32, StreamCount)>,
    onsets: Onsets,
    deadline: Instant,
}

struct Speech {
    speaker: u32,
    turns: Turns,
    next_frame: Instant,
    frames: u32,
}

impl Entry {
    /// When the entry wants to be looked at, datagrams aside.
    fn due(&self) -> Instant {
        match &self.speech {
            Some(speech) if self.is_connected => self.deadline.min(speech.next_frame),
            _ => self.deadline,
        }
    }
}

impl Thread {
    fn new(poll: Poll, commands: mpsc::Receiver<Command>) -> Self {
        Thread {
            poll,
            commands,
            peers: Vec::new(),
            free: Vec::new(),
            counts: Counts::default(),
            next_due: Instant::now(),
        }
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        loop {
            let wait = self.next_due.saturating_duration_since(Instant::now()).min(IDLE);
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in events.iter().filter(|event| event.token() != WAKE) {
                self.read(event.token().0, &mut datagram);
            }
            while let Ok(command) = self.commands.try_recv() {
                match command {
                    Command::Add(key, peer) => self.add(key, *peer)?,
                    Command::Remove(key) => self.remove(key),
                    Command::StartCounting => self.start_counting(),
                    Command::Collect(reply) => drop(reply.send(self.collect())),
                    Command::Stop => return Ok(()),
                }
            }
            self.run_due(Instant::now());
        }
    }

    fn add(&mut self, key: PeerKey, driven: DrivenPeer) -> io::Result<()> {
        let now = Instant::now();
        let index = self.free.pop().unwrap_or_else(|| {
            self.peers.push(None);
            self.peers.len() - 1
        });
        let mut socket = UdpSocket::from_std(driven.socket);
        self.poll.registry().register(&mut socket, Token(index), Interest::READABLE)?;
        let speech =
            driven.speaks.map(|(speaker, turns)| Speech { speaker, turns, next_frame: now, frames: 0 });
        self.peers[index] = Some(Entry {
            key,
            peer: driven.peer,
            socket,
            connected: Some(driven.connected),
            is_connected: false,
            opens: driven.opens,
            speech,
            streams: Vec::new(),
            onsets: Onsets::default(),
            deadline: now,
        });
        self.next_due = now;
        Ok(())
    }

    fn remove(&mut self, key: PeerKey) {
        let Some(index) = self.peers.iter().position(|e| e.as_ref().is_some_and(|e| e.key == key)) else {
            return;
        };
        if let Some(mut entry) = self.peers[index].take() {
            // The goodbye is a courtesy: whatever goes wrong with it, the peer is gone.
            let _ = entry.peer.close();
            let _ = drain(&mut entry, &mut self.counts);
            let _ = self.poll.registry().deregister(&mut entry.socket);
            self.free.push(index);
        }
    }

    fn start_counting(&mut self) {
        self.counts = Counts::default();
        for entry in self.peers.iter_mut().flatten() {
            entry.streams.clear();
        }
    }

    fn collect(&self) -> Counts {
        let streams = self.peers.iter().flatten().flat_map(|entry| &entry.streams);
        let mut counts = self.counts.clone();
        counts.packets_expected += streams.map(|(_, stream)| stream.expected()).sum::<u64>();
        counts
    }

    fn read(&mut self, index: usize, datagram: &mut [u8]) {
        // Gone by a command of an earlier round.
        let Some(Some(entry)) = self.peers.get_mut(index) else { return };
        // The readiness is edge-triggered: read until there is nothing left. An ICMP error of an
        // earlier send also ends the round, and the next datagram raises the readiness again.
        while let Ok((length, source)) = entry.socket.recv_from(datagram) {
            let now = Instant::now();
            let contents = &datagram[..length];
            if let Some((ssrc, sequence)) = rtp_header(contents) {
                self.counts.packets_out += 1;
                self.counts.bytes_out += length as u64;
                note_sequence(&mut entry.streams, ssrc, sequence);
                if !entry.opens {
                    continue;
                }
            }
            let taken =
                entry.peer.handle(now, source, contents).and_then(|()| drain(entry, &mut self.counts));
            if let Err(error) = taken {
                return self.fail(index, &error);
            }
        }
        self.next_due = self.next_due.min(entry.due());
    }

    fn run_due(&mut self, now: Instant) {
        if now < self.next_due {
            return;
        }
        self.next_due = now + IDLE;
        for index in 0..self.peers.len() {
            let Some(entry) = &mut self.peers[index] else { continue };
            if entry.due() <= now
                && let Err(error) = run_entry(entry, now, &mut self.counts)
            {
                self.fail(index, &error);
                continue;
            }
            self.next_due = self.next_due.min(entry.due());
        }
    }

    fn fail(&mut self, index: usize, error: &PeerError) {
        // A goodbye by the server ends every run; within the window it counts all the same.
        match error {
            PeerError::Ended => tracing::debug!(%error, "peer gone"),
            _ => tracing::warn!(%error, "peer failed"),
        }
        self.counts.peers_failed += 1;
        if let Some(mut entry) = self.peers[index].take() {
            let _ = self.poll.registry().deregister(&mut entry.socket);
            self.free.push(index);
        }
    }
}

impl Speech {
    /// The first frame after the connection. Spread over 20 ms: real clients don't send in step.
    fn start(&mut self, now: Instant) {
        self.next_frame = now + FRAME * self.speaker / self.turns.speakers.max(1);
    }

    /// The frame that is due, if one is, and how late it is.
    fn next(&mut self, now: Instant) -> Option<(Audio, Duration)> {
        let lag = now.checked_duration_since(self.next_frame)?;
        self.next_frame = if lag > LAG_MAX { now + FRAME } else { self.next_frame + FRAME };
        let frame = SyntheticFrame::new(self.speaker, self.frames, now);
        self.frames = self.frames.wrapping_add(1);
        let level_dbov = self.turns.level_dbov(self.speaker, frame.sent);
        Some((Audio::new(frame.encode(PAYLOAD_BYTES), level_dbov), lag))
    }
}

/// Does what an entry's time has come for.
fn run_entry(entry: &mut Entry, now: Instant, counts: &mut Counts) -> Result<(), PeerError> {
    if entry.deadline <= now {
        entry.peer.handle_timeout(now)?;
    }
    // Those before this one in the round took their time.
    let now = Instant::now();
    if let Some(speech) = entry.speech.as_mut().filter(|_| entry.is_connected)
        && let Some((audio, lag)) = speech.next(now)
    {
        counts.send_lag.record(lag);
        entry.peer.send_audio(now, audio)?;
    }
    drain(entry, counts)
}

/// Moves what a peer has to say to where it belongs.
fn drain(entry: &mut Entry, counts: &mut Counts) -> Result<(), PeerError> {
    loop {
        match entry.peer.poll()? {
            PeerOutput::Timeout(at) => {
                entry.deadline = at;
                return Ok(());
            }
            PeerOutput::Transmit { destination, contents } => {
                let sent =
                    destination.ip().is_loopback() && entry.socket.send_to(&contents, destination).is_ok();
                if !sent {
                    counts.sends_failed += 1;
                } else if rtp_header(&contents).is_some() {
                    counts.packets_in += 1;
                    counts.bytes_in += contents.len() as u64;
                }
            }
            PeerOutput::Event(PeerEvent::Connected) => {
                let now = Instant::now();
                entry.is_connected = true;
                if let Some(speech) = &mut entry.speech {
                    speech.start(now);
                }
                if let Some(connected) = entry.connected.take() {
                    // Whoever joined may have given up waiting.
                    let _ = connected.send(now);
                }
            }
            PeerOutput::Event(PeerEvent::PacketReceived(packet)) => {
                counts.packets_opened += 1;
                if let Some(frame) = packet.frame().and_then(SyntheticFrame::decode) {
                    let (live, kept) = (&mut counts.latency, &mut counts.pre_roll);
                    entry.onsets.note(packet.ssrc, &frame, packet.received, live, kept);
                }
            }
            PeerOutput::Event(PeerEvent::Closed) => return Err(PeerError::Ended),
            PeerOutput::Event(_) => {}
        }
    }
}

fn note_sequence(streams: &mut Vec<(u32, StreamCount)>, ssrc: u32, sequence: u16) {
    match streams.iter_mut().find(|(of, _)| *of == ssrc) {
        Some((_, stream)) => stream.note(sequence),
        None => streams.push((ssrc, StreamCount::new(sequence))),
    }
}
