//! The session id of a `resume`: any text in; an id that is written as it was read, or nothing.

use tercet_core::SessionId;

/// Panics where it doesn't hold.
pub fn check(text: &str) {
    match SessionId::from_hex(text) {
        Some(id) => assert_eq!(id.to_hex(), text.to_ascii_lowercase()),
        None => assert!(text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit())),
    }
}
