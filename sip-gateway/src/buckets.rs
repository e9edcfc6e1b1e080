//! How often something may happen, by whom: a bucket of tokens for each key, in time that is passed in.
//!
//! They are ours and not those of the crate `governor`: theirs read a clock of their own, and a map of them has no bound that
//! holds between two sweeps.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// So many keys are told apart at once; when there are more, those that have been quiet are forgotten, and when none has,
/// the newcomers share one bucket.
const KEYS_MAX: usize = 16 * 1024;

/// So many that refill within the time of all buckets.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// Buckets by key, each of the same size. Their memory is bounded: of 16,384 keys at once each has its own.
#[derive(Debug)]
pub struct Buckets<K> {
    size: f64,
    refill: Duration,
    buckets: HashMap<K, Bucket>,
    overflow: Option<Bucket>,
}

impl<K: Eq + Hash> Buckets<K> {
    /// Each key has `size` tokens at once, and as many anew in the time `refill`.
    pub fn new(size: u32, refill: Duration) -> Buckets<K> {
        Buckets { size: f64::from(size), refill, buckets: HashMap::new(), overflow: None }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Instant, key: K) -> bool {
        let (size, refill) = (self.size, self.refill);
        let bucket = self.bucket(now, key);
        bucket.fill(now, size, refill);
        let is_there = bucket.tokens >= 1.0;
        if is_there {
            bucket.tokens -= 1.0;
        }
        is_there
    }

    /// Whether there is a token.
    pub fn has(&mut self, now: Instant, key: &K) -> bool {
        let (size, refill) = (self.size, self.refill);
        match self.buckets.get_mut(key) {
            Some(bucket) => {
                bucket.fill(now, size, refill);
                bucket.tokens >= 1.0
            }
            None => size >= 1.0,
        }
    }

    fn bucket(&mut self, now: Instant, key: K) -> &mut Bucket {
        let full = Bucket { tokens: self.size, filled: now };
        if self.buckets.len() >= KEYS_MAX && !self.buckets.contains_key(&key) {
            let (size, refill) = (self.size, self.refill);
            self.buckets.retain(|_, bucket| {
                bucket.fill(now, size, refill);
                bucket.tokens < size
            });
            if self.buckets.len() >= KEYS_MAX {
                return self.overflow.get_or_insert(full);
            }
        }
        self.buckets.entry(key).or_insert(full)
    }
}

impl Bucket {
    fn fill(&mut self, now: Instant, size: f64, refill: Duration) {
        let elapsed = now.saturating_duration_since(self.filled);
        self.tokens = (self.tokens + elapsed.div_duration_f64(refill) * size).min(size);
        self.filled = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn bucket_gives_its_size_at_once_and_refills_within_its_time() {
        let now = Instant::now();
        let mut buckets = Buckets::new(60, MINUTE);
        let taken = (0..100).filter(|_| buckets.take(now, 1)).count();
        assert_eq!(taken, 60);
        assert!(!buckets.has(now, &1) && buckets.has(now, &2), "another key has its own");
        assert!(!buckets.take(now + Duration::from_millis(900), 1));
        assert!(buckets.take(now + Duration::from_millis(1100), 1));
    }

    #[test]
    fn memory_is_bounded_and_newcomers_share_what_is_left() {
        let now = Instant::now();
        let mut buckets = Buckets::new(2, MINUTE);
        for key in 0..KEYS_MAX {
            assert!(buckets.take(now, key));
        }
        assert_eq!((0..10).filter(|more| buckets.take(now, KEYS_MAX + more)).count(), 2);
        assert_eq!(buckets.buckets.len(), KEYS_MAX);
        let later = now + MINUTE;
        assert!(buckets.take(later, KEYS_MAX + 1), "those that were quiet are forgotten");
        assert!(buckets.buckets.len() < 10);
    }
}
