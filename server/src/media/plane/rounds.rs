//! Rooms that have something for their listeners: which is next, and each listener's turn in it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tercet_core::RoomId;
use tercet_protocol::AudioOrigin;

use super::Plane;
use crate::media::fanout::Path;

/// Listeners who have their turn before anything else gets its own: about a millisecond of them.
const TURNS_MAX: usize = 256;

/// Rooms of which something waits, each once: its voices, and its stage.
#[derive(Default)]
pub(super) struct Rounds {
    /// Since when; the oldest first.
    waiting: VecDeque<Waiting>,
    /// Those whose round has begun. They take turns: a room of thousands doesn't keep small ones waiting.
    running: VecDeque<Waiting>,
}

struct Waiting {
    since: Instant,
    room: RoomId,
    origin: AudioOrigin,
}

impl Rounds {
    /// Something waits in a room since then.
    pub(super) fn wait(&mut self, since: Instant, room: RoomId, origin: AudioOrigin) {
        let later = self.waiting.iter().rev().take_while(|other| other.since > since).count();
        self.waiting.insert(self.waiting.len() - later, Waiting { since, room, origin });
    }

    /// When a round is to begin, of packets that wait for others so long, or to go on.
    pub(super) fn due(&self, gather: Duration) -> Option<Instant> {
        let running = self.running.front().map(|room| room.since);
        running.or_else(|| self.waiting.front().map(|room| room.since + gather))
    }

    /// The room whose turn it is.
    fn next(&mut self, now: Instant, gather: Duration) -> Option<Waiting> {
        let is_due = |room: &&Waiting| room.since + gather <= now;
        let due = self.waiting.iter().take_while(is_due).count();
        self.running.extend(self.waiting.drain(..due));
        self.running.pop_front()
    }
}

impl Plane {
    /// Gives listeners their turn, up to a worker's turn of them, and as many whose str0m was given something: `each` gets
    /// their datagrams, and [`Plane::outgoing`] what str0m has to send.
    ///
    /// Whoever waits for a later turn gets what came meanwhile in the same call: the busier the worker is, the less a
    /// packet costs it.
    pub(in crate::media) fn flush(&mut self, now: Instant, mut each: impl FnMut(Path, &[u8])) {
        let mut datagram = std::mem::take(&mut self.datagram);
        // Half of them are the mixes', as far as they need them.
        let mut of_mixes = TURNS_MAX / 2;
        self.send_mixes(now, &mut of_mixes, &mut datagram, &mut each);
        let mut turns = TURNS_MAX / 2 + of_mixes;
        while turns > 0
            && let Some(room) = self.rounds.next(now, self.gauge.gather())
        {
            self.round(now, room, &mut turns, &mut datagram, &mut each);
        }
        self.datagram = datagram;
        for (_, id) in self.spoken_to.drain(..self.spoken_to.len().min(TURNS_MAX)).collect::<Vec<_>>() {
            if let Some(endpoint) = self.endpoints.get_mut(&id) {
                endpoint.spoken_to = false;
            }
            // str0m looks at what was written when time passes.
            let _ = self.with_peer(now, id, |peer| peer.handle_timeout(now));
            self.pump(now, id);
        }
    }

    /// Goes on with a room's round, for so many turns.
    fn round(
        &mut self,
        now: Instant,
        waiting: Waiting,
        turns: &mut usize,
        datagram: &mut Vec<u8>,
        mut each: impl FnMut(Path, &[u8]),
    ) {
        let Waiting { since: began, room, origin } = waiting;
        let Some(local) = self.rooms.get_mut(&room) else {
            return;
        };
        let (mut forwarded, mut overdue, mut panicked) = (0, 0, Vec::new());
        while *turns > 0 {
            let Some(turn) = local.shards[origin].next_turn() else {
                break;
            };
            *turns -= 1;
            let (id, since, missed) = (turn.endpoint(), turn.waits_since().unwrap_or(now), turn.missed());
            overdue += missed;
            let Some(peer) = self.endpoints.get_mut(&id).and_then(|endpoint| endpoint.peer.as_mut()) else {
                continue;
            };
            let send = AssertUnwindSafe(|| peer.send(now, origin, turn.forwards(), datagram, &mut each));
            match catch_unwind(send) {
                Ok(0) => {}
                Ok(sent) => {
                    forwarded += sent as u64;
                    self.gauge.took_turn(now.saturating_duration_since(since), missed);
                }
                Err(_) => panicked.push(id),
            }
        }
        if *turns == 0 {
            self.rounds.running.push_back(Waiting { since: began, room, origin });
        } else if let Some(since) = local.shards[origin].waits_since() {
            self.rounds.wait(since, room, origin);
        } else {
            local.has_rounds[origin] = false;
        }
        self.metrics.forwarded.increment(forwarded);
        self.metrics.dropped_overdue.increment(overdue);
        for id in panicked {
            self.metrics.peer_panicked();
            self.connection_lost(now, id);
        }
    }
}
