//! Numbers for the tracks of a room: no two are the same, though the nodes that it is on don't ask each other.

use selector::SourceId;

use crate::NodeId;

/// Which numbers a node gives, and the next of them.
#[derive(Clone, Debug)]
pub struct SourceNumbers {
    first: u32,
    last: u32,
    next: u32,
}

impl SourceNumbers {
    /// All: the room is on one node.
    pub fn all() -> SourceNumbers {
        SourceNumbers { first: 1, last: u32::MAX, next: 1 }
    }

    /// Those of a node, of which there are 65,536. They begin at a random one, so that another life of the node does not give
    /// the same ones again.
    pub fn of_node(node: NodeId, random: u16) -> SourceNumbers {
        let first = u32::from_be_bytes([node.zone, node.index, 0, 0]);
        SourceNumbers { first, last: first | 0xffff, next: first | u32::from(random) }
    }

    /// A number that is free; `None` if all are taken.
    pub(crate) fn take(&mut self, is_taken: impl Fn(SourceId) -> bool) -> Option<SourceId> {
        let began = self.next;
        loop {
            let source = SourceId(self.next);
            self.next = if self.next == self.last { self.first } else { self.next + 1 };
            if !is_taken(source) {
                return Some(source);
            }
            if self.next == began {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_never_give_the_same_number_and_none_gives_one_twice() {
        let node = |zone, index| SourceNumbers::of_node(NodeId { zone, index }, 65_530);
        let mut taken = std::collections::BTreeSet::new();
        for mut numbers in [node(0, 1), node(0, 2), node(1, 0), node(255, 255)] {
            for _ in 0..20_000 {
                let number = numbers.take(|source| taken.contains(&source)).expect("there are more");
                assert!(taken.insert(number));
            }
        }
    }

    #[test]
    fn who_has_given_all_gives_none() {
        let mut numbers = SourceNumbers::of_node(NodeId { zone: 0, index: 1 }, 7);
        assert_eq!(numbers.take(|_| true), None);
        assert_eq!(numbers.take(|source| source != SourceId(0x1_0003)), Some(SourceId(0x1_0003)));
    }
}
