//! What is seen of the cluster: where a room is, for those who want to enter it; and all of it, once a second.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tercet_core::{NodeId, RoomId};
use tokio::sync::oneshot;

use super::{Thread, Watched};
use crate::cluster::{ClusterEvent, Located, Snapshot};

/// How long the store may take to say where a room is, and how long it is watched then.
const LOCATE_WITHIN: Duration = Duration::from_millis(150);
const WATCH_FOR: Duration = Duration::from_secs(60);

/// Rooms that are watched at once, for those who ask.
const WATCHED_MAX: usize = 4096;

impl Thread {
    pub(super) fn locate(&mut self, now: Instant, room: RoomId, reply: oneshot::Sender<Located>) {
        let is_here = self.rooms.contains_key(&room);
        let is_new = !self.watched.contains_key(&room);
        // Whoever asks for too many rooms gets any node.
        if is_here || (is_new && self.watched.len() >= WATCHED_MAX) {
            let _ = reply.send(Located { is_here, elsewhere: self.cluster.nodes_of(&room).collect() });
            return;
        }
        if is_new {
            self.cluster.watch_room(now, &room);
        }
        let watched = self.watched.entry(room.clone()).or_insert(Watched {
            since: now,
            asked_at: now,
            replies: Vec::new(),
        });
        watched.asked_at = now;
        if watched.replies.is_empty() {
            self.asked.push(room);
        }
        watched.replies.push(reply);
    }

    /// Answers those who asked where a room is, once it is known or has had its time.
    pub(super) fn answer_located(&mut self, now: Instant) {
        self.asked.retain(|room| {
            let Some(watched) = self.watched.get_mut(room) else {
                return false;
            };
            let elsewhere: Vec<NodeId> = self.cluster.nodes_of(room).collect();
            if elsewhere.is_empty() && now < watched.since + LOCATE_WITHIN {
                return true;
            }
            for reply in watched.replies.drain(..) {
                let _ = reply.send(Located { is_here: false, elsewhere: elsewhere.clone() });
            }
            false
        });
    }

    /// Once a second: what others see of this node, and what people see of the cluster.
    pub(super) fn report(&mut self, now: Instant) {
        let due = self.rooms.iter().filter(|(_, open)| open.carry_at.is_some_and(|at| at <= now));
        for room in due.map(|(room, _)| room.clone()).collect::<Vec<_>>() {
            self.carry(now, &room);
        }
        let is_over = |watched: &Watched| watched.replies.is_empty() && now >= watched.asked_at + WATCH_FOR;
        let over = self.watched.iter().filter(|(_, watched)| is_over(watched));
        for room in over.map(|(room, _)| room.clone()).collect::<Vec<_>>() {
            self.watched.remove(&room);
            if !self.rooms.contains_key(&room) {
                self.cluster.close_room(now, &room);
            }
        }
        self.cluster.set_info(now, self.info.clone());
        self.cluster.ask_routes(now);
        let links: Vec<_> = self.cluster.links().collect();
        let others: BTreeMap<_, _> = self.cluster.nodes().collect();
        let counts = self.cluster.counts();
        self.metrics.report(counts, others.len() + 1, &links);
        let rooms = self.rooms.keys().map(|room| (room.clone(), self.cluster.nodes_of(room).collect()));
        let mut snapshot = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        let reported = Arc::new(Snapshot {
            own: self.cluster.own_info().clone(),
            others,
            links,
            rooms: rooms.collect(),
            routes: snapshot.routes.clone(),
            doubted: self.doubted.clone(),
            ..**snapshot
        });
        snapshot.clone_from(&reported);
        drop(snapshot);
        let urls = reported.reached_by_clients();
        if urls != self.others_told {
            self.others_told.clone_from(&urls);
            self.tell(ClusterEvent::Others(urls));
        }
    }
}
