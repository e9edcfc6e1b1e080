//! Whether a worker keeps up: listeners' turns and sleep in, its strain out, and how long it should gather.
//!
//! What a listener gets waits until the worker comes round to them, and what came meanwhile leaves in the same call: the
//! packets of three voices cost little more than one. A worker that is idle enough sends each at once. One that isn't lets
//! packets wait a little, the longer the busier it is, so waiting is paid for only where it buys something. One for whom that is not
//! enough is strained: it takes nobody new, long before anything is lost.

use std::time::{Duration, Instant};

/// How often the strain is judged.
const WINDOW: Duration = Duration::from_millis(500);

/// How long a turn may be overdue: a frame. What waits longer than a room's log is, is lost.
const OVERDUE_MAX: Duration = Duration::from_millis(20);

/// Of how many turns one may be overdue for longer, or find that packets are gone.
const ONE_LATE_OF: u32 = 5;

/// How busy a worker is that gathers nothing, and one that gathers for as long as it may; between them, the longer the busier.
const BUSY_MIN: f64 = 0.25;
const BUSY_MAX: f64 = 0.5;

/// How long at most: with three voices of 20 ms frames, a call then carries two and a half packets. And how much longer, or
/// less, with each window.
const GATHER_MAX: Duration = Duration::from_millis(15);
const GATHER_STEP: Duration = Duration::from_micros(2500);

/// A worker with less to do in a window that is merely late was held up by something else than its peers.
const TURNS_MIN: u32 = 2500;

/// One that loses packets is strained, whatever holds it up, unless it is of next to nobody.
const LOSING_TURNS_MIN: u32 = 50;

/// Windows in a row that have to agree: a neighbour on the machine takes one now and then.
const WINDOWS_MIN: u32 = 2;

/// How much a worker had to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Strain {
    /// Whether it should be given no more.
    pub(crate) is_strained: bool,
    /// Of its time, what it didn't sleep: 0 to 1.
    pub(crate) busy: f64,
    /// The longest that something waited for a turn.
    pub(crate) wait_max: Duration,
}

/// Judges a worker, window by window.
pub(super) struct StrainGauge {
    began: Instant,
    slept: Duration,
    turns: u32,
    late: u32,
    losing: u32,
    wait_max: Duration,
    /// Windows in a row whose judgement differs from the one that holds.
    differing: u32,
    is_strained: bool,
    gather: Duration,
}

impl StrainGauge {
    pub(super) fn new(now: Instant) -> StrainGauge {
        StrainGauge {
            began: now,
            slept: Duration::ZERO,
            turns: 0,
            late: 0,
            losing: 0,
            wait_max: Duration::ZERO,
            differing: 0,
            is_strained: false,
            gather: Duration::ZERO,
        }
    }

    /// The worker had nothing to do for so long.
    pub(super) fn slept(&mut self, time: Duration) {
        self.slept += time;
    }

    /// How long a packet waits for others.
    pub(super) fn gather(&self) -> Duration {
        self.gather
    }

    /// A listener had a turn, so long after something came for them, and with so much of it gone.
    pub(super) fn took_turn(&mut self, waited: Duration, missed: u64) {
        self.turns += 1;
        self.losing += u32::from(missed > 0);
        self.late += u32::from(waited > self.gather + OVERDUE_MAX);
        self.wait_max = self.wait_max.max(waited);
    }

