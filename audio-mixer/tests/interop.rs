//! Our codecs against ffmpeg's: what one encodes, the other decodes.

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use audio_mixer::{Codec, FRAME_SAMPLES};
use common::{amplitude_at, db, encoded, heard, sine};

/// ffmpeg's names of a codec, and the rate of its sound.
fn ffmpeg_format(codec: Codec) -> Option<(&'static str, &'static str, u32)> {
    match codec {
        Codec::Pcmu => Some(("mulaw", "pcm_mulaw", 8_000)),
        Codec::Pcma => Some(("alaw", "pcm_alaw", 8_000)),
        Codec::G722 => Some(("g722", "g722", 16_000)),
        Codec::Opus => None,
    }
}

/// What ffmpeg writes for what it reads.
fn ffmpeg(input: &[u8], arguments: &[&str]) -> Vec<u8> {
    let child = Command::new("ffmpeg")
        .args(["-v", "error"])
        .args(arguments)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.expect("ffmpeg is installed (apt-get install ffmpeg)");
    // A second fits the pipe: nobody waits for the other.
    child.stdin.take().expect("it is piped").write_all(input).expect("ffmpeg reads");
    let output = child.wait_with_output().expect("ffmpeg ends");
    assert!(output.status.success());
    output.stdout
}

fn of_bytes(bytes: &[u8]) -> Vec<i16> {
    bytes.as_chunks().0.iter().map(|&bytes| i16::from_le_bytes(bytes)).collect()
}

fn is_the_tone(samples: &[i16], what: &str) {
    let level = db(amplitude_at(&samples[samples.len() / 2..], 1_000.0) / 32_768.0) - 3.01;
    println!("{what}: {level:.2} dBov");
    assert!((level - -16.0).abs() < 0.3, "{what}: {level:.2} dBov");
    let total = samples[samples.len() / 2..].iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>()
        / (samples.len() - samples.len() / 2) as f64;
    let noise = total - amplitude_at(&samples[samples.len() / 2..], 1_000.0).powi(2) / 2.0;
    let snr = 10.0 * (total / noise).log10();
    println!("{what}: SNR {snr:.1} dB");
    assert!(snr > 30.0, "{what}: {snr:.1} dB");
}

#[test]
fn ffmpeg_hears_what_is_encoded() {
    for codec in Codec::ALL {
        let Some((format, _, rate_hz)) = ffmpeg_format(codec) else { continue };
        let stream = encoded(codec, &sine(1_000.0, -16.0, 50)).concat();
        let rate = rate_hz.to_string();
        let from: &[&str] =
            if codec == Codec::G722 { &["-f", format] } else { &["-f", format, "-ar", &rate] };
        let arguments = [from, &["-i", "-", "-f", "s16le", "-ar", "16000"]].concat();
        let decoded = ffmpeg(&stream, &arguments);
        is_the_tone(&of_bytes(&decoded), &format!("{codec:?} to ffmpeg"));
    }
}

#[test]
fn what_ffmpeg_encodes_is_heard() {
    for codec in Codec::ALL {
        let Some((format, encoder, rate_hz)) = ffmpeg_format(codec) else { continue };
        let sent: Vec<u8> =
            sine(1_000.0, -16.0, 50).iter().flatten().flat_map(|sample| sample.to_le_bytes()).collect();
        let rate = rate_hz.to_string();
        let arguments =
            ["-f", "s16le", "-ar", "16000", "-i", "-", "-ar", &rate, "-c:a", encoder, "-f", format];
        let stream = ffmpeg(&sent, &arguments);
        let packets: Vec<Vec<u8>> = stream.chunks_exact(160).map(<[u8]>::to_vec).collect();
        assert!(packets.len() >= 45, "{codec:?}: {} packets", packets.len());
        let samples = heard(codec, &packets);
        assert_eq!(samples.len(), packets.len() * FRAME_SAMPLES);
        is_the_tone(&samples, &format!("{codec:?} from ffmpeg"));
    }
}
