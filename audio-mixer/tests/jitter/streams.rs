//! Senders that do what senders do: restart, pause, change their codec, and worse.

use std::time::{Duration, Instant};

use audio_mixer::FrameKind::{Concealed, Silence, Speech};
use audio_mixer::{DecodeError, Decoder, JitterBuffer, Packet, SILENCE};
use proptest::prelude::*;

use crate::listener::{Linear, Listener, linear};
use crate::network::{Loss, Network, Phone, Weather};
use crate::sound::{lag, speech};

/// What is heard after the first half second is what was said, sample by sample.
fn is_verbatim(said: &[i16], heard: &[i16]) -> bool {
    let lag = lag(&said[..16_000], heard, 2000);
    (8000..heard.len() - lag).all(|n| heard[n + lag] == said[n % said.len()])
}

#[test]
fn numbers_and_timestamps_wrap_unheard() {
    let said = speech(1, 3000);
    let phone = Phone { first_sequence: 65_500, first_timestamp: u32::MAX - 10_000, ..Phone::default() };
    let arrivals = Network::new(1).carry(&phone, 3000, |_| Weather::default());
    let mut listener = Listener::new(0);
    listener.listen(&said, &arrivals, 2900);
    assert!(is_verbatim(&said, &listener.heard));
    assert_eq!(listener.buffer.report().highest_sequence >> 16, 1);
}

#[test]
fn packet_times_may_be_mixed() {
    let said = speech(2, 6000);
    for packets_ms in [vec![10], vec![30], vec![40], vec![60], vec![10, 20, 30, 40, 60, 20]] {
        let phone = Phone { packets_ms: packets_ms.clone(), ..Phone::default() };
        let arrivals = Network::new(1).carry(&phone, 6000, |_| Weather::default());
        let mut listener = Listener::new(5000);
        listener.listen(&said, &arrivals, 5900);
        let stats = listener.last();
        let is_settled = is_verbatim(&said, &listener.heard);
        println!("{packets_ms:?}: {stats:?}");
        assert_eq!((stats.late, stats.lost, stats.malformed), (0, 0, 0), "{packets_ms:?}");
        // One that is as late as its length says is learnt from: long packets after short ones are.
        assert!(is_settled || packets_ms.len() > 1, "{packets_ms:?}");
        assert_eq!(listener.count(Concealed, 2000, 5900), 0, "{packets_ms:?}");
    }
}

#[test]
fn what_comes_in_disorder_or_twice_is_heard_once_and_in_order() {
    let said = speech(3, 20_000);
    let weather = Weather { jitter_ms: 35.0, duplicated: 0.1, ..Weather::default() };
    let arrivals = Network::new(2).carry(&Phone::default(), 20_000, |_| weather);
    let disordered = arrivals.windows(2).filter(|pair| pair[0].sequence > pair[1].sequence).count();
    assert!(disordered > 50, "{disordered}");
    let mut listener = Listener::new(0);
    listener.listen(&said, &arrivals, 19_900);
    let stats = listener.last();
    println!("{stats:?}");
    assert!(stats.duplicates > 70, "{stats:?}");
    assert_eq!(stats.lost, 0);
    assert!(listener.count(Concealed, 2000, 19_900) <= 20);
}

#[test]
fn timestamps_that_skip_are_silence_and_no_loss() {
    let said = [4000; 320];
    let mut listener = Listener::new(0);
    let phone = Phone { spurts_ms: Some(1000), ..Phone::default() };
    // All of a spurt and the first of the next are there in time, so it is known that nothing is missing.
    let mut arrivals = Network::new(1).carry(&phone, 3000, |_| Weather::default());
    arrivals.iter_mut().for_each(|arriving| arriving.at_us = arriving.at_us / 1_000_000 * 1_000_000);
    listener.listen(&said, &arrivals, 2900);
    assert_eq!(listener.last().lost, 0);
    assert!(listener.count(Silence, 0, 2900) > 40);
}

#[test]
fn a_packet_without_sound_is_no_loss() {
    let mut listener = Listener::new(0);
    let tone: Vec<i16> = (0..320).map(|n| if n % 80 < 40 { 2000 } else { -2000 }).collect();
    let sound = linear(&tone);
    for n in 0..200u16 {
        // An event, from the 50th to the 99th: timestamps stand still.
        let is_event = (50..100).contains(&n);
        let timestamp = if is_event { 50 * 320 } else { u32::from(n) * 320 };
        let payload: &[u8] = if is_event { &[] } else { &sound };
        listener.buffer.push(listener.instant(listener.at_us), &Packet { sequence: n, timestamp, payload });
        listener.pull();
    }
    let stats = listener.last();
    assert_eq!((stats.concealed_samples, stats.lost, stats.malformed), (0, 0, 0), "{stats:?}");
    assert!(listener.count(Silence, 1100, 1900) >= 38);
    assert_eq!(listener.count(Speech, 2100, 4000), 95);
    assert_eq!(stats.target_ms, 20);
}

