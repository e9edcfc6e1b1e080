//! Whom clients watch: cameras and screens that go on and off, who speaks, and what clients choose in; what video slots are to show out.
//!
//! What one client chooses concerns that client. What concerns all of a room is looked at ten times a second at most.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use selector::SourceId;
use tercet_core::{Focus, NodeId, ParticipantId, RoomId, SessionId};
use tercet_protocol::{ErrorCode, ServerMessage, SlotMid, SlotView, VideoOrigin};

use super::Control;
use super::elsewhere::Seeking;
use super::live_room::LiveRoom;
use super::session::{Outgoing, Session};
use super::slot_texts::SlotTexts;
use crate::media::{Selection, WorkerCommand, WorkerId, places};

/// More than a room can have.
const VIDEO_SLOTS_MAX: usize = 16;

/// How far apart changes are that concern every video slot of a room.
pub(super) const CAMERAS_INTERVAL: Duration = Duration::from_millis(100);

/// Whoever hasn't spoken for so long is looked at no longer when somebody else speaks.
const PAUSE: Duration = Duration::from_millis(200);

/// The cameras of a room, and the screens that are shared there.
#[derive(Default)]
pub(super) struct Cameras {
    /// Whose are looked at.
    pub(super) focus: Focus,
    /// How many slots of each worker's clients are to show which.
    watchers: BTreeMap<(SourceId, WorkerId), usize>,
    /// Whether slots may have others to show than they do.
    are_changed: bool,
    /// Whether workers and nodes may have to be told who watches.
    watchers_changed: bool,
    shown_at: Option<Instant>,
    /// Which of each worker are watched by clients of which others, as the workers were told.
    told: BTreeMap<WorkerId, WatchedBy>,
}

type WatchedBy = FxHashMap<SourceId, Vec<WorkerId>>;

impl Cameras {
    /// A camera is on, or a screen is shared since that turn. Returns whether that is new.
    pub(super) fn begins(&mut self, origin: VideoOrigin, source: SourceId, turn: u64) -> bool {
        match origin {
            VideoOrigin::Camera => self.focus.add(source),
            VideoOrigin::ScreenVideo => self.focus.share(source, turn),
        }
    }

    /// Clients of other nodes watch others here.
    pub(super) fn watched_elsewhere(&mut self) {
        self.watchers_changed = true;
    }

    /// A client of a worker has others in its slots than before.
    pub(super) fn rewatch(
        &mut self,
        worker: WorkerId,
        former: &[Option<SourceId>],
        slots: &[Option<SourceId>],
    ) {
        for source in slots.iter().flatten() {
            let count = self.watchers.entry((*source, worker)).or_insert(0);
            *count += 1;
            self.watchers_changed |= *count == 1;
        }
        for key in former.iter().flatten().map(|source| (*source, worker)) {
            let btree_map::Entry::Occupied(mut count) = self.watchers.entry(key) else {
                debug_assert!(false, "it was counted when the slot got it");
                continue;
            };
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
                self.watchers_changed = true;
            }
        }
    }

    fn has_news(&self) -> bool {
        self.are_changed || self.watchers_changed
    }

    fn is_due(&self, now: Instant) -> bool {
        self.shown_at.is_none_or(|at| now >= at + CAMERAS_INTERVAL)
    }
}

impl LiveRoom {
    /// The camera of whoever is the loudest of those who speak, or else of those who are to be heard, where that is on; and when they
    /// were last heard so.
    pub(super) fn loudest_camera(&self, selection: &Selection) -> Option<(SourceId, Instant)> {
        let slots = usize::from(self.room.settings().slots);
        let heard = selection.positions.iter().take(slots).flatten();
        let lately = |at: &Instant| selection.at.saturating_duration_since(*at) < PAUSE;
        let heard = heard.filter_map(|speaker| {
            let spoke_at = speaker.active_at.filter(lately);
            let at = spoke_at.or(speaker.sounded_at.filter(lately))?;
            Some((speaker, spoke_at.is_some(), at))
        });
        let (loudest, _, at) = heard.max_by_key(|(speaker, speaks, _)| (*speaks, speaker.level))?;
        let participant = self.publisher(loudest.source).and_then(|id| self.room.participant(id))?;
        let camera = &participant.tracks.camera;
        camera.publishing.then_some((camera.source, at))
    }

