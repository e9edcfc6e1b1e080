//! Whatever comes as a SIP message, by datagram or stream, is answered, dropped or read; nothing panics.

/// Panics where it doesn't hold.
pub fn check(bytes: &[u8]) {
    tercet_sip_gateway::fuzz::message(bytes);
}
