//! Whatever comes as a session description, as an offer or an answer, leads to a session or to none; nothing panics, and
//! what we answer can be read.

/// Panics where it doesn't hold.
pub fn check(text: &str) {
    tercet_sip_gateway::fuzz::sdp(text);
}