    /// What the video slots of a session are to show.
    fn video_of(&self, session: &Session) -> Vec<Option<SourceId>> {
        let tracks = |id: &ParticipantId| self.room.participant(id).map(|it| &it.tracks);
        let camera = |id: &ParticipantId| tracks(id).map(|tracks| tracks.camera.source);
        let own = camera(&session.participant).unwrap_or(session.source);
        let own_screen = tracks(&session.participant).map(|tracks| tracks.screen_video.source);
        let pinned: Vec<SourceId> = session.watches.iter().filter_map(camera).collect();
        // A player that asked for somebody has their camera.
        let plays_one = session.transport.is_over_http() && !session.watches.is_empty();
        let focus = &self.cameras.focus;
        let screen = focus.screen().filter(|screen| !plays_one && Some(*screen) != own_screen);
        focus.slots(own, screen, &pinned, &session.video_told, session.video_mids.len())
    }
}

impl Control {
    /// What somebody published is seen no more, whatever of it was a picture.
    pub(super) fn pictures_ended(
        &mut self,
        now: Instant,
        room: &RoomId,
        sources: impl IntoIterator<Item = SourceId>,
    ) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        let ended = sources.into_iter().filter(|source| live.cameras.focus.remove(*source)).count();
        if ended > 0 {
            self.cameras_changed(now, room);
        }
    }

    /// All of a room may have others to look at.
    pub(super) fn cameras_changed(&mut self, now: Instant, room: &RoomId) {
        if let Some(live) = self.rooms.get_mut(room) {
            live.cameras.are_changed = true;
            self.show_cameras(now, room);
        }
    }

    /// An offer was answered: the client has these video slots.
    pub(super) fn has_video_slots(&mut self, now: Instant, id: SessionId, mids: Vec<SlotMid>) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.video_mids != mids) else {
            return;
        };
        session.video_mids = mids;
        let former = std::mem::take(&mut session.video_told);
        if let Some(live) = self.rooms.get_mut(&session.room) {
            live.cameras.rewatch(session.worker, &former, &[]);
        }
        if session.video_mids.is_empty() {
            let (worker, endpoint) = (session.worker, session.endpoint);
            self.command(worker, WorkerCommand::Watch { endpoint, sources: Vec::new() });
        }
        self.show_to(now, id, &mut SlotTexts::default());
        self.show_cameras_around(now, id);
    }

    /// A client chooses whom to watch.
    pub(super) fn watch(
        &mut self,
        now: Instant,
        id: SessionId,
        participant: Option<String>,
        participants: Vec<String>,
    ) -> Result<(), (ErrorCode, String)> {
        if participants.len() > VIDEO_SLOTS_MAX {
            return Err((
                ErrorCode::BadMessage,
                format!("a list has at most {VIDEO_SLOTS_MAX} participants"),
            ));
        }
        if let Some(session) = self.sessions.get_mut(&id) {
            let chosen = participant.into_iter().chain(participants);
            session.watches = chosen.map(|id| ParticipantId::from(id.as_str())).collect();
            self.show_to(now, id, &mut SlotTexts::default());
            self.show_cameras_around(now, id);
        }
        Ok(())
    }

    /// A client tells how large its slots are drawn.
    pub(super) fn view(&mut self, id: SessionId, slots: &[SlotView]) -> Result<(), (ErrorCode, String)> {
        if slots.len() > VIDEO_SLOTS_MAX {
            return Err((ErrorCode::BadMessage, format!("there are at most {VIDEO_SLOTS_MAX} video slots")));
        }
        if let Some(session) = self.sessions.get(&id) {
            let (worker, endpoint) = (session.worker, session.endpoint);
            let heights = slots.iter().map(|slot| (slot.index, slot.height.into())).collect();
            self.command(worker, WorkerCommand::View { endpoint, heights });
        }
        Ok(())
    }

    /// Does what is due in the room of a session.
    fn show_cameras_around(&mut self, now: Instant, id: SessionId) {
        if let Some(room) = self.sessions.get(&id).map(|session| session.room.clone()) {
            self.show_cameras(now, &room);
        }
    }

    /// Whether there are rooms whose cameras wait to be looked at.
    pub(super) fn has_cameras_to_show(&self) -> bool {
        !self.cameras_waiting.is_empty()
    }

    /// Time has passed: what waited is due.
    pub(crate) fn show_waiting_cameras(&mut self, now: Instant) {
        for room in std::mem::take(&mut self.cameras_waiting) {
            self.show_cameras(now, &room);
        }
    }

    /// Has every video slot of a room show what it is to show, if that may have changed, and tells whoever forwards it; now, or
    /// when it is time again.
    pub(super) fn show_cameras(&mut self, now: Instant, room: &RoomId) {
        let Some(live) = self.rooms.get_mut(room).filter(|live| live.cameras.has_news()) else {
            return;
        };
        if !live.cameras.is_due(now) {
            self.cameras_waiting.insert(room.clone());
            return;
        }
        live.cameras.shown_at = Some(now);
        if std::mem::take(&mut live.cameras.are_changed) {
            let mut texts = SlotTexts::default();
            for id in live.sessions.values().copied().collect::<Vec<_>>() {
                self.show_to(now, id, &mut texts);
            }
        }
        self.tell_watchers(room);
    }

    /// Has a client's video slots show what they are to show, and tells it, if that is news. Those who publish nothing watch the
    /// same.
    fn show_to(&mut self, now: Instant, id: SessionId, texts: &mut SlotTexts<SlotMid>) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.video_mids.is_empty())
        else {
            return;
        };
        let Some(live) = self.rooms.get_mut(&session.room) else {
            return;
        };
        let slots = live.video_of(session);
        if slots == session.video_told {
            return;
        }
        live.cameras.rewatch(session.worker, &session.video_told, &slots);
        let mids = &session.video_mids;
        let text = texts.get(&slots, mids, || ServerMessage::Video { slots: live.wire_video(&slots, mids) });
        let mut sources = vec![None; places(mids)];
        for (slot, source) in mids.iter().zip(&slots) {
            sources[usize::from(slot.index)] = *source;
        }
        session.video_told = slots;
        session.send(now, Outgoing::Text(text));
        let (worker, endpoint) = (session.worker, session.endpoint);
        self.command(worker, WorkerCommand::Watch { endpoint, sources });
    }

    /// Tells workers and nodes which of their cameras and screens are watched, and where, if that changed.
    fn tell_watchers(&mut self, room: &RoomId) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        if !std::mem::take(&mut live.cameras.watchers_changed) {
            return;
        }
        let mut watched_by: BTreeMap<WorkerId, WatchedBy> = BTreeMap::new();
        let mut elsewhere: BTreeMap<NodeId, BTreeSet<SourceId>> = BTreeMap::new();
        let nodes = self.own_node.as_ref().map(|own| own.worker);
        let of_nodes = live
            .elsewhere
            .sought_here(Seeking::Cameras)
            .into_iter()
            .filter_map(|source| Some((source, nodes?)));
        for (source, watcher) in live.cameras.watchers.keys().copied().chain(of_nodes) {
            let Some(publisher) = live.publisher(source) else {
                continue;
            };
            if let Some(node) = live.room.participant(publisher).and_then(|it| it.node) {
                elsewhere.entry(node).or_default().insert(source);
                continue;
            }
            let session = live.sessions.get(publisher).and_then(|id| self.sessions.get(id));
            if let Some(worker) = session.map(|session| session.worker).filter(|worker| *worker != watcher) {
                watched_by.entry(worker).or_default().entry(source).or_default().push(watcher);
            }
        }
        let former = std::mem::replace(&mut live.cameras.told, watched_by.clone());
        for worker in live.workers() {
            let watched_by = watched_by.remove(&worker).unwrap_or_default();
            if former.get(&worker).cloned().unwrap_or_default() != watched_by {
                self.command(worker, WorkerCommand::SetWatched { room: room.clone(), watched_by });
            }
        }
        self.seek(room, Seeking::Cameras, elsewhere);
    }
}
