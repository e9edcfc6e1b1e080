//! Rooms that span nodes: what workers pass on, out; what is heard elsewhere, in; and what outlives this node.

use std::time::{Duration, Instant};

use selector::SourceId;
use tercet_cluster::{BootId, Brought, Heard, seen};
use tercet_core::{ENCODINGS_MAX, EncodingId, NodeId, RoomId, Wanted};
use tracing::debug;

use super::cameras::{Streams, Told};
use super::{CROSSINGS_A_TURN, Thread};
use crate::cluster::ClusterEvent;
use crate::cluster::message::{Carried, NodeMessage, RemoteLayers, write_carried};
use crate::media::{Crossing, HeardPacket, News, Passed, VideoCrossing, VideoNews, WorkerId};

/// What outlives a node is told again so often, and is true for so long.
const CARRY_INTERVAL: Duration = Duration::from_secs(10);
const CARRIED_FOR: Duration = Duration::from_secs(30);
const CARRIED_BYTES_MAX: usize = 900;

impl Thread {
    pub(super) fn take_crossings(&mut self, now: Instant) {
        for turn in 0.. {
            if turn == CROSSINGS_A_TURN {
                // More may wait: come back after the others had their turn.
                self.parts.doorbell.ring();
                break;
            }
            match self.parts.crossings.try_recv() {
                Ok(Passed::Audio(crossing)) => self.crossing(now, crossing),
                Ok(Passed::Video(crossing)) => self.video_crossing(now, crossing),
                Err(_) => break,
            }
        }
        for room in self.bundled.drain(..) {
            if let Some(open) = self.rooms.get_mut(&room) {
                self.cluster.publish(now, &room, &open.bundle.take());
            }
        }
    }

    /// A worker has something for the other nodes of a room.
    pub(super) fn crossing(&mut self, now: Instant, crossing: Crossing) {
        let Crossing { room, origin, news } = crossing;
        match news {
            News::Heard(heard) => {
                let Some(open) = self.rooms.get_mut(&room) else {
                    return;
                };
                let HeardPacket { packet, candidate, pre_roll, .. } = *heard;
                if open.bundle.is_empty() {
                    self.bundled.push(room.clone());
                }
                let full = open.bundle.push(&Heard { origin, packet, candidate, pre_roll });
                self.metrics.packets_out.increment(1);
                for bundle in full {
                    self.cluster.publish(now, &room, &bundle);
                }
            }
            News::Turn(turn) => {
                self.tell_all(now, &room, &NodeMessage::Turn { room: room.to_string(), origin, turn });
            }
            News::Silenced(source) => {
                let message = NodeMessage::Silenced { room: room.to_string(), origin, source: source.0 };
                self.tell_all(now, &room, &message);
            }
        }
    }

    /// A worker has something of cameras for the other nodes of a room.
    fn video_crossing(&mut self, now: Instant, crossing: VideoCrossing) {
        let VideoCrossing { room, news } = crossing;
        match news {
            VideoNews::Packet(packet) => match seen(&packet) {
                Some(datagram) => {
                    self.metrics.packets_out.increment(1);
                    self.cluster.publish_picture(now, &room, packet.encoding_id(), &datagram);
                }
                None => self.metrics.crossing_dropped.increment(1),
            },
            VideoNews::KeyframeWanted(wanted) => {
                let Some(node) = self.rooms.get_mut(&room).and_then(|it| it.cameras.ask(now, wanted)) else {
                    return;
                };
                let EncodingId { source, number: encoding } = wanted;
                let message =
                    NodeMessage::KeyframeWanted { room: room.to_string(), source: source.0, encoding };
                self.cluster.send(now, node, &message.write());
            }
            VideoNews::Wanted { source, by, wanted } => {
                let Some(open) = self.rooms.get_mut(&room) else {
                    return;
                };
                open.cameras.want(now, source, by, wanted);
                if let Some(streams) = open.cameras.streams_of(now, source) {
                    self.subscribe(now, &room, streams);
                }
            }
            VideoNews::Layers(source, layers) => {
                let (source, layers) = (source.0, RemoteLayers::of(&layers));
                self.tell_all(
                    now,
                    &room,
                    &NodeMessage::VideoLayers { room: room.to_string(), source, layers },
                );
            }
        }
    }

    /// Subscribes to these streams of a picture on another node, and to no others, and tells that node, if it is to be told.
    pub(super) fn subscribe(&mut self, now: Instant, room: &RoomId, streams: Streams) {
        let Streams { node, source, encodings } = streams;
        let attempt = self.cluster.want_picture(now, room, (node, source), encodings);
        let told = self.rooms.get_mut(room).and_then(|open| open.cameras.tell(now, streams, attempt));
        if let Some(Told { wanted: Wanted { encodings, layers }, streams, attempt }) = told {
            let (room, source) = (room.to_string(), source.0);
            let message = NodeMessage::VideoWanted { room, source, encodings, layers, streams, attempt };
            self.cluster.send(now, node, &message.write());
        }
    }

    /// Subscribes to what is wanted by now of all pictures: who wanted something may be gone.
    pub(super) fn subscribe_all(&mut self, now: Instant) {
        let rooms = self.rooms.iter_mut();
        let streams = rooms.map(|(room, open)| (room.clone(), open.cameras.streams(now)));
        for (room, streams) in streams.collect::<Vec<_>>() {
            for streams in streams {
                self.subscribe(now, &room, streams);
            }
        }
    }

    pub(super) fn tell_all(&mut self, now: Instant, room: &RoomId, message: &NodeMessage) {
        let message = message.write();
        let nodes: Vec<NodeId> = self.cluster.nodes_of(room).collect();
        for node in nodes {
            self.cluster.send(now, node, &message);
        }
    }

