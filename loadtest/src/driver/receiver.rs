//! What every receiver notes of every packet: the part that runs 150 times a second for each of thousands.

use crate::counts::{StreamCount, StreamTotals};

/// A lean receiver's peer sees one of so many packets of a stream, about one a second: of a stream that it
/// doesn't see at all it would send no receiver reports (RFC 3550, section 6.4).
const SHOWN_EVERY: u64 = 64;

/// The streams of one client.
#[derive(Default)]
pub(super) struct Receiver {
    pub(super) is_present: bool,
    pub(super) opens: bool,
    pub(super) stays: bool,
    streams: Vec<(u32, StreamCount)>,
}

impl Receiver {
    pub(super) fn new(opens: bool, stays: bool) -> Receiver {
        Receiver { is_present: true, opens, stays, streams: Vec::new() }
    }

    /// Notes a packet. Returns whether the peer should see it.
    #[inline]
    pub(super) fn note(&mut self, ssrc: u32, sequence: u16) -> bool {
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
    pub(super) fn start_counting(&mut self) {
        self.streams.clear();
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
        let shown: Vec<u16> = (0..200).filter(|sequence| receiver.note(7, *sequence)).collect();
        assert_eq!(shown, [0, 64, 128, 192]);
        assert_eq!(receiver.totals().received, 200);
    }

    #[test]
    fn an_opening_receiver_shows_every_packet() {
        let mut receiver = Receiver::new(true, true);
        assert!((0..100).all(|sequence| receiver.note(7, sequence)));
    }

    #[test]
    fn streams_are_counted_apart() {
        let mut receiver = Receiver::default();
        for (ssrc, sequence) in [(1, 10), (2, 500), (1, 12), (2, 501), (2, 501)] {
            receiver.note(ssrc, sequence);
        }
        let totals = receiver.totals();
        assert_eq!((totals.expected, totals.received, totals.duplicates), (5, 4, 1));
        receiver.start_counting();
        assert_eq!(receiver.totals(), StreamTotals::default());
    }
}
