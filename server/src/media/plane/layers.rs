//! How much of each picture goes where: what viewers' networks take and how large they look in; how much of each picture their slots
//! get out, what crosses to other workers, and what senders needn't send.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use selector::SourceId;
use tercet_core::{ENCODINGS_MAX, EndpointId, Layer, RoomId, SourceLayers, VideoPacket, Wanted};
use tracing::trace;

use super::Plane;
use crate::media::crossing::{VideoCrossing, VideoNews};
use crate::media::{WorkerEvent, WorkerId};

/// What viewers get is looked at so often.
const ALLOCATION_INTERVAL: Duration = Duration::from_millis(200);

/// What other workers know of sources, and want of them, is told again so often: what tells of it may be lost.
const NEWS_INTERVAL: Duration = Duration::from_secs(1);

/// What a worker wanted and doesn't repeat for so long, it wants no more.
const WANTED_FOR: Duration = Duration::from_secs(3);

/// A client goes on sending what nobody looks at any more for so long: they may come back to it, and it takes time to begin.
const UNWANTED_AFTER: Duration = Duration::from_secs(3);

/// What clients of other workers want of sources here.
#[derive(Default)]
pub(super) struct WantedElsewhere(FxHashMap<(SourceId, WorkerId), (Wanted, Instant)>);

/// What other workers were told, of sources elsewhere that are wanted here, and of the layers of sources here.
#[derive(Default)]
pub(super) struct Told {
    wanted: FxHashMap<SourceId, (Wanted, Instant)>,
    layers: FxHashMap<SourceId, (SourceLayers, Instant)>,
}

/// Of how many sizes its client was told that they are watched, and since when it is less than that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LayersWanted {
    told: Option<u8>,
    less_since: Option<Instant>,
}

impl WantedElsewhere {
    /// What all of them want that are known to watch it. Whoever has not said so yet wants all.
    fn of(&self, source: SourceId, watchers: &[WorkerId]) -> u8 {
        let layers = |worker: &WorkerId| self.0.get(&(source, *worker)).map_or(u8::MAX, |(it, _)| it.layers);
        watchers.iter().map(layers).max().unwrap_or(0)
    }

    /// Whether a packet is of use to a worker that watches its source.
    pub(super) fn takes(&self, worker: WorkerId, packet: &VideoPacket) -> bool {
        // Of a scalable stream all crosses: there its packets' numbers have to be without holes.
        packet.encodings < 2
            || self
                .0
                .get(&(packet.source, worker))
                .is_none_or(|(wanted, _)| wanted.encodings & (1 << packet.encoding) != 0)
    }

    fn forget_old(&mut self, now: Instant) {
        self.0.retain(|_, (_, at)| now.saturating_duration_since(*at) < WANTED_FOR);
    }
}

impl LayersWanted {
    /// So many sizes are watched now. Returns how many its client is to be told of, if that is news: more at once, fewer when it has
    /// been so for a while.
    fn now_are(&mut self, now: Instant, layers: u8) -> Option<u8> {
        // What is sent at all is sent in one size at least: one of which nothing comes is off.
        let sizes = ENCODINGS_MAX as u8;
        let layers = layers.clamp(1, sizes);
        let former = self.told.unwrap_or(sizes);
        if layers >= former {
            self.less_since = None;
            self.told = Some(layers).filter(|_| self.told.is_some());
            return (layers > former).then_some(layers);
        }
        let since = *self.less_since.get_or_insert(now);
        let is_due = now.saturating_duration_since(since) >= UNWANTED_AFTER;
        if is_due {
            (self.told, self.less_since) = (Some(layers), None);
        }
        is_due.then_some(layers)
    }
}

impl Plane {
    /// How high a client's video slots are drawn.
    pub(super) fn set_view(&mut self, now: Instant, id: EndpointId, heights: &[(u8, u32)]) {
        let heights = heights.iter().map(|(slot, height)| (usize::from(*slot), *height));
        if let Some(local) = self.local_room_of(id) {
            local.video.set_heights(id, heights);
        }
        self.allocate_to(now, id);
    }

    /// What a client's video slots may have at most.
    pub(super) fn limit_layers(&mut self, now: Instant, id: EndpointId, limits: &[(u8, Layer)]) {
        let limits = limits.iter().map(|(slot, limit)| (usize::from(*slot), *limit));
        if let Some(local) = self.local_room_of(id) {
            local.video.set_limits(id, limits);
        }
        self.allocate_to(now, id);
    }

    /// What a client's network takes.
    pub(super) fn estimated(&mut self, now: Instant, id: EndpointId, kbps: Option<u32>) {
        let Some(local) = self.local_room_of(id) else {
            return;
        };
        let former = local.video.estimate(id);
        trace!(endpoint = %id, ?kbps, "estimated");
        local.video.set_estimate(id, kbps);
        // More can wait, less can't.
        if kbps.is_some_and(|kbps| former.is_none_or(|former| kbps < former)) {
            self.allocate_to(now, id);
        }
    }

    /// Looks at what all get, when it is time again.
    pub(super) fn look_at_layers(&mut self, now: Instant) {
        if now < self.layers_due {
            return;
        }
        self.layers_due = now + ALLOCATION_INTERVAL;
        self.measure_layers(now);
        let viewers: Vec<EndpointId> = self.rooms.values().flat_map(|local| local.video.viewers()).collect();
        for id in viewers {
            self.allocate_to(now, id);
        }
        let rooms: Vec<RoomId> =
            self.rooms.iter().filter(|(_, local)| local.has_video()).map(|(room, _)| room.clone()).collect();
        for room in rooms {
            self.tell_what_is_wanted(now, &room);
            self.tell_senders(now, &room);
        }
    }

