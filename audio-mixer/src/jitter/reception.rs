//! Sequence numbers and times of arrival in; what a receiver reports of a stream out (RFC 3550, section 6.4.1).

use std::time::Instant;

use crate::jitter::units;

/// A sequence number this far ahead of the highest is that of a sender that restarted (RFC 3550, appendix A.1).
const DROPOUT_MAX: u16 = 3000;

/// One this far behind, too.
const MISORDER_MAX: u16 = 100;

/// What a sequence number says of its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It was not seen before, and stands here in the stream: the number with its wraps, which may be below that of
    /// the first packet.
    New(i64),
    /// It was seen before.
    Duplicate,
    /// It is far from all others: a stray, or the first after a restart. The next number decides.
    Suspect,
    /// It follows the suspect: the sender restarted, and numbers count from here.
    Restarted(i64),
}

/// What was received of one synchronisation source, for its receiver reports and for metrics.
///
/// The algorithms are those of RFC 3550: appendix A.1 (sequence numbers; without the probation of new sources, for
/// signalling has announced this one), A.3 (loss) and A.8 (interarrival jitter).
#[derive(Clone, Debug)]
pub struct Reception {
    clock_hz: u32,
    origin: Option<Instant>,
    numbers: Option<Numbers>,
    suspect: Option<u16>,
    transit: Option<u32>,
    /// In 1/16 of a unit of the RTP clock.
    jitter_16: u32,
}

/// The numbers since the source started, or restarted.
#[derive(Clone, Debug)]
struct Numbers {
    first: i64,
    highest: i64,
    /// Which of the last numbers were received: the least bit is the highest number.
    seen: u128,
    received: u64,
    duplicates: u64,
    expected_at_report: i64,
    received_at_report: u64,
}

/// The fields of a report block (RFC 3550, section 6.4.1) that come from packets of media alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceptionReport {
    /// Lost since the report before, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the start, within the 24 bits of the field. Duplicates count as received, so it may be negative.
    pub cumulative_lost: i32,
    /// The highest sequence number, with the count of its wraps in the upper half.
    pub highest_sequence: u32,
    /// Interarrival jitter, in units of the RTP clock.
    pub jitter: u32,
}

impl Reception {
    /// Of a source whose RTP clock has this rate, in Hz.
    pub fn new(clock_hz: u32) -> Reception {
        Reception { clock_hz, origin: None, numbers: None, suspect: None, transit: None, jitter_16: 0 }
    }

    /// Takes note of a packet's sequence number.
    pub fn receive(&mut self, sequence: u16) -> Arrival {
        let Some(numbers) = &mut self.numbers else {
            self.numbers = Some(Numbers::starting_at(sequence));
            return Arrival::New(sequence.into());
        };
        let ahead = sequence.wrapping_sub(numbers.highest as u16);
        if ahead < DROPOUT_MAX || ahead > MISORDER_MAX.wrapping_neg() {
            self.suspect = None;
            return numbers.receive(ahead as i16);
        }
        // "Two sequential packets -- assume that the other side restarted without telling us" (A.1).
        if self.suspect == Some(sequence) {
            self.numbers = Some(Numbers::starting_at(sequence));
            (self.suspect, self.transit) = (None, None);
            return Arrival::Restarted(sequence.into());
        }
        self.suspect = Some(sequence.wrapping_add(1));
        Arrival::Suspect
    }

    /// Takes note of when a packet arrived, for the jitter: of those alone whose timestamp is that of their sending.
    pub fn time(&mut self, now: Instant, timestamp: u32) {
        let origin = *self.origin.get_or_insert(now);
        let arrival = units(now.saturating_duration_since(origin), self.clock_hz);
        let transit = (arrival as u32).wrapping_sub(timestamp);
        if let Some(previous) = self.transit.replace(transit) {
            let difference = (transit.wrapping_sub(previous) as i32).unsigned_abs();
            self.jitter_16 = self.jitter_16.saturating_add(difference) - ((self.jitter_16 + 8) >> 4);
        }
    }

    /// Timestamps count from elsewhere from now on: the step is no jitter.
    pub fn restart_timing(&mut self) {
        self.transit = None;
    }

    /// The RTP clock has another rate from now on, in Hz, as with another codec; jitter is converted to it.
    pub fn set_clock(&mut self, clock_hz: u32) {
        let jitter_16 = u64::from(self.jitter_16) * u64::from(clock_hz) / u64::from(self.clock_hz.max(1));
        self.jitter_16 = jitter_16.min(u64::from(u32::MAX / 2)) as u32;
        self.clock_hz = clock_hz;
        self.transit = None;
    }

    /// What to report now. What was lost is counted from here for the next report.
    pub fn report(&mut self) -> ReceptionReport {
        let jitter = self.jitter();
        let Some(numbers) = &mut self.numbers else { return ReceptionReport::default() };
        let expected = numbers.expected() - numbers.expected_at_report;
        let received = numbers.received - numbers.received_at_report;
        numbers.expected_at_report = numbers.expected();
        numbers.received_at_report = numbers.received;
        let lost = expected - received as i64;
        // A.3: what duplicates make negative is none.
        let fraction_lost = if lost > 0 { ((lost << 8) / expected).min(255) as u8 } else { 0 };
        let cumulative_lost =
            (numbers.expected() - numbers.received as i64).clamp(-0x80_0000, 0x7f_ffff) as i32;
        ReceptionReport { fraction_lost, cumulative_lost, highest_sequence: numbers.highest as u32, jitter }
    }

