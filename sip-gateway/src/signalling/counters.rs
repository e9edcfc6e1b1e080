//! What was counted, by reason.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// Wrong passwords and unknown users, to a challenge that was theirs.
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

/// One count.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn set(&self, now: usize) {
        self.0.store(now as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One count for each final status that is no success.
#[derive(Debug)]
pub(super) struct ByStatus(Box<[Count]>);

const STATUS_MIN: u16 = 300;
const STATUS_MAX: u16 = 699;

impl Default for ByStatus {
    fn default() -> ByStatus {
        ByStatus((STATUS_MIN..=STATUS_MAX).map(|_| Count::default()).collect())
    }
}

impl ByStatus {
    pub(super) fn add(&self, status: u16) {
        if let Some(count) = status.checked_sub(STATUS_MIN).and_then(|at| self.0.get(usize::from(at))) {
            count.add(1);
        }
    }

    fn get(&self) -> BTreeMap<u16, u64> {
        let counts = (STATUS_MIN..).zip(self.0.iter().map(Count::get));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

/// Where it is counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) calls_in: Count,
    pub(super) calls_out: Count,
    pub(super) calls_answered: Count,
    pub(super) calls_now: Count,
    pub(super) rejected: ByStatus,
    pub(super) dial_failed: ByStatus,
    pub(super) challenges: Count,
    pub(super) authentication_failures: Count,
    pub(super) replays: Count,
    pub(super) rate_limited: Count,
    pub(super) unparseable: Count,
    pub(super) dropped: Count,
    pub(super) streams_refused: Count,
    pub(super) commands_refused: Count,
    pub(super) registrations: Count,
    pub(super) contacts_now: Count,
    pub(super) trunks_registered_now: Count,
    pub(super) sessions_expired: Count,
}

impl Tally {
    pub(super) fn snapshot(&self) -> Counters {
        Counters {
            calls_in: self.calls_in.get(),
            calls_out: self.calls_out.get(),
            calls_answered: self.calls_answered.get(),
            calls_now: self.calls_now.get(),
            rejected: self.rejected.get(),
            dial_failed: self.dial_failed.get(),
            challenges: self.challenges.get(),
            authentication_failures: self.authentication_failures.get(),
            replays: self.replays.get(),
            rate_limited: self.rate_limited.get(),
            unparseable: self.unparseable.get(),
            dropped: self.dropped.get(),
            streams_refused: self.streams_refused.get(),
            commands_refused: self.commands_refused.get(),
            registrations: self.registrations.get(),
            contacts_now: self.contacts_now.get(),
            trunks_registered_now: self.trunks_registered_now.get(),
            sessions_expired: self.sessions_expired.get(),
        }
    }
}
