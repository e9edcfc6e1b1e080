//! A thread's loop: datagrams by batches, commands, and what is due.

use std::io;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::entry::{Camera, Entry, Media};
use super::place::client_at;
use super::port::{Arrival, Batch, Port, UdpTable};
use super::receiver::{Receiver, Silence};
use super::speech::Speech;
use super::timers::Timers;
use super::{Command, DrivenPeer, DriverOptions, Parting, PeerAction, PictureNews};
use crate::counts::rtp_header;
use crate::hearing::Hearing;
use crate::video::Watching;
use crate::{Counts, PeerError};

pub(super) const WAKE: Token = Token(usize::MAX);

/// The longest sleep of a thread.
const IDLE: Duration = Duration::from_millis(100);
/// The readiness loop sleeps whole milliseconds: what is due sooner is slept for by other means.
const POLL_STEP: Duration = Duration::from_millis(1);
/// After so many datagrams in a round, more are on their way: the thread sleeps on for a moment, as a network card
/// delays its interrupts, instead of having the server's every send wake it. When a datagram arrived, the kernel knows.
const BUSY_DATAGRAMS: usize = 16;
const EVENTS_MAX: usize = 1_024;
/// Batches read of one socket before the clock is looked at.
const BATCHES_MAX: usize = 8;

pub(super) struct Thread {
    poll: Poll,
    commands: mpsc::Receiver<Command>,
    /// Shared ones, by their number; or one a client, by the client's.
    ports: Vec<Option<Port>>,
    /// Those that may have more to read.
    unread: Vec<usize>,
    batch: Batch,
    joins_datagrams: bool,
    /// Whether those who are added don't talk yet.
    hushed: bool,
    clients: Clients,
    /// What the kernel had dropped when the window began.
    dropped_before: u64,
}

/// All clients of the thread, by their index.
#[derive(Default)]
struct Clients {
    /// What every packet touches, side by side.
    receivers: Vec<Receiver>,
    entries: Vec<Option<Box<Entry>>>,
    timers: Timers,
    counts: Counts,
}