    /// Interarrival jitter, in units of the RTP clock.
    pub fn jitter(&self) -> u32 {
        self.jitter_16 >> 4
    }

    /// Packets received since the source started, or restarted, with duplicates.
    pub fn received(&self) -> u64 {
        self.numbers.as_ref().map_or(0, |numbers| numbers.received)
    }

    /// Packets that were sent and not received, by sequence number, as far as is known by now.
    pub fn lost(&self) -> u64 {
        self.numbers.as_ref().map_or(0, |numbers| {
            let unique = numbers.received - numbers.duplicates;
            numbers.expected().saturating_sub_unsigned(unique).max(0) as u64
        })
    }
}

impl Numbers {
    fn starting_at(sequence: u16) -> Numbers {
        let first = i64::from(sequence);
        Numbers {
            first,
            highest: first,
            seen: 1,
            received: 1,
            duplicates: 0,
            expected_at_report: 0,
            received_at_report: 0,
        }
    }

    fn receive(&mut self, ahead: i16) -> Arrival {
        self.received += 1;
        let extended = self.highest + i64::from(ahead);
        if ahead > 0 {
            self.highest = extended;
            self.seen = self.seen.checked_shl(u32::from(ahead.unsigned_abs())).unwrap_or(0) | 1;
            return Arrival::New(extended);
        }
        // Misordered by less than MISORDER_MAX, which is fewer than the bits.
        let bit = 1 << ahead.unsigned_abs();
        if self.seen & bit != 0 {
            self.duplicates += 1;
            return Arrival::Duplicate;
        }
        self.seen |= bit;
        // A.1 counts from the first to arrive; one that was sent before it and comes after is expected too.
        self.first = self.first.min(extended);
        Arrival::New(extended)
    }

    fn expected(&self) -> i64 {
        self.highest - self.first + 1
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn received(sequences: impl IntoIterator<Item = u16>) -> (Reception, Vec<Arrival>) {
        let mut reception = Reception::new(8000);
        let arrivals = sequences.into_iter().map(|sequence| reception.receive(sequence)).collect();
        (reception, arrivals)
    }

    #[test]
    fn numbers_wrap_into_the_upper_half() {
        let (mut reception, arrivals) = received([65_534, 65_535, 0, 1]);
        assert_eq!(arrivals.last(), Some(&Arrival::New(65_537)));
        assert_eq!(reception.report().highest_sequence, 0x0001_0001);
        assert_eq!(reception.lost(), 0);
    }

    #[test]
    fn loss_is_counted_in_256ths_since_the_last_report() {
        let (mut reception, _) = received([1, 2, 4]);
        assert_eq!(reception.report().fraction_lost, 64);
        reception.receive(5);
        let report = reception.report();
        assert_eq!((report.fraction_lost, report.cumulative_lost), (0, 1));
    }

    #[test]
    fn duplicates_hide_loss_from_reports_alone() {
        let (mut reception, arrivals) = received([1, 3, 3, 3]);
        assert_eq!(arrivals[2..], [Arrival::Duplicate; 2]);
        assert_eq!(reception.report().cumulative_lost, -1);
        assert_eq!(reception.lost(), 1);
    }

    #[test]
    fn a_late_packet_is_not_lost() {
        let (reception, arrivals) = received([65_535, 1, 0]);
        assert_eq!(arrivals[2], Arrival::New(65_536));
        assert_eq!(reception.lost(), 0);
    }

    #[test]
    fn a_sender_has_restarted_when_the_second_number_follows() {
        let (reception, arrivals) = received([10, 30_000, 11, 40_000, 40_001]);
        let expected = [Arrival::Suspect, Arrival::New(11), Arrival::Suspect, Arrival::Restarted(40_001)];
        assert_eq!(arrivals[1..], expected);
        assert_eq!(reception.lost(), 0);
    }

    #[test]
    fn the_limits_of_dropout_and_misorder_hold() {
        assert_eq!(received([0, 2999]).1[1], Arrival::New(2999));
        assert_eq!(received([0, 3000]).1[1], Arrival::Suspect);
        assert_eq!(received([200, 101]).1[1], Arrival::New(101));
        assert_eq!(received([200, 100]).1[1], Arrival::Suspect);
    }

    #[test]
    fn jitter_is_the_smoothed_difference_of_transit() {
        let mut reception = Reception::new(8000);
        let start = Instant::now();
        // Every other packet of 20 ms comes 10 ms late: each difference is 80 units.
        for n in 0..500u32 {
            let late_ms = if n % 2 == 0 { 0 } else { 10 };
            reception.receive(n as u16);
            reception
                .time(start + Duration::from_millis(u64::from(20 * n + late_ms)), (160 * n).wrapping_sub(9));
        }
        assert!((79..=81).contains(&reception.jitter()), "{}", reception.jitter());
        reception.set_clock(48_000);
        assert!((474..=486).contains(&reception.jitter()), "{}", reception.jitter());
    }
}
