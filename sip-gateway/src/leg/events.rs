//! Keys that a phone sends as RTP packets of their own (RFC 4733): payloads in, each key once out.

use audio_mixer::Digit;

/// RFC 4733, section 2.3: event, end bit, reserved bit, volume, and a duration of two bytes.
const PAYLOAD_BYTES: usize = 4;

/// Tells the keys of one stream. A key is one event, which takes many packets, all with the timestamp of its beginning.
#[derive(Debug, Default)]
pub(super) struct KeyEvents {
    /// The event that was told last.
    told: Option<(u32, u8)>,
}

impl KeyEvents {
    /// The key that a packet of the event payload type begins. It is told at its first packet that arrives, not at its end:
    /// whoever holds a key down for a second shouldn't wait for one.
    pub(super) fn packet(&mut self, timestamp: u32, payload: &[u8]) -> Option<Digit> {
        // RFC 4733, section 2.5.1.5: several events may share a packet only if they end in it; nobody sends so.
        let event = *payload.first().filter(|_| payload.len() >= PAYLOAD_BYTES)?;
        let key = Digit::from_event(event)?;
        let is_later = self.told.is_none_or(|(told, _)| timestamp.wrapping_sub(told).cast_signed() > 0);
        if !is_later {
            return None;
        }
        self.told = Some((timestamp, event));
        Some(key)
    }

    /// Another stream has begun, with a clock of its own.
    pub(super) fn restart(&mut self) {
        self.told = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(event: u8, is_end: bool, duration: u16) -> [u8; 4] {
        let [high, low] = duration.to_be_bytes();
        [event, if is_end { 0x8a } else { 0x0a }, high, low]
    }

    #[test]
    fn a_key_is_told_once_however_many_packets_it_takes() {
        let mut events = KeyEvents::default();
        let key = |events: &mut KeyEvents, at, event| {
            let packets = [(false, 160), (false, 320), (true, 480), (true, 480), (true, 480)];
            packets
                .iter()
                .filter_map(|&(end, duration)| events.packet(at, &payload(event, end, duration)))
                .map(Digit::as_char)
                .collect()
        };
        let told: Vec<String> =
            [(1600, 1), (4800, 1), (9600, 11)].map(|(at, event)| key(&mut events, at, event)).into();
        assert_eq!(told, ["1", "1", "#"]);
    }

    #[test]
    fn a_key_whose_first_packets_were_lost_is_told_by_its_end() {
        let mut events = KeyEvents::default();
        assert_eq!(events.packet(160, &payload(10, true, 800)), Digit::from_char('*'));
        assert_eq!(events.packet(160, &payload(10, true, 800)), None);
    }

    #[test]
    fn what_comes_late_or_is_no_key_is_none() {
        let mut events = KeyEvents::default();
        assert_eq!(events.packet(u32::MAX, &payload(5, false, 160)), Digit::from_char('5'));
        assert_eq!(events.packet(u32::MAX - 3200, &payload(4, true, 160)), None, "late");
        assert_eq!(
            events.packet(800, &payload(6, false, 160)),
            Digit::from_char('6'),
            "the clock has rolled over"
        );
        for other in [&payload(16, true, 160)[..], &payload(255, true, 0), &[3, 0x80, 0], &[]] {
            assert_eq!(events.packet(80_000, other), None);
        }
    }
}
