//! Requests for keyframes of many viewers in, few to the sender out.

use std::time::{Duration, Instant};

/// A keyframe is several times as large as other frames, so a sender is asked no more often than this. One that was asked for
/// serves all who want one until it comes.
const INTERVAL: Duration = Duration::from_millis(500);

/// Between those who want a keyframe of a track and its sender.
#[derive(Clone, Debug, Default)]
pub struct KeyframeGate {
    asked_at: Option<Instant>,
    is_wanted: bool,
}

impl KeyframeGate {
    /// Somebody wants a keyframe. Returns whether the sender is to be asked now; otherwise see [`KeyframeGate::is_due`].
    pub fn want(&mut self, now: Instant) -> bool {
        self.is_wanted = true;
        self.is_due(now)
    }

    /// Whether the sender is to be asked now for what was wanted, because it is time again.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let may_ask = self.asked_at.is_none_or(|at| now.saturating_duration_since(at) >= INTERVAL);
        let is_due = self.is_wanted && may_ask;
        if is_due {
            self.asked_at = Some(now);
        }
        is_due
    }

    /// A keyframe has come: all who wanted one have it.
    pub fn came(&mut self) {
        self.is_wanted = false;
    }

    /// Nobody wants one any more.
    pub fn forget(&mut self) {
        *self = KeyframeGate::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_wishes_are_two_requests_a_second_until_a_keyframe_comes() {
        let (mut gate, start) = (KeyframeGate::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let asked: Vec<u64> = (0..1_000).filter(|&ms| gate.want(at(ms))).collect();
        assert_eq!(asked, [0, 500]);
        assert!(!gate.is_due(at(999)) && gate.is_due(at(1_000)), "what is wanted is asked for again");
        gate.came();
        assert!(!gate.is_due(at(9_000)));
        assert!(gate.want(at(9_001)), "at once after a quiet time");
    }
}
