//! An audio packet on its way through a node: numbers of its own, the sender's payload.

use std::sync::Arc;

use selector::{Level, SourceId};

/// Counts the breaks in a track's numbering. Within one epoch, sequence numbers and timestamps
/// belong together; across epochs they have nothing to do with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamEpoch(pub u32);

/// How a payload is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Opus (RFC 7587).
    Opus,
    /// Redundant audio (RFC 2198), all of it Opus.
    Red {
        /// The sender's payload type of Opus, by which the blocks name it.
        opus_pt: u8,
        /// Where in the payload the last block begins, which isn't redundant (RFC 2198, section 3): what the packet would be
        /// without the others.
        primary_at: usize,
    },
}

/// An audio packet that passed the gate. Cloning copies the numbers and shares the payload.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioPacket {
    /// Whose it is, and the CSRC under which it is forwarded.
    pub source: SourceId,
    /// To which numbering `seq` and `timestamp` belong.
    pub epoch: StreamEpoch,
    /// Sequence number without roll-over.
    pub seq: u64,
    /// RTP timestamp, 48 kHz.
    pub timestamp: u32,
    /// RFC 7587, section 4.2: the first packet of a talk spurt with DTX.
    pub marker: bool,
    /// How to read the payload.
    pub encoding: Encoding,
    /// RFC 6464.
    pub level: Level,
    /// RFC 6464's V bit.
    pub voice: Option<bool>,
    /// As the sender made it.
    pub payload: Arc<[u8]>,
}