    /// The judgement, when a window is over.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Strain> {
        let window = now.saturating_duration_since(self.began);
        if window < WINDOW {
            return None;
        }
        let is_late = self.turns >= TURNS_MIN && self.late * ONE_LATE_OF > self.turns;
        let is_losing = self.turns >= LOSING_TURNS_MIN && self.losing * ONE_LATE_OF > self.turns;
        let is_ill = is_late || is_losing;
        self.differing = if is_ill == self.is_strained { 0 } else { self.differing + 1 };
        if self.differing >= WINDOWS_MIN {
            (self.is_strained, self.differing) = (is_ill, 0);
        }
        let busy = 1.0 - (self.slept.as_secs_f64() / window.as_secs_f64()).min(1.0);
        let strain = Strain { is_strained: self.is_strained, busy, wait_max: self.wait_max };
        let (is_strained, differing) = (self.is_strained, self.differing);
        let aim = match self.turns {
            _ if is_losing => GATHER_MAX,
            0..TURNS_MIN => Duration::ZERO,
            _ => GATHER_MAX.mul_f64(((busy - BUSY_MIN) / (BUSY_MAX - BUSY_MIN)).clamp(0.0, 1.0)),
        };
        let gather = aim.clamp(self.gather.saturating_sub(GATHER_STEP), self.gather + GATHER_STEP);
        *self = StrainGauge { is_strained, differing, gather, ..StrainGauge::new(now) };
        Some(strain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows of so many turns, of which some waited too long: whether the worker is strained after each.
    fn judged(windows: &[(u32, u32)]) -> Vec<bool> {
        let mut now = Instant::now();
        let mut gauge = StrainGauge::new(now);
        let mut judge = |&(turns, late): &(u32, u32)| {
            for n in 0..turns {
                gauge.took_turn(if n < late { GATHER_MAX + OVERDUE_MAX * 2 } else { OVERDUE_MAX / 2 }, 0);
            }
            assert_eq!(gauge.poll(now + WINDOW / 2), None);
            now += WINDOW;
            gauge.poll(now).expect("the window is over").is_strained
        };
        windows.iter().map(&mut judge).collect()
    }

    #[test]
    fn a_worker_is_strained_when_two_windows_say_so_and_until_two_say_otherwise() {
        let (well, ill) = ((10_000, 1_900), (10_000, 2_100));
        let windows = [well, ill, well, ill, ill, well, ill, well, well];
        assert_eq!(judged(&windows), [false, false, false, false, true, true, true, true, false]);
    }

    #[test]
    fn a_worker_with_little_to_do_is_not_strained_however_long_it_takes() {
        assert_eq!(judged(&[(TURNS_MIN - 1, TURNS_MIN - 1); 5]), [false; 5]);
        assert_eq!(judged(&[(TURNS_MIN, TURNS_MIN); 2]), [false, true]);
    }

    #[test]
    fn a_worker_that_loses_packets_is_strained_however_few_turns_it_gets() {
        let judged = |turns: u32, losing: u32| {
            let mut now = Instant::now();
            let mut gauge = StrainGauge::new(now);
            let mut judge = |_| {
                (0..turns).for_each(|n| gauge.took_turn(Duration::from_millis(150), u64::from(n < losing)));
                now += WINDOW;
                (gauge.poll(now).expect("the window is over").is_strained, gauge.gather())
            };
            (0..3).map(&mut judge).collect::<Vec<_>>()
        };
        let strained = judged(300, 61);
        assert_eq!(
            strained.iter().map(|(is_strained, _)| *is_strained).collect::<Vec<_>>(),
            [false, true, true]
        );
        assert_eq!(strained[2].1, 3 * GATHER_STEP);
        assert_eq!(judged(300, 60)[2], (false, Duration::ZERO));
        assert_eq!(judged(LOSING_TURNS_MIN - 1, LOSING_TURNS_MIN - 1)[2], (false, Duration::ZERO));
    }

    #[test]
    fn a_worker_gathers_for_longer_the_busier_it_is() {
        let mut now = Instant::now();
        let mut gauge = StrainGauge::new(now);
        let mut gather = |busy: f64, turns: u32| {
            gauge.slept(WINDOW.mul_f64(1.0 - busy));
            (0..turns).for_each(|_| gauge.took_turn(Duration::ZERO, 0));
            now += WINDOW;
            gauge.poll(now).expect("the window is over");
            gauge.gather()
        };
        assert_eq!((gather(BUSY_MIN, 10_000), gather(1.0, 100)), (Duration::ZERO, Duration::ZERO));
        assert_eq!([gather(0.5, 10_000), gather(0.9, 10_000)], [GATHER_STEP, 2 * GATHER_STEP]);
        // Half as busy as one that gathers for as long as it may: for half as long.
        let between =
            (0..9).map(|_| gather((BUSY_MIN + BUSY_MAX) / 2.0, 10_000)).max().expect("nine windows");
        assert!(between.abs_diff(GATHER_MAX / 2) < Duration::from_micros(1), "{between:?}");
        assert_eq!((0..9).map(|_| gather(1.0, 10_000)).max(), Some(GATHER_MAX));
        assert_eq!((0..9).map(|_| gather(0.9, 10)).min(), Some(Duration::ZERO));
    }

    #[test]
    fn sleep_is_not_work() {
        let now = Instant::now();
        let mut gauge = StrainGauge::new(now);
        gauge.slept(WINDOW / 4);
        gauge.took_turn(Duration::from_millis(3), 0);
        let strain = gauge.poll(now + WINDOW).expect("the window is over");
        assert_eq!(strain, Strain { is_strained: false, busy: 0.75, wait_max: Duration::from_millis(3) });
    }
}
