//! One call's session, from our side: it answers offers, makes offers, and takes answers to them.

use super::{Direction, LocalMedia, Negotiated, SECRET_BYTES, SdpError};

/// Our side of a session, through all its offers and answers. Each description that differs from the one before it has
/// the next version in `o=` (RFC 3264, section 8).
#[derive(Debug)]
pub struct Session {
    _local: LocalMedia,
}

impl Session {
    /// A session whose keys, if it needs any, are made of `secret`: random bytes that nothing else is made of.
    pub fn new(local: LocalMedia, secret: &[u8; SECRET_BYTES]) -> Session {
        let _ = secret;
        Session { _local: local }
    }

    /// Answers an offer of the peer. The direction is the peer's, as seen from here: if it only sends, we only receive.
    ///
    /// # Errors
    /// There can be no session; what was agreed on before still holds.
    pub fn answer(&mut self, offer: &str) -> Result<(String, Negotiated), SdpError> {
        let _ = offer;
        todo!()
    }

    /// An offer of ours. In a session that has been agreed on it offers what holds, in `direction`.
    pub fn offer(&mut self, direction: Direction) -> String {
        let _ = direction;
        todo!()
    }

    /// What the peer's answer to our last offer makes of it.
    ///
    /// # Errors
    /// There can be no session; what was agreed on before still holds.
    pub fn accept(&mut self, answer: &str) -> Result<Negotiated, SdpError> {
        let _ = answer;
        todo!()
    }

    /// What was agreed on last.
    pub fn agreed(&self) -> Option<&Negotiated> {
        todo!()
    }
}
