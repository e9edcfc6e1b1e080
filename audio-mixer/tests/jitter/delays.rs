//! How late sound is, and how that follows the network.

use audio_mixer::FrameKind::{Concealed, Silence, Speech};

use crate::listener::Listener;
use crate::network::{Network, Phone, Weather};
use crate::sound::speech;

fn jitter(jitter_ms: f64) -> Weather {
    Weather { jitter_ms, is_fifo: true, ..Weather::default() }
}

#[test]
fn the_first_sample_is_heard_within_40_ms_where_nothing_jitters() {
    let said = speech(1, 2000);
    for phase_ms in 0..20 {
        let arrivals = Network::new(1).carry(&Phone::default(), 2000, |_| Weather::default());
        let mut listener = Listener::new(phase_ms * 1000);
        listener.listen(&said, &arrivals, 2000);
        let first = listener.kinds.iter().position(|&kind| kind == Speech).unwrap() as u64;
        let waited_ms = phase_ms + 20 * first - arrivals[0].at_us / 1000;
        assert!((20..=40).contains(&waited_ms), "phase {phase_ms} ms: {waited_ms} ms");
        assert_eq!(listener.count(Concealed, 0, 2000), 0, "phase {phase_ms} ms");
    }
}

#[test]
fn a_good_network_adds_two_frames_at_most() {
    let said = speech(2, 10_000);
    for seed in 0..5 {
        let arrivals = Network::new(seed).carry(&Phone::default(), 60_000, |_| jitter(4.9));
        let mut listener = Listener::new(7000 + 1000 * seed);
        listener.listen(&said, &arrivals, 60_000);
        let worst_target = listener.stats.iter().map(|stats| stats.target_ms).max();
        let worst_delay = listener.stats.iter().map(|stats| stats.delay_ms).max();
        println!("seed {seed}: target {worst_target:?} ms, delay {worst_delay:?} ms");
        assert!(worst_target <= Some(40) && worst_delay <= Some(45), "seed {seed}");
        assert!(listener.count(Concealed, 0, 60_000) <= 1, "seed {seed}");
    }
}

#[test]
fn delay_follows_80_ms_of_jitter_within_a_second_and_back_within_ten() {
    let said = speech(3, 10_000);
    for is_fifo in [true, false] {
        for seed in 0..5 {
            let weather = |at_ms| {
                let jitter_ms = if (10_000..20_000).contains(&at_ms) { 80.0 } else { 1.0 };
                Weather { jitter_ms, is_fifo, ..Weather::default() }
            };
            let arrivals = Network::new(seed).carry(&Phone::default(), 35_000, weather);
            let mut listener = Listener::new(3000);
            listener.listen(&said, &arrivals, 35_000);
            let delays: Vec<_> = (9..35).map(|s| listener.stats_at(1000 * s).delay_ms).collect();
            let concealed_later = listener.count(Concealed, 11_000, 20_000);
            println!("fifo {is_fifo}, seed {seed}: {delays:?} ms, {concealed_later} of 450 concealed");
            println!("   {:?}", listener.last());
            assert!(listener.stats_at(11_000).target_ms >= 60);
            assert!((60..=130).contains(&listener.stats_at(11_200).delay_ms), "{is_fifo}, {seed}");
            assert!(concealed_later <= 30, "{is_fifo}, {seed}: {concealed_later}");
            assert!(listener.stats_at(30_000).delay_ms <= 45, "{is_fifo}, {seed}");
            assert_eq!(listener.count(Concealed, 22_000, 35_000), 0);
        }
    }
}

#[test]
fn an_hour_of_drift_conceals_nothing_and_adds_nothing() {
    let said = speech(4, 30_000);
    for drift_ppm in [-200, 200] {
        let phone = Phone { drift_ppm, ..Phone::default() };
        let arrivals = Network::new(5).carry(&phone, 3_600_000, |_| jitter(3.0));
        let mut listener = Listener::new(0);
        listener.listen(&said, &arrivals, 3_599_000);
        let worst_delay = listener.stats.iter().map(|stats| stats.delay_ms).max();
        let stats = listener.last();
        println!("{drift_ppm} ppm: worst delay {worst_delay:?} ms, {stats:?}");
        assert_eq!(listener.count(Concealed, 1000, 3_599_000), 0, "{drift_ppm} ppm");
        assert_eq!(listener.count(Silence, 1000, 3_599_000), 0, "{drift_ppm} ppm");
        assert!(worst_delay <= Some(60), "{drift_ppm} ppm");
        assert_eq!((stats.overflowed, stats.late), (0, 0));
    }
}

#[test]
fn a_stall_of_the_network_is_made_up_for() {
    let said = speech(6, 10_000);
    let phone = Phone::default();
    let mut arrivals = Network::new(5).carry(&phone, 20_000, |_| jitter(2.0));
    for arriving in &mut arrivals {
        // What is sent from 5.0 to 5.3 s is all held until then.
        if (5_000_000..5_300_000).contains(&arriving.at_us) {
            arriving.at_us = 5_300_000;
        }
    }
    let mut listener = Listener::new(0);
    listener.listen(&said, &arrivals, 20_000);
    let stats = listener.last();
    assert_eq!((stats.late, stats.overflowed, stats.lost), (0, 0, 0), "{stats:?}");
    assert!(listener.stats_at(5_400).delay_ms >= 200, "{:?}", listener.stats_at(5_400));
    assert!(listener.stats_at(13_000).delay_ms <= 60, "{:?}", listener.stats_at(13_000));
}

#[test]
fn each_spurt_begins_at_the_delay_that_is_wanted() {
    let said = speech(7, 10_000);
    let phone = Phone { spurts_ms: Some(2000), ..Phone::default() };
    let arrivals =
        Network::new(5).carry(&phone, 40_000, |at_ms| jitter(if at_ms < 20_000 { 1.0 } else { 60.0 }));
    let mut listener = Listener::new(0);
    listener.listen(&said, &arrivals, 40_000);
    for second in [2, 4, 18, 28, 38] {
        let stats = listener.stats_at(1000 * second + 500);
        assert!(stats.delay_ms + 5 >= stats.target_ms, "{second} s: {stats:?}");
        assert!(stats.delay_ms <= stats.target_ms + 25, "{second} s: {stats:?}");
        // 80 ms are waited for what might come, and then there is silence.
        let to_ms = 1000 * second - 100;
        assert_eq!(listener.count(Silence, to_ms - 500, to_ms), 25, "{second} s");
    }
    assert!(listener.count(Concealed, 0, 20_000) <= 10 * 5);
}
