//! What every receiver notes of every packet: the part that runs 150 times a second for each of thousands.

use std::time::{Duration, Instant};

use crate::counts::{Silences, StreamCount, StreamTotals};

/// A lean receiver's peer sees one of so many packets of a stream, about one a second: of a stream that it
/// doesn't see at all it would send no receiver reports (RFC 3550, section 6.4).
const SHOWN_EVERY: u64 = 64;

/// The streams of one client.
#[derive(Default)]
pub(super) struct Receiver {
    pub(super) is_present: bool,
    pub(super) opens: bool,
    pub(super) stays: bool,
    /// Of those who always have somebody to hear: since when they hear nobody.
    silent_since: Option<Instant>,
    longest_silence: Duration,
    streams: Vec<(u32, StreamCount)>,
}

impl Receiver {
    /// `has_voices_since` is given for those who always have somebody to hear.
    pub(super) fn new(opens: bool, stays: bool, has_voices_since: Option<Instant>) -> Receiver {
        let (silent_since, longest_silence) = (has_voices_since, Duration::ZERO);
        Receiver { is_present: true, opens, stays, silent_since, longest_silence, streams: Vec::new() }
    }

    /// Notes a packet. Returns whether the peer should see it.
    #[inline]
    pub(super) fn note(&mut self, ssrc: u32, sequence: u16, at: Instant) -> bool {
        if let Some(since) = &mut self.silent_since {
            self.longest_silence = self.longest_silence.max(at.saturating_duration_since(*since));
            *since = at.max(*since);
        }
        let stream = match self.streams.iter_mut().find(|(of, _)| *of == ssrc) {
            Some((_, stream)) => {
                stream.note(sequence);
                stream
            }
            None => {
                self.streams.push((ssrc, StreamCount::new(sequence)));
                &mut self.streams.last_mut().expect("it was pushed above").1
            }
        };
        self.opens || stream.received() % SHOWN_EVERY == 1
    }

    /// Forgets what was counted.
    pub(super) fn start_counting(&mut self, now: Instant) {
        self.streams.clear();
        self.longest_silence = Duration::ZERO;
        self.silent_since = self.silent_since.map(|_| now);
    }

    /// Counts the silences of a receiver that stays, with the one that goes on.
    pub(super) fn add_silences(&self, now: Instant, silences: &mut Silences) {
        if let Some(since) = self.silent_since.filter(|_| self.stays) {
            silences.add(self.longest_silence.max(now.saturating_duration_since(since)));
        }
    }

    /// Adds up what was counted.
    pub(super) fn totals(&self) -> StreamTotals {
        let mut totals = StreamTotals::default();
        self.streams.iter().for_each(|(_, stream)| totals.add(stream));
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lean_receiver_shows_its_peer_a_packet_a_second() {
        let mut receiver = Receiver::default();
        let now = Instant::now();
        let shown: Vec<u16> = (0..200).filter(|sequence| receiver.note(7, *sequence, now)).collect();
        assert_eq!(shown, [0, 64, 128, 192]);
        assert_eq!(receiver.totals().received, 200);
    }

    #[test]
    fn an_opening_receiver_shows_every_packet() {
        let mut receiver = Receiver::new(true, true, None);
        assert!((0..100).all(|sequence| receiver.note(7, sequence, Instant::now())));
    }

    #[test]
    fn the_longest_silence_counts_be_it_the_last_or_not() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let silences = |heard_ms: &[u64], end_ms| {
            let mut receiver = Receiver::new(false, true, Some(began));
            for ms in heard_ms {
                receiver.note(7, *ms as u16, at(*ms));
            }
            let mut silences = Silences::default();
            receiver.add_silences(at(end_ms), &mut silences);
            (silences.interrupted, silences.longest)
        };
        assert_eq!(silences(&[200, 1_000, 1_500], 2_000), (0, Duration::from_millis(800)));
        assert_eq!(silences(&[200, 1_000], 2_001), (1, Duration::from_millis(1_001)), "the server hangs");
        assert_eq!(silences(&[200, 1_700], 2_000), (1, Duration::from_millis(1_500)), "it hung, and goes on");
        assert_eq!(silences(&[], 5_000), (1, Duration::from_secs(5)), "it never began");
    }

    #[test]
    fn silence_of_before_the_window_counts_nothing() {
        let began = Instant::now();
        let mut receiver = Receiver::new(false, true, Some(began));
        receiver.note(7, 1, began + Duration::from_secs(3));
        receiver.start_counting(began + Duration::from_secs(8));
        let mut silences = Silences::default();
        receiver.add_silences(began + Duration::from_secs(9), &mut silences);
        assert_eq!((silences.receivers, silences.interrupted), (1, 0));
    }

    #[test]
    fn silence_is_none_where_nobody_is_to_be_heard_or_somebody_comes_and_goes() {
        let began = Instant::now();
        let mut silences = Silences::default();
        for receiver in [Receiver::new(false, true, None), Receiver::new(false, false, Some(began))] {
            receiver.add_silences(began + Duration::from_secs(60), &mut silences);
        }
        assert_eq!(silences, Silences::default());
    }

    #[test]
    fn streams_are_counted_apart() {
        let mut receiver = Receiver::default();
        for (ssrc, sequence) in [(1, 10), (2, 500), (1, 12), (2, 501), (2, 501)] {
            receiver.note(ssrc, sequence, Instant::now());
        }
        let totals = receiver.totals();
        assert_eq!((totals.expected, totals.received, totals.duplicates), (5, 4, 1));
        receiver.start_counting(Instant::now());
        assert_eq!(receiver.totals(), StreamTotals::default());
    }
}
