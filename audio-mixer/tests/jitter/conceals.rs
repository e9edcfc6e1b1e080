//! What is heard in the place of what was lost.

use std::collections::HashSet;

use audio_mixer::FrameKind::Concealed;
use audio_mixer::{DecodeError, Decoder};

use crate::listener::{Linear, Listener};
use crate::network::{Loss, Network, Phone, Weather};
use crate::sound::{clicks, lag, segmental_snr_db, spectral_distance_db, speech};

/// How near something is to what was said.
#[derive(Clone, Copy, Debug)]
struct Judged {
    snr_db: f64,
    distance_db: f64,
    clicks: usize,
}

/// A jitter buffer's sound, and what it would be with zeros in the place of what is lost, over what is lost.
fn beside_zeros(said: &[i16], loss: Loss, seed: u64) -> (Judged, Judged) {
    let length_ms = said.len() as u64 / 16;
    let mut network = Network::new(seed);
    let arrivals = network.carry(&Phone::default(), length_ms, |_| Weather { loss, ..Weather::default() });
    let mut listener = Listener::new(0);
    listener.listen(said, &arrivals, length_ms - 200);
    assert_eq!(listener.last().shortened + listener.last().lengthened, 0);
    let heard = &listener.heard;
    let lag = lag(&said[..32_000], heard, 2000);
    let said = &said[..heard.len() - lag];
    let heard = &heard[lag..];
    let mut zeros = said.to_vec();
    let mut around = HashSet::new();
    for &(start, count) in network.lost.iter().filter(|(start, count)| start + count <= said.len()) {
        zeros[start..start + count].fill(0);
        around.insert(start / 320);
    }
    let pick = |sound: &[i16]| -> Vec<i16> {
        let frames = sound.chunks_exact(320).enumerate().filter(|(n, _)| around.contains(n));
        frames.flat_map(|(_, frame)| frame.iter().copied()).collect()
    };
    let bounds = |&(start, count): &(usize, usize)| [start, start + count];
    let seams: Vec<usize> = network.lost.iter().flat_map(bounds).collect();
    let judged = |sound: &[i16]| Judged {
        snr_db: segmental_snr_db(&pick(said), &pick(sound)),
        distance_db: spectral_distance_db(&pick(said), &pick(sound)),
        clicks: clicks(said, sound, &seams),
    };
    (judged(heard), judged(&zeros))
}

#[test]
fn what_stands_in_for_random_loss_is_nearer_to_speech_than_zeros() {
    for seed in 1..4 {
        let (concealed, zeros) = beside_zeros(&speech(seed, 30_000), Loss::Random(0.05), seed);
        println!("seed {seed}: {concealed:.2?}, zeros {zeros:.2?}");
        assert!(concealed.snr_db > zeros.snr_db + 1.0);
        assert!(concealed.distance_db < zeros.distance_db * 0.5);
        assert_eq!(concealed.clicks, 0);
    }
}

#[test]
fn what_stands_in_for_bursts_is_nearer_to_speech_than_zeros() {
    let loss = Loss::Bursts { enter: 0.03, leave: 0.4, lost_in: 0.9 };
    for seed in 1..4 {
        let (concealed, zeros) = beside_zeros(&speech(seed, 30_000), loss, seed);
        println!("seed {seed}: {concealed:.2?}, zeros {zeros:.2?}");
        assert!(concealed.snr_db > zeros.snr_db + 0.5);
        assert!(concealed.distance_db < zeros.distance_db * 0.65);
        assert_eq!(concealed.clicks, 0);
    }
}

#[test]
fn a_tone_that_loses_packets_has_no_click() {
    for hz in [110.0, 217.0, 440.0] {
        let tone: Vec<i16> = (0..16 * 20_000)
            .map(|n| (8000.0 * (std::f64::consts::TAU * hz * f64::from(n) / 16_000.0).sin()) as i16)
            .collect();
        let (concealed, zeros) = beside_zeros(&tone, Loss::Random(0.05), 9);
        println!("{hz} Hz: {concealed:.2?}, zeros {zeros:.2?}");
        assert!(concealed.snr_db > zeros.snr_db + 6.0);
        assert_eq!(concealed.clicks, 0);
        assert!(zeros.clicks > 20);
    }
}

/// What a codec of its own conceals: a mark for each sample, and another where the next packet repeats what was lost.
struct Marking;

const CONTINUED: i16 = 1111;
const REPEATED: i16 = 2222;

impl Decoder for Marking {
    fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), DecodeError> {
        Linear.decode(payload, samples)
    }

    fn duration(&self, payload: &[u8]) -> Option<usize> {
        Linear.duration(payload)
    }

    fn conceal(&mut self, next: Option<&[u8]>, count: usize, samples: &mut Vec<i16>) -> bool {
        assert_eq!(count % 160, 0, "codecs conceal multiples of 10 ms");
        samples.extend(std::iter::repeat_n(if next.is_some() { REPEATED } else { CONTINUED }, count));
        true
    }
}

#[test]
fn a_codec_conceals_itself_and_by_what_the_next_packet_repeats() {
    let mut arrivals = Network::new(1).carry(&Phone::default(), 2000, |_| Weather::default());
    // Three in a row, and one alone.
    arrivals.retain(|arriving| !matches!(arriving.sequence, 20..=22 | 60));
    for arriving in &mut arrivals {
        // The next ones are there before they are due: nobody has to wait to see that there was a loss.
        if arriving.sequence > 5 {
            arriving.at_us -= 40_000;
        }
    }
    let mut listener = Listener::of(Box::new(Marking), 0);
    listener.listen(&[100; 320], &arrivals, 1900);
    let count = |mark| listener.heard.iter().filter(|&&sample| sample == mark).count();
    assert_eq!((count(CONTINUED), count(REPEATED)), (2 * 320, 2 * 320));
    assert_eq!(listener.last().concealed_samples, 4 * 320);
    assert_eq!(listener.count(Concealed, 0, 1900), 4);
}

#[test]
fn speech_that_is_stretched_has_no_clicks() {
    let said = speech(11, 10_000);
    let weather = |at_ms| Weather {
        jitter_ms: if at_ms / 10_000 % 2 == 0 { 1.0 } else { 90.0 },
        is_fifo: true,
        ..Weather::default()
    };
    let arrivals = Network::new(3).carry(&Phone::default(), 120_000, weather);
    let mut listener = Listener::new(0);
    listener.listen(&said, &arrivals, 119_000);
    let stats = listener.last();
    assert!(stats.shortened > 20, "{stats:?}");
    // It can't be laid beside what was said, so it is laid beside itself: a click is rough in what is smooth around.
    let found = clicks_within(&listener.heard);
    let own = clicks_within(&said.repeat(12));
    println!("{found} isolated rough blocks in what is heard, {own} in what was said; {stats:?}");
    assert!(found <= own + own / 4 + 12, "{found} of {own}");
}

/// Blocks of 1 ms that are much rougher than all within 12 ms.
fn clicks_within(sound: &[i16]) -> usize {
    let rough: Vec<f64> = sound
        .chunks_exact(16)
        .map(|block| {
            let second = |w: &[i16]| (f64::from(w[0]) - 2.0 * f64::from(w[1]) + f64::from(w[2])).powi(2);
            block.windows(3).map(second).sum()
        })
        .collect();
    (12..rough.len() - 12)
        .filter(|&n| {
            let others = rough[n - 12..n - 1].iter().chain(&rough[n + 2..n + 12]);
            rough[n] > 4.0 * others.copied().fold(0.0, f64::max) + 6400.0
        })
        .count()
}
