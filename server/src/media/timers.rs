//! Deadlines of many peers, most of which move before they are reached.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use tercet_core::EndpointId;

/// How much later than its deadline an endpoint may be woken: peers that do nothing have a deadline a second or so (checks, reports,
/// retransmissions, none of which is in a hurry), and a waking serves all that are due.
const SLACK: Duration = Duration::from_millis(10);

/// When endpoints are to be woken: most in their own time, those that send by the clock in time.
#[derive(Default)]
pub(crate) struct Timers {
    usual: Queue,
    urgent: Queue,
}

/// A heap with at most one live entry an endpoint. A deadline that moves *later* costs nothing: the
/// entry stays, and is put back when it comes up too early.
#[derive(Default)]
struct Queue {
    heap: BinaryHeap<Reverse<(Instant, EndpointId)>>,
    scheduled: FxHashMap<EndpointId, Instant>,
}

/// When an endpoint is to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    /// A little later would be too late.
    pub(crate) is_urgent: bool,
}

impl Timers {
    /// Wakes for the endpoint at `deadline`, or earlier; a little later if it isn't urgent.
    pub(crate) fn schedule(&mut self, endpoint: EndpointId, deadline: Deadline) {
        let queue = if deadline.is_urgent { &mut self.urgent } else { &mut self.usual };
        queue.schedule(endpoint, deadline.at);
    }

    /// Forgets an endpoint.
    pub(crate) fn remove(&mut self, endpoint: EndpointId) {
        self.usual.scheduled.remove(&endpoint);
        self.urgent.scheduled.remove(&endpoint);
    }

    /// The next endpoint that was to be woken by now. It has to be scheduled again.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<EndpointId> {
        self.urgent.pop_due(now).or_else(|| self.usual.pop_due(now))
    }

    /// When to look again, if nothing else is a reason to.
    pub(crate) fn next(&self) -> Option<Instant> {
        let usual = self.usual.next().map(|at| at + SLACK);
        usual.into_iter().chain(self.urgent.next()).min()
    }
}

impl Queue {
    fn schedule(&mut self, endpoint: EndpointId, deadline: Instant) {
        let scheduled = self.scheduled.get(&endpoint);
        if scheduled.is_none_or(|&at| deadline < at) {
            self.scheduled.insert(endpoint, deadline);
            self.heap.push(Reverse((deadline, endpoint)));
        }
    }

    fn pop_due(&mut self, now: Instant) -> Option<EndpointId> {
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

    fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_of_an_endpoint_counts() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        let ms = Duration::from_millis;
        let usual = |at| Deadline { at, is_urgent: false };
        timers.schedule(EndpointId(1), usual(now + ms(50)));
        timers.schedule(EndpointId(1), usual(now + ms(20)));
        timers.schedule(EndpointId(1), usual(now + ms(80)));
        timers.schedule(EndpointId(2), usual(now + ms(30)));
        assert_eq!(timers.next(), Some(now + ms(20) + SLACK));
        assert_eq!(timers.pop_due(now + ms(19)), None);
        assert_eq!(timers.pop_due(now + ms(100)), Some(EndpointId(1)));
        assert_eq!(timers.pop_due(now + ms(100)), Some(EndpointId(2)));
        assert_eq!(timers.pop_due(now + ms(100)), None);
    }

    #[test]
    fn an_endpoint_that_left_is_not_woken() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        timers.schedule(EndpointId(1), Deadline { at: now, is_urgent: false });
        timers.remove(EndpointId(1));
        assert_eq!(timers.pop_due(now), None);
    }

    #[test]
    fn what_is_urgent_is_not_late() {
        let (mut timers, now) = (Timers::default(), Instant::now());
        let at = now + Duration::from_millis(20);
        timers.schedule(EndpointId(1), Deadline { at: now + Duration::from_millis(15), is_urgent: false });
        timers.schedule(EndpointId(2), Deadline { at, is_urgent: true });
        assert_eq!(timers.next(), Some(at));
        assert_eq!([timers.pop_due(at), timers.pop_due(at)], [Some(EndpointId(2)), Some(EndpointId(1))]);
        timers.schedule(EndpointId(2), Deadline { at, is_urgent: true });
        timers.remove(EndpointId(2));
        assert_eq!(timers.pop_due(at), None);
    }
}
