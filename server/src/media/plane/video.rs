//! A video packet's way through a worker, and that of requests for keyframes, which is the other way round.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use selector::SourceId;
use tercet_core::{
    Content, ENCODINGS_MAX, EncodingId, EndpointId, Gate, IncomingVideo, KeyframeGate, RoomId, StreamEpoch,
    VideoIngest, VideoPacket,
};
use tercet_protocol::VideoOrigin;
use tracing::trace;

use super::Plane;
use super::endpoints::random_video_slot;
use super::layers::LayersWanted;
use crate::media::crossing::{VideoCrossing, VideoNews};
use crate::media::video::Written;
use crate::media::{WorkerEvent, WorkerId};

/// A camera of which nothing comes for so long is off, whether its client says so or not, and a screen shared no more: of one on which
/// nothing moves Chromium sends a picture a second.
const PICTURE_RELEASE_AFTER: Duration = Duration::from_secs(3);

/// Which of the video tracks of all sessions.
pub(super) type PictureId = (EndpointId, VideoOrigin);

/// One of the video tracks that a session can publish.
pub(super) struct Picture {
    pub(super) source: SourceId,
    pub(super) ingest: VideoIngest,
    pub(super) publishing: bool,
    /// The numbering of the last packet of each of its streams.
    epochs: [Option<StreamEpoch>; ENCODINGS_MAX],
    arrived_at: Option<Instant>,
    /// Of each of its streams.
    keyframes: [KeyframeGate; ENCODINGS_MAX],
    pub(super) layers_wanted: LayersWanted,
}

impl Picture {
    pub(super) fn new(
        origin: VideoOrigin,
        source: SourceId,
        gate: Gate,
        kbps_max: u32,
        now: Instant,
    ) -> Picture {
        let content = match origin {
            VideoOrigin::Camera => Content::Camera,
            VideoOrigin::ScreenVideo => Content::Screen,
        };
        let ingest = VideoIngest::new(source, content, gate, kbps_max, now);
        let (epochs, keyframes, layers_wanted) = Default::default();
        Picture { source, ingest, publishing: false, epochs, arrived_at: None, keyframes, layers_wanted }
    }
}

impl Plane {
    /// A packet of a client's camera or screen arrived.
    pub(super) fn video_rtp(&mut self, now: Instant, id: PictureId, rtp: IncomingVideo) {
        let (endpoint_id, origin) = id;
        let Some(endpoint) = self.endpoints.get_mut(&endpoint_id) else {
            return;
        };
        let picture = &mut endpoint.pictures[origin];
        let packet = match picture.ingest.handle(now, rtp) {
            Ok(packet) => packet,
            Err(dropped) => return self.metrics.ingest_dropped(dropped),
        };
        picture.arrived_at = Some(now);
        let encoding = usize::from(packet.encoding);
        if packet.begins_keyframe {
            picture.keyframes[encoding].came();
        }
        let is_new = !std::mem::replace(&mut picture.publishing, true);
        let begins_anew = picture.epochs[encoding].replace(packet.epoch) != Some(packet.epoch) || is_new;
        let room = endpoint.room.clone();
        if is_new {
            self.pictures.insert(id);
            if let Some(local) = self.rooms.get_mut(&room) {
                local.pictures.insert(packet.source, id);
            }
            self.tell(WorkerEvent::PublishingStarted { endpoint: endpoint_id, origin: origin.into() });
        }
        if begins_anew && !packet.begins_keyframe {
            // Whoever watches it by now asked in vain, or can't go on.
            self.want_keyframe_here(now, &room, packet.encoding_id());
        }
        let watched_by = self.rooms.get(&room).and_then(|local| local.watched_by.get(&packet.source));
        let takes = |worker: &WorkerId| {
            self.rooms.get(&room).is_some_and(|local| local.wanted_elsewhere.takes(*worker, &packet))
        };
        for &other in watched_by.into_iter().flatten().filter(|other| takes(other)) {
            let news = VideoNews::Packet(Box::new(packet.clone()));
            self.cross_to(other, VideoCrossing { room: room.clone(), news });
        }
        self.show(now, &room, &packet);
    }

    /// Another worker has something for those who watch, or wants something for its own.
    pub(in crate::media) fn video_crossing(&mut self, now: Instant, crossing: VideoCrossing) {
        let VideoCrossing { room, news } = crossing;
        match news {
            VideoNews::Packet(packet) => {
                if packet.begins_keyframe
                    && let Some(local) = self.rooms.get_mut(&room)
                {
                    let waiting = local.keyframes_elsewhere.iter_mut();
                    waiting.filter(|(wanted, _)| packet.serves(**wanted)).for_each(|(_, gate)| gate.came());
                }
                self.show(now, &room, &packet);
            }
            VideoNews::KeyframeWanted(encoding) => {
                self.want_keyframe_here(now, &room, encoding);
            }
            VideoNews::Wanted { source, by, wanted } => {
                self.wanted_elsewhere(now, &room, (source, by), wanted);
            }
            VideoNews::Layers(source, layers) => {
                if let Some(local) = self.rooms.get_mut(&room).filter(|it| !it.pictures.contains_key(&source))
                {
                    local.video.set_layers(source, *layers);
                }
            }
        }
    }

