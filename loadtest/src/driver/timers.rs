//! Who wants to be looked at when: thousands of peers, of which few are due at a time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// One deadline for each peer, by its index.
#[derive(Default)]
pub(super) struct Timers {
    queue: BinaryHeap<Reverse<(Instant, u32)>>,
    /// The deadline of each that counts; what else the queue holds of them is stale.
    planned: Vec<Option<Instant>>,
}

impl Timers {
    /// Plans a look at `at`, in place of any earlier plan.
    pub(super) fn plan(&mut self, index: u32, at: Instant) {
        if self.planned.len() <= index as usize {
            self.planned.resize(index as usize + 1, None);
        }
        let planned = &mut self.planned[index as usize];
        // A deadline that moves away is looked at in vain once: cheaper than a queue entry for each packet.
        if planned.is_none_or(|earlier| at < earlier) {
            *planned = Some(at);
            self.queue.push(Reverse((at, index)));
        }
    }

    /// The next one whose time has come. It has to be planned again.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<u32> {
        while let Some(Reverse((at, index))) =
            self.queue.peek().copied().filter(|Reverse((at, _))| *at <= now)
        {
            self.queue.pop();
            let planned = &mut self.planned[index as usize];
            if *planned == Some(at) {
                *planned = None;
                return Some(index);
            }
        }
        None
    }

    /// When the next look is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_earlier_plan_takes_the_place_of_a_later_one() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.plan(3, at(50));
        timers.plan(3, at(20));
        timers.plan(1, at(30));
        assert_eq!(timers.next(), Some(at(20)));
        assert_eq!(timers.next_due(at(19)), None);
        let due: Vec<u32> = std::iter::from_fn(|| timers.next_due(at(60))).collect();
        assert_eq!(due, [3, 1], "each once, in the order of their times");
    }

    #[test]
    fn a_plan_that_moves_away_is_looked_at_in_vain() {
        let now = Instant::now();
        let later = now + Duration::from_millis(20);
        let mut timers = Timers::default();
        timers.plan(0, now);
        timers.plan(0, later);
        assert_eq!(timers.next_due(now), Some(0));
        timers.plan(0, later);
        assert_eq!((timers.next_due(now), timers.next()), (None, Some(later)));
    }
}
