//! An audio packet's way through a worker: from its publisher, or from another worker, to the log of its room.

use std::time::Instant;

use tercet_core::{Arrival, AudioPacket, Dropped, EndpointId, IncomingRtp, RoomId};
use tercet_protocol::AudioOrigin;

use super::Plane;
use crate::media::crossing::{Crossing, HeardPacket, News, Passed};
use crate::media::meter::Meter;
use crate::media::trace::What;
use crate::media::{WorkerEvent, WorkerId};

impl Plane {
    pub(super) fn rtp(&mut self, now: Instant, id: EndpointId, origin: AudioOrigin, rtp: IncomingRtp) {
        let Some(endpoint) = self.endpoints.get_mut(&id) else {
            return;
        };
        let track = &mut endpoint.tracks[origin];
        track.arrived_at = Some(now);
        let meter = &mut track.meter;
        let is_measured = endpoint.is_over_http;
        let measure = |rtp: &IncomingRtp| {
            is_measured.then(|| meter.get_or_insert_with(|| Meter::new(now)).level(now, rtp)).flatten()
        };
        let packet = match track.ingest.handle_measured(now, rtp, measure) {
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
            if origin == AudioOrigin::Screen {
                self.sharers.insert(id);
            }
            self.tell(WorkerEvent::PublishingStarted { endpoint: id, origin: origin.into() });
        }
        let Some(local) = self.rooms.get_mut(&room) else {
            return;
        };
        let what = What::Packet { level: packet.level, voice: packet.voice };
        local.note(now, origin, packet.source, what);
        let arrival = local.shards[origin].packet(now, &packet);
        if let Some(candidate) = arrival.crossing {
            let news = || {
                let (packet, pre_roll) = (packet.clone(), arrival.pre_roll.clone());
                News::Heard(Box::new(HeardPacket { packet, at: now, candidate, pre_roll }))
            };
            if candidate.claim.is_some() {
                self.cross(now, &room, origin, news);
            } else {
                let wanted_by = self.rooms.get(&room).and_then(|local| local.wanted_by.get(&packet.source));
                for &other in wanted_by.into_iter().flatten() {
                    self.cross_to(other, Crossing { room: room.clone(), origin, news: news() });
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
        self.mixes.hear(now, &room, origin, || news.clone());
        let Some(local) = self.rooms.get_mut(&room) else {
            return;
        };
        let shard = &mut local.shards[origin];
        match news {
            News::Heard(heard) => {
                let HeardPacket { packet, candidate, pre_roll, .. } = *heard;
                let arrival = Arrival { pre_roll, ..shard.crossed(now, &candidate) };
                self.deliver(now, &room, origin, &packet, &arrival);
            }
            News::Turn(turn) => shard.catch_up(turn),
            News::Silenced(source) => {
                shard.silence(source);
            }
        }
    }

    /// A packet is for the listeners of a room: their turns come in [`Plane::flush`].
    fn deliver(
        &mut self,
        now: Instant,
        room: &RoomId,
        origin: AudioOrigin,
        packet: &AudioPacket,
        arrival: &Arrival,
    ) {
        let Some(local) = self.rooms.get_mut(room) else {
            return;
        };
        let shard = &mut local.shards[origin];
        shard.forward(now, packet, arrival);
        if arrival.position.is_some() {
            self.metrics.pre_roll.increment(arrival.pre_roll.len() as u64);
        }
        if shard.waits_since().is_some() && !std::mem::replace(&mut local.has_rounds[origin], true) {
            self.rounds.wait(now, room.clone(), origin);
        }
    }

    /// Tells the room's other workers something, and its mix.
    pub(super) fn cross(
        &mut self,
        now: Instant,
        room: &RoomId,
        origin: AudioOrigin,
        news: impl Fn() -> News,
    ) {
        self.mixes.hear(now, room, origin, &news);
        let others = self.rooms.get(room).map_or(&[][..], |local| &local.others);
        for &other in others {
            self.cross_to(other, Crossing { room: room.clone(), origin, news: news() });
        }
    }

    pub(super) fn cross_to(&self, other: WorkerId, crossing: impl Into<Passed>) {
        let sent = self.others.get(other.0).is_some_and(|sender| sender.send(crossing));
        if !sent {
            self.metrics.crossing_dropped.increment(1);
        }
    }
}
