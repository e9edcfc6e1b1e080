//! Which call.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A call, in this process. Not the `Call-ID` of its messages, which the peer may have chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call-{}", self.0)
    }
}

/// Where the numbers of calls come from: calls in get theirs in the gateway, calls out where they are dialled.
#[derive(Debug, Default)]
pub(super) struct CallIds(AtomicU64);

impl CallIds {
    pub(super) fn next(&self) -> CallId {
        CallId(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
