//! The time that the nodes of a cluster have in common: the latest that any of them began with.
//!
//! atm0s-sdn loses values between nodes whose clocks are five seconds apart, and links at ten. So it is not given a node's own
//! clock: whoever hears of a later time goes on from there, and nobody ever goes back.

use std::time::{Duration, Instant};

/// Two nodes that are closer than this agree: a datagram was under way meanwhile.
const AGREEMENT_MS: u64 = 250;

/// Milliseconds since 1970, as the cluster counts them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClusterClock {
    origin: Instant,
    origin_ms: u64,
}

impl ClusterClock {
    /// Begins with the node's own time.
    pub(crate) fn new(now: Instant, wall_ms: u64) -> ClusterClock {
        ClusterClock { origin: now, origin_ms: wall_ms }
    }

    /// What time it is.
    pub(crate) fn ms(&self, now: Instant) -> u64 {
        self.origin_ms + now.saturating_duration_since(self.origin).as_millis() as u64
    }

    /// Another node says what time it is. Returns by how much this clock went forward.
    pub(crate) fn hear(&mut self, now: Instant, their_ms: u64) -> Option<Duration> {
        let ahead_ms = their_ms.saturating_sub(self.ms(now));
        if ahead_ms < AGREEMENT_MS {
            return None;
        }
        self.origin_ms += ahead_ms;
        Some(Duration::from_millis(ahead_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_clocks_the_later_serves_both() {
        let now = Instant::now();
        let (mut slow, mut fast) = (ClusterClock::new(now, 1_000_000), ClusterClock::new(now, 8_200_000));
        let later = now + Duration::from_secs(1);
        assert_eq!(fast.hear(later, slow.ms(later)), None);
        assert_eq!(slow.hear(later, fast.ms(later)), Some(Duration::from_secs(7200)));
        assert_eq!(slow.ms(later), fast.ms(later));
        assert_eq!(slow.hear(later, fast.ms(later) + 249), None, "the way here takes time too");
    }
}
