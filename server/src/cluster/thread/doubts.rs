//! Which nodes may be gone, before the cluster knows: links that are silent and nodes that couldn't be reached come in, and
//! out comes whom nobody is sent to meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tercet_cluster::Farewell;
use tercet_core::NodeId;
use tokio::sync::oneshot;

use super::Thread;

/// Three beats of a link in a row were lost, and all else: a second later it is down.
const SILENT_AFTER: Duration = Duration::from_millis(1000);

/// By then all know whether a node is dead that couldn't be reached.
const UNREACHED_FOR: Duration = Duration::from_secs(5);

/// And whether one is whose link was silent for too long: it is asked by other ways meanwhile.
const ASKED_FOR: Duration = Duration::from_secs(1);

/// How often links are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Nodes that somebody failed to reach.
#[derive(Default)]
pub(super) struct Doubts {
    unreached: BTreeMap<NodeId, Unreached>,
    look_at: Option<Instant>,
}

struct Unreached {
    since: Instant,
    until: Instant,
}

impl Doubts {
    /// A node was not reached by what began at `since`.
    fn add(&mut self, node: NodeId, since: Instant, until: Instant) {
        let unreached = self.unreached.entry(node).or_insert(Unreached { since, until });
        *unreached = Unreached { since: since.max(unreached.since), until: until.max(unreached.until) };
    }

    /// Who is in doubt. `links`: when each was heard last. Whoever was heard since is there.
    fn doubted(&mut self, now: Instant, links: &BTreeMap<NodeId, Instant>) -> BTreeSet<NodeId> {
        self.unreached.retain(|node, unreached| {
            now < unreached.until && links.get(node).is_none_or(|heard_at| *heard_at <= unreached.since)
        });
        let is_silent = |heard_at: Instant| now.saturating_duration_since(heard_at) >= SILENT_AFTER;
        let silent = links.iter().filter(|(_, heard_at)| is_silent(**heard_at)).map(|(node, _)| *node);
        silent.chain(self.unreached.keys().copied()).collect()
    }
}

impl Thread {
    /// Somebody failed to reach a node, by what began at `since`. The reply: whether it may be gone.
    pub(super) fn doubt(&mut self, now: Instant, node: NodeId, since: Instant, reply: oneshot::Sender<bool>) {
        let is_known = self.cluster.nodes().any(|(known, _)| known == node);
        if is_known {
            self.doubts.add(node, since, now + UNREACHED_FOR);
            self.tell_doubts(now);
        }
        let _ = reply.send(!is_known || self.doubted.contains(&node));
    }

    /// A link ended: whether its node did is found out.
    pub(super) fn doubt_lost(&mut self, now: Instant, node: NodeId, why: Farewell) {
        if why == Farewell::Silent {
            self.doubts.add(node, now, now + ASKED_FOR);
            self.tell_doubts(now);
        }
    }

    pub(super) fn look_for_silence(&mut self, now: Instant) {
        if self.doubts.look_at.is_none_or(|at| at <= now) {
            self.doubts.look_at = Some(now + LOOK_INTERVAL);
            self.tell_doubts(now);
        }
    }

    fn tell_doubts(&mut self, now: Instant) {
        let links = self.cluster.links().map(|link| (link.node, link.heard_at)).collect();
        let doubted = self.doubts.doubted(now, &links);
        if doubted != self.doubted {
            self.doubted = doubted;
            self.report(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NodeId = NodeId { zone: 0, index: 1 };
    const TWO: NodeId = NodeId { zone: 0, index: 2 };

    #[test]
    fn a_link_that_is_silent_for_three_beats_makes_its_node_doubtful() {
        let mut doubts = Doubts::default();
        let now = Instant::now();
        let links = BTreeMap::from([(ONE, now), (TWO, now + Duration::from_millis(1))]);
        assert_eq!(doubts.doubted(now + SILENT_AFTER - Duration::from_millis(1), &links), [].into());
        assert_eq!(doubts.doubted(now + SILENT_AFTER, &links), [ONE].into());
    }

    #[test]
    fn who_was_not_reached_is_in_doubt_until_heard_or_until_all_know() {
        let mut doubts = Doubts::default();
        let now = Instant::now();
        let until = now + UNREACHED_FOR;
        let moment = Duration::from_millis(1);
        for node in [ONE, TWO] {
            doubts.add(node, now, until);
        }
        let mut links = BTreeMap::from([(ONE, now)]);
        assert_eq!(doubts.doubted(now, &links), [ONE, TWO].into());
        links.insert(ONE, now + moment);
        assert_eq!(doubts.doubted(now + moment, &links), [TWO].into());
        links.clear();
        assert_eq!(doubts.doubted(until - moment, &links), [TWO].into());
        assert_eq!(doubts.doubted(until, &links), [].into());
    }
}
