//! Whether a worker keeps up: flushes and sleep in, its strain out.
//!
//! What a listener gets waits until the worker comes round to them. While that takes less than a frame, waiting even
//! saves work: what came meanwhile leaves in the same call. So a worker is strained, and takes nobody new, long before
//! anything is lost; and those whom it has already get what is left.

use std::time::{Duration, Instant};

/// How often the strain is judged.
const WINDOW: Duration = Duration::from_millis(500);

/// Half a frame: beyond it, half of what could be saved by waiting is saved already.
const WAIT_MAX: Duration = Duration::from_millis(10);

/// Of how many flushes one may wait for longer.
const ONE_LATE_OF: u32 = 20;

/// A worker with less to do in a window was held up by something else than its peers.
const FLUSHES_MIN: u32 = 2500;

/// Windows in a row that have to agree: a neighbour on the machine takes one now and then.
const WINDOWS_MIN: u32 = 2;

/// How much a worker had to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Strain {
    /// Whether it should be given no more.
    pub(crate) is_strained: bool,
    /// Of its time, what it didn't sleep: 0 to 1.
    pub(crate) busy: f64,
    /// The longest that something waited for its flush.
    pub(crate) wait_max: Duration,
}

/// Judges a worker, window by window.
pub(super) struct StrainGauge {
    began: Instant,
    slept: Duration,
    flushes: u32,
    late: u32,
    wait_max: Duration,
    /// Windows in a row whose judgement differs from the one that holds.
    differing: u32,
    is_strained: bool,
}

impl StrainGauge {
    pub(super) fn new(now: Instant) -> StrainGauge {
        StrainGauge {
            began: now,
            slept: Duration::ZERO,
            flushes: 0,
            late: 0,
            wait_max: Duration::ZERO,
            differing: 0,
            is_strained: false,
        }
    }

    /// The worker had nothing to do for so long.
    pub(super) fn slept(&mut self, time: Duration) {
        self.slept += time;
    }

    /// A peer was flushed, so long after something was written to it.
    pub(super) fn flushed(&mut self, waited: Duration) {
        self.flushes += 1;
        self.late += u32::from(waited > WAIT_MAX);
        self.wait_max = self.wait_max.max(waited);
    }

    /// The judgement, when a window is over.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Strain> {
        let window = now.saturating_duration_since(self.began);
        if window < WINDOW {
            return None;
        }
        let is_late = self.flushes >= FLUSHES_MIN && self.late * ONE_LATE_OF > self.flushes;
        self.differing = if is_late == self.is_strained { 0 } else { self.differing + 1 };
        if self.differing >= WINDOWS_MIN {
            (self.is_strained, self.differing) = (is_late, 0);
        }
        let busy = 1.0 - (self.slept.as_secs_f64() / window.as_secs_f64()).min(1.0);
        let strain = Strain { is_strained: self.is_strained, busy, wait_max: self.wait_max };
        let (is_strained, differing) = (self.is_strained, self.differing);
        *self = StrainGauge { is_strained, differing, ..StrainGauge::new(now) };
        Some(strain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows of so many flushes, of which some waited too long: whether the worker is strained after each.
    fn judged(windows: &[(u32, u32)]) -> Vec<bool> {
        let mut now = Instant::now();
        let mut gauge = StrainGauge::new(now);
        let mut judge = |&(flushes, late): &(u32, u32)| {
            for n in 0..flushes {
                gauge.flushed(if n < late { WAIT_MAX * 2 } else { WAIT_MAX / 2 });
            }
            assert_eq!(gauge.poll(now + WINDOW / 2), None);
            now += WINDOW;
            gauge.poll(now).expect("the window is over").is_strained
        };
        windows.iter().map(&mut judge).collect()
    }

    #[test]
    fn a_worker_is_strained_when_two_windows_say_so_and_until_two_say_otherwise() {
        let (well, ill) = ((10_000, 400), (10_000, 600));
        let windows = [well, ill, well, ill, ill, well, ill, well, well];
        assert_eq!(judged(&windows), [false, false, false, false, true, true, true, true, false]);
    }

    #[test]
    fn a_worker_with_little_to_do_is_not_strained_however_long_it_takes() {
        assert_eq!(judged(&[(FLUSHES_MIN - 1, FLUSHES_MIN - 1); 5]), [false; 5]);
        assert_eq!(judged(&[(FLUSHES_MIN, FLUSHES_MIN); 2]), [false, true]);
    }

    #[test]
    fn sleep_is_not_work() {
        let now = Instant::now();
        let mut gauge = StrainGauge::new(now);
        gauge.slept(WINDOW / 4);
        gauge.flushed(Duration::from_millis(3));
        let strain = gauge.poll(now + WINDOW).expect("the window is over");
        assert_eq!(strain, Strain { is_strained: false, busy: 0.75, wait_max: Duration::from_millis(3) });
    }
}
