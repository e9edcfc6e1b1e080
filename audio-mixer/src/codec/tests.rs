//! What all codecs promise.

use proptest::prelude::*;

use super::*;
use crate::FRAME_SAMPLES;

fn speech_like(frame: usize) -> Frame {
    std::array::from_fn(|n| {
        let t = (frame * FRAME_SAMPLES + n) as f32 / RATE_HZ as f32;
        let voice =
            (1..6).map(|k| (t * 140.0 * k as f32 * std::f32::consts::TAU).sin() / k as f32).sum::<f32>();
        (voice * 4_000.0 * (0.6 + 0.4 * (t * 25.0).sin())) as i16
    })
}

fn packets(codec: Codec, count: usize) -> Vec<Vec<u8>> {
    let mut encoder = codec.encoder();
    let encode = |frame| {
        let mut packet = Vec::new();
        encoder.encode(&speech_like(frame), &mut packet);
        packet
    };
    (0..count).map(encode).collect()
}

fn energy(samples: &[i16]) -> f64 {
    samples.iter().map(|&sample| f64::from(sample).powi(2)).sum()
}

#[test]
fn a_packet_of_a_frame_holds_a_frame() {
    for codec in Codec::ALL {
        let mut decoder = codec.decoder();
        for packet in packets(codec, 5) {
            let mut samples = vec![7; 3];
            assert_eq!(decoder.duration(&packet), Some(FRAME_SAMPLES), "{codec:?}");
            decoder.decode(&packet, &mut samples).unwrap();
            assert_eq!(samples.len(), 3 + FRAME_SAMPLES, "{codec:?}");
            assert_eq!(samples[..3], [7; 3], "what was there stays, {codec:?}");
        }
    }
}

#[test]
fn packets_of_usual_lengths_hold_them() {
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722] {
        for ms in [10, 20, 30, 40, 60, 120] {
            let mut samples = Vec::new();
            codec.decoder().decode(&vec![0x55; 8 * ms], &mut samples).unwrap();
            assert_eq!(samples.len(), 16 * ms, "{codec:?}, {ms} ms");
        }
        assert_eq!(codec.decoder().decode(&vec![0x55; 8 * 120 + 1], &mut Vec::new()), Err(DecodeError));
    }
}

#[test]
fn an_empty_payload_is_of_no_codec() {
    for codec in Codec::ALL {
        assert_eq!(codec.decoder().duration(&[]), None);
        assert_eq!(codec.decoder().decode(&[], &mut Vec::new()), Err(DecodeError));
    }
}

#[test]
fn names_and_clocks_are_those_of_sdp() {
    assert_eq!(Codec::ALL.map(Codec::encoding_name), ["PCMU", "PCMA", "G722", "opus"]);
    assert_eq!(Codec::from_encoding_name("OPUS"), Some(Codec::Opus));
    assert_eq!(Codec::from_encoding_name("telephone-event"), None);
    assert_eq!(Codec::ALL.map(Codec::clock_rate_hz), [8_000, 8_000, 8_000, 48_000]);
    assert_eq!(Codec::ALL.map(Codec::static_payload_type), [Some(0), Some(8), Some(9), None]);
    assert_eq!(Codec::ALL.map(Codec::frame_ticks), [160, 160, 160, 960]);
}

#[test]
fn stereo_opus_of_a_browser_is_heard_in_one_channel() {
    let mut encoder =
        ::opus::Encoder::new(48_000, ::opus::Channels::Stereo, ::opus::Application::Audio).unwrap();
    let mut decoder = Codec::Opus.decoder();
    let mut samples = Vec::new();
    for frame in 0..20 {
        let tone =
            |n: usize| ((frame * 960 + n) as f32 / 48_000.0 * 440.0 * std::f32::consts::TAU).sin() * 8_000.0;
        // Only the left channel sounds.
        let stereo: Vec<i16> = (0..960).flat_map(|n| [tone(n) as i16, 0]).collect();
        let packet = encoder.encode_vec(&stereo, 1_275).unwrap();
        decoder.decode(&packet, &mut samples).unwrap();
    }
    assert_eq!(samples.len(), 20 * FRAME_SAMPLES);
    let rms = (energy(&samples[3_200..]) / 3_200.0).sqrt();
    assert!((2_000.0..4_000.0).contains(&rms), "half of 5657 is heard, {rms}");
}

#[test]
fn opus_repairs_a_loss_from_the_next_packet_better_than_by_going_on() {
    let mut encoder = Codec::Opus.encoder();
    // Speech that begins in the packet that is lost: only the packet after it knows.
    let frames: Vec<Frame> =
        (0..30).map(|n| if n < 20 { [0; FRAME_SAMPLES] } else { speech_like(n) }).collect();
    let packets: Vec<Vec<u8>> = frames
        .iter()
        .map(|frame| {
            let mut packet = Vec::new();
            encoder.encode(frame, &mut packet);
            packet
        })
        .collect();
    let lost = 21;
    let heard = |next: Option<&[u8]>| {
        let mut decoder = Codec::Opus.decoder();
        let mut samples = Vec::new();
        for packet in &packets[..lost] {
            decoder.decode(packet, &mut samples).unwrap();
        }
        samples.clear();
        assert!(decoder.conceal(next, FRAME_SAMPLES, &mut samples));
        assert_eq!(samples.len(), FRAME_SAMPLES);
        samples
    };
    let mut decoder = Codec::Opus.decoder();
    let mut whole = Vec::new();
    for packet in &packets {
        decoder.decode(packet, &mut whole).unwrap();
    }
    let sent = &whole[lost * FRAME_SAMPLES..][..FRAME_SAMPLES];
    let error = |heard: Vec<i16>| {
        sent.iter().zip(heard).map(|(&a, b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>()
            / energy(sent)
    };
    let (repaired, continued) = (error(heard(Some(&packets[lost + 1]))), error(heard(None)));
    assert!(repaired < continued / 2.0, "repaired {repaired:.3}, continued {continued:.3}");
}

#[test]
fn opus_conceals_any_count() {
    let mut decoder = Codec::Opus.decoder();
    for packet in packets(Codec::Opus, 5) {
        decoder.decode(&packet, &mut Vec::new()).unwrap();
    }
    for count in [0, 1, 39, 40, 80, 160, 320, 321, 960, 1_920, 1_921, 10_000] {
        let mut samples = vec![1; 2];
        assert!(decoder.conceal(None, count, &mut samples));
        assert_eq!(samples.len(), 2 + count);
        let mut samples = Vec::new();
        assert!(decoder.conceal(Some(&[0xff; 9]), count, &mut samples), "what comes next may be anything");
        assert_eq!(samples.len(), count);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_payload_panics_or_yields_more_than_it_says(
        start in prop::collection::vec(any::<u8>(), 0..1_400),
        // Of a packet, and of all lengths that UDP has.
        filler in (any::<u8>(), prop_oneof![4 => Just(0), 1 => 0..=65_535_usize]),
        next in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut payload = start;
        payload.resize(payload.len().max(filler.1), filler.0);
        for codec in Codec::ALL {
            let mut decoder = codec.decoder();
            for _ in 0..2 {
                let mut samples = Vec::new();
                let said = decoder.duration(&payload);
                let done = decoder.decode(&payload, &mut samples);
                prop_assert!(samples.len() <= PACKET_SAMPLES_MAX);
                match done {
                    Ok(()) => prop_assert_eq!(said, Some(samples.len())),
                    Err(DecodeError) => prop_assert!(samples.is_empty()),
                }
                decoder.conceal(Some(&next), 320, &mut samples);
            }
        }
    }
}
