use std::time::Duration;

use super::*;

struct Publisher {
    ingest: Ingest,
    now: Instant,
    ssrc: u32,
    timestamp: u32,
}

impl Publisher {
    fn new() -> Publisher {
        let now = Instant::now();
        Publisher { ingest: Ingest::new(SourceId(1), Gate::Open, now), now, ssrc: 0xfeed, timestamp: 0 }
    }

    fn rtp(&self, seq: u64, payload: &[u8]) -> IncomingRtp {
        IncomingRtp {
            ssrc: self.ssrc,
            seq,
            timestamp: self.timestamp.wrapping_add(960 * seq as u32),
            marker: false,
            encoding: Encoding::Opus,
            level: Some(Level::from_dbov(-30)),
            voice: Some(true),
            payload: payload.into(),
        }
    }

    fn send(&mut self, seq: u64, payload: &[u8]) -> Result<AudioPacket, Dropped> {
        self.now += Duration::from_millis(20);
        let rtp = self.rtp(seq, payload);
        self.ingest.handle(self.now, rtp)
    }

    fn seq(&mut self, seq: u64) -> Result<u64, Dropped> {
        self.send(seq, b"opus").map(|packet| packet.seq)
    }
}

#[test]
fn padding_leaves_no_hole_in_the_numbering() {
    let mut publisher = Publisher::new();
    assert_eq!(publisher.seq(10), Ok(10));
    assert_eq!(publisher.send(11, b""), Err(Dropped::Padding));
    assert_eq!(publisher.send(12, b""), Err(Dropped::Padding));
    assert_eq!(publisher.seq(13), Ok(11));
    assert_eq!(publisher.seq(14), Ok(12));
}

#[test]
fn a_packet_reordered_around_padding_keeps_its_own_number() {
    let mut publisher = Publisher::new();
    assert_eq!(publisher.seq(10), Ok(10));
    assert_eq!(publisher.send(12, b""), Err(Dropped::Padding));
    assert_eq!(publisher.seq(13), Ok(12));
    assert_eq!(publisher.seq(11), Ok(11));
    // Padding that comes late finds its number still empty, and leaves it so.
    assert_eq!(publisher.seq(15), Ok(14));
    assert_eq!(publisher.send(14, b""), Err(Dropped::Padding));
    assert_eq!(publisher.seq(16), Ok(15));
}

#[test]
fn padding_is_remembered_within_bounds() {
    let mut publisher = Publisher::new();
    assert_eq!(publisher.seq(0), Ok(0));
    for seq in 1..=200 {
        assert_eq!(publisher.send(seq, b""), Err(Dropped::Padding));
    }
    assert!(publisher.ingest.numbering.remembered() < 200);
    assert_eq!(publisher.seq(201), Ok(1));
    assert_eq!(publisher.seq(100), Err(Dropped::Late));
}

#[test]
fn a_muted_publisher_is_not_heard_and_starts_anew_afterwards() {
    let mut publisher = Publisher::new();
    let before = publisher.send(1, b"opus").expect("gate is open");
    publisher.ingest.set_gate(Gate::Muted);
    assert_eq!(publisher.seq(2), Err(Dropped::Muted));
    publisher.ingest.set_gate(Gate::Open);
    let after = publisher.send(3, b"opus").expect("gate is open again");
    assert_ne!(before.epoch, after.epoch);
}

#[test]
fn a_listener_is_not_heard() {
    let mut publisher = Publisher::new();
    publisher.ingest.set_gate(Gate::ListenOnly);
    assert_eq!(publisher.seq(1), Err(Dropped::ListenOnly));
}

#[test]
fn a_packet_without_a_level_is_not_ranked() {
    let mut publisher = Publisher::new();
    let rtp = IncomingRtp { level: None, ..publisher.rtp(1, b"opus") };
    assert_eq!(publisher.ingest.handle(publisher.now, rtp), Err(Dropped::NoLevel));
}

#[test]
fn another_ssrc_or_jumping_numbers_begin_a_new_epoch() {
    let mut publisher = Publisher::new();
    let first = publisher.send(1, b"opus").expect("accepted").epoch;
    publisher.ssrc += 1;
    let second = publisher.send(2, b"opus").expect("accepted").epoch;
    publisher.timestamp = publisher.timestamp.wrapping_add(48_000 * 60);
    let third = publisher.send(3, b"opus").expect("accepted").epoch;
    publisher.timestamp = publisher.timestamp.wrapping_sub(48_000);
    let fourth = publisher.send(4, b"opus").expect("accepted").epoch;
    let fifth = publisher.send(40_000, b"opus").expect("accepted").epoch;
    assert_eq!([second.0, third.0, fourth.0, fifth.0], [1, 2, 3, 4].map(|n| first.0 + n));
}

#[test]
fn dtx_is_not_a_jump_of_the_clock() {
    let mut publisher = Publisher::new();
    let before = publisher.send(1, b"opus").expect("accepted").epoch;
    // Ten seconds of silence: the clock goes on, packets don't.
    publisher.now += Duration::from_secs(10);
    publisher.timestamp = publisher.timestamp.wrapping_add(48_000 * 10);
    assert_eq!(publisher.send(2, b"opus").expect("accepted").epoch, before);
}

#[test]
fn a_flood_is_cut_to_the_allowance() {
    let mut publisher = Publisher::new();
    let now = publisher.now;
    let accepted =
        (0..10_000).filter(|&seq| publisher.ingest.handle(now, publisher.rtp(seq, b"opus")).is_ok()).count();
    assert!(accepted <= BURST_PACKETS as usize);
    // The allowance recovers.
    publisher.now += Duration::from_secs(1);
    assert!(publisher.seq(10_001).is_ok());
}

#[test]
fn a_payload_holds_at_the_limit_and_fails_one_byte_past_it() {
    let mut publisher = Publisher::new();
    assert!(publisher.send(1, &[0; PAYLOAD_BYTES_MAX]).is_ok());
    assert_eq!(publisher.send(2, &[0; PAYLOAD_BYTES_MAX + 1]), Err(Dropped::Oversized));
}

#[test]
fn a_clock_that_runs_ahead_packet_by_packet_begins_a_new_epoch() {
    let mut publisher = Publisher::new();
    let first = publisher.send(1, b"opus").expect("accepted").epoch;
    // One second too far with each packet: none of them is a jump by itself.
    let epochs = (2..50).map(|seq| {
        publisher.timestamp = publisher.timestamp.wrapping_add(48_000);
        publisher.send(seq, b"opus").expect("accepted").epoch.0 - first.0
    });
    let last = epochs.last().expect("some were sent");
    assert!((16..=24).contains(&last), "{last} epochs for 48 s");
}

#[test]
fn two_packets_do_not_share_a_time() {
    let mut publisher = Publisher::new();
    let first = publisher.send(1, b"opus").expect("accepted").epoch;
    publisher.timestamp = publisher.timestamp.wrapping_sub(960);
    assert_ne!(publisher.send(2, b"opus").expect("accepted").epoch, first);
}
