//! What a client sends on the WebSocket: any bytes in; a message that says the same when it is
//! written and read again, or an error.

use tercet_protocol::{ClientMessage, MESSAGE_BYTES_MAX};

/// Panics where it doesn't hold.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.len() > MESSAGE_BYTES_MAX {
        return;
    }
    let Ok(message) = serde_json::from_str::<ClientMessage>(text) else { return };
    let written = serde_json::to_string(&message).expect("a message is JSON");
    let read = serde_json::from_str::<ClientMessage>(&written);
    assert_eq!(read.expect("what we write, we read"), message);
}
