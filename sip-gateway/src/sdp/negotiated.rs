//! What two sides agreed on.

use std::net::SocketAddr;

use audio_mixer::Codec;

use super::Crypto;

/// Who sends, seen from our side (RFC 3264, section 5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both.
    #[default]
    SendRecv,
    /// We: the peer only listens.
    SendOnly,
    /// The peer: it has put us on hold, perhaps with music.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Whether we may send.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether the peer may send.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// As its attribute names it.
    pub fn name(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    /// The same from the other side.
    pub(super) fn flipped(self) -> Direction {
        Direction::of(self.receives(), self.sends())
    }

    /// What both allow.
    pub(super) fn and(self, other: Direction) -> Direction {
        Direction::of(self.sends() && other.sends(), self.receives() && other.receives())
    }

    fn of(sends: bool, receives: bool) -> Direction {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }
}

/// How keys come in RTP (RFC 4733).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// Both ways.
    pub payload_type: u8,
    /// Of its durations. The codec's clock, unless the peer offers none such: some phones only know 8000, beside Opus too.
    pub clock_hz: u32,
}

/// The session that an offer and its answer make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// What both send.
    pub codec: Codec,
    /// Its payload type in what we send, chosen by the peer.
    pub payload_type: u8,
    /// Its payload type in what we receive: another one only where the peer's answer renumbers what we offered
    /// (RFC 3264, section 6.1).
    pub payload_type_received: u8,
    /// Keys, if the peer takes them so.
    pub telephone_event: Option<TelephoneEvent>,
    /// Where the peer wants RTP; `None` where it named no address that could be sent to (`0.0.0.0`, a name).
    pub remote: Option<SocketAddr>,
    /// Where it wants RTCP; the same as `remote` with rtcp-mux.
    pub remote_rtcp: Option<SocketAddr>,
    /// How much sound it wants in a packet: 10 to 60 ms, a multiple of 10.
    pub ptime_ms: u8,
    /// Who sends.
    pub direction: Direction,
    /// Whether RTCP comes on the port of RTP.
    pub rtcp_mux: bool,
    /// How both are sealed, if they are.
    pub crypto: Option<Crypto>,
}
