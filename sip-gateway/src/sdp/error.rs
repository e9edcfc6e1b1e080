//! Why a session description leads to no session, and the status that says so to the peer.

/// Why there is no session. Except for [`Malformed`](SdpError::Malformed) nobody is at fault: the two can't meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// No audio in it that is not refused already, or none over a transport that we speak.
    #[error("no usable audio in the session description")]
    NoAudio,
    /// We share no codec.
    #[error("no common codec")]
    NoCommonCodec,
    /// SRTP is wanted by one, and not possible with the other.
    #[error("no common SRTP suite, or one of us insists on it")]
    NoCrypto,
    /// Not a session description (RFC 8866): the peer's fault.
    #[error("not a session description")]
    Malformed,
}

impl SdpError {
    /// The status of the refusal: 400 for what is broken, 488 (Not Acceptable Here; RFC 3261, section 21.4.26) for what
    /// can't be.
    pub fn status(self) -> u16 {
        match self {
            SdpError::Malformed => 400,
            SdpError::NoAudio | SdpError::NoCommonCodec | SdpError::NoCrypto => 488,
        }
    }
}
