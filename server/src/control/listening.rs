//! Clients that choose whom to hear: ids in, sources for the workers out, also when people come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use selector::SourceId;
use tercet_core::{Listening, NodeId, ParticipantId, RoomId, SessionId};
use tercet_protocol::{ErrorCode, LISTEN_MAX};

use super::Control;
use super::elsewhere::Seeking;
use super::live_room::LiveRoom;
use crate::media::{WorkerCommand, WorkerId};

/// Each is one more ranking for every packet of the room.
const VIEWERS_MAX: usize = 256;

const WANTED_INTERVAL: Duration = Duration::from_millis(100);

/// Whom a client wants to hear, whether they are there or not.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    only: Option<BTreeSet<ParticipantId>>,
    except: BTreeSet<ParticipantId>,
}

impl Wishes {
    /// The sources of those who are there.
    fn resolve(&self, live: &LiveRoom) -> Listening {
        let source = |id: &ParticipantId| live.room.participant(id).map(|it| it.tracks.microphone.source);
        let sources = |ids: &BTreeSet<ParticipantId>| ids.iter().filter_map(source).collect();
        Listening { only: self.only.as_ref().map(sources), except: sources(&self.except) }
    }

    fn names(&self, id: &ParticipantId) -> bool {
        self.except.contains(id) || self.only.as_ref().is_some_and(|only| only.contains(id))
    }
}

impl Control {
    pub(super) fn listen(
        &mut self,
        id: SessionId,
        only: Option<BTreeSet<String>>,
        except: BTreeSet<String>,
    ) -> Result<(), (ErrorCode, String)> {
        if except.len() > LISTEN_MAX || only.as_ref().is_some_and(|only| only.len() > LISTEN_MAX) {
            return Err((ErrorCode::BadMessage, format!("a list has at most {LISTEN_MAX} participants")));
        }
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(());
        };
        let Some(live) = self.rooms.get_mut(&session.room) else {
            return Ok(());
        };
        let is_any = only.is_some() || !except.is_empty();
        if is_any && live.viewers.len() >= VIEWERS_MAX && !live.viewers.contains(&id) {
            let message = format!("{VIEWERS_MAX} others of the room have chosen whom to hear: no more can");
            return Err((ErrorCode::Overloaded, message));
        }
        let ids =
            |names: BTreeSet<String>| names.iter().map(|name| ParticipantId::from(name.as_str())).collect();
        let wishes = Wishes { only: only.map(ids), except: ids(except) };
        let former = session.wishes.as_ref().and_then(|wishes| wishes.only.as_ref());
        live.wanted_changed |= former != wishes.only.as_ref();
        session.wishes = is_any.then_some(wishes);
        session.view = None;
        live.slots_changed.insert(session.worker);
        live.viewers.remove(&id);
        if is_any {
            live.viewers.insert(id);
        }
        self.tell_listening(id);
        Ok(())
    }

    /// Somebody came: those who named them hear them, or don't.
    pub(super) fn tell_viewers_of(&mut self, room: &RoomId, participant: &ParticipantId) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        let named = |id: &SessionId| {
            self.sessions.get(id).and_then(|s| s.wishes.as_ref()).is_some_and(|w| w.names(participant))
        };
        let concerned: Vec<SessionId> = live.viewers.iter().copied().filter(named).collect();
        live.wanted_changed |= !concerned.is_empty();
        for id in concerned {
            self.tell_listening(id);
        }
    }

    fn tell_listening(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else {
            return;
        };
        let Some(live) = self.rooms.get(&session.room) else {
            return;
        };
        let listening = session.wishes.as_ref().map(|wishes| wishes.resolve(live));
        let (worker, endpoint) = (session.worker, session.endpoint);
        self.command(worker, WorkerCommand::SetListening { endpoint, listening });
    }

    /// Tells the workers of a room which sources have to cross though nobody else may hear them: not with each
    /// request, but ten times a second at most.
    pub(super) fn tell_wanted(&mut self, now: Instant, room: &RoomId) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        let is_due = live.wanted_told_at.is_none_or(|at| now >= at + WANTED_INTERVAL);
        if !live.wanted_changed || !is_due {
            return;
        }
        (live.wanted_changed, live.wanted_told_at) = (false, Some(now));
        let live = &*live;
        let mut wanted_elsewhere: BTreeMap<NodeId, BTreeSet<SourceId>> = BTreeMap::new();
        let mut wanted_by: FxHashMap<WorkerId, FxHashMap<SourceId, Vec<WorkerId>>> = FxHashMap::default();
        for session in live.viewers.iter().filter_map(|id| self.sessions.get(id)) {
            let only = session.wishes.iter().filter_map(|wishes| wishes.only.as_ref()).flatten();
            for publisher in only.clone().filter_map(|id| live.room.participant(id)) {
                if let Some(node) = publisher.node {
                    wanted_elsewhere.entry(node).or_default().insert(publisher.tracks.microphone.source);
                }
            }
            let wanted = only.filter_map(|id| self.sessions.get(live.sessions.get(id)?));
            for publisher in wanted.filter(|publisher| publisher.worker != session.worker) {
                let workers =
                    wanted_by.entry(publisher.worker).or_default().entry(publisher.source).or_default();
                if !workers.contains(&session.worker) {
                    workers.push(session.worker);
                }
            }
        }
        if let Some(own) = &self.own_node {
            for source in live.elsewhere.sought_here(Seeking::Voices) {
                let session = live.publisher(source).and_then(|id| live.sessions.get(id));
                if let Some(publisher) = session.and_then(|id| self.sessions.get(id)) {
                    let of_worker = wanted_by.entry(publisher.worker).or_default();
                    of_worker.entry(source).or_default().push(own.worker);
                }
            }
        }
        for worker in live.workers() {
            let wanted_by = wanted_by.remove(&worker).unwrap_or_default();
            self.command(worker, WorkerCommand::SetWanted { room: room.clone(), wanted_by });
        }
        self.seek(room, Seeking::Voices, wanted_elsewhere);
    }
}
