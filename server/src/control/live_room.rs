//! A room with somebody in it: its participants' sessions, and who is heard.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};
use selector::SourceId;
use tercet_core::{Participant, ParticipantId, Publication, Room, SessionId, Speaker};
use tercet_protocol::{
    ByOrigin, MediaOrigin, SlotMid, SpeakerLevel, TrackKind, TrackOrigin, VideoOrigin, WireParticipant,
    WireSlot, WireTrack, WireVideoSlot,
};

use super::elsewhere::Elsewhere;
use super::roster::Attendance;
use super::session::Session;
use super::video::Cameras;
use super::{Broadcast, RoomSummary};
use crate::media::{Selection, TraceSender, WorkerId};

/// Up to this size a room's levels are told ten times a second, beyond it twice.
const LIVELY_PARTICIPANTS_MAX: usize = 100;
const LEVELS_INTERVAL_LARGE: Duration = Duration::from_millis(450);

/// Whoever hasn't spoken for so long is told to be silent, though the position is theirs for a while longer.
const SILENT_AFTER: Duration = Duration::from_millis(500);

/// A room with somebody in it.
pub(super) struct LiveRoom {
    pub(super) room: Room,
    pub(super) sessions: BTreeMap<ParticipantId, SessionId>,
    pub(super) attendance: Attendance,
    by_source: FxHashMap<SourceId, ParticipantId>,
    /// How many sessions each worker has.
    workers: BTreeMap<WorkerId, usize>,
    /// Who is heard by the listeners of each worker: slots first, the reserve last.
    selections: BTreeMap<WorkerId, Vec<Option<Speaker>>>,
    /// Whose screen is heard by the listeners of each worker.
    screens: BTreeMap<WorkerId, SourceId>,
    /// The workers some of whose listeners may have another speaker in a slot than they were told.
    pub(super) slots_changed: BTreeSet<WorkerId>,
    levels_told_at: BTreeMap<WorkerId, Instant>,
    /// The sessions that chose whom to hear.
    pub(super) viewers: FxHashSet<SessionId>,
    /// Whether the workers have yet to be told whom these want to hear.
    pub(super) wanted_changed: bool,
    pub(super) wanted_told_at: Option<Instant>,
    pub(super) cameras: Cameras,
    /// Those who look at the levels of the room.
    pub(super) traces: Vec<TraceSender>,
    /// The room on other nodes.
    pub(super) elsewhere: Elsewhere,
}

impl LiveRoom {
    /// Whether anybody publishes, on whatever node, or this participant, and before how many.
    pub(super) fn broadcast(&self, participant: Option<&ParticipantId>) -> Broadcast {
        // Whoever publishes is listed.
        let mut those = self.room.listed().filter(|it| participant.is_none_or(|id| it.id == *id));
        let is_live = those.any(|it| it.tracks.iter().any(|(_, track)| track.publishing));
        Broadcast { is_live, participant_count: self.room.participant_count() }
    }

    pub(super) fn new(room: Room) -> LiveRoom {
        LiveRoom {
            room,
            sessions: BTreeMap::new(),
            attendance: Attendance::default(),
            by_source: FxHashMap::default(),
            workers: BTreeMap::new(),
            selections: BTreeMap::new(),
            screens: BTreeMap::new(),
            slots_changed: BTreeSet::new(),
            levels_told_at: BTreeMap::new(),
            viewers: FxHashSet::default(),
            wanted_changed: false,
            wanted_told_at: None,
            cameras: Cameras::default(),
            traces: Vec::new(),
            elsewhere: Elsewhere::default(),
        }
    }

    /// A session begins; returns whether its worker is new to the room.
    pub(super) fn add(&mut self, participant: &Participant, session: SessionId, worker: WorkerId) -> bool {
        for (_, track) in participant.tracks.iter() {
            self.by_source.insert(track.source, participant.id.clone());
        }
        self.sessions.insert(participant.id.clone(), session);
        self.attendance.changes(self.room.lists_all());
        let count = self.workers.entry(worker).or_insert(0);
        *count += 1;
        *count == 1
    }

