//! Tells the packets of a pre-roll, which were kept for a moment, from those that were sent as they came.

use std::time::{Duration, Instant};

use crate::Histogram;
use crate::frame::SyntheticFrame;

/// What is sent at once arrives within this time: half a frame.
const AT_ONCE: Duration = Duration::from_millis(10);

/// One receiver's streams.
#[derive(Clone, Debug, Default)]
pub(crate) struct Onsets {
    /// The newest packet of each stream, by SSRC: what it was shows when the next one comes.
    newest: Vec<(u32, Newest)>,
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    publisher: u32,
    received: Instant,
    age: Duration,
    /// All packets of this publisher so far came at once.
    is_beginning: bool,
}

impl Onsets {
    /// Notes a packet, and counts the age of the one before it: in `kept` if it was of a pre-roll, or else in `live`.
    pub(crate) fn note(
        &mut self,
        ssrc: u32,
        frame: &SyntheticFrame,
        received: Instant,
        live: &mut Histogram,
        kept: &mut Histogram,
    ) {
        let mut new =
            Newest { publisher: frame.publisher, received, age: frame.age(received), is_beginning: true };
        let Some((_, newest)) = self.newest.iter_mut().find(|(of, _)| *of == ssrc) else {
            self.newest.push((ssrc, new));
            return;
        };
        if newest.publisher == frame.publisher {
            let is_at_once = received.saturating_duration_since(newest.received) < AT_ONCE;
            new.is_beginning = newest.is_beginning && is_at_once;
        }
        let was_kept = new.is_beginning && newest.publisher == new.publisher;
        let ages = if was_kept { kept } else { live };
        ages.record(newest.age);
        *newest = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_a_burst_was_kept_but_for_the_last_of_it() {
        let start = crate::frame::epoch() + Duration::from_secs(1);
        let (mut onsets, mut live, mut kept) =
            (Onsets::default(), Histogram::default(), Histogram::default());
        let mut note = |publisher, sent_ms, received_ms| {
            let at = |ms| start + Duration::from_millis(ms);
            let frame = SyntheticFrame::new(publisher, 0, at(sent_ms));
            onsets.note(1, &frame, at(received_ms), &mut live, &mut kept);
        };
        // One is heard as they speak, also where two packets come late and together.
        for (sent, received) in [(0, 2), (20, 22), (40, 70), (60, 70), (80, 82)] {
            note(1, sent, received);
        }
        // Another follows, with two packets from before.
        for (sent, received) in [(60, 102), (80, 102), (100, 103), (120, 122), (140, 142)] {
            note(2, sent, received);
        }
        assert_eq!((live.count(), kept.count()), (7, 2));
        assert_eq!((live.max(), kept.max()), (Duration::from_millis(30), Duration::from_millis(42)));
    }
}
