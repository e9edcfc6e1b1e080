//! What a client's network is to be tried for: what is asked for and what it is taken for in, what str0m is told out.

use std::time::{Duration, Instant};

use str0m::bwe::Bitrate;

/// While a client could be sent more than its network is taken for, that is tried so often: a few packets in a row, faster than usual.
const TRY_INTERVAL: Duration = Duration::from_secs(1);

/// A network that takes less than half of what it did has packets waiting: for so long it is not tried for more.
const SPARED_FOR: Duration = Duration::from_secs(2);

/// What is asked for wavers with what cameras send: so much more or less, in percent, is news.
const NEWS_PERCENT: u64 = 25;

/// Nobody is asked for less: what cameras send when nothing moves says little of what they will.
const DESIRED_KBPS_MIN: u32 = 1_000;

/// It is tried for twice as much before anything is known: one picture of one size may take half of that.
const FIRST_KBPS: u64 = 3_000;

/// What str0m was told, and when.
///
/// It tries a network whenever more is desired than before, and more than it takes the network for. So it is told of more when that
/// is wanted, and of a little more again and again where that was not found to pass.
#[derive(Debug, Default)]
pub(super) struct Width {
    told: Option<(u64, u64)>,
    told_at: Option<Instant>,
    /// What the network is taken for, once it can be tried.
    estimate_kbps: Option<u32>,
    /// When that fell to less than half at once.
    fallen_at: Option<Instant>,
}

impl Width {
    /// Whether it can be tried, with what it is taken for by str0m's events: the mean of what it was taken for in the last three
    /// seconds. Returns what it is taken for, if that can be known.
    pub(super) fn can_be_tried(&mut self, can: bool, mean: Bitrate) -> Option<u32> {
        self.estimate_kbps = can.then(|| self.estimate_kbps.unwrap_or(kbps(mean)));
        self.estimate_kbps
    }

    /// What the network is taken for just now. Returns it, if that is news.
    pub(super) fn estimated(&mut self, now: Instant, estimate: Bitrate) -> Option<u32> {
        let estimate = kbps(estimate);
        let former = self.estimate_kbps.replace(estimate)?;
        if estimate < former / 2 {
            self.fallen_at = Some(now);
        }
        (estimate != former).then_some(estimate)
    }

    /// So much is needed for the next larger picture, if there is one, and so much for all. Returns what str0m is to be told, if anything:
    /// the rate to keep up, and the one desired.
    pub(super) fn want(
        &mut self,
        now: Instant,
        next_kbps: Option<u32>,
        desired_kbps: u32,
    ) -> Option<(Bitrate, Bitrate)> {
        let next = next_kbps.map_or(0, u64::from);
        let desired = u64::from(desired_kbps.max(DESIRED_KBPS_MIN)).max(next);
        let is_limited = next > 0 && desired > u64::from(self.estimate_kbps.unwrap_or(0));
        let is_spared = self.fallen_at.is_some_and(|at| now.saturating_duration_since(at) < SPARED_FOR);
        let is_due =
            !is_spared && self.told_at.is_none_or(|at| now.saturating_duration_since(at) >= TRY_INTERVAL);
        let told = match self.told {
            Some((former_next, former)) => {
                let is_news = desired.abs_diff(former) * 100 > former * NEWS_PERCENT;
                let is_over = next == 0 && former_next > 0;
                if !(is_over || is_due && (is_news || is_limited)) {
                    return None;
                }
                // A little more counts as more, whatever it is that wavers.
                let more = if is_news && desired < former { desired } else { desired.max(former) + 1 };
                (next, if is_limited { more } else { desired })
            }
            None => (next, desired.max(FIRST_KBPS)),
        };
        (self.told, self.told_at) = (Some(told), Some(now));
        Some((Bitrate::kbps(told.0), Bitrate::kbps(told.1)))
    }
}

fn kbps(rate: Bitrate) -> u32 {
    (rate.as_u64() / 1_000).try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_pass_is_tried_once_a_second_and_what_wavers_is_no_news() {
        let (mut width, start) = (Width::default(), Instant::now());
        let mut desired = Vec::new();
        width.can_be_tried(true, Bitrate::kbps(500));
        for ms in (0..4_000_u64).step_by(200) {
            let wavering = 2_000 + (ms / 200 % 3) as u32 * 100;
            let now = start + Duration::from_millis(ms);
            desired.extend(width.want(now, Some(900), wavering).map(|(_, rate)| (ms, rate.as_u64() / 1_000)));
        }
        let tried: Vec<u64> = desired.iter().map(|(ms, _)| *ms).collect();
        assert_eq!(tried, [0, 1_000, 2_000, 3_000]);
        assert_eq!(desired[0].1, FIRST_KBPS);
        let more = desired[1..].windows(2).all(|pair| pair[1].1 > pair[0].1);
        assert!(more, "more each time: {desired:?}");
        let now = start + Duration::from_secs(4);
        assert_eq!(width.estimated(now, Bitrate::kbps(4_000)), Some(4_000));
        assert_eq!(width.estimated(now, Bitrate::kbps(4_000)), None);
        let later = start + Duration::from_secs(5);
        assert!(width.want(later, None, 2_050).is_some(), "nothing is to be kept up any more");
        assert!(width.want(later + TRY_INTERVAL, None, 2_100).is_none());
        assert!(width.want(later + TRY_INTERVAL, None, 3_000).is_some());
        // What waits in it is to pass first.
        let fallen_at = later + 2 * TRY_INTERVAL;
        assert_eq!(width.estimated(fallen_at, Bitrate::kbps(300)), Some(300));
        assert!(width.want(fallen_at + SPARED_FOR / 2, Some(900), 3_000).is_none());
        assert!(width.want(fallen_at + SPARED_FOR, Some(900), 3_000).is_some());
    }
}
