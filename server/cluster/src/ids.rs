//! What nodes are called.

use std::fmt;

use serde::{Deserialize, Serialize};
use tercet_core::NodeId;

/// As atm0s-sdn has it: four bytes, of which the first chooses the region.
pub(crate) fn to_sdn(node: NodeId) -> u32 {
    u32::from_be_bytes([node.zone, 0, 0, node.index])
}

/// Reads what [`to_sdn`] gives; `None` for what can't be a node of ours.
pub(crate) fn from_sdn(id: u32) -> Option<NodeId> {
    match id.to_be_bytes() {
        [zone, 0, 0, index] if index > 0 => Some(NodeId { zone, index }),
        _ => None,
    }
}

/// One life of a node, from its start to its end: a later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BootId(pub u64);

impl BootId {
    /// A node that starts at this wall-clock time, in milliseconds since 1970; `random` tells two apart that start at once.
    pub fn new(wall_ms: u64, random: u16) -> BootId {
        BootId(wall_ms << 16 | u64::from(random))
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0 & 0xffff_ffff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_reads_back_from_the_network_and_nothing_else_does() {
        let node = NodeId { zone: 3, index: 7 };
        assert_eq!(from_sdn(to_sdn(node)), Some(node));
        assert_eq!(from_sdn(0x0300_0100), None);
        assert_eq!(from_sdn(0x0300_0000), None);
    }
}