    /// What is heard of a room on another node, for the workers that have a part of it.
    pub(super) fn heard(&mut self, at: Instant, room: RoomId, node: NodeId, data: &[u8]) {
        let Some(open) = self.rooms.get(&room) else {
            return;
        };
        let unbundler = self.unbundlers.entry((room.clone(), node)).or_default();
        for brought in unbundler.read(data) {
            self.metrics.packets_in.increment(1);
            for worker in &open.workers {
                let room = room.clone();
                match brought.clone() {
                    Brought::Heard(Heard { origin, packet, candidate, pre_roll }) => {
                        let news = News::Heard(Box::new(HeardPacket { packet, at, candidate, pre_roll }));
                        self.cross_to(*worker, Crossing { room, origin, news });
                    }
                    Brought::Seen(packet) => {
                        let news = VideoNews::Packet(Box::new(packet));
                        self.cross_to(*worker, VideoCrossing { room, news });
                    }
                }
            }
        }
    }

    pub(super) fn message(&mut self, now: Instant, from: NodeId, message: &[u8]) {
        let (room, origin, news) = match NodeMessage::read(message) {
            None => return debug!(node = %from, "a message that can't be read"),
            Some(NodeMessage::OfRoom { room, message }) => {
                return self.tell(ClusterEvent::Told { from, room: room.as_str().into(), message });
            }
            Some(NodeMessage::Silenced { room, origin, source }) => {
                (room, origin, News::Silenced(SourceId(source)))
            }
            Some(NodeMessage::Turn { room, origin, turn }) => (room, origin, News::Turn(turn)),
            Some(NodeMessage::VideoWanted { room, source, encodings, layers, streams, attempt }) => {
                let (room, source) = (RoomId::from(room.as_str()), SourceId(source));
                let numbers = (0..ENCODINGS_MAX as u8).filter(|number| streams & (1 << number) != 0);
                for number in numbers {
                    self.cluster.offer_picture(now, &room, EncodingId { source, number }, attempt);
                }
                return self.video_wanted(now, &room, (source, from), Wanted { encodings, layers });
            }
            Some(NodeMessage::VideoLayers { room, source, layers }) => {
                if let Some(layers) = layers.read() {
                    let (room, source) = (RoomId::from(room.as_str()), SourceId(source));
                    let streams = self.rooms.get_mut(&room).and_then(|open| {
                        let is_news = open.cameras.comes_in(source, layers.encodings);
                        is_news.then(|| open.cameras.streams_of(now, source)).flatten()
                    });
                    if let Some(streams) = streams {
                        self.subscribe(now, &room, streams);
                    }
                    let news = VideoNews::Layers(source, Box::new(layers));
                    self.tell_workers(&room, &news);
                }
                return;
            }
            Some(NodeMessage::KeyframeWanted { room, source, encoding }) => {
                let wanted = EncodingId { source: SourceId(source), number: encoding };
                return self.tell_workers(&room.as_str().into(), &VideoNews::KeyframeWanted(wanted));
            }
        };
        let room = RoomId::from(room.as_str());
        let workers = self.rooms.get(&room).map(|open| open.workers.clone()).unwrap_or_default();
        for worker in workers {
            let news = match &news {
                News::Silenced(source) => News::Silenced(*source),
                News::Turn(turn) => News::Turn(*turn),
                News::Heard(heard) => News::Heard(heard.clone()),
            };
            self.cross_to(worker, Crossing { room: room.clone(), origin, news });
        }
    }

    /// Clients of another node want so much of a camera here.
    fn video_wanted(
        &mut self,
        now: Instant,
        room: &RoomId,
        (source, by): (SourceId, NodeId),
        wanted: Wanted,
    ) {
        let Some(open) = self.rooms.get_mut(room) else {
            return;
        };
        let wanted = open.cameras.want_ours(now, source, by, wanted);
        // To workers, all other nodes are one more worker, the last.
        let by = WorkerId(self.workers.len() - 1);
        self.tell_workers(room, &VideoNews::Wanted { source, by, wanted });
    }

    /// Another node has news of pictures for the workers that have a part of a room.
    fn tell_workers(&self, room: &RoomId, news: &VideoNews) {
        for worker in self.rooms.get(room).into_iter().flat_map(|open| &open.workers) {
            self.cross_to(*worker, VideoCrossing { room: room.clone(), news: news.clone() });
        }
    }

    pub(super) fn cross_to(&self, worker: WorkerId, crossing: impl Into<Passed>) {
        if !self.workers.get(worker.0).is_some_and(|sender| sender.send(crossing)) {
            self.metrics.crossing_dropped.increment(1);
        }
    }

    /// Says again what outlives this node, with the time of now.
    pub(super) fn carry(&mut self, now: Instant, room: &RoomId) {
        let Some(open) = self.rooms.get_mut(room) else {
            return;
        };
        open.carry_at = (!open.carried.is_empty()).then(|| now + CARRY_INTERVAL);
        let carried = write_carried(self.cluster.time_ms(now), &open.carried, CARRIED_BYTES_MAX);
        self.cluster.carry(now, room, carried);
    }

    pub(super) fn carried(&mut self, now: Instant, room: RoomId, node: NodeId, boot: BootId, carried: &[u8]) {
        let Ok(Carried { at_ms, participants }) = postcard::from_bytes(carried) else {
            return;
        };
        let age_ms = self.cluster.time_ms(now).saturating_sub(at_ms);
        if age_ms <= CARRIED_FOR.as_millis() as u64 {
            let is_alive = self.cluster.nodes().any(|(up, state)| (up, state.boot) == (node, boot));
            self.tell(ClusterEvent::Carried { room, node, is_alive, participants });
        }
    }
}
