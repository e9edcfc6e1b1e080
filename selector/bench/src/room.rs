//! A room's microphones: what they pick up, what they send, and what of it arrives when.

use rand::RngExt;
use rand::rngs::StdRng;
use rand_distr::{Distribution, Exp, Normal};

use crate::trace::{Packet, Spurt, Trace};
use crate::voice::{FRAME_MS, Voice};

/// RFC 6464's V bit, as senders set it.
#[derive(Clone, Copy, Debug)]
pub enum VoiceBit {
    /// On every packet: Chromium without DTX.
    Always,
    /// Where there is speech, and 100 ms on.
    Honest,
    /// On no packet: a sender that can't tell.
    Never,
    /// Not sent.
    Absent,
}

/// What a microphone picks up besides its talker.
#[expect(missing_docs, reason = "each field is the level of what its variant describes")]
#[derive(Clone, Copy, Debug)]
pub enum Noise {
    /// A room: hiss around this level.
    Quiet { dbov: f64 },
    /// A fan: steady.
    Fan { dbov: f64 },
    /// A keyboard, in bouts of some seconds: 4 to 8 bangs a second, 20 to 60 ms each.
    Typing { dbov: f64 },
    /// A door or a cough, some times a minute: 200 ms that fade.
    Bangs { dbov: f64 },
    /// Music with a beat.
    Music { dbov: f64 },
    /// No sound: a client that claims this level, with voice, whatever it hears.
    Claim { dbov: f64 },
}

/// One participant's sending side.
#[derive(Clone, Copy, Debug)]
pub struct Microphone {
    /// Who.
    pub source: u32,
    /// The loudness of their voice.
    pub speech_dbov: f64,
    /// The rest.
    pub noise: Noise,
    /// How the V bit is set.
    pub voice_bit: VoiceBit,
    /// Whether silence is sent as one packet each 400 ms (Opus DTX).
    pub dtx: bool,
}

/// The way from microphones to the selector.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// Share of packets lost.
    pub loss: f64,
    /// Mean of the exponentially distributed delay, beyond the least.
    pub jitter_ms: f64,
}

/// Everybody's packets, in the order of their arrival.
pub fn trace(
    rng: &mut StdRng,
    microphones: &[Microphone],
    voice: &Voice,
    network: Network,
    spurts: &[Spurt],
    length_ms: u32,
) -> Trace {
    let mut packets = Vec::new();
    for microphone in microphones {
        packets.extend(send(rng, microphone, voice, network, spurts, length_ms));
    }
    packets.sort_by_key(|packet| packet.at_us);
    Trace { packets, length_ms }
}

fn send(
    rng: &mut StdRng,
    microphone: &Microphone,
    voice: &Voice,
    network: Network,
    spurts: &[Spurt],
    length_ms: u32,
) -> Vec<Packet> {
    let frames = (length_ms / FRAME_MS) as usize;
    let mut levels = noise(rng, microphone.noise, frames);
    let mut spoken: Vec<Option<u32>> = vec![None; frames];
    for (index, spurt) in spurts.iter().enumerate().filter(|(_, spurt)| spurt.source == microphone.source) {
        let from = (spurt.ms.start / FRAME_MS) as usize;
        let to = (spurt.ms.end / FRAME_MS) as usize;
        let uttered = voice.utter(rng, to - from);
        for (n, db) in uttered.into_iter().enumerate() {
            levels[from + n] = louder(levels[from + n], microphone.speech_dbov + db);
            spoken[from + n] = Some(index as u32);
        }
    }
    let phase_us = rng.random_range(0..u64::from(FRAME_MS) * 1000);
    let jitter = Exp::new(1.0 / (network.jitter_ms * 1000.0)).expect("a mean is positive");
    let is_claim = matches!(microphone.noise, Noise::Claim { .. });
    let (mut sent, mut silent_frames) = (Vec::new(), u32::MAX);
    for (n, level) in levels.into_iter().enumerate() {
        silent_frames = if spoken[n].is_some() || is_claim { 0 } else { silent_frames.saturating_add(1) };
        // Opus sends on for 200 ms of silence, then once each 400 ms.
        let is_sent = !microphone.dtx || silent_frames < 10 || silent_frames.is_multiple_of(20);
        if !is_sent || rng.random_bool(network.loss) {
            continue;
        }
        let voice = match microphone.voice_bit {
            VoiceBit::Always => Some(true),
            VoiceBit::Honest => Some(silent_frames < 5),
            VoiceBit::Never => Some(false),
            VoiceBit::Absent => None,
        };
        sent.push(Packet {
            at_us: n as u64 * u64::from(FRAME_MS) * 1000 + phase_us + jitter.sample(rng) as u64,
            source: microphone.source,
            level_dbov: level.round().clamp(-127.0, 0.0) as i8,
            voice,
            spurt: spoken[n],
        });
    }
    sent
}

/// The level of two sounds together: their powers add.
fn louder(a_dbov: f64, b_dbov: f64) -> f64 {
    10.0 * (10f64.powf(a_dbov / 10.0) + 10f64.powf(b_dbov / 10.0)).log10()
}

fn noise(rng: &mut StdRng, noise: Noise, frames: usize) -> Vec<f64> {
    const ROOM_DBOV: f64 = -72.0;
    let around = |rng: &mut StdRng, dbov: f64, deviation: f64| {
        let normal = Normal::new(dbov, deviation).expect("a deviation is positive");
        (0..frames).map(|_| normal.sample(rng)).collect::<Vec<f64>>()
    };
    let bursts = |rng: &mut StdRng,
                  dbov: f64,
                  gap_frames: fn(&mut StdRng) -> usize,
                  length: std::ops::Range<usize>| {
        let mut levels = around(rng, ROOM_DBOV, 1.5);
        let mut at = gap_frames(rng);
        while at < frames {
            let length = rng.random_range(length.clone());
            let peak = dbov + rng.random_range(-6.0..6.0);
            for n in 0..length.min(frames - at) {
                levels[at + n] = peak - 12.0 * n as f64 / length as f64;
            }
            at += length + gap_frames(rng);
        }
        levels
    };
    match noise {
        Noise::Quiet { dbov } => around(rng, dbov, 1.5),
        Noise::Fan { dbov } => around(rng, dbov, 1.5),
        Noise::Claim { dbov } => vec![dbov; frames],
        // A bout now and then: every twentieth gap is a long one.
        Noise::Typing { dbov } => bursts(
            rng,
            dbov,
            |rng| if rng.random_bool(0.05) { rng.random_range(150..600) } else { rng.random_range(5..12) },
            1..4,
        ),
        Noise::Bangs { dbov } => bursts(rng, dbov, |rng| rng.random_range(300..1500), 8..14),
        Noise::Music { dbov } => {
            let mut levels = around(rng, dbov, 1.0);
            for (n, level) in levels.iter_mut().enumerate() {
                // 120 beats a minute.
                *level -= 6.0 * (n % 25) as f64 / 25.0;
            }
            levels
        }
    }
}
