//! A worker's TCP connections: frames to the plane, datagrams of the plane's to clients.
//!
//! A connection is here for as long as the plane knows whose it is. Most frames come one by one and are short, so
//! what is sent in a turn leaves in one call, and what is read goes through one buffer for all.

use std::time::{Duration, Instant};

use mio::{Interest, Registry, Token};
use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use tracing::debug;

use super::Newcomer;
use super::connection::{Connection, Turn};
use crate::media::fanout::Path;
use crate::media::plane::Plane;
use crate::media::socket::Sent;
use crate::media::worker::READING_MAX;

/// Tokens of the poll from here on are connections; sockets come before, and the doorbell is the last there is.
pub(crate) const FIRST_TOKEN: usize = 1 << 16;

/// How often is looked for connections that are nobody's any more.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

const BUFFER_BYTES: usize = 16 * 1024;

/// The TCP connections of one worker.
pub(crate) struct Connections {
    newcomers: mpsc::Receiver<Newcomer>,
    by_token: FxHashMap<usize, Connection>,
    by_path: FxHashMap<Path, usize>,
    next_token: usize,
    /// Those that may have something to read.
    readable: Vec<usize>,
    /// Those that were given something to send.
    unsent: Vec<usize>,
    /// Which was read last.
    read_last: usize,
    swept_at: Instant,
    buffer: Vec<u8>,
}

impl Connections {
    pub(crate) fn new(now: Instant, newcomers: mpsc::Receiver<Newcomer>) -> Connections {
        Connections {
            newcomers,
            by_token: FxHashMap::default(),
            by_path: FxHashMap::default(),
            next_token: FIRST_TOKEN,
            readable: Vec::new(),
            unsent: Vec::new(),
            read_last: 0,
            swept_at: now,
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// When there is something to do, if nothing happens before.
    pub(crate) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        if !self.readable.is_empty() {
            return Some(now);
        }
        (!self.by_token.is_empty()).then_some(self.swept_at + SWEEP_INTERVAL)
    }

    /// The poll says that something can be done with a connection.
    pub(crate) fn ready(&mut self, Token(token): Token) {
        self.readable.push(token);
        self.unsent.push(token);
    }

    /// One turn: those that are new, and what can be read of the others.
    pub(crate) fn receive(&mut self, now: Instant, registry: &Registry, plane: &mut Plane) {
        while let Ok(newcomer) = self.newcomers.try_recv() {
            self.admit(now, registry, plane, newcomer);
        }
        let mut readable = std::mem::take(&mut self.readable);
        readable.sort_unstable();
        readable.dedup();
        // Each has its turn, those that are left here in the next one.
        let next = readable.partition_point(|&token| token <= self.read_last);
        readable.rotate_left(next);
        let began = Instant::now();
        let mut readable = readable.into_iter();
        while began.elapsed() <= READING_MAX
            && let Some(token) = readable.next()
        {
            self.read_last = token;
            self.read(now, plane, token);
        }
        self.readable.extend(readable);
        if now >= self.swept_at + SWEEP_INTERVAL {
            self.swept_at = now;
            self.sweep(now, plane);
        }
        plane.has_connections(self.by_token.len());
    }

    fn admit(&mut self, now: Instant, registry: &Registry, plane: &mut Plane, newcomer: Newcomer) {
        let (mut connection, first) = Connection::new(now, newcomer);
        let (path, token) = (connection.path, self.next_token);
        // The credentials prove whose it is; a former connection of the same address would be told apart by nothing.
        if self.by_path.contains_key(&path) || !plane.frame(now, path, &first) {
            return;
        }
        self.next_token += 1;
        let interests = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = registry.register(&mut connection.stream, Token(token), interests) {
            debug!(%error, "registering a TCP connection");
            return plane.forget(path);
        }
        self.by_token.insert(token, connection);
        self.by_path.insert(path, token);
        self.readable.push(token);
    }

    fn read(&mut self, now: Instant, plane: &mut Plane, token: usize) {
        let Some(connection) = self.by_token.get_mut(&token) else {
            return;
        };
        match connection.read(now, &mut self.buffer, |path, frame| plane.frame(now, path, frame)) {
            Turn::Over => {}
            Turn::Interrupted => self.readable.push(token),
            Turn::Ended => self.close(plane, token),
        }
    }

    /// Ends connections that are nobody's any more.
    fn sweep(&mut self, now: Instant, plane: &mut Plane) {
        let over = |connection: &Connection| connection.is_given_up(now) || !plane.knows(connection.path);
        let all = self.by_token.iter().filter(|(_, connection)| over(connection));
        for token in all.map(|(token, _)| *token).collect::<Vec<_>>() {
            self.close(plane, token);
        }
    }

    fn close(&mut self, plane: &mut Plane, token: usize) {
        if let Some(connection) = self.by_token.remove(&token) {
            self.by_path.remove(&connection.path);
            plane.forget(connection.path);
        }
    }

    /// Takes a datagram for a client, to be sent with the next [`Connections::flush`].
    pub(crate) fn send(&mut self, path: Path, datagram: &[u8], sent: &mut Sent) {
        let token = self.by_path.get(&path).copied();
        let taken = token.filter(|token| self.by_token.get_mut(token).is_some_and(|it| it.push(datagram)));
        let Some(token) = taken else {
            sent.refused += 1;
            return;
        };
        sent.packets += 1;
        sent.bytes += datagram.len() as u64;
        if self.unsent.last() != Some(&token) {
            self.unsent.push(token);
        }
    }

    /// Sends what waits.
    pub(crate) fn flush(&mut self, now: Instant) {
        for token in self.unsent.drain(..) {
            if let Some(connection) = self.by_token.get_mut(&token)
                && connection.flush(now).is_err()
            {
                // Reading finds out the same, and closes it.
                self.readable.push(token);
            }
        }
    }
}
