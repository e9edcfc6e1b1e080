//! Rooms and rules in, scores out, on as many threads as there are cores. The scores don't depend on how many.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::rules::Rule;
use crate::scenarios::Scenario;
use crate::score::Score;
use crate::voice::Voice;

/// A rule that is compared.
pub(crate) struct Contender {
    /// As in the table.
    pub(crate) name: String,
    make: Box<dyn Fn() -> Box<dyn Rule> + Sync>,
}

impl Contender {
    /// `make` gives one that has heard nobody yet.
    pub(crate) fn new<R: Rule + 'static>(
        name: impl Into<String>,
        make: impl Fn() -> R + Sync + 'static,
    ) -> Contender {
        Contender { name: name.into(), make: Box::new(move || Box::new(make())) }
    }

    /// The rule, anew.
    pub(crate) fn rule(&self) -> Box<dyn Rule> {
        (self.make)()
    }
}

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Synthetic or recorded.
    pub(crate) voice: Voice,
    /// The first seed.
    pub(crate) seed: u64,
    /// Conversations a room, a seed each.
    pub(crate) seeds: u64,
    /// Of each conversation.
    pub(crate) length_ms: u32,
    /// What the server keeps of those who are not heard.
    pub(crate) pre_roll_ms: u32,
}

/// The scores of each contender in each room, by room.
pub(crate) fn scores(rooms: &[Scenario], contenders: &[Contender], plan: &Plan) -> Vec<Vec<Score>> {
    let conversations: Vec<(&Scenario, u64)> = rooms
        .iter()
        .flat_map(|room| (plan.seed..plan.seed + plan.seeds).map(move |seed| (room, seed)))
        .collect();
    let of_conversations = in_parallel(conversations.len(), |n| {
        let (room, seed) = conversations[n];
        let trace = room.trace(seed, &plan.voice, plan.length_ms);
        let score = |contender: &Contender| Score::of(&trace, contender.rule().as_mut(), plan.pre_roll_ms);
        contenders.iter().map(score).collect::<Vec<Score>>()
    });
    of_conversations.chunks(plan.seeds as usize).map(merged).collect()
}

/// The scores of contenders in several conversations, or rooms, together.
pub(crate) fn merged(of_conversations: &[Vec<Score>]) -> Vec<Score> {
    let contenders = of_conversations.first().map_or(0, Vec::len);
    let mut merged = vec![Score::default(); contenders];
    for scores in of_conversations {
        for (merged, score) in merged.iter_mut().zip(scores) {
            merged.merge(score);
        }
    }
    merged
}

/// The results of `task` for 0 to `count - 1`, in this order, whichever thread does which.
pub(crate) fn in_parallel<T: Send>(count: usize, task: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count);
    let work = || {
        let mut done = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= count {
                return done;
            }
            done.push((n, task(n)));
        }
    };
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a task doesn't panic")).collect()
    });
    done.sort_by_key(|&(n, _)| n);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_their_tasks() {
        let results = in_parallel(100, |n| {
            std::thread::sleep(std::time::Duration::from_micros(100 - n as u64));
            n
        });
        assert!(results.into_iter().eq(0..100));
    }
}
