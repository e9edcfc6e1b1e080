//! What we can do, as the application says it: where our media is, which codecs, whether SRTP.

use std::net::SocketAddr;

use audio_mixer::Codec;

/// Whether a call's media is sealed by SRTP, its keys in the session description (RFC 4568).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SrtpPolicy {
    /// Never: offers that insist on it (RTP/SAVP) are refused.
    Never,
    /// As the peer offers it. Our own offers are RTP/AVP with `a=crypto`, which is what phones call "optional".
    #[default]
    Optional,
    /// Always: offers without it are refused, and ours are RTP/SAVP.
    Required,
}

/// Our side of a call's media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalMedia {
    /// Where the peer is to send RTP: the public address of the call's socket.
    pub address: SocketAddr,
    /// Where the peer is to send RTCP, if not to the port above that of RTP; of no use where rtcp-mux is agreed on.
    pub rtcp: Option<SocketAddr>,
    /// In the order of preference. The order of an answer's codecs is ours to choose (RFC 3264, section 6.1).
    pub codecs: Vec<Codec>,
    /// Whether SRTP.
    pub srtp: SrtpPolicy,
    /// How much sound we would like in a packet.
    pub ptime_ms: u8,
    /// Whether RTP and RTCP may share a port (RFC 5761).
    pub rtcp_mux: bool,
}

impl LocalMedia {
    /// With these codecs at this address: packets of 20 ms, rtcp-mux and SRTP as the peer likes.
    pub fn at(address: SocketAddr, codecs: &[Codec]) -> LocalMedia {
        LocalMedia {
            address,
            rtcp: None,
            codecs: codecs.to_vec(),
            srtp: SrtpPolicy::Optional,
            ptime_ms: 20,
            rtcp_mux: true,
        }
    }
}
