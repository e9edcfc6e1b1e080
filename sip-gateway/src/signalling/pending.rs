//! Requests that the stack has a transaction for, counted by source: each takes memory and a task until it is over. A request
//! asks for a place before the stack sees it; [`Place`] gives it back.
//!
//! A source has so many places, so that nobody can take those of others. Requests of calls that stand or ring, and those of
//! trunks, may take as many as there are at all: whoever floods in the name of a source doesn't end its calls.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use super::Config;
use super::source::Shares;

/// A call as its messages name it: their `Call-ID`, and our tag.
pub(super) type DialogKey = (String, String);

/// Who has how many.
#[derive(Debug)]
pub(super) struct Pending {
    all_max: usize,
    of_source_max: usize,
    trunks: Vec<IpNet>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    shares: Shares,
    dialogs: HashSet<DialogKey>,
}

impl Pending {
    pub(super) fn new(config: &Config) -> Pending {
        Pending {
            all_max: config.limits.messages_waiting_max,
            of_source_max: config.limits.requests_pending_per_source_max,
            trunks: config.trunks.iter().flat_map(|trunk| trunk.sources.clone()).collect(),
            held: Mutex::default(),
        }
    }

    /// Requests of this call are let in.
    pub(super) fn open(&self, dialog: DialogKey) {
        self.held().dialogs.insert(dialog);
    }

    /// The call is forgotten.
    pub(super) fn close(&self, dialog: &DialogKey) {
        self.held().dialogs.remove(dialog);
    }

    /// Takes a place for a request, if there is one.
    pub(super) fn enter(&self, source: IpAddr, dialog: Option<&DialogKey>) -> bool {
        let mut held = self.held();
        let is_known = dialog.is_some_and(|dialog| held.dialogs.contains(dialog))
            || self.trunks.iter().any(|net| net.contains(&source.to_canonical()));
        let of_source_max = match is_known {
            true => self.all_max,
            false if held.shares.all() < self.all_max => self.of_source_max,
            false => 0,
        };
        held.shares.take(source, of_source_max)
    }

    /// The place that was taken, until it is dropped.
    pub(super) fn place(self: &Arc<Self>, source: IpAddr) -> Place {
        Place { pending: self.clone(), source }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request that isn't over.
#[derive(Debug)]
pub(super) struct Place {
    pending: Arc<Pending>,
    source: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pending.held().shares.give_back(self.source);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, Trunk};
    use super::*;

    fn pending() -> Arc<Pending> {
        let limits =
            Limits { messages_waiting_max: 6, requests_pending_per_source_max: 2, ..Limits::default() };
        let trunk = Trunk { sources: vec!["192.0.2.9/32".parse().unwrap()], ..Trunk::new("t", "192.0.2.9") };
        Arc::new(Pending::new(&Config { limits, trunks: vec![trunk], ..Config::default() }))
    }

    fn source(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn flood_of_one_source_leaves_the_places_of_others() {
        let pending = pending();
        let entered = |last| (0..10).filter(|_| pending.enter(source(last), None)).count();
        assert_eq!([entered(1), entered(2), entered(3)], [2, 2, 2]);
        assert_eq!(entered(4), 0, "no more than all");
        assert_eq!(entered(9), 6, "but for trunks");
        assert!(!pending.enter(source(1), None));
    }

    #[test]
    fn calls_go_on_through_a_flood_in_their_name() {
        let pending = pending();
        let call = ("a@b".to_owned(), "ours".to_owned());
        let guess = ("a@b".to_owned(), "guess".to_owned());
        pending.open(call.clone());
        assert_eq!((0..10).filter(|_| pending.enter(source(1), Some(&guess))).count(), 2);
        assert!(pending.enter(source(1), Some(&call)));
        pending.close(&call);
        assert!(!pending.enter(source(1), Some(&call)));
        for _ in 0..3 {
            drop(pending.place(source(1)));
        }
        assert_eq!(pending.held().shares.all(), 0);
    }
}
