//! What a peer tells.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use str0m::{IceConnectionState, RtcError};

use super::{Channel, MediaStream};
use crate::red;

/// An RTP packet from the server, authenticated and decrypted.
#[derive(Clone, Debug)]
pub struct ReceivedPacket {
    /// The m-line it belongs to.
    pub mid: MediaStream,
    /// The stream.
    pub ssrc: u32,
    /// The sequence number, continued beyond 16 bits.
    pub sequence: u64,
    /// The RTP timestamp, 48 kHz.
    pub timestamp: u32,
    /// The marker bit.
    pub marker: bool,
    /// The payload type.
    pub payload_type: u8,
    /// The contributing sources: whose voice it is.
    pub csrc: Vec<u32>,
    /// The audio level (RFC 6464), -127 to 0 dBov, if the packet had one.
    pub level_dbov: Option<i8>,
    /// The voice flag beside the level.
    pub voice: Option<bool>,
    /// The payload as it was sent: an Opus frame, or RED.
    pub payload: Arc<[u8]>,
    /// Whether the payload is RED (RFC 2198).
    pub is_red: bool,
    /// When it arrived.
    pub received: Instant,
}

impl ReceivedPacket {
    /// The newest Opus frame in the packet; `None` if it is malformed RED.
    pub fn frame(&self) -> Option<&[u8]> {
        if self.is_red { red::primary(&self.payload) } else { Some(&self.payload) }
    }
}

/// What happened to a [`Peer`](super::Peer).
#[derive(Debug)]
pub enum PeerEvent {
    /// ICE and DTLS are done: media may flow.
    Connected,
    /// The state of ICE changed; a restart goes through `Checking` to `Connected` again.
    IceChanged(IceConnectionState),
    /// An RTP packet came. Packets without payload (padding) come too.
    PacketReceived(ReceivedPacket),
    /// A data channel may be written to.
    ChannelOpened(Channel),
    /// A frame came on a data channel.
    DataReceived(Channel, Vec<u8>),
    /// A data channel was closed.
    ChannelClosed(Channel),
    /// The server wants a keyframe of the camera, in one of its sizes, of which 0 is the smallest.
    KeyframeWanted(u8),
    /// The server ended the connection.
    Closed,
}

/// What [`Peer::poll`](super::Peer::poll) gives.
#[derive(Debug)]
pub enum PeerOutput {
    /// Send this datagram.
    Transmit {
        /// To whom.
        destination: SocketAddr,
        /// The datagram.
        contents: Vec<u8>,
    },
    /// Something happened.
    Event(PeerEvent),
    /// Nothing more until then, or until the next input.
    Timeout(Instant),
}

/// Why a [`Peer`](super::Peer) can't go on.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The server's answer can't be used.
    #[error("the answer can't be used: {0}")]
    Answer(String),
    /// The server's offer can't be used.
    #[error("the offer can't be used: {0}")]
    Offer(String),
    /// A candidate of the server's can't be used.
    #[error("the candidate can't be used: {0}")]
    Candidate(String),
    /// An answer came without an offer, or audio was to be sent before one.
    #[error("there is no negotiated connection")]
    NotNegotiated,
    /// The server said goodbye.
    #[error("the server ended the connection")]
    Ended,
    /// str0m gave up. The peer is dead.
    #[error(transparent)]
    Rtc(#[from] RtcError),
}
