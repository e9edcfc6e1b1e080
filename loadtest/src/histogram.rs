//! Durations in, percentiles out, in a fixed amount of memory however long the test runs.

use std::time::Duration;

/// Values below this many µs have a bucket each; above, each power of two has as many buckets: a
/// percentile is at most 1/64 too high.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Powers of two covered above the exact range: up to 2^36 µs, 19 hours.
const OCTAVES: usize = 30;

/// A histogram of durations, exact to a microsecond or to 1/64, whichever is coarser.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: vec![0; STEPS as usize * (OCTAVES + 1)], count: 0, max_us: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, value: Duration) {
        let us = value.as_micros().min(u128::from(u64::MAX)) as u64;
        let last = self.buckets.len() - 1;
        self.buckets[bucket_of(us).min(last)] += 1;
        self.count += 1;
        self.max_us = self.max_us.max(us);
    }

    /// Adds what another histogram counted.
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max_us = self.max_us.max(other.max_us);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest duration counted.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.max_us)
    }

    /// How many of the durations counted don't exceed this one.
    pub fn count_up_to(&self, value: Duration) -> u64 {
        let last = bucket_of(value.as_micros() as u64).min(self.buckets.len() - 1);
        self.buckets[..=last].iter().sum()
    }

    /// The duration that `percent` of those counted don't exceed; `None` if nothing was counted.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        let rank = ((self.count as f64 * percent / 100.0).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_micros(upper_bound_us(bucket).min(self.max_us)))
    }
}

fn bucket_of(us: u64) -> usize {
    if us < STEPS {
        return us as usize;
    }
    let octave = us.ilog2() - STEP_BITS;
    let step = (us >> octave) - STEPS;
    (STEPS * u64::from(octave + 1) + step) as usize
}

fn upper_bound_us(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let octave = bucket / STEPS - 1;
    ((STEPS + bucket % STEPS + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred_values() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50.0), None);
        for us in 1..=50 {
            histogram.record(Duration::from_micros(us));
        }
        for us in 51..=100 {
            histogram.record(Duration::from_micros(us * 1000));
        }
        assert_eq!(histogram.percentile(50.0), Some(Duration::from_micros(50)));
        assert_eq!(histogram.percentile(0.0), Some(Duration::from_micros(1)));
        let p95 = histogram.percentile(95.0).unwrap().as_micros() as f64;
        assert!((95_000.0..95_000.0 * (1.0 + 1.0 / 64.0)).contains(&p95), "{p95}");
        assert_eq!(histogram.percentile(100.0), Some(Duration::from_millis(100)));
        assert_eq!(histogram.max(), Duration::from_millis(100));
    }

    #[test]
    fn every_value_lies_in_its_bucket() {
        let mut below = 0;
        for bucket in 0..STEPS as usize * (OCTAVES + 1) {
            let upper = upper_bound_us(bucket);
            assert_eq!(bucket_of(upper), bucket);
            assert_eq!(bucket_of(below), bucket);
            below = upper + 1;
        }
    }

    #[test]
    fn a_day_is_counted_as_the_longest_bucket() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::from_secs(1 << 30));
        assert_eq!(histogram.count(), 1);
        assert!(histogram.percentile(50.0).is_some());
    }

    #[test]
    fn those_up_to_a_duration_are_counted() {
        let mut histogram = Histogram::default();
        for ms in [0, 20, 40, 100] {
            histogram.record(Duration::from_millis(ms));
        }
        assert_eq!(
            [0, 20, 39, 1_000].map(|ms| histogram.count_up_to(Duration::from_millis(ms))),
            [1, 2, 2, 4]
        );
    }

    #[test]
    fn merged_histograms_count_together() {
        let (mut a, mut b) = (Histogram::default(), Histogram::default());
        a.record(Duration::from_micros(1));
        b.record(Duration::from_micros(3));
        a.merge(&b);
        assert_eq!((a.count(), a.percentile(100.0)), (2, Some(Duration::from_micros(3))));
    }
}
