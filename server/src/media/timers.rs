//! Deadlines of many peers, most of which move before they are reached.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tercet_core::EndpointId;

/// How much later than its deadline an endpoint may be woken: peers that do nothing have a deadline a second or so (checks, reports,
/// retransmissions, none of which is in a hurry), and a waking serves all that are due.
const SLACK: Duration = Duration::from_millis(10);

/// A heap with at most one live entry an endpoint. A deadline that moves *later* costs nothing: the
/// entry stays, and is put back when it comes up too early.
#[derive(Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, EndpointId)>>,
    scheduled: FxHashMap<EndpointId, Instant>,
}

impl Timers {
    /// Wakes for the endpoint at `deadline`, a little later, or earlier.
    pub(crate) fn schedule(&mut self, endpoint: EndpointId, deadline: Instant) {
        let scheduled = self.scheduled.get(&endpoint);
        if scheduled.is_none_or(|&at| deadline < at) {
            self.scheduled.insert(endpoint, deadline);
            self.heap.push(Reverse((deadline, endpoint)));
        }
    }

    /// Forgets an endpoint.
    pub(crate) fn remove(&mut self, endpoint: EndpointId) {
        self.scheduled.remove(&endpoint);
    }

    /// The next endpoint that was to be woken by now. It has to be scheduled again.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<EndpointId> {
        while let Some(&Reverse((at, endpoint))) = self.heap.peek() {
            if at > now {
                return None;
            }
            self.heap.pop();
            // An entry that was overtaken by an earlier one, or whose endpoint is gone, is stale.
            if self.scheduled.get(&endpoint) == Some(&at) {
                self.scheduled.remove(&endpoint);
                return Some(endpoint);
            }
        }
        None
    }

    /// When to look again, if nothing else is a reason to.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at + SLACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_of_an_endpoint_counts() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        let ms = Duration::from_millis;
        timers.schedule(EndpointId(1), now + ms(50));
        timers.schedule(EndpointId(1), now + ms(20));
        timers.schedule(EndpointId(1), now + ms(80));
        timers.schedule(EndpointId(2), now + ms(30));
        assert_eq!(timers.next(), Some(now + ms(20) + SLACK));
        assert_eq!(timers.pop_due(now + ms(19)), None);
        assert_eq!(timers.pop_due(now + ms(100)), Some(EndpointId(1)));
        assert_eq!(timers.pop_due(now + ms(100)), Some(EndpointId(2)));
        assert_eq!(timers.pop_due(now + ms(100)), None);
    }

    #[test]
    fn an_endpoint_that_left_is_not_woken() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        timers.schedule(EndpointId(1), now);
        timers.remove(EndpointId(1));
        assert_eq!(timers.pop_due(now), None);
    }
}
