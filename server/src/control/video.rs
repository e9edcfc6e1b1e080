//! Whom clients watch: cameras that go on and off, who speaks, and what clients choose in; what video slots are to show out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rustc_hash::FxHashMap;
use selector::SourceId;
use tercet_core::{NodeId, ParticipantId, RoomId, SessionId};
use tercet_protocol::{ErrorCode, ServerMessage};

use super::Control;
use super::live_room::LiveRoom;
use super::session::{Outgoing, Session};
use super::slot_texts::SlotTexts;
use crate::media::{Selection, WorkerCommand, WorkerId};

impl LiveRoom {
    /// The camera of whoever is the loudest, where that is on.
    pub(super) fn loudest_camera(&self, selection: &Selection) -> Option<SourceId> {
        let slots = usize::from(self.room.settings().slots);
        let heard = selection.positions.iter().take(slots).flatten();
        let (loudest, _) = heard.max_by_key(|(_, level)| *level)?;
        let speaker = self.publisher(*loudest).and_then(|id| self.room.participant(id))?;
        Some(speaker.tracks.camera.source).filter(|_| speaker.tracks.camera.publishing)
    }

    /// What the video slots of a session are to show.
    fn video_of(&self, session: &Session) -> Vec<Option<SourceId>> {
        let camera = |id: &ParticipantId| self.room.participant(id).map(|it| it.tracks.camera.source);
        let own = camera(&session.participant).unwrap_or(session.source);
        let pinned = session.watches.as_ref().and_then(camera);
        self.focus.slots(own, pinned, &session.video_told, session.video_mids.len())
    }
}

impl Control {
    /// A camera began to be seen, or ended.
    pub(super) fn camera_changed(&mut self, now: Instant, room: &RoomId, camera: SourceId, is_on: bool) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        let is_news = if is_on { live.focus.add(camera) } else { live.focus.remove(camera) };
        if is_news {
            self.show_cameras(now, room);
        }
    }

    /// An offer was answered: the client has these video slots.
    pub(super) fn has_video_slots(&mut self, now: Instant, id: SessionId, mids: Vec<String>) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.video_mids != mids) else {
            return;
        };
        session.video_mids = mids;
        session.video_told.clear();
        let room = session.room.clone();
        self.show_cameras(now, &room);
    }

    /// A client chooses whom to watch.
    pub(super) fn watch(
        &mut self,
        now: Instant,
        id: SessionId,
        participant: Option<String>,
    ) -> Result<(), (ErrorCode, String)> {
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(());
        };
        session.watches = participant.map(|id| ParticipantId::from(id.as_str()));
        let room = session.room.clone();
        self.show_cameras(now, &room);
        Ok(())
    }

    /// Has every video slot of a room show what it is to show, and tells whose changed. Those who publish nothing watch the
    /// same.
    pub(super) fn show_cameras(&mut self, now: Instant, room: &RoomId) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        let mut texts = SlotTexts::default();
        let mut commands = Vec::new();
        let mut elsewhere: BTreeMap<NodeId, BTreeSet<SourceId>> = BTreeMap::new();
        let mut watched_by: BTreeMap<WorkerId, FxHashMap<SourceId, Vec<WorkerId>>> = BTreeMap::new();
        for id in live.sessions.values() {
            let Some(session) = self.sessions.get(id).filter(|session| !session.video_mids.is_empty()) else {
                continue;
            };
            let slots = live.video_of(session);
            let (endpoint, watcher) = (session.endpoint, session.worker);
            for source in slots.iter().flatten() {
                let node = live.publisher(*source).and_then(|id| live.room.participant(id)?.node);
                if let Some(node) = node {
                    elsewhere.entry(node).or_default().insert(*source);
                    continue;
                }
                let publisher = live.publisher(*source).and_then(|id| live.sessions.get(id));
                let publisher = publisher.and_then(|id| self.sessions.get(id)).map(|session| session.worker);
                if let Some(publisher) = publisher.filter(|publisher| *publisher != watcher) {
                    let workers = watched_by.entry(publisher).or_default().entry(*source).or_default();
                    if !workers.contains(&watcher) {
                        workers.push(watcher);
                    }
                }
            }
            let Some(session) = self.sessions.get_mut(id).filter(|session| session.video_told != slots)
            else {
                continue;
            };
            commands.push((watcher, WorkerCommand::Watch { endpoint, sources: slots.clone() }));
            let mids = &session.video_mids;
            let message = || ServerMessage::Video { slots: live.wire_slots(&slots, mids) };
            let text = texts.get(&slots, mids, message);
            session.video_told = slots;
            session.send(now, Outgoing::Text(text));
        }
        if let Some(own) = &self.own_node {
            for source in live.watched_by_nodes() {
                let publisher = live.publisher(source).and_then(|id| live.sessions.get(id));
                if let Some(publisher) = publisher.and_then(|id| self.sessions.get(id)) {
                    let of_worker = watched_by.entry(publisher.worker).or_default();
                    of_worker.entry(source).or_default().push(own.worker);
                }
            }
        }
        let former = std::mem::replace(&mut live.watched_by, watched_by.clone());
        for worker in live.workers() {
            let watched_by = watched_by.remove(&worker).unwrap_or_default();
            if former.get(&worker).cloned().unwrap_or_default() != watched_by {
                commands.push((worker, WorkerCommand::SetWatched { room: room.clone(), watched_by }));
            }
        }
        for (worker, command) in commands {
            self.command(worker, command);
        }
        self.tell_nodes_watched(room, elsewhere);
    }
}
