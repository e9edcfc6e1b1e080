//! What stands before the stack: the bytes of a message come in, and leave in a form that it can't misread, or not at all.
//!
//! The stack's own parser takes messages without what they need, reads lengths that aren't numbers as 0, and drops what it
//! doesn't know; so it gets nothing that hasn't been through here. What passes has been read by it once, so that what it
//! can't read is answered, and never lost behind the gate.

use std::net::SocketAddr;

use super::calls::ALLOW;
use super::message::{Fault, Framing, Message, Method, Request, Response, parse, pieces};
use super::{Transport, stack};

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

/// Looks at one datagram, or at one message of a stream, that came from there by that.
pub(super) fn screen(bytes: &[u8], source: SocketAddr, transport: Transport) -> Screened {
    let framing = if transport == Transport::Udp { Framing::Datagram } else { Framing::Stream };
    let message = match parse(bytes, framing) {
        Ok(Message::Request(request)) => Message::Request(unmarked(request)),
        Ok(response) => response,
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
            match message {
                _ if is_too_long => Screened::Drop,
                _ if stack::read(&bytes, source, transport).is_some() => Screened::Pass(bytes),
                Message::Request(request) if request.method != Method::Ack => {
                    let mut response = Response::to(&request, 400, "0");
                    response.reason.push_str(": a value that is none");
                    Screened::Reply(response.to_bytes())
                }
                _ => Screened::Drop,
            }
        }
    }
}

/// Without what only we may say of the top `Via`: where it came from (RFC 3261, section 18.2.1; RFC 3581, section 4).
fn unmarked(mut request: Request) -> Request {
    let kept = request.headers.get("Via").map(|via| {
        let kept = pieces(via, ';').filter_map(|piece| {
            let name = piece.split('=').next().unwrap_or_default();
            match name {
                _ if name.eq_ignore_ascii_case("received") => None,
                _ if name.eq_ignore_ascii_case("rport") => Some("rport"),
                _ => Some(piece),
            }
        });
        kept.collect::<Vec<_>>().join(";")
    });
    if let Some(kept) = kept {
        request.headers.set_first("Via", kept);
    }
    request
}

/// The bytes of a message, as a datagram and from a stream: screened, read by the stack, and taken by calls. For fuzzers.
pub(crate) fn fuzz_message(bytes: &[u8]) {
    let source = SocketAddr::from(([192, 0, 2, 2], 5060));
    for (transport, framing) in [(Transport::Udp, Framing::Datagram), (Transport::Tcp, Framing::Stream)] {
        match screen(bytes, source, transport) {
            Screened::Pass(sound) => {
                let again = parse(&sound, framing).expect("what we write can be read");
                assert_eq!(again.to_bytes(), sound, "and is written so again");
                assert!(stack::read(&sound, source, transport).is_some(), "and the stack reads it");
                super::calls::fuzz(again);
            }
            Screened::Reply(response) => {
                assert!(response.starts_with(b"SIP/2.0 "), "a response answers");
            }
            Screened::Drop => {}
        }
    }
}
