//! How often something may happen: a token bucket, in time that is passed in.

use std::time::{Duration, Instant};

/// So many a second, and so many at once after a quiet time.
#[derive(Clone, Debug)]
pub struct Allowance {
    rate_per_s: u32,
    burst: u32,
    left: u32,
    counted_at: Instant,
}

impl Allowance {
    /// A full bucket.
    pub fn new(rate_per_s: u32, burst: u32, now: Instant) -> Allowance {
        Allowance { rate_per_s, burst, left: burst, counted_at: now }
    }

    /// Whether it was not used lately: but for the last time it was taken, the bucket is full.
    pub fn is_full(&self) -> bool {
        self.left + 1 >= self.burst
    }

    /// Whether it may happen once more now.
    pub fn take(&mut self, now: Instant) -> bool {
        self.take_many(now, 1)
    }

    /// Whether it may happen so many times more now. All of them do, or none.
    pub fn take_many(&mut self, now: Instant, count: u32) -> bool {
        let elapsed = now.saturating_duration_since(self.counted_at);
        let earned = elapsed.as_micros() * u128::from(self.rate_per_s) / 1_000_000;
        let missing = self.burst - self.left;
        if earned >= u128::from(missing) {
            self.left = self.burst;
            self.counted_at = now;
        } else {
            // What is earned of the next one is kept: whoever stays at the rate is never refused.
            self.left += earned as u32;
            let counted_us = earned * 1_000_000 / u128::from(self.rate_per_s.max(1));
            self.counted_at += Duration::from_micros(counted_us as u64);
        }
        let left = self.left.checked_sub(count);
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_granted_and_no_more() {
        let now = Instant::now();
        let mut allowance = Allowance::new(50, 100, now);
        assert_eq!((0..1_000).filter(|_| allowance.take(now)).count(), 100);
    }

    #[test]
    fn many_are_granted_together_or_not_at_all() {
        let now = Instant::now();
        let mut allowance = Allowance::new(50, 100, now);
        assert!(!allowance.take_many(now, 101) && allowance.take_many(now, 60));
        assert!(!allowance.take_many(now, 41) && allowance.take_many(now, 40) && !allowance.take(now));
    }

    #[test]
    fn it_recovers_at_its_rate() {
        let now = Instant::now();
        let mut allowance = Allowance::new(50, 100, now);
        while allowance.take(now) {}
        let later = now + Duration::from_secs(1);
        assert_eq!((0..1_000).filter(|_| allowance.take(later)).count(), 50);
    }

    #[test]
    fn the_rate_is_granted_also_in_unequal_steps() {
        let now = Instant::now();
        let mut allowance = Allowance::new(50, 100, now);
        while allowance.take(now) {}
        // 20 ms in the mean, as the network delivers them.
        let steps_ms = [5, 35, 19, 21, 1, 39].into_iter().cycle();
        let mut at = now;
        let granted = steps_ms.take(600).filter(|&ms| {
            at += Duration::from_millis(ms);
            allowance.take(at)
        });
        let granted = granted.count();
        assert!(granted >= 590, "{granted} of 600");
    }

    #[test]
    fn a_little_more_than_the_rate_gets_the_rate() {
        let now = Instant::now();
        let mut allowance = Allowance::new(50, 100, now);
        while allowance.take(now) {}
        let granted =
            (1..=1_020).filter(|n| allowance.take(now + Duration::from_micros(19_600) * *n)).count();
        assert!((998..=1_001).contains(&granted), "{granted} in 20 s");
    }
}