    /// Gives a packet to all here who watch its source.
    fn show(&mut self, now: Instant, room: &RoomId, packet: &VideoPacket) {
        let Some(local) = self.rooms.get_mut(room) else {
            return;
        };
        let mut shown = std::mem::take(&mut self.shown);
        let is_lost =
            local.video.forward(now, packet, |id, slot, rewritten| shown.push((id, slot, rewritten)));
        for (id, slot, rewritten) in shown.drain(..) {
            match self.with_peer(now, id, |peer| Ok(peer.write_video(now, slot, rewritten, packet))) {
                Some(Written::Sent) => {
                    if packet.begins_keyframe {
                        trace!(endpoint = %id, slot, source = packet.source.0, packet.encoding, "a keyframe");
                    }
                    self.metrics.video_forwarded.increment(1);
                    self.speak_soon(now, id);
                }
                Some(Written::Unsupported) => self.metrics.video_unsupported.increment(1),
                Some(Written::Nowhere) | None => {}
            }
        }
        self.shown = shown;
        if is_lost {
            self.want_keyframes(now, room, vec![packet.encoding_id()]);
        }
    }

    /// str0m was given something for a client: it is to look at it in the next turn.
    pub(super) fn speak_soon(&mut self, now: Instant, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(&id)
            && !std::mem::replace(&mut endpoint.spoken_to, true)
        {
            self.spoken_to.push_back((now, id));
        }
    }

    /// What a client's video slots are to show.
    pub(super) fn watch(&mut self, now: Instant, id: EndpointId, sources: Vec<Option<SourceId>>) {
        let Some(endpoint) = self.endpoints.get(&id) else {
            return;
        };
        let room = endpoint.room.clone();
        if let Some(local) = self.rooms.get_mut(&room) {
            let needed = local.video.watch(now, id, sources);
            self.want_keyframes(now, &room, needed);
        }
    }

    /// Which pictures here are watched by clients of other workers.
    pub(super) fn set_watched(
        &mut self,
        now: Instant,
        room: &RoomId,
        watched_by: FxHashMap<SourceId, Vec<WorkerId>>,
    ) {
        let Some(local) = self.rooms.get_mut(room) else {
            return;
        };
        let is_new = |(source, workers): &(&SourceId, &Vec<WorkerId>)| {
            let former = local.watched_by.get(source);
            workers.iter().any(|worker| !former.is_some_and(|former| former.contains(worker)))
        };
        let new: Vec<SourceId> = watched_by.iter().filter(is_new).map(|(source, _)| *source).collect();
        local.watched_by = watched_by;
        // Those who watch asked for a keyframe when nothing crossed yet.
        for source in new {
            self.want_keyframe_here(now, room, EncodingId { source, number: u8::MAX });
        }
    }

    /// A connection has so many video slots from now on.
    pub(super) fn set_video_slots(&mut self, now: Instant, id: EndpointId, count: usize, is_new: bool) {
        let Some(endpoint) = self.endpoints.get(&id) else {
            return;
        };
        let room = endpoint.room.clone();
        let Some(local) = self.rooms.get_mut(&room) else {
            return;
        };
        if is_new {
            local.video.set_slots(id, (0..count).map(|_| random_video_slot()));
        } else {
            let missing = count.saturating_sub(local.video.slot_count(id));
            let needed = local.video.add_slots(now, id, (0..missing).map(|_| random_video_slot()));
            self.want_keyframes(now, &room, needed);
        }
    }

    /// A client can't go on in a slot.
    pub(super) fn keyframe_wanted_in(&mut self, now: Instant, id: EndpointId, slot: usize) {
        let Some(endpoint) = self.endpoints.get(&id) else {
            return;
        };
        let room = endpoint.room.clone();
        let wish = self.rooms.get_mut(&room).and_then(|local| local.video.wish(now, id, slot));
        self.want_keyframes(now, &room, wish.into_iter().collect());
    }

    /// Asks those for keyframes whose they are, here or on another worker.
    pub(super) fn want_keyframes(&mut self, now: Instant, room: &RoomId, encodings: Vec<EncodingId>) {
        if encodings.is_empty() {
            return;
        }
        // Else the keyframe of another size would come before it is known to be of use here.
        self.tell_what_is_wanted(now, room);
        for encoding in encodings {
            if self.want_keyframe_here(now, room, encoding) {
                continue;
            }
            let Some(local) = self.rooms.get_mut(room) else {
                return;
            };
            if local.keyframes_elsewhere.entry(encoding).or_default().want(now) {
                self.ask_elsewhere(room, encoding);
            }
        }
    }