    /// Somebody on another node is new, or something about them is.
    pub(super) fn adopt(&mut self, participant: Participant) {
        if let Some(former) = self.room.participant(&participant.id) {
            for (_, track) in former.tracks.iter() {
                self.by_source.remove(&track.source);
            }
        }
        for (_, track) in participant.tracks.iter() {
            self.by_source.insert(track.source, participant.id.clone());
        }
        self.room.adopt(participant);
        self.attendance.changes(self.room.lists_all());
    }

    /// Somebody on another node is there no more.
    pub(super) fn drop_remote(&mut self, id: &ParticipantId) -> Option<Participant> {
        let left = self.room.leave(id)?;
        for (_, track) in left.tracks.iter() {
            self.by_source.remove(&track.source);
        }
        self.attendance.changes(self.room.lists_all());
        Some(left)
    }

    /// The room in numbers.
    pub(super) fn summary(&self) -> RoomSummary {
        let tracks = self.room.participants().flat_map(|participant| participant.tracks.iter());
        RoomSummary {
            room: self.room.id().clone(),
            participants: self.room.participant_count(),
            sessions: self.sessions.len(),
            tracks: tracks.filter(|(_, track)| track.publishing).count(),
        }
    }

    /// Who publishes a source.
    pub(super) fn publisher(&self, source: SourceId) -> Option<&ParticipantId> {
        self.by_source.get(&source)
    }

    /// A session ends; returns whether its worker has no part of the room any more.
    pub(super) fn remove(&mut self, participant: &ParticipantId, worker: WorkerId) -> bool {
        self.sessions.remove(participant);
        self.attendance.changes(self.room.lists_all());
        // Whose client has moved to another node is there now.
        let is_here = self.room.participant(participant).is_some_and(|it| it.node.is_none());
        if is_here && let Some(left) = self.room.leave(participant) {
            for (_, track) in left.tracks.iter() {
                self.by_source.remove(&track.source);
            }
        }
        let Some(count) = self.workers.get_mut(&worker) else {
            return false;
        };
        *count -= 1;
        if *count > 0 {
            return false;
        }
        self.workers.remove(&worker);
        self.selections.remove(&worker);
        self.screens.remove(&worker);
        self.slots_changed.remove(&worker);
        self.levels_told_at.remove(&worker);
        true
    }

    /// How many sessions are on each worker that has a part of the room.
    pub(super) fn sessions_by_worker(&self) -> impl Iterator<Item = (WorkerId, usize)> {
        self.workers.iter().map(|(&worker, &sessions)| (worker, sessions))
    }

    /// The workers that have a part of the room.
    pub(super) fn workers(&self) -> Vec<WorkerId> {
        self.workers.keys().copied().collect()
    }

    /// Takes note of who is heard. Returns the levels to be told, unless they were told just now.
    pub(super) fn select(&mut self, now: Instant, selection: Selection) -> Option<Vec<SpeakerLevel>> {
        let worker = selection.worker;
        let is_silent = |at: Instant| selection.at.saturating_duration_since(at) >= SILENT_AFTER;
        let speaking =
            selection.positions.iter().flatten().filter(|it| it.sounded_at.is_some_and(|at| !is_silent(at)));
        let levels = speaking.filter_map(|speaker| {
            let participant = self.by_source.get(&speaker.source)?.to_string();
            Some(SpeakerLevel { participant, level_dbov: speaker.level.dbov() })
        });
        let levels: Vec<SpeakerLevel> = levels.collect();
        if self.workers.contains_key(&worker) {
            let positions = selection.positions;
            let former = self.selections.get(&worker);
            if former.is_none_or(|former| !sources(former).eq(sources(&positions))) {
                self.slots_changed.insert(worker);
            }
            self.selections.insert(worker, positions);
        }
        // That nobody speaks is told once.
        if levels.is_empty() {
            return self.levels_told_at.remove(&worker).map(|_| levels);
        }
        let large = self.sessions.len() > LIVELY_PARTICIPANTS_MAX;
        let told_at = self.levels_told_at.get(&worker);
        let told_just_now =
            told_at.is_some_and(|&at| now.saturating_duration_since(at) < LEVELS_INTERVAL_LARGE);
        if large && told_just_now {
            return None;
        }
        self.levels_told_at.insert(worker, now);
        Some(levels)
    }

