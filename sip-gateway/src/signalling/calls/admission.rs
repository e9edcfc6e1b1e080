//! Who is let in how often: trunks by their source, and buckets of tokens by source and trunk.
//!
//! The buckets are ours and not those of the crate `governor`: theirs read a clock of their own, and a map of them has no
//! bound that holds between two sweeps.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Instant;

use super::super::{Config, Limits};

/// So many sources are told apart at once; when there are more, those that have been quiet are forgotten, and when none
/// has, the newcomers share one bucket.
const SOURCES_MAX: usize = 16 * 1024;

/// So many that refill within a minute.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// Buckets by key, each of the same size.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    per_minute: f64,
    buckets: HashMap<K, Bucket>,
    overflow: Option<Bucket>,
}

impl<K: Copy + Eq + Hash> Buckets<K> {
    pub(super) fn new(per_minute: u32) -> Buckets<K> {
        Buckets { per_minute: f64::from(per_minute), buckets: HashMap::new(), overflow: None }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Instant, key: K) -> bool {
        let per_minute = self.per_minute;
        let bucket = self.bucket(now, key);
        bucket.fill(now, per_minute);
        let is_there = bucket.tokens >= 1.0;
        if is_there {
            bucket.tokens -= 1.0;
        }
        is_there
    }

    /// Whether there is a token.
    pub(super) fn has(&mut self, now: Instant, key: K) -> bool {
        let per_minute = self.per_minute;
        match self.buckets.get_mut(&key) {
            Some(bucket) => {
                bucket.fill(now, per_minute);
                bucket.tokens >= 1.0
            }
            None => per_minute >= 1.0,
        }
    }

    fn bucket(&mut self, now: Instant, key: K) -> &mut Bucket {
        let full = Bucket { tokens: self.per_minute, filled: now };
        if self.buckets.len() >= SOURCES_MAX && !self.buckets.contains_key(&key) {
            let per_minute = self.per_minute;
            self.buckets.retain(|_, bucket| {
                bucket.fill(now, per_minute);
                bucket.tokens < per_minute
            });
            if self.buckets.len() >= SOURCES_MAX {
                return self.overflow.get_or_insert(full);
            }
        }
        self.buckets.entry(key).or_insert(full)
    }
}

impl Bucket {
    fn fill(&mut self, now: Instant, per_minute: f64) {
        let seconds = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + seconds * per_minute / 60.0).min(per_minute);
        self.filled = now;
    }
}

/// All that is counted of who comes how often.
#[derive(Debug)]
pub(super) struct Admission {
    requests: Buckets<IpAddr>,
    calls_of_source: Buckets<IpAddr>,
    calls_of_trunk: Buckets<usize>,
    failures: Buckets<IpAddr>,
    /// Where registrations were accepted: calls of that trunk come from there too.
    registered_at: HashMap<usize, IpAddr>,
}

impl Admission {
    pub(super) fn new(config: &Config) -> Admission {
        let Limits {
            requests_per_source_per_minute,
            calls_per_source_per_minute,
            calls_per_trunk_per_minute,
            failures_per_source_per_minute,
            ..
        } = config.limits;
        Admission {
            requests: Buckets::new(requests_per_source_per_minute),
            calls_of_source: Buckets::new(calls_per_source_per_minute),
            calls_of_trunk: Buckets::new(calls_per_trunk_per_minute),
            failures: Buckets::new(failures_per_source_per_minute),
            registered_at: HashMap::new(),
        }
    }

    /// Whether a request outside of calls is looked at. Trunks have limits of their own.
    pub(super) fn takes_request(&mut self, now: Instant, config: &Config, source: IpAddr) -> bool {
        self.trunk_of(config, source).is_some()
            || (self.failures.has(now, source) && self.requests.take(now, source))
    }

    /// Whether a source may call once more.
    pub(super) fn takes_call(&mut self, now: Instant, trunk: Option<usize>, source: IpAddr) -> bool {
        match trunk {
            Some(trunk) => self.calls_of_trunk.take(now, trunk),
            None => self.calls_of_source.take(now, source),
        }
    }

    pub(super) fn count_failure(&mut self, now: Instant, source: IpAddr) {
        self.failures.take(now, source);
    }

    /// The trunk that a source is of.
    pub(super) fn trunk_of(&self, config: &Config, source: IpAddr) -> Option<usize> {
        let source = source.to_canonical();
        let configured =
            config.trunks.iter().position(|trunk| trunk.sources.iter().any(|net| net.contains(&source)));
        configured
            .or_else(|| self.registered_at.iter().find(|(_, at)| **at == source).map(|(trunk, _)| *trunk))
    }

    pub(super) fn set_registered_at(&mut self, trunk: usize, at: Option<IpAddr>) {
        match at {
            Some(at) => self.registered_at.insert(trunk, at.to_canonical()),
            None => self.registered_at.remove(&trunk),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn bucket_gives_its_size_at_once_and_refills_within_a_minute() {
        let now = Instant::now();
        let mut buckets = Buckets::new(60);
        let taken = (0..100).filter(|_| buckets.take(now, 1)).count();
        assert_eq!(taken, 60);
        assert!(buckets.take(now, 2), "another key has its own");
        assert!(!buckets.take(now + Duration::from_millis(900), 1));
        assert!(buckets.take(now + Duration::from_millis(1100), 1));
    }

    #[test]
    fn memory_is_bounded_and_newcomers_share_what_is_left() {
        let now = Instant::now();
        let mut buckets = Buckets::new(2);
        for key in 0..SOURCES_MAX {
            assert!(buckets.take(now, key));
        }
        assert_eq!((0..10).filter(|more| buckets.take(now, SOURCES_MAX + more)).count(), 2);
        assert_eq!(buckets.buckets.len(), SOURCES_MAX);
        let later = now + Duration::from_secs(60);
        assert!(buckets.take(later, SOURCES_MAX + 1), "those that were quiet are forgotten");
        assert!(buckets.buckets.len() < 10);
    }
}
