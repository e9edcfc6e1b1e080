//! RTP timestamps in, positions in the sender's sound out: in samples of the mix, without wraps.

use crate::RATE_HZ;

/// Where timestamps of one RTP clock stand.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    clock_hz: u32,
    anchor: Option<Anchor>,
}

/// A timestamp and where it stands.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    timestamp: u32,
    position: i64,
}

impl Timeline {
    pub(super) fn new(clock_hz: u32) -> Timeline {
        Timeline { clock_hz: clock_hz.max(1), anchor: None }
    }

    /// `None` until a timestamp was anchored.
    pub(super) fn position(&mut self, timestamp: u32) -> Option<i64> {
        let anchor = self.anchor.as_mut()?;
        let ahead = i64::from(timestamp.wrapping_sub(anchor.timestamp) as i32);
        let position = anchor.position + ahead * i64::from(RATE_HZ) / i64::from(self.clock_hz);
        // The anchor follows by whole seconds, in which nothing is rounded, long before the difference wraps.
        let seconds = ahead / i64::from(self.clock_hz);
        if seconds >= 60 {
            anchor.timestamp = anchor.timestamp.wrapping_add((seconds * i64::from(self.clock_hz)) as u32);
            anchor.position += seconds * i64::from(RATE_HZ);
        }
        Some(position)
    }

    pub(super) fn anchor(&mut self, timestamp: u32, position: i64) {
        self.anchor = Some(Anchor { timestamp, position });
    }

    /// The next timestamp is of another clock, or of another sender.
    pub(super) fn restart(&mut self, clock_hz: u32) {
        *self = Timeline::new(clock_hz);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_of_every_clock_wrap_without_a_step() {
        for (clock_hz, step) in [(8000, 160), (16_000, 320), (44_100, 882), (48_000, 960)] {
            let mut timeline = Timeline::new(clock_hz);
            let mut timestamp = u32::MAX - 1_000_000;
            timeline.anchor(timestamp, 0);
            for n in 0..200_000 {
                assert_eq!(timeline.position(timestamp), Some(n * 320), "{clock_hz} Hz, packet {n}");
                timestamp = timestamp.wrapping_add(step);
            }
        }
    }
}