#[test]
fn a_sender_that_restarts_is_heard_again_at_once() {
    let said = speech(4, 3000);
    for by_reset in [false, true] {
        let mut listener = Listener::new(0);
        let before = Network::new(1).carry(&Phone::default(), 3000, |_| Weather::default());
        listener.listen(&said, &before, 3000);
        if by_reset {
            listener.buffer.reset();
        }
        let phone = Phone { first_sequence: 40_000, first_timestamp: 3_000_000_000, ..Phone::default() };
        let mut after = Network::new(1).carry(&phone, 3000, |_| Weather::default());
        after.iter_mut().for_each(|arriving| arriving.at_us += 3_000_000);
        listener.listen(&said, &after, 5900);
        assert!(listener.count(Speech, 3100, 5900) >= 138, "{:?}", listener.last());
        assert!(listener.last().delay_ms <= 60, "{:?}", listener.last());
        assert_eq!(listener.last().lost, 0);
    }
}

#[test]
fn timestamps_that_jump_alone_are_unheard() {
    let said = speech(5, 6000);
    for jump in [16_000_000, 3_000_000_000, 500_000, 4_294_000_000u32] {
        let mut arrivals = Network::new(1).carry(&Phone::default(), 6000, |_| Weather::default());
        for arriving in arrivals.iter_mut().filter(|arriving| arriving.sequence >= 150) {
            arriving.timestamp = arriving.timestamp.wrapping_add(jump);
        }
        let mut listener = Listener::new(0);
        listener.listen(&said, &arrivals, 5900);
        assert!(is_verbatim(&said, &listener.heard), "{jump}: {:?}", listener.last());
    }
}

#[test]
fn a_clock_that_stood_still_in_a_pause_delays_nothing() {
    let said = speech(5, 6000);
    let mut arrivals = Network::new(1).carry(&Phone::default(), 6000, |_| Weather::default());
    arrivals.iter_mut().filter(|a| a.sequence >= 100).for_each(|a| a.at_us += 1_500_000);
    let mut listener = Listener::new(0);
    listener.listen(&said, &arrivals, 7000);
    assert!(listener.last().delay_ms <= 45, "{:?}", listener.last());
    assert_eq!(listener.count(Concealed, 3700, 7000), 0);
}

#[test]
fn a_sender_ten_times_too_fast_is_cut_and_heard_again_when_it_is_right() {
    let said = speech(6, 6000);
    let mut arrivals = Network::new(1).carry(&Phone::default(), 38_000, |_| Weather::default());
    for arriving in &mut arrivals {
        // 20 s of sound in 2 s.
        let at_us = arriving.at_us;
        arriving.at_us = if at_us < 20_000_000 { at_us / 10 } else { at_us - 18_000_000 };
    }
    let mut listener = Listener::new(0);
    listener.listen(&said, &arrivals, 19_900);
    assert!(listener.stats.iter().all(|stats| stats.waiting_ms <= 500 && stats.waiting_packets <= 64));
    assert!(listener.stats_at(2000).overflowed > 800, "{:?}", listener.stats_at(2000));
    let stats = listener.last();
    assert!(stats.delay_ms <= 60, "{stats:?}");
    assert_eq!(listener.count(Speech, 3000, 19_900), 845);
}

#[test]
fn a_sender_ten_times_too_slow_is_heard_in_pieces() {
    let said = speech(6, 6000);
    let mut arrivals = Network::new(1).carry(&Phone::default(), 1000, |_| Weather::default());
    arrivals.iter_mut().for_each(|arriving| arriving.at_us *= 10);
    let mut listener = Listener::new(0);
    listener.listen(&said, &arrivals, 10_000);
    let stats = listener.last();
    assert_eq!((stats.late, stats.overflowed), (0, 0), "{stats:?}");
    assert!(listener.count(Silence, 1000, 10_000) > 100);
}

/// Linear PCM at 8 kHz: each sample is played twice.
struct Narrow;

impl Decoder for Narrow {
    fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), DecodeError> {
        let pairs = payload.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        samples.extend(pairs.flat_map(|sample| [sample; 2]));
        Ok(())
    }

    fn duration(&self, payload: &[u8]) -> Option<usize> {
        Some(payload.len())
    }

    fn conceal(&mut self, _: Option<&[u8]>, _: usize, _: &mut Vec<i16>) -> bool {
        false
    }
}

