//! Doors for fuzzers: whatever a peer may send comes in, and nothing comes out, least of all a panic.

use audio_mixer::Codec;

use crate::sdp::{Direction, LocalMedia, SECRET_BYTES, Session};

/// The bytes of a message, as a datagram and from a stream.
pub fn message(bytes: &[u8]) {
    crate::signalling::fuzz_message(bytes);
}

/// A session description, as an offer and as an answer to ours.
pub fn sdp(text: &str) {
    let address = std::net::SocketAddr::from(([192, 0, 2, 1], 5004));
    let local = LocalMedia::at(address, &[Codec::Opus, Codec::G722, Codec::Pcma, Codec::Pcmu]);
    let mut session = Session::new(local, &[7; SECRET_BYTES]);
    session.offer(Direction::SendRecv);
    let _ = session.accept(text);
    if let Ok((answer, agreed)) = session.answer(text) {
        assert!(agreed.ptime_ms.is_multiple_of(10) && (10..=60).contains(&agreed.ptime_ms), "{answer}");
        // Our own answer can be read, and so can an offer that follows from it.
        let again = session.offer(agreed.direction);
        let mut other = Session::new(LocalMedia::at(address, &[agreed.codec]), &[8; SECRET_BYTES]);
        let _ = other.answer(&again);
    }
}
