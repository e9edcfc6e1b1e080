//! What the route of a call asks of its caller.

use super::Pin;

/// What a caller goes through before the room, and how much is said about it.
#[derive(Clone, Debug)]
pub struct MenuConfig {
    /// Asked of everybody; `None` lets everybody in.
    pub pin: Option<Pin>,
    /// Makes a moderator of who enters it instead. Without a PIN for everybody else, these press the hash key, or wait.
    pub moderator_pin: Option<Pin>,
    /// Whether who is no moderator waits, with music, until one is there.
    pub waits_for_moderator: bool,
    /// Wrong PINs that end the call; 0 is as 1.
    pub tries_max: u8,
    /// Whether the welcome and the arrival are said. If not, the call begins with what has to be said, and a tone tells of
    /// the arrival; what a key or a moderator did, and why a call ends, is said always.
    pub announces: bool,
}

impl Default for MenuConfig {
    /// No PIN, no waiting; three tries, and all is said.
    fn default() -> Self {
        MenuConfig {
            pin: None,
            moderator_pin: None,
            waits_for_moderator: false,
            tries_max: 3,
            announces: true,
        }
    }
}
