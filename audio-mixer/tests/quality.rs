//! How good codecs and resampling are, by tones: each test prints what it measured.

mod common;

use audio_mixer::{Codec, FRAME_SAMPLES, Frame, MixMinus, Ramp, SILENCE, level_dbov};
use common::{amplitude_at, db, encoded, heard, sine};

/// 0 dBm0 in dBov (RFC 6464, section 3).
const DBM0: f64 = -6.18;

/// What a phone hears of frames.
fn through(codec: Codec, frames: &[Frame]) -> Vec<i16> {
    heard(codec, &encoded(codec, frames))
}

/// In dB, of a tone against all that is not the tone.
fn snr_db(samples: &[i16], hz: f64) -> f64 {
    let total = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / samples.len() as f64;
    let tone = amplitude_at(samples, hz).powi(2) / 2.0;
    10.0 * (tone / (total - tone)).log10()
}

/// What a second of a tone becomes, without its beginning.
fn tone_through(codec: Codec, hz: f64, dbov: f64) -> Vec<i16> {
    through(codec, &sine(hz, dbov, 75)).split_off(25 * FRAME_SAMPLES)
}

#[test]
fn a_tone_at_minus_10_dbm0_stays_clean() {
    for (codec, snr_min) in
        [(Codec::Pcmu, 33.0), (Codec::Pcma, 33.0), (Codec::G722, 40.0), (Codec::Opus, 15.0)]
    {
        let snr = snr_db(&tone_through(codec, 1_004.0, -10.0 + DBM0), 1_004.0);
        println!("{codec:?}: {snr:.1} dB");
        assert!(snr > snr_min, "{codec:?}: {snr:.1} dB");
    }
}

#[test]
fn the_telephone_band_is_flat_within_1_db() {
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722] {
        let response =
            |hz| db(amplitude_at(&tone_through(codec, hz, -16.0), hz)) - db(32_768.0) - -16.0 - 3.01;
        let gains: Vec<f64> = (3..=34).map(|n| response(f64::from(n) * 100.0)).collect();
        let (least, most) =
            gains.iter().fold((0.0_f64, 0.0_f64), |(a, b), gain| (a.min(*gain), b.max(*gain)));
        println!("{codec:?}: {least:+.2} to {most:+.2} dB from 300 to 3400 Hz");
        assert!(least > -1.0 && most < 1.0, "{codec:?}: {least:+.2} to {most:+.2} dB");
    }
}

#[test]
fn what_a_narrow_codec_cannot_carry_does_not_come_back_as_something_else() {
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let aliases = (42..79).map(|n| level_dbov(&tone_through(codec, f64::from(n) * 100.0, -6.0)));
        let most = aliases.max().unwrap();
        println!("{codec:?}: aliases up to {} dB", i32::from(most) + 6);
        assert!(most < -6 - 50, "{codec:?}: {most} dBov");
    }
}

#[test]
fn a_narrow_codec_has_no_images_above_4_khz() {
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let image = |n: i32| {
            let hz = f64::from(n) * 100.0;
            let heard = tone_through(codec, hz, -6.0);
            db(amplitude_at(&heard, 8_000.0 - hz)) - db(amplitude_at(&heard, hz))
        };
        let most = (3..=34).map(image).fold(f64::MIN, f64::max);
        println!("{codec:?}: images up to {most:.1} dB");
        assert!(most < -50.0, "{codec:?}: {most:.1} dB");
    }
}

#[test]
fn sound_comes_as_late_as_is_said() {
    for (codec, late_max) in [(Codec::Pcmu, 160), (Codec::Pcma, 160), (Codec::G722, 22), (Codec::Opus, 110)] {
        let mut frames = vec![SILENCE; 10];
        frames[2][..3].copy_from_slice(&[30_000; 3]);
        let heard = through(codec, &frames);
        let (loudest, _) = heard.iter().enumerate().max_by_key(|(_, sample)| sample.unsigned_abs()).unwrap();
        let late = loudest - 2 * FRAME_SAMPLES - 1;
        println!("{codec:?}: {late} samples late");
        assert!(late <= late_max + 2, "{codec:?}: {late} samples");
    }
}

/// Bends of the waveform: a click is one, in a low tone.
fn bend(samples: &[i16]) -> i32 {
    samples
        .windows(3)
        .map(|w| (i32::from(w[0]) - 2 * i32::from(w[1]) + i32::from(w[2])).abs())
        .max()
        .unwrap_or(0)
}

#[test]
fn a_speaker_who_takes_another_ones_place_is_not_heard_to() {
    let voices = [sine(350.0, -15.0, 30), sine(230.0, -12.0, 30)];
    let mut ramps = [Ramp::new(), Ramp::new()];
    let mixed: Vec<i16> = (0..30)
        .flat_map(|tick| {
            let mut mix = MixMinus::new();
            let speaks = [tick < 15, tick >= 15];
            for ((ramp, voice), speaks) in ramps.iter_mut().zip(&voices).zip(speaks) {
                if let Some(frame) = ramp.shape(voice.get(tick).filter(|_| speaks)) {
                    mix.add(&frame);
                }
            }
            mix.all().map(|sample| sample as i16)
        })
        .collect();
    let steady = bend(&mixed[2 * FRAME_SAMPLES..10 * FRAME_SAMPLES]).max(bend(&mixed[20 * FRAME_SAMPLES..]));
    let switch = bend(&mixed[14 * FRAME_SAMPLES..17 * FRAME_SAMPLES]);
    println!("bends by {steady}, and by {switch} at the switch");
    assert!(switch <= 2 * steady, "{switch}, {steady} else");
}

/// Who begins to speak leaves the packets that all share, and gets an encoder of their own.
#[test]
fn a_listener_who_leaves_the_shared_encode_hears_no_click_if_the_new_encoder_heard_the_last_frame() {
    let frames = sine(350.0, -15.0, 40);
    for codec in Codec::ALL {
        let packets = |is_warm: bool| {
            let (mut shared, mut own, mut packet) = (codec.encoder(), codec.encoder(), Vec::new());
            let mut packets = Vec::new();
            for (tick, frame) in frames.iter().enumerate() {
                if tick < 20 {
                    shared.encode(frame, &mut packet);
                    packets.push(packet.clone());
                    continue;
                }
                if tick == 20 && is_warm {
                    own.encode(&frames[tick - 1], &mut packet);
                }
                own.encode(frame, &mut packet);
                packets.push(packet.clone());
            }
            heard(codec, &packets)
        };
        let around = 19 * FRAME_SAMPLES..23 * FRAME_SAMPLES;
        let (cold, warm) = (packets(false), packets(true));
        let steady = bend(&warm[8 * FRAME_SAMPLES..18 * FRAME_SAMPLES]);
        let (cold, warm) = (bend(&cold[around.clone()]), bend(&warm[around]));
        println!("{codec:?}: bends by {steady}, by {warm} at the switch, by {cold} if the encoder is cold");
        assert!(warm <= 3 * steady, "{codec:?}: {warm}, {steady} else");
    }
}

#[test]
fn a_frame_of_silence_stays_silent() {
    for codec in Codec::ALL {
        let frames: Vec<Frame> = vec![SILENCE; 20];
        let level = level_dbov(&through(codec, &frames)[10 * FRAME_SAMPLES..]);
        println!("{codec:?}: {level} dBov");
        // A-law has no zero: its least is 8 (ITU-T G.711).
        assert!(level <= -72, "{codec:?}: {level} dBov");
    }
}
