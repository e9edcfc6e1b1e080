//! Phones that a moderator sends elsewhere: a participant and whom to call in; their phone's wish to call there out (REFER,
//! RFC 3515).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tercet_sip_gateway::signalling::CallId;

use super::dialling::{DialError, Dialler, lock};
use super::gateway::Shared;
use crate::config::is_callable;

/// Which call a participant is, of the phones in rooms.
#[derive(Default)]
pub(super) struct Present(Mutex<HashMap<String, (String, CallId)>>);

/// A participant who is there as long as this is.
pub(super) struct Presence {
    shared: Arc<Shared>,
    participant: String,
}

impl Presence {
    pub(super) fn new(shared: Arc<Shared>, participant: &str, room: &str, call: CallId) -> Presence {
        lock(&shared.present.0).insert(participant.to_owned(), (room.to_owned(), call));
        Presence { shared, participant: participant.to_owned() }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        lock(&self.shared.present.0).remove(&self.participant);
    }
}

impl Dialler {
    /// Asks a phone of the room to call somebody else instead, which it may refuse: then it stays. Counts as a call out, which it
    /// may become for the trunk.
    pub(crate) fn transfer(&self, room: &str, participant: &str, to: &str) -> Result<(), DialError> {
        if !is_callable(to) {
            return Err(DialError::not_callable());
        }
        let found = lock(&self.shared.present.0).get(participant).cloned();
        let Some((_, call)) = found.filter(|(of, _)| of == room) else {
            return Err(DialError::NoSuchPhone);
        };
        if !lock(&self.allowance).take(Instant::now()) {
            return Err(DialError::TooMany);
        }
        self.shared.sip.transfer(call, to.to_owned()).map_err(|_| DialError::Overloaded)
    }
}