impl Thread {
    pub(super) fn new(
        poll: Poll,
        commands: mpsc::Receiver<Command>,
        shared: Vec<Port>,
        options: DriverOptions,
    ) -> io::Result<Self> {
        let DriverOptions { joins_datagrams, hushed, .. } = options;
        let mut ports: Vec<_> = shared.into_iter().map(Some).collect();
        for (number, port) in ports.iter_mut().enumerate() {
            let port = port.as_mut().expect("all are there in the beginning");
            poll.registry().register(&mut port.socket, Token(number), Interest::READABLE)?;
        }
        let (unread, batch) = (Vec::new(), Batch::new(joins_datagrams));
        let clients = Clients::default();
        Ok(Thread {
            poll,
            commands,
            ports,
            unread,
            batch,
            joins_datagrams,
            hushed,
            clients,
            dropped_before: 0,
        })
    }

    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut is_busy = false;
        loop {
            self.wait(&mut events, is_busy)?;
            for event in events.iter().filter(|event| event.token() != WAKE) {
                if !self.unread.contains(&event.token().0) {
                    self.unread.push(event.token().0);
                }
            }
            is_busy = self.read()? >= BUSY_DATAGRAMS;
            while let Ok(command) = self.commands.try_recv() {
                match command {
                    Command::Add(peer) => self.add(*peer)?,
                    Command::Remove(index, parting) => self.remove(index, parting),
                    Command::With(index, action) => self.with(index, action),
                    Command::Tell(index, news) => self.tell(index, news),
                    Command::StartTalking => self.start_talking(),
                    Command::StartCounting => self.start_counting(),
                    Command::Collect(reply) => drop(reply.send(self.collect())),
                    Command::Stop => return Ok(()),
                }
            }
            self.clients.run_due(&self.ports);
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self, events: &mut Events, is_busy: bool) -> io::Result<()> {
        let now = Instant::now();
        let mut wait =
            self.clients.timers.next().map_or(IDLE, |at| at.saturating_duration_since(now)).min(IDLE);
        if !self.unread.is_empty() {
            wait = Duration::ZERO;
        } else if is_busy {
            wait = wait.min(POLL_STEP);
        }
        if is_busy || wait < POLL_STEP {
            std::thread::sleep(wait);
            wait = Duration::ZERO;
        }
        let whole = Duration::from_millis(wait.as_millis() as u64);
        match self.poll.poll(events, Some(whole)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads what has arrived, at least some of it. Returns how many datagrams that were.
    fn read(&mut self) -> io::Result<usize> {
        let Thread { ports, unread, batch, clients, .. } = self;
        let mut count = 0;
        let mut outcome = Ok(());
        unread.retain(|number| {
            // Gone by a command of an earlier round.
            let Some(Some(port)) = ports.get(*number) else { return false };
            for _ in 0..BATCHES_MAX {
                let received = port.receive(batch, |arrival| {
                    count += 1;
                    clients.receive(port, &arrival);
                });
                match received {
                    Ok(true) => {}
                    Ok(false) => return false,
                    Err(error) => {
                        outcome = Err(error);
                        return false;
                    }
                }
            }
            true
        });
        outcome.map(|()| count)
    }

    fn add(&mut self, driven: DrivenPeer) -> io::Result<()> {
        let DrivenPeer {
            peer,
            place,
            participant,
            speaks,
            camera,
            watches,
            has_voices,
            spells,
            opens,
            stays,
            connected,
        } = driven;
        let index = place.index;
        let port = match place.own {
            None => place.shared,
            Some(socket) => {
                let mut port = Port::new(socket, Some(index), self.joins_datagrams)?;
                let number = index as usize;
                self.poll.registry().register(&mut port.socket, Token(number), Interest::READABLE)?;
                put(&mut self.ports, number, Some(port));
                number
            }
        };
        let now = Instant::now();
        let hearing = opens.then(|| Hearing::new(participant, now));
        let speech = speaks.map(|(speaker, turns)| Speech::new(participant, speaker, turns, self.hushed));
        let camera = camera.map(|kind| Camera::new(kind, participant));
        let watching = watches.then(|| Watching::new(now));
        let media = Media { hearing, watching, speech, camera };
        let entry = Box::new(Entry::new(peer, port, media, connected));
        let receiver = Receiver::new(opens, stays, has_voices.then(|| Silence::new(now, spells)));
        put(&mut self.clients.entries, index as usize, Some(entry));
        put(&mut self.clients.receivers, index as usize, receiver);
        self.clients.timers.plan(index, now);
        Ok(())
    }

    fn remove(&mut self, index: u32, parting: Parting) {
        let Some(mut entry) = self.clients.forget(index) else { return };
        let port = self.ports[entry.port].as_ref().expect("the port of a client outlives it");
        if parting == Parting::Goodbye {
            entry.close(port, &mut self.clients.counts);
        }
        self.close_own_port(index);
    }

    fn close_own_port(&mut self, index: u32) {
        let Some(slot) = self.ports.get_mut(index as usize) else { return };
        if let Some(mut port) = slot.take_if(|port| port.owner == Some(index)) {
            // Closing it ends its registration too.
            let _ = self.poll.registry().deregister(&mut port.socket);
        }
    }

    fn with(&mut self, index: u32, action: PeerAction) {
        match self.clients.entries.get_mut(index as usize) {
            Some(Some(entry)) => action(Ok(&mut entry.peer)),
            _ => action(Err(PeerError::Ended)),
        }
        self.clients.look_at(index, Instant::now(), &self.ports);
    }

    fn tell(&mut self, index: u32, news: PictureNews) {
        let Clients { entries, counts, .. } = &mut self.clients;
        if let Some(Some(entry)) = entries.get_mut(index as usize) {
            entry.take_news(news, &mut counts.pictures);
        }
    }

    fn start_talking(&mut self) {
        self.hushed = false;
        self.clients.entries.iter_mut().flatten().for_each(|entry| entry.start_talking());
    }

    fn start_counting(&mut self) {
        self.dropped_before = self.dropped();
        self.clients.counts = Counts::default();
        let now = Instant::now();
        self.clients.receivers.iter_mut().for_each(|receiver| receiver.start_counting(now));
        self.clients.entries.iter_mut().flatten().for_each(|entry| entry.start_counting(now));
    }

    fn collect(&self) -> Counts {
        let mut counts = self.clients.counts.clone();
        let now = Instant::now();
        for receiver in self.clients.receivers.iter().filter(|it| it.is_present) {
            counts.streams_of(receiver.stays).merge(&receiver.totals());
            receiver.add_silences(now, &mut counts.silences);
        }
        self.clients.entries.iter().flatten().for_each(|entry| entry.finish(now, &mut counts));
        counts.dropped_here += self.dropped().saturating_sub(self.dropped_before);
        counts
    }

    fn dropped(&self) -> u64 {
        let table = UdpTable::read();
        self.ports.iter().flatten().map(|port| port.dropped(&table)).sum()
    }
}

impl Clients {
    fn receive(&mut self, port: &Port, arrival: &Arrival<'_>) {
        let index = port.owner.or_else(|| client_at(arrival.to)).filter(|_| arrival.from.ip().is_loopback());
        let Some(index) = index else { return };
        let Some(receiver) = self.receivers.get_mut(index as usize).filter(|it| it.is_present) else {
            return;
        };
        if let Some((ssrc, sequence)) = rtp_header(arrival.contents) {
            self.counts.packets_out += 1;
            self.counts.bytes_out += arrival.contents.len() as u64;
            if !receiver.note(ssrc, sequence, arrival.at) {
                return;
            }
        }
        let Some(Some(entry)) = self.entries.get_mut(index as usize) else { return };
        match entry.receive(arrival.from, arrival.at, arrival.contents, port, &mut self.counts) {
            Ok(()) => self.timers.plan(index, entry.due()),
            Err(error) => self.fail(index, &error),
        }
    }

    fn run_due(&mut self, ports: &[Option<Port>]) {
        let now = Instant::now();
        while let Some(index) = self.timers.next_due(now) {
            self.look_at(index, now, ports);
        }
    }

    fn look_at(&mut self, index: u32, now: Instant, ports: &[Option<Port>]) {
        let Some(Some(entry)) = self.entries.get_mut(index as usize) else { return };
        let port = ports[entry.port].as_ref().expect("the port of a client outlives it");
        let done = match entry.due() <= now {
            true => entry.run(now, port, &mut self.counts),
            false => entry.drain(now, port, &mut self.counts),
        };
        match done {
            Ok(()) => self.timers.plan(index, entry.due()),
            Err(error) => self.fail(index, &error),
        }
    }

    fn fail(&mut self, index: u32, error: &PeerError) {
        let stays = self.receivers.get(index as usize).is_some_and(|receiver| receiver.stays);
        match error {
            // Those who come and go leave by their signalling, and the server says goodbye first.
            PeerError::Ended if !stays => {}
            PeerError::Ended => self.counts.peers_failed += 1,
            _ => {
                tracing::warn!(%error, "peer failed");
                self.counts.peers_failed += 1;
            }
        }
        self.forget(index);
    }

    /// Takes a client out; what it counted stays.
    fn forget(&mut self, index: u32) -> Option<Box<Entry>> {
        let entry = self.entries.get_mut(index as usize)?.take()?;
        let receiver = std::mem::take(&mut self.receivers[index as usize]);
        self.counts.streams_of(receiver.stays).merge(&receiver.totals());
        entry.finish(Instant::now(), &mut self.counts);
        Some(entry)
    }
}

/// Sets an element, and makes room for it.
fn put<T: Default>(elements: &mut Vec<T>, index: usize, element: T) {
    if elements.len() <= index {
        elements.resize_with(index + 1, T::default);
    }
    elements[index] = element;
}
