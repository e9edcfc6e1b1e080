//! A packet's way through a worker: from its publisher, or from another worker, to the slots of those who hear it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use rustc_hash::FxHashMap;
use tercet_core::{Arrival, AudioPacket, Dropped, EndpointId, Forward, IncomingRtp, RoomId};
use tercet_protocol::TrackOrigin;

use super::{Endpoint, Plane};
use crate::media::crossing::{Crossing, HeardPacket, News};
use crate::media::peer::Write;
use crate::media::trace::What;
use crate::media::{WorkerEvent, WorkerId};

/// A packet on its way to the slots of its listeners.
struct Delivery<'a> {
    endpoints: &'a mut FxHashMap<EndpointId, Endpoint>,
    written: &'a mut VecDeque<(EndpointId, Instant)>,
    origin: TrackOrigin,
    now: Instant,
    forwarded: u64,
    overdue: u64,
    panicked: Vec<EndpointId>,
}

impl Delivery<'_> {
    fn write(&mut self, forward: Forward, packet: &AudioPacket) {
        let Some(endpoint) = self.endpoints.get_mut(&forward.endpoint) else {
            return;
        };
        let Some(peer) = &mut endpoint.peer else {
            return;
        };
        let write = AssertUnwindSafe(|| peer.write(self.origin, forward.slot, forward.rewritten, packet));
        match catch_unwind(write) {
            Ok(taken @ (Write::Taken | Write::TakenForOldest)) => {
                self.forwarded += 1;
                self.overdue += u64::from(taken == Write::TakenForOldest);
                if !std::mem::replace(&mut endpoint.written, true) {
                    self.written.push_back((forward.endpoint, self.now));
                }
            }
            Ok(Write::Refused) => {}
            Err(_) => self.panicked.push(forward.endpoint),
        }
    }
}

impl Plane {
    pub(super) fn rtp(&mut self, now: Instant, id: EndpointId, origin: TrackOrigin, rtp: IncomingRtp) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else {
            return;
        };
        let track = &mut endpoint.tracks[origin];
        track.arrived_at = Some(now);
        let packet = match track.ingest.handle(now, rtp) {
            Ok(packet) => packet,
            Err(dropped) => {
                let is_news =
                    dropped == Dropped::NoLevel && !std::mem::replace(&mut track.level_missing, true);
                self.metrics.ingest_dropped(dropped);
                if is_news {
                    self.tell(WorkerEvent::LevelMissing { endpoint: id, origin });
                }
                return;
            }
        };
        let started = !std::mem::replace(&mut track.publishing, true);
        let room = endpoint.room.clone();
        if started {
            if origin == TrackOrigin::Screen {
                self.sharers.insert(id);
            }
            self.tell(WorkerEvent::PublishingStarted { endpoint: id, origin });
        }
        let Some(local) = self.rooms.get_mut(&room) else {
            return;
        };
        let what = What::Packet { level: packet.level, voice: packet.voice };
        local.note(now, origin, packet.source, what);
        let arrival = local.shards[origin].packet(now, &packet);
        if let Some(candidate) = arrival.crossing {
            let heard =
                || HeardPacket { packet: packet.clone(), candidate, pre_roll: arrival.pre_roll.clone() };
            let crossing = || Crossing { room: room.clone(), origin, news: News::Heard(Box::new(heard())) };
            if candidate.claim.is_some() {
                self.cross(&room, crossing);
            } else {
                let wanted_by = self.rooms.get(&room).and_then(|local| local.wanted_by.get(&packet.source));
                for &other in wanted_by.into_iter().flatten() {
                    self.cross_to(other, crossing());
                }
            }
        }
        if arrival.position.is_none() {
            self.metrics.not_selected.increment(1);
        }
        self.deliver(now, &room, origin, &packet, &arrival);
    }

    /// Another worker has something for a room.
    pub(in crate::media) fn crossing(&mut self, now: Instant, crossing: Crossing) {
        let Crossing { room, origin, news } = crossing;
        let Some(local) = self.rooms.get_mut(&room) else {
            return;
        };
        let shard = &mut local.shards[origin];
        match news {
            News::Heard(heard) => {
                let HeardPacket { packet, candidate, pre_roll } = *heard;
                let arrival = Arrival { pre_roll, ..shard.crossed(now, &candidate) };
                self.deliver(now, &room, origin, &packet, &arrival);
            }
            News::Turn(turn) => shard.catch_up(turn),
            News::Silenced(source) => {
                shard.silence(source);
            }
        }
    }

    /// Writes a packet to every listener of the room who hears it, after what its source sent before.
    fn deliver(
        &mut self,
        now: Instant,
        room: &RoomId,
        origin: TrackOrigin,
        packet: &AudioPacket,
        arrival: &Arrival,
    ) {
        if arrival.position.is_none() && !arrival.viewed {
            return;
        }
        let Some(local) = self.rooms.get_mut(room) else {
            return;
        };
        let mut delivery = Delivery {
            endpoints: &mut self.endpoints,
            written: &mut self.written,
            origin,
            now,
            forwarded: 0,
            overdue: 0,
            panicked: Vec::new(),
        };
        let shard = &mut local.shards[origin];
        if let Some(position) = arrival.position {
            for earlier in &arrival.pre_roll {
                for forward in shard.forward_earlier(now, earlier, position) {
                    delivery.write(forward, &earlier.packet);
                }
            }
            for forward in shard.forward(now, packet, position) {
                delivery.write(forward, packet);
            }
        }
        if arrival.viewed {
            for forward in shard.forward_to_viewers(now, packet) {
                delivery.write(forward, packet);
            }
        }
        let Delivery { forwarded, overdue, panicked, .. } = delivery;
        self.metrics.dropped_overdue.increment(overdue);
        self.metrics.pre_roll.increment(arrival.pre_roll.len() as u64);
        self.metrics.forwarded.increment(forwarded);
        for id in panicked {
            self.metrics.peer_panicked();
            self.connection_lost(now, id);
        }
    }

    /// Sends something to the room's other workers.
    pub(super) fn cross(&self, room: &RoomId, crossing: impl Fn() -> Crossing) {
        let others = self.rooms.get(room).map_or(&[][..], |local| &local.others);
        for &other in others {
            self.cross_to(other, crossing());
        }
    }

    pub(super) fn cross_to(&self, other: WorkerId, crossing: Crossing) {
        let sent = self.others.get(other.0).is_some_and(|sender| sender.send(crossing));
        if !sent {
            self.metrics.crossing_dropped.increment(1);
        }
    }
}