    /// Asks for what was wanted and could not be asked for yet.
    pub(super) fn ask_for_keyframes(&mut self, now: Instant) {
        self.end_stopped_pictures(now);
        for id in self.pictures.iter().copied().collect::<Vec<_>>() {
            for encoding in 0..ENCODINGS_MAX {
                if self.picture_mut(id).is_some_and(|it| it.keyframes[encoding].is_due(now)) {
                    self.ask_client(now, id, encoding as u8);
                }
            }
        }
        let mut wishes = Vec::new();
        for (room, local) in &mut self.rooms {
            let due = local.video.due_wishes(now);
            if !due.is_empty() {
                wishes.push((room.clone(), due));
            }
        }
        for (room, encodings) in wishes {
            self.want_keyframes(now, &room, encodings);
        }
        let mut due = Vec::new();
        for (room, local) in &mut self.rooms {
            let video = &local.video;
            local.keyframes_elsewhere.retain(|encoding, _| video.is_watched(encoding.source));
            let asked = local
                .keyframes_elsewhere
                .iter_mut()
                .filter_map(|(encoding, keyframes)| keyframes.is_due(now).then(|| (room.clone(), *encoding)));
            due.extend(asked);
        }
        for (room, encoding) in due {
            self.ask_elsewhere(&room, encoding);
        }
    }

    /// Returns whether it is a picture of a client here.
    fn want_keyframe_here(&mut self, now: Instant, room: &RoomId, wanted: EncodingId) -> bool {
        let Some(&id) = self.rooms.get(room).and_then(|local| local.pictures.get(&wanted.source)) else {
            return false;
        };
        if let Some(picture) = self.picture_mut(id) {
            let encoding = picture.ingest.sent_encoding(now, wanted.number);
            if picture.keyframes[usize::from(encoding)].want(now) {
                self.ask_client(now, id, encoding);
            }
        }
        true
    }

    fn picture_mut(&mut self, (id, origin): PictureId) -> Option<&mut Picture> {
        self.endpoints.get_mut(&id).map(|endpoint| &mut endpoint.pictures[origin])
    }

    fn ask_client(&mut self, now: Instant, (id, origin): PictureId, encoding: u8) {
        trace!(endpoint = %id, ?origin, encoding, "asked for a keyframe");
        self.metrics.keyframes_asked.increment(1);
        let _ = self.with_peer(now, id, |peer| {
            peer.request_keyframe(origin, encoding);
            Ok(())
        });
        self.speak_soon(now, id);
    }

    fn ask_elsewhere(&self, room: &RoomId, encoding: EncodingId) {
        let others = self.rooms.get(room).map_or(&[][..], |local| &local.others);
        for &other in others {
            let news = VideoNews::KeyframeWanted(encoding);
            self.cross_to(other, VideoCrossing { room: room.clone(), news });
        }
    }

    pub(super) fn set_picture_gate(&mut self, id: PictureId, gate: Gate) {
        let Some(picture) = self.picture_mut(id) else {
            return;
        };
        picture.ingest.set_gate(gate);
        if gate != Gate::Open {
            self.end_picture(id);
        }
    }

    /// Nothing of a camera or screen is seen any more.
    pub(super) fn end_picture(&mut self, id: PictureId) {
        self.pictures.remove(&id);
        let (endpoint_id, origin) = id;
        let Some(endpoint) = self.endpoints.get_mut(&endpoint_id) else {
            return;
        };
        let picture = &mut endpoint.pictures[origin];
        if !std::mem::replace(&mut picture.publishing, false) {
            return;
        }
        picture.layers_wanted = LayersWanted::default();
        picture.keyframes.iter_mut().for_each(KeyframeGate::forget);
        let source = picture.source;
        if let Some(local) = self.rooms.get_mut(&endpoint.room) {
            local.pictures.remove(&source);
            local.video.interrupt(source);
            local.video.forget_layers(source);
        }
        self.tell(WorkerEvent::PublishingEnded { endpoint: endpoint_id, origin: origin.into() });
    }

    fn end_stopped_pictures(&mut self, now: Instant) {
        let is_over = |(id, origin): &&PictureId| {
            let arrived_at = self.endpoints.get(id).and_then(|it| it.pictures[*origin].arrived_at);
            arrived_at.is_none_or(|at| now.saturating_duration_since(at) >= PICTURE_RELEASE_AFTER)
        };
        for id in self.pictures.iter().filter(is_over).copied().collect::<Vec<_>>() {
            self.end_picture(id);
        }
    }
}
