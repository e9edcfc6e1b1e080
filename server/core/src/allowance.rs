//! How often something may happen: a token bucket, in time that is passed in.

use std::time::Instant;

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

    /// Whether it may happen once more now.
    pub fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.counted_at);
        let earned = elapsed.as_micros() * u128::from(self.rate_per_s) / 1_000_000;
        if earned > 0 {
            self.left = self.left.saturating_add(earned.min(u128::from(self.burst)) as u32).min(self.burst);
            self.counted_at = now;
        }
        let granted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        granted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_granted_and_no_more() {
        let now = Instant::now();
        let mut allowance = Allowance::new(50, 100, now);
        assert_eq!((0..1_000).filter(|_| allowance.take(now)).count(), 100);
    }

    #[test]
    fn it_recovers_at_its_rate() {
        let now = Instant::now();
        let mut allowance = Allowance::new(50, 100, now);
        while allowance.take(now) {}
        let later = now + Duration::from_secs(1);
        assert_eq!((0..1_000).filter(|_| allowance.take(later)).count(), 50);
    }
}
