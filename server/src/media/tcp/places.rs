//! How many connections there may be, in all and of one network, and who of them has to go first.
//!
//! Whoever hasn't named anybody yet waits, and only so many of a network do: one more takes the place of the one that has
//! waited longest, since a client of ours has named somebody within a round trip.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use crate::network::Network;

/// A company's clients may all come from one address, with a connection for each of their interfaces.
const OF_NETWORK_MAX: usize = 2_000;

/// Those that have named nobody yet, of one network and in all.
const WAITING_OF_NETWORK_MAX: usize = 64;
const WAITING_MAX: usize = 1_024;

/// All places, shared by the door and those who have one.
#[derive(Clone)]
pub(super) struct Places(Arc<Mutex<State>>);

struct State {
    connections_max: usize,
    taken: usize,
    by_network: FxHashMap<Network, usize>,
    waiting: VecDeque<Waiter>,
    next_id: u64,
}

struct Waiter {
    id: u64,
    network: Network,
    evicted: Arc<Notify>,
}

/// A connection's place; dropping it gives it back.
pub(super) struct Place {
    places: Places,
    network: Network,
}

/// The time in which a connection has named nobody; dropping it ends it.
pub(super) struct Wait {
    places: Places,
    id: u64,
    evicted: Arc<Notify>,
}

impl Places {
    pub(super) fn new(connections_max: usize) -> Places {
        Places(Arc::new(Mutex::new(State {
            connections_max,
            taken: 0,
            by_network: FxHashMap::default(),
            waiting: VecDeque::new(),
            next_id: 0,
        })))
    }

    /// A place for a connection from there, if there is one.
    pub(super) fn take(&self, from: IpAddr) -> Option<(Place, Wait)> {
        let network = Network::of(from);
        let mut state = self.lock();
        let of_network = state.by_network.get(&network).copied().unwrap_or(0);
        if state.taken >= state.connections_max || of_network >= OF_NETWORK_MAX {
            return None;
        }
        state.taken += 1;
        state.by_network.insert(network, of_network + 1);
        let (id, evicted) = (state.next_id, Arc::new(Notify::new()));
        state.next_id += 1;
        state.make_room(network);
        state.waiting.push_back(Waiter { id, network, evicted: evicted.clone() });
        Some((Place { places: self.clone(), network }, Wait { places: self.clone(), id, evicted }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Sends away who has waited longest, where one more would be too many.
    fn make_room(&mut self, network: Network) {
        let of_network = self.waiting.iter().filter(|it| it.network == network).count();
        let evicted = if of_network >= WAITING_OF_NETWORK_MAX {
            self.waiting.iter().position(|it| it.network == network)
        } else {
            (self.waiting.len() >= WAITING_MAX).then_some(0)
        };
        if let Some(waiter) = evicted.and_then(|index| self.waiting.remove(index)) {
            waiter.evicted.notify_one();
        }
    }
}

impl Wait {
    /// Somebody else needs the place.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.places.lock().waiting.retain(|it| it.id != self.id);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.lock();
        state.taken -= 1;
        if let Some(count) = state.by_network.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                state.by_network.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [203, 0, 113, last].into()
    }

    #[test]
    fn there_are_so_many_places_in_all_and_one_that_is_given_back_is_free() {
        let places = Places::new(2);
        let first = places.take(address(1));
        let _second = places.take(address(2));
        assert!(first.is_some() && places.take(address(3)).is_none());
        drop(first);
        assert!(places.take(address(3)).is_some());
    }

    #[test]
    fn one_network_has_no_more_than_its_share() {
        let places = Places::new(OF_NETWORK_MAX * 2);
        let of = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 7, 7, 7, host]);
        let taken: Vec<_> = (0..OF_NETWORK_MAX as u16).map(|host| places.take(of(host))).collect();
        assert!(taken.iter().all(Option::is_some));
        assert!(places.take(of(u16::MAX)).is_none(), "another host of the same /64");
        assert!(places.take(address(1)).is_some());
    }

    #[tokio::test]
    async fn who_has_waited_longest_makes_room() {
        let places = Places::new(1_000);
        let others = places.take(address(9)).expect("a place");
        let mut taken: Vec<_> =
            (0..WAITING_OF_NETWORK_MAX).map(|_| places.take(address(1)).expect("a place")).collect();
        // It has named somebody, and waits no more.
        let (_named, wait) = taken.remove(0);
        drop(wait);
        taken.extend([places.take(address(1)).expect("a place"), places.take(address(1)).expect("a place")]);
        taken[0].1.evicted().await;
        let still = tokio::time::timeout(std::time::Duration::from_millis(10), async {
            tokio::select! { () = taken[1].1.evicted() => {}, () = others.1.evicted() => {} }
        });
        assert!(still.await.is_err());
    }
}
