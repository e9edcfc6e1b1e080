//! What things are called. An id is short in a log line.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as it stands in messages.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                $name(name.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A room, by the name in its participants' tokens.
    RoomId
}

name! {
    /// A participant, by the identity in their token; unique in a room.
    ParticipantId
}

/// One attachment of a participant, which survives a reconnect: 128 bits that cannot be guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub u128);

impl SessionId {
    /// A session of a node, which its first 16 bits name; the others are `random`.
    pub fn on_node(node: NodeId, random: u128) -> SessionId {
        let prefix = u128::from(u16::from_be_bytes([node.zone, node.index]));
        SessionId(prefix << 112 | random >> 16)
    }

    /// The node that it is on, if it is of one made by [`SessionId::on_node`].
    pub fn node(self) -> Option<NodeId> {
        let [zone, index] = ((self.0 >> 112) as u16).to_be_bytes();
        (index > 0).then_some(NodeId { zone, index })
    }

    /// The id as it stands in messages: 32 hexadecimal digits.
    pub fn to_hex(self) -> String {
        format!("{:032x}", self.0)
    }

    /// Reads what [`SessionId::to_hex`] writes; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<SessionId> {
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        digits.then(|| u128::from_str_radix(text, 16).ok().map(SessionId))?
    }
}

/// A part only: whoever reads a log must not be able to name the session.
impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S{:08x}", self.0 >> 80 & 0xffff_ffff)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A node of a cluster, by the zone that it is in and its number there. It is written `zone.index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId {
    /// The region that it is in.
    pub zone: u8,
    /// Its number in the zone, from 1.
    pub index: u8,
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.zone, self.index)
    }
}

/// The endpoint of a session on this node; never used again for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u64);

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_reads_back_and_nothing_else_does() {
        let id = SessionId(0x0123_4567_89ab_cdef_0011_2233_4455_6677);
        assert_eq!(SessionId::from_hex(&id.to_hex()), Some(id));
        assert_eq!(SessionId::from_hex("+123456789abcdef00112233445566778"), None);
        assert_eq!(SessionId::from_hex("12"), None);
        assert_eq!(id.to_string(), "S456789ab");
        let node = NodeId { zone: 3, index: 9 };
        assert_eq!(SessionId::on_node(node, u128::MAX).node(), Some(node));
        assert_eq!(SessionId(u128::MAX >> 16).node(), None);
    }
}
