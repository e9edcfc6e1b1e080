//! What every receiver notes of every packet: the part that runs 150 times a second for each of thousands.

use std::time::{Duration, Instant};

use crate::counts::{Silences, StreamCount, StreamTotals};
use crate::{Spells, epoch};

/// A lean receiver's peer sees one of so many packets of a stream, about one a second: of a stream that it
/// doesn't see at all it would send no receiver reports (RFC 3550, section 6.4).
const SHOWN_EVERY: u64 = 64;

/// The streams of one client.
#[derive(Default)]
pub(super) struct Receiver {
    pub(super) is_present: bool,
    pub(super) opens: bool,
    pub(super) stays: bool,
    silence: Option<Silence>,
    streams: Vec<(u32, StreamCount)>,
}

/// How long somebody heard nobody, of the time that their room talks.
#[derive(Clone, Copy)]
pub(super) struct Silence {
    since: Instant,
    longest: Duration,
    /// `None` if the room talks always.
    spells: Option<Spells>,
}

impl Silence {
    pub(super) fn new(now: Instant, spells: Option<Spells>) -> Silence {
        Silence { since: now, longest: Duration::ZERO, spells }
    }

    #[inline]
    fn end(&mut self, at: Instant) {
        self.longest = self.longest_until(at);
        self.since = at.max(self.since);
    }

    #[inline]
    fn longest_until(&self, at: Instant) -> Duration {
        let silence = at.saturating_duration_since(self.since);
        match &self.spells {
            // Which part of it counts is worked out where that may matter: that is hardly ever.
            Some(spells) if silence > self.longest => {
                let elapsed = |at: Instant| at.saturating_duration_since(epoch());
                self.longest.max(spells.longest_between(elapsed(self.since), elapsed(at)))
            }
            _ => self.longest.max(silence),
        }
    }
}

impl Receiver {
    /// `silence` is given for those who have somebody to hear whenever their room talks.
    pub(super) fn new(opens: bool, stays: bool, silence: Option<Silence>) -> Receiver {
        Receiver { is_present: true, opens, stays, silence, streams: Vec::new() }
    }

    /// Notes a packet. Returns whether the peer should see it.
    #[inline]
    pub(super) fn note(&mut self, ssrc: u32, sequence: u16, at: Instant) -> bool {
        if let Some(silence) = &mut self.silence {
            silence.end(at);
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
        self.silence = self.silence.map(|silence| Silence::new(now, silence.spells));
    }

    /// Counts the silences of a receiver that stays, with the one that goes on. One whose room has not talked had nobody to
    /// hear.
    pub(super) fn add_silences(&self, now: Instant, silences: &mut Silences) {
        let Some(silence) = self.silence.filter(|_| self.stays) else { return };
        let longest = silence.longest_until(now);
        if silence.spells.is_none() || !longest.is_zero() {
            silences.add(longest);
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
            let mut receiver = Receiver::new(false, true, Some(Silence::new(began, None)));
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
        let mut receiver = Receiver::new(false, true, Some(Silence::new(began, None)));
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
        for receiver in
            [Receiver::new(false, true, None), Receiver::new(false, false, Some(Silence::new(began, None)))]
        {
            receiver.add_silences(began + Duration::from_secs(60), &mut silences);
        }
        assert_eq!(silences, Silences::default());
    }

    #[test]
    fn a_silent_room_is_no_silence_and_a_spell_that_nobody_hears_is() {
        // It talks from 0 to 9 s, and again from 27 to 36 s.
        let spells = Spells::of(0, 3, 1);
        let at = |ms| epoch() + Duration::from_millis(ms);
        let silences = |began_ms, heard_ms: &[u64], end_ms| {
            let mut receiver = Receiver::new(false, true, Some(Silence::new(at(began_ms), spells)));
            for ms in heard_ms {
                receiver.note(7, *ms as u16, at(*ms));
            }
            let mut silences = Silences::default();
            receiver.add_silences(at(end_ms), &mut silences);
            (silences.receivers, silences.interrupted, silences.longest.as_millis())
        };
        assert_eq!(silences(8_500, &[8_700, 27_100], 27_500), (1, 0, 400));
        assert_eq!(silences(8_500, &[8_700, 11_000], 29_000), (1, 1, 2_000), "it talks again, unheard");
        assert_eq!(silences(8_500, &[8_700, 37_000], 40_000), (1, 1, 9_000), "all of a spell is missing");
        assert_eq!(silences(10_000, &[], 26_000), (0, 0, 0), "nobody was to be heard");
        assert_eq!(silences(26_000, &[], 29_000), (1, 1, 2_000), "it never began");
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
