//! Sources of one node that clients of another want: voices that they chose to hear, cameras that they watch. What other nodes want
//! comes in, what is wanted of them goes out.

use std::collections::{BTreeMap, BTreeSet};

use selector::SourceId;
use tercet_core::{NodeId, RoomId};

use super::Elsewhere;
use crate::cluster::{RoomMessage, wire_sources};
use crate::control::Control;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) enum Seeking {
    Voices,
    Cameras,
}

/// What nodes want of each other, of one kind.
#[derive(Default)]
pub(super) struct Sought {
    /// Sources here, by the nodes that want them.
    by: BTreeMap<NodeId, BTreeSet<SourceId>>,
    /// Sources of other nodes, as these were told.
    told: BTreeMap<NodeId, BTreeSet<SourceId>>,
}

impl Seeking {
    pub(super) const ALL: [Seeking; 2] = [Seeking::Voices, Seeking::Cameras];

    fn message(self, sources: BTreeSet<SourceId>) -> RoomMessage {
        let sources = wire_sources(sources);
        match self {
            Seeking::Voices => RoomMessage::Wanted(sources),
            Seeking::Cameras => RoomMessage::Watched(sources),
        }
    }
}

impl Elsewhere {
    fn sought(&self, what: Seeking) -> &Sought {
        match what {
            Seeking::Voices => &self.voices,
            Seeking::Cameras => &self.cameras,
        }
    }

    fn sought_mut(&mut self, what: Seeking) -> &mut Sought {
        match what {
            Seeking::Voices => &mut self.voices,
            Seeking::Cameras => &mut self.cameras,
        }
    }

    /// A node wants these, and no others any more.
    pub(super) fn is_sought(&mut self, what: Seeking, by: NodeId, sources: Vec<u32>) {
        self.sought_mut(what).by.insert(by, sources.into_iter().map(SourceId).collect());
    }

    /// A node is not there any more: it wants nothing, and knows nothing.
    pub(super) fn seeks_no_more(&mut self, node: NodeId) {
        for what in Seeking::ALL {
            let sought = self.sought_mut(what);
            sought.by.remove(&node);
            sought.told.remove(&node);
        }
    }

    /// What clients of other nodes want of those here.
    pub(in crate::control) fn sought_here(&self, what: Seeking) -> BTreeSet<SourceId> {
        self.sought(what).by.values().flatten().copied().collect()
    }

    /// What a node that has to be told all is to know of what is wanted of it.
    pub(super) fn sought_of(&self, node: NodeId) -> impl Iterator<Item = RoomMessage> {
        Seeking::ALL.into_iter().filter_map(move |what| {
            let sources = self.sought(what).told.get(&node).filter(|sources| !sources.is_empty())?;
            Some(what.message(sources.clone()))
        })
    }
}

impl Control {
    /// Tells the nodes of a room what clients here want of theirs, where that changed.
    pub(in crate::control) fn seek(
        &mut self,
        room: &RoomId,
        what: Seeking,
        now_so: BTreeMap<NodeId, BTreeSet<SourceId>>,
    ) {
        let Some(live) = self.rooms.get_mut(room) else {
            return;
        };
        let former = std::mem::replace(&mut live.elsewhere.sought_mut(what).told, now_so.clone());
        let nodes: BTreeSet<NodeId> = former.keys().chain(now_so.keys()).copied().collect();
        for node in nodes.into_iter().filter(|node| former.get(node) != now_so.get(node)) {
            let sources = now_so.get(&node).cloned().unwrap_or_default();
            self.tell_node(node, room, what.message(sources));
        }
    }
}
