//! Whom everybody in a room is told of: comings and changes in, a bounded list out. Who does more than listen is on it
//! always, who only listens while there is place, so that a room of thousands has no list of thousands.

use std::collections::BTreeMap;

use crate::{Participant, ParticipantId};

/// The listed participants of a room. Once listed, one stays so until one leaves.
#[derive(Debug)]
pub(crate) struct Roster {
    /// With whether they only listen now.
    listed: BTreeMap<ParticipantId, bool>,
    listeners: usize,
    /// How many who only listen keep a further one from being listed.
    listeners_max: usize,
}

impl Roster {
    pub(crate) fn new(listeners_max: u32) -> Roster {
        Roster { listed: BTreeMap::new(), listeners: 0, listeners_max: listeners_max as usize }
    }

    /// Somebody comes in.
    pub(crate) fn enter(&mut self, participant: &Participant) {
        if !participant.only_listens() || self.listeners < self.listeners_max {
            self.list(participant);
        }
    }

    /// Somebody may do, or does, something else than before.
    pub(crate) fn amend(&mut self, participant: &Participant) {
        if self.has(&participant.id) || !participant.only_listens() {
            self.list(participant);
        }
    }

    /// Somebody leaves.
    pub(crate) fn leave(&mut self, id: &ParticipantId) {
        if self.listed.remove(id) == Some(true) {
            self.listeners -= 1;
        }
    }

    /// Whether somebody is listed.
    pub(crate) fn has(&self, id: &ParticipantId) -> bool {
        self.listed.contains_key(id)
    }

    /// Who is listed, in the order of their ids.
    pub(crate) fn ids(&self) -> impl ExactSizeIterator<Item = &ParticipantId> {
        self.listed.keys()
    }

    fn list(&mut self, participant: &Participant) {
        let listens = participant.only_listens();
        let listened = self.listed.insert(participant.id.clone(), listens);
        self.listeners += usize::from(listens);
        self.listeners -= usize::from(listened == Some(true));
    }
}