#[test]
fn a_change_of_codec_loses_nothing_that_waits() {
    let mut listener = Listener::new(0);
    for n in 0..100u16 {
        if n == 50 {
            listener.buffer.set_decoder(Box::new(Narrow), 8000);
        }
        let (timestamp, payload) = if n < 50 {
            (u32::from(n) * 320, linear(&[3000; 320]))
        } else {
            (7_000_000 + u32::from(n) * 160, linear(&[3000; 160]))
        };
        let at = listener.instant(listener.at_us);
        listener.buffer.push(at, &Packet { sequence: n, timestamp, payload: &payload });
        listener.pull();
    }
    let stats = listener.last();
    assert_eq!((stats.concealed_samples, stats.malformed, stats.orphaned), (0, 0, 0), "{stats:?}");
    assert!(listener.heard[640..].iter().all(|&sample| sample == 3000));
}

#[test]
fn reports_count_what_a_lossy_network_lost() {
    let said = speech(8, 3000);
    let loss = Loss::Bursts { enter: 0.02, leave: 0.3, lost_in: 0.8 };
    let mut network = Network::new(4);
    let weather = Weather { loss, jitter_ms: 10.0, is_fifo: true, ..Weather::default() };
    let arrivals = network.carry(&Phone::default(), 60_000, |_| weather);
    let mut listener = Listener::new(0);
    listener.listen(&said, &arrivals, 61_000);
    let lost = network.lost.len();
    let report = listener.buffer.report();
    assert_eq!(report.cumulative_lost, lost as i32);
    assert_eq!(usize::from(report.fraction_lost), lost * 256 / 3000);
    // The mean difference of two even delays is a third of their range: 3.3 ms, 53 units.
    assert!((30..80).contains(&report.jitter), "{report:?}");
    assert_eq!(listener.buffer.report().fraction_lost, 0);
}

/// An arbitrary packet: mostly near the last one, now and then anywhere.
fn packets() -> impl Strategy<Value = Vec<(u64, i32, i64, usize, u8)>> {
    let sequence = prop_oneof![8 => 1..=1i32, 3 => -5..6i32, 1 => any::<i32>()];
    let timestamp =
        prop_oneof![8 => Just(320i64), 3 => -2000..2000i64, 1 => any::<i32>().prop_map(i64::from)];
    let bytes = prop_oneof![8 => Just(640usize), 2 => 0..2500usize, 1 => Just(0)];
    let elapsed_us = prop_oneof![6 => Just(20_000u64), 3 => 0..60_000u64, 1 => 0..3_000_000u64];
    prop::collection::vec((elapsed_us, sequence, timestamp, bytes, any::<u8>()), 0..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_packets_are_endured(packets in packets(), clock in prop_oneof![Just(8000u32), Just(48_000), 1..u32::MAX]) {
        let start = Instant::now();
        let mut buffer = JitterBuffer::new(Box::new(Linear), clock);
        let (mut at, mut tick) = (Duration::ZERO, Duration::ZERO);
        let (mut sequence, mut timestamp, mut frame) = (0u16, 0u32, SILENCE);
        for (elapsed_us, step, timestep, bytes, other) in packets {
            at += Duration::from_micros(elapsed_us);
            while tick < at {
                buffer.pull(start + tick, &mut frame);
                tick += Duration::from_millis(20);
            }
            sequence = sequence.wrapping_add(step as u16);
            timestamp = timestamp.wrapping_add(timestep as u32);
            let payload = vec![other; bytes];
            buffer.push(start + at, &Packet { sequence, timestamp, payload: &payload });
            let stats = buffer.stats();
            prop_assert!(stats.waiting_ms <= 500 && stats.waiting_packets <= 64);
            match other {
                0..4 => buffer.reset(),
                4..8 => buffer.set_decoder(Box::new(Narrow), clock / 2),
                8..12 => buffer.set_decoder(Box::new(Linear), clock),
                12..16 => drop(buffer.report()),
                _ => {}
            }
        }
        // Whatever came: 2 s after the last packet nothing is left, and nothing is heard.
        for _ in 0..100 {
            buffer.pull(start + tick, &mut frame);
            tick += Duration::from_millis(20);
        }
        let stats = buffer.stats();
        prop_assert_eq!(buffer.pull(start + tick, &mut frame), Silence, "{:?}", stats);
        prop_assert_eq!(stats.waiting_packets, 0, "{:?}", stats);
    }
}