    /// Who is heard in each slot of a session: as its client chose; or position by position, the reserve in
    /// place of the participant themselves.
    pub(super) fn slots_of(&self, session: &Session) -> Vec<Option<SourceId>> {
        if let Some(view) = &session.view {
            return view.clone();
        }
        let (own, worker) = (session.source, session.worker);
        let slots = usize::from(self.room.settings().slots);
        let source = |position: usize| {
            let positions = self.selections.get(&worker)?;
            positions.get(position)?.as_ref().map(|speaker| speaker.source)
        };
        let heard = |position| match source(position) {
            Some(speaker) if speaker == own => source(slots),
            other => other,
        };
        (0..slots).map(heard).collect()
    }

    /// Takes note of whose screen is heard.
    pub(super) fn share(&mut self, worker: WorkerId, source: Option<SourceId>) {
        match source.filter(|_| self.workers.contains_key(&worker)) {
            Some(source) => self.screens.insert(worker, source),
            None => self.screens.remove(&worker),
        };
    }

    /// Whose screen is heard by the listeners of a worker, as clients are told.
    pub(super) fn wire_screen(&self, worker: WorkerId) -> Option<String> {
        let sharer = self.screens.get(&worker).and_then(|source| self.by_source.get(source));
        sharer.map(ParticipantId::to_string)
    }

    /// Video slots as a client is told.
    pub(super) fn wire_video(&self, shown: &[Option<SourceId>], slots: &[SlotMid]) -> Vec<WireVideoSlot> {
        let slot = |(source, slot): (&Option<SourceId>, &SlotMid)| {
            let participant = source.and_then(|source| self.by_source.get(&source));
            let tracks = participant.and_then(|id| self.room.participant(id)).map(|it| &it.tracks);
            let is_it = |origin: &VideoOrigin| {
                tracks.is_some_and(|tracks| Some(tracks[(*origin).into()].source) == *source)
            };
            WireVideoSlot {
                index: slot.index,
                mid: slot.mid.clone(),
                participant: participant.map(ParticipantId::to_string),
                origin: VideoOrigin::ALL.into_iter().find(is_it).unwrap_or_default(),
            }
        };
        shown.iter().zip(slots).map(slot).collect()
    }

    /// Slots as a client is told.
    pub(super) fn wire_slots(&self, slots: &[Option<SourceId>], mids: &[String]) -> Vec<WireSlot> {
        let slot = |(index, source): (usize, &Option<SourceId>)| WireSlot {
            index: index as u8,
            mid: mids.get(index).cloned(),
            participant: source.and_then(|s| self.by_source.get(&s)).map(ParticipantId::to_string),
        };
        slots.iter().enumerate().map(slot).collect()
    }
}

fn sources(positions: &[Option<Speaker>]) -> impl Iterator<Item = Option<SourceId>> {
    positions.iter().map(|position| position.map(|speaker| speaker.source))
}

/// A participant as clients are told.
pub(super) fn wire_participant(participant: &Participant) -> WireParticipant {
    let ByOrigin { microphone, screen, camera, screen_video } = &participant.tracks;
    let published = participant.tracks.iter().filter(|(_, track)| track.publishing);
    WireParticipant {
        id: participant.id.to_string(),
        name: participant.name.clone(),
        role: participant.role,
        transport: participant.transport,
        standing: participant.standing,
        muted: microphone.muted,
        screen_muted: screen.muted,
        camera_muted: camera.muted,
        screen_video_muted: screen_video.muted,
        hand_raised: participant.hand_raised,
        source: microphone.source.0,
        screen_source: screen.source.0,
        camera_source: camera.source.0,
        screen_video_source: screen_video.source.0,
        tracks: published.map(|(origin, track)| wire_track(origin, track)).collect(),
    }
}

/// A participant's track as clients are told.
pub(super) fn wire_track(origin: TrackOrigin, track: &Publication) -> WireTrack {
    let (letter, kind) = match origin.media() {
        MediaOrigin::Audio(_) => ('a', TrackKind::Audio),
        MediaOrigin::Video(_) => ('v', TrackKind::Video),
    };
    WireTrack { id: format!("{letter}{}", track.source.0), kind, origin }
}