    /// Divides among a client's slots what its network takes.
    fn allocate_to(&mut self, now: Instant, id: EndpointId) {
        let Some(endpoint) = self.endpoints.get(&id) else {
            return;
        };
        let room = endpoint.room.clone();
        let Some(local) = self.rooms.get_mut(&room) else {
            return;
        };
        let allotted = local.video.allocate(now, id);
        self.want_keyframes(now, &room, allotted.needed);
        let (next, desired) = (allotted.next_kbps, allotted.desired_kbps);
        trace!(endpoint = %id, ?next, desired, "allotted");
        let _ = self.with_peer(now, id, |peer| {
            peer.want_bitrate(now, next, desired);
            Ok(())
        });
    }

    /// What comes of each picture here, for those who watch it here and on other workers.
    fn measure_layers(&mut self, now: Instant) {
        let Plane { rooms, endpoints, .. } = self;
        let mut crossings = Vec::new();
        for (room, local) in rooms {
            local.wanted_elsewhere.forget_old(now);
            for (source, (id, origin)) in &local.pictures {
                let Some(endpoint) = endpoints.get(id) else {
                    continue;
                };
                let layers = endpoint.pictures[*origin].ingest.layers(now);
                local.video.set_layers(*source, layers.clone());
                let told = local.told.layers.get(source);
                trace!(source = source.0, ?layers, "measured");
                if told.is_some_and(|(told, at)| !layers.are_news_after(told) && now < *at + NEWS_INTERVAL) {
                    continue;
                }
                for worker in local.watched_by.get(source).into_iter().flatten() {
                    let news = VideoNews::Layers(*source, Box::new(layers.clone()));
                    crossings.push((*worker, VideoCrossing { room: room.clone(), news }));
                }
                local.told.layers.insert(*source, (layers, now));
            }
            let pictures = &local.pictures;
            local.told.layers.retain(|source, _| pictures.contains_key(source));
        }
        for (worker, crossing) in crossings {
            self.cross_to(worker, crossing);
        }
    }

    /// Tells the workers of pictures elsewhere what is wanted of these here.
    pub(super) fn tell_what_is_wanted(&mut self, now: Instant, room: &RoomId) {
        let Some(local) = self.rooms.get_mut(room) else {
            return;
        };
        let mut news = Vec::new();
        let watched: Vec<SourceId> = local.video.watched().collect();
        for &source in watched.iter().filter(|source| !local.pictures.contains_key(source)) {
            let wanted = local.video.wanted_of(source);
            let told = local.told.wanted.get(&source);
            if told.is_none_or(|(told, at)| *told != wanted || now >= *at + NEWS_INTERVAL) {
                local.told.wanted.insert(source, (wanted, now));
                news.push(VideoNews::Wanted { source, by: self.id, wanted });
            }
        }
        local.told.wanted.retain(|source, _| watched.contains(source));
        let others = local.others.clone();
        for (news, other) in
            news.into_iter().flat_map(|news| others.iter().map(move |other| (news.clone(), *other)))
        {
            self.cross_to(other, VideoCrossing { room: room.clone(), news });
        }
    }

    /// Clients of another worker want so much of a picture, which may be one of this worker's.
    pub(super) fn wanted_elsewhere(
        &mut self,
        now: Instant,
        room: &RoomId,
        (source, by): (SourceId, WorkerId),
        wanted: Wanted,
    ) {
        if let Some(local) = self.rooms.get_mut(room).filter(|local| local.pictures.contains_key(&source)) {
            local.wanted_elsewhere.0.insert((source, by), (wanted, now));
        }
    }

    /// Tells those who send pictures here how much of these is watched, if that is news.
    fn tell_senders(&mut self, now: Instant, room: &RoomId) {
        let Some(local) = self.rooms.get(room) else {
            return;
        };
        let mut news = Vec::new();
        for (source, id) in &local.pictures {
            let here = local.video.wanted_of(*source).layers;
            let watchers = local.watched_by.get(source).map_or(&[][..], Vec::as_slice);
            news.push((*id, here.max(local.wanted_elsewhere.of(*source, watchers))));
        }
        for ((endpoint, origin), layers) in news {
            let picture = self.endpoints.get_mut(&endpoint).map(|endpoint| &mut endpoint.pictures[origin]);
            let Some(layers) = picture.and_then(|picture| picture.layers_wanted.now_are(now, layers)) else {
                continue;
            };
            self.tell(WorkerEvent::VideoWanted { endpoint, origin, layers });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_is_told_of_more_at_once_and_of_less_when_it_lasts() {
        let (mut wanted, start) = (LayersWanted::default(), Instant::now());
        let mut at = |ms, layers| wanted.now_are(start + Duration::from_millis(ms), layers);
        assert_eq!((at(0, 4), at(200, 2), at(3_000, 2)), (None, None, None));
        assert_eq!(at(3_200, 2), Some(2));
        assert_eq!((at(3_400, 2), at(3_600, 0), at(4_000, 3)), (None, None, Some(3)));
        assert_eq!((at(4_200, 0), at(7_199, 0), at(7_200, 0)), (None, None, Some(1)));
    }
}
