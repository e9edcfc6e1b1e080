use std::sync::Arc;

use selector::Level;

use super::*;
use crate::Encoding;

fn packet(source: u32, seq: u64, timestamp: u32) -> AudioPacket {
    AudioPacket {
        source: SourceId(source),
        epoch: StreamEpoch(0),
        seq,
        timestamp,
        marker: false,
        encoding: Encoding::Opus,
        level: Level::from_dbov(-30),
        voice: None,
        payload: Arc::from(&b"opus"[..]),
    }
}

const FRAME: Duration = Duration::from_millis(20);

#[test]
fn a_switch_continues_sequence_and_time() {
    let (mut slot, now) = (Slot::new(100, 5_000), Instant::now());
    assert_eq!(
        slot.rewrite(now, 1, &packet(1, 7_000, 123)),
        Some(Rewritten { seq: 100, timestamp: 5_000, marker: true })
    );
    assert_eq!(
        slot.rewrite(now + FRAME, 1, &packet(1, 7_001, 123 + 960)),
        Some(Rewritten { seq: 101, timestamp: 5_960, marker: false })
    );
    assert_eq!(
        slot.rewrite(now + FRAME * 2, 2, &packet(2, 9, 0)),
        Some(Rewritten { seq: 102, timestamp: 5_960 + 960, marker: true })
    );
}

#[test]
fn time_goes_on_while_a_slot_is_free() {
    let (mut slot, now) = (Slot::new(0, 0), Instant::now());
    slot.rewrite(now, 1, &packet(1, 1, 77));
    let after = slot.rewrite(now + Duration::from_secs(3), 2, &packet(2, 1, 0)).expect("accepted");
    assert_eq!((after.seq, after.timestamp), (1, 3 * 48_000));
}

#[test]
fn two_speakers_in_one_instant_do_not_share_a_timestamp() {
    let (mut slot, now) = (Slot::new(0, 0), Instant::now());
    slot.rewrite(now, 1, &packet(1, 1, 0));
    let second = slot.rewrite(now, 2, &packet(2, 1, 0)).expect("accepted");
    assert_eq!(second.timestamp, 960);
}

#[test]
fn a_packet_from_before_the_switch_is_dropped() {
    let (mut slot, now) = (Slot::new(0, 0), Instant::now());
    slot.rewrite(now, 1, &packet(1, 50, 0));
    assert_eq!(slot.rewrite(now, 1, &packet(1, 49, 0)), None);
}

#[test]
fn loss_and_reordering_of_the_sender_pass_through() {
    let (mut slot, now) = (Slot::new(10, 0), Instant::now());
    let mut seq =
        |seq: u64| slot.rewrite(now, 1, &packet(1, seq, seq as u32 * 960)).map(|r| (r.seq, r.timestamp));
    assert_eq!(seq(1), Some((10, 0)));
    assert_eq!(seq(4), Some((13, 3 * 960)));
    assert_eq!(seq(3), Some((12, 2 * 960)));
    assert_eq!(seq(5), Some((14, 4 * 960)));
}

#[test]
fn the_same_speaker_after_a_pause_leaves_no_hole() {
    let (mut slot, now) = (Slot::new(0, 0), Instant::now());
    slot.rewrite(now, 1, &packet(1, 1, 0));
    let again = slot.rewrite(now + FRAME * 50, 2, &packet(1, 51, 50 * 960)).expect("accepted");
    assert_eq!((again.seq, again.timestamp, again.marker), (1, 50 * 960, true));
}

#[test]
fn a_new_epoch_of_the_same_speaker_is_a_switch() {
    let (mut slot, now) = (Slot::new(0, 0), Instant::now());
    slot.rewrite(now, 1, &packet(1, 1_000, 0));
    let restarted = AudioPacket { epoch: StreamEpoch(1), ..packet(1, 3, 999_999) };
    let after = slot.rewrite(now + FRAME, 1, &restarted).expect("accepted");
    assert_eq!((after.seq, after.timestamp), (1, 960));
}

#[test]
fn a_gap_that_no_loss_explains_is_passed_on_as_time_only() {
    let (mut slot, now) = (Slot::new(0, 0), Instant::now());
    slot.rewrite(now, 1, &packet(1, 100, 0));
    let at_the_limit = slot.rewrite(now, 1, &packet(1, 100 + GAP_PACKETS_MAX, 960)).expect("accepted");
    assert_eq!((at_the_limit.seq, at_the_limit.marker), (GAP_PACKETS_MAX, false));
    let past_it = packet(1, 100 + 2 * GAP_PACKETS_MAX + 1, 1_920);
    let past_it = slot.rewrite(now + Duration::from_secs(2), 1, &past_it).expect("accepted");
    assert_eq!((past_it.seq, past_it.timestamp), (GAP_PACKETS_MAX + 1, 960 + 2 * 48_000));
    assert!(past_it.marker);
}

#[test]
fn a_late_packet_whose_time_is_not_late_is_dropped() {
    let (mut slot, now) = (Slot::new(0, 0), Instant::now());
    slot.rewrite(now, 1, &packet(1, 1, 0));
    slot.rewrite(now, 1, &packet(1, 4, 3 * 960));
    assert_eq!(slot.rewrite(now, 1, &packet(1, 2, 4 * 960)), None);
    let late = slot.rewrite(now, 1, &packet(1, 3, 2 * 960)).expect("accepted");
    assert_eq!((late.seq, late.timestamp), (2, 2 * 960));
}

#[test]
fn what_was_said_before_the_switch_gets_the_clock_ahead_and_no_pause_takes_it_back() {
    let (mut slot, now) = (Slot::new(0, 0), Instant::now());
    let mut timestamp =
        |now, tenure, packet| slot.rewrite(now, tenure, &packet).map(|rewritten| rewritten.timestamp);
    timestamp(now, 1, packet(1, 1, 0));
    let switch = now + FRAME;
    assert_eq!(timestamp(switch, 2, packet(2, 7, 0)), Some(960));
    assert_eq!(timestamp(switch, 2, packet(2, 8, 960)), Some(2 * 960));
    assert_eq!(timestamp(switch, 2, packet(2, 9, 2 * 960)), Some(3 * 960));
    // 60 ms later the receiver expects 3 * 960 more: a packet with less would be late.
    assert_eq!(timestamp(switch + FRAME * 3, 3, packet(3, 1, 0)), Some(6 * 960));
}
