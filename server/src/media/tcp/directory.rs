//! Which worker has the connection of an ICE user fragment.
//!
//! Workers write it with each offer, the door reads it with each connection: the packet path has nothing to do with it.

use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;

use crate::media::WorkerId;

/// User fragments by worker, shared by all of them.
#[derive(Clone, Default)]
pub(crate) struct Directory(Arc<Mutex<FxHashMap<String, WorkerId>>>);

impl Directory {
    pub(crate) fn find(&self, ufrag: &str) -> Option<WorkerId> {
        self.with(|workers| workers.get(ufrag).copied())
    }

    pub(crate) fn insert(&self, ufrag: &str, worker: WorkerId) {
        self.with(|workers| workers.insert(ufrag.to_owned(), worker));
    }

    pub(crate) fn remove(&self, ufrag: &str) {
        self.with(|workers| workers.remove(ufrag));
    }

    fn with<T>(&self, call: impl FnOnce(&mut FxHashMap<String, WorkerId>) -> T) -> T {
        call(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
