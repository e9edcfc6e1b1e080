//! What was counted, by reason.

use std::collections::BTreeMap;

/// A snapshot of everything that is counted, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls in that were told to the application.
    pub calls_in: u64,
    /// Calls out that were dialled.
    pub calls_out: u64,
    /// Calls that were answered, either way.
    pub calls_answered: u64,
    /// Calls that stand or ring now.
    pub calls_now: u64,
    /// Final refusals that we sent, by status.
    pub rejected: BTreeMap<u16, u64>,
    /// Final refusals that we got for what we dialled, by status.
    pub dial_failed: BTreeMap<u16, u64>,
    /// Challenges that we sent.
    pub challenges: u64,
    /// Wrong passwords, unknown users, forged nonces.
    pub authentication_failures: u64,
    /// A nonce count that had been seen (RFC 7616, section 3.4).
    pub replays: u64,
    /// Requests over a limit of their source or trunk.
    pub rate_limited: u64,
    /// Messages that are none: answered with 400 or not at all.
    pub unparseable: u64,
    /// Messages dropped because too many waited.
    pub dropped: u64,
    /// Streams refused because there were too many.
    pub streams_refused: u64,
    /// Commands refused because too many waited.
    pub commands_refused: u64,
    /// Registrations of users that were accepted: new ones and renewals.
    pub registrations: u64,
    /// Contacts of users that hold now.
    pub contacts_now: u64,
    /// Trunks that we are registered with now.
    pub trunks_registered_now: u64,
    /// Calls that the session timer ended.
    pub sessions_expired: u64,
}
