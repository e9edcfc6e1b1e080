//! What stands before the stack: the bytes of a message come in, and leave in a form that it can't misread, or not at all.
//!
//! The stack's own parser takes messages without what they need, reads lengths that aren't numbers as 0, and drops what it
//! doesn't know; so it gets nothing that hasn't been through here.

use super::calls::ALLOW;
use super::message::{Fault, Framing, Message, Method, Response, parse};

/// What becomes of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Screened {
    /// A sound message, written anew: headers unfolded and by their long names, the body as long as it says.
    Pass(Vec<u8>),
    /// None, or one that nobody here understands: this goes back to where it came from.
    Reply(Vec<u8>),
    /// Nothing is to be done.
    Drop,
}

/// The largest message that the stack takes as a datagram.
pub(super) const DATAGRAM_BYTES_MAX: usize = 8192;

/// Looks at one datagram, or at one message of a stream.
pub(super) fn screen(bytes: &[u8], framing: Framing) -> Screened {
    let message = match parse(bytes, framing) {
        Ok(message) => message,
        Err(Fault::Silent) => return Screened::Drop,
        Err(Fault::Answer(response)) => return Screened::Reply(response.to_bytes()),
    };
    let status = match &message {
        // The stack knows no methods but its own.
        Message::Request(request) if matches!(request.method, Method::Other(_)) => 501,
        Message::Request(request) if request.method == Method::Ack => 0,
        Message::Request(_) if framing == Framing::Datagram && bytes.len() > DATAGRAM_BYTES_MAX => 513,
        _ => 0,
    };
    match message {
        Message::Request(request) if status != 0 => {
            let response = Response::to(&request, status, "0").with("Allow", ALLOW);
            Screened::Reply(response.to_bytes())
        }
        message => {
            let bytes = message.to_bytes();
            let is_too_long = framing == Framing::Datagram && bytes.len() > DATAGRAM_BYTES_MAX;
            if is_too_long { Screened::Drop } else { Screened::Pass(bytes) }
        }
    }
}

/// The bytes of a message, as a datagram and from a stream: screened, read by the stack, and taken by calls. For fuzzers.
pub(crate) fn fuzz_message(bytes: &[u8]) {
    for framing in [Framing::Datagram, Framing::Stream] {
        match screen(bytes, framing) {
            Screened::Pass(sound) => {
                let again = parse(&sound, framing).expect("what we write can be read");
                assert_eq!(again.to_bytes(), sound, "and is written so again");
                let _ = rsipstack::sip::SipMessage::try_from(sound.as_slice());
                super::calls::fuzz(again);
            }
            Screened::Reply(response) => {
                assert!(response.starts_with(b"SIP/2.0 "), "a response answers");
            }
            Screened::Drop => {}
        }
    }
}
