//! What a packet costs: rooms of several sizes in, nanoseconds a packet out, for each rule.
//!
//! Three talk, the others send noise, and everything is decided from one thread, in memory. A figure is the median of
//! stretches of the room, each as long as the windows of the rules that decide by windows; and of several replays the
//! best, because other work on the machine can only add to it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::conversation::quarrel;
use crate::document::table;
use crate::measure::Contender;
use crate::room::{Microphone, Network, Noise, VoiceBit, trace};
use crate::trace::Packet;
use crate::voice::{FRAME_MS, Voice};

/// Sources in a room.
pub(crate) const SIZES: [u32; 3] = [10, 300, 10_000];
const TALKERS: u32 = 3;

/// Windows of 300 ms and of 400 ms end in it as often as in any other.
const STRETCH_US: u64 = 1_200_000;

/// A rule that takes longer is not let to the end of a stretch: rules that do are as slow at each packet.
const STRETCH_TIME_MAX: Duration = Duration::from_millis(300);

/// Replays go on for so long, and for one at least.
const REPLAYS_TIME: Duration = Duration::from_millis(1500);

/// A room of this size.
pub(crate) fn packets(sources: u32, length_ms: u32) -> Vec<Packet> {
    let microphone = |source| Microphone {
        source,
        speech_dbov: -26.0,
        noise: Noise::Quiet { dbov: -62.0 + f64::from(source % 13) },
        voice_bit: VoiceBit::Always,
        dtx: false,
    };
    let microphones: Vec<Microphone> = (0..sources).map(microphone).collect();
    let mut rng = StdRng::seed_from_u64(1);
    let spurts = quarrel(&mut rng, TALKERS, length_ms);
    let network = Network { loss: 0.0, jitter_ms: 2.0 };
    trace(&mut rng, &microphones, &Voice::Synthetic, network, &spurts, length_ms).packets
}

/// Nanoseconds a packet.
fn packet_ns(contender: &Contender, packets: &[Packet]) -> f64 {
    let began = Instant::now();
    let mut best = f64::INFINITY;
    while best.is_infinite() || began.elapsed() < REPLAYS_TIME {
        let mut rule = contender.rule();
        let mut stretches: Vec<f64> = packets
            .chunk_by(|a, b| a.at_us / STRETCH_US == b.at_us / STRETCH_US)
            .map(|stretch| stretch_ns(rule.as_mut(), stretch))
            // The first is that in which each source is new.
            .skip(1)
            .collect();
        stretches.sort_by(f64::total_cmp);
        best = best.min(stretches[stretches.len() / 2]);
    }
    best
}

fn stretch_ns(rule: &mut dyn crate::rules::Rule, stretch: &[Packet]) -> f64 {
    const BLOCK: usize = 512;
    let began = Instant::now();
    let mut done = 0;
    for block in stretch.chunks(BLOCK) {
        for packet in block {
            rule.packet(black_box(packet));
        }
        done += block.len();
        if began.elapsed() > STRETCH_TIME_MAX {
            break;
        }
    }
    black_box(rule.slots());
    began.elapsed().as_nanos() as f64 / done as f64
}

/// Nanoseconds a packet, by rule and size.
pub(crate) fn measure(contenders: &[Contender]) -> Vec<[f64; SIZES.len()]> {
    let mut costs = vec![[0.0; SIZES.len()]; contenders.len()];
    for (n, sources) in SIZES.into_iter().enumerate() {
        let stretches = match sources {
            0..100 => 40,
            100..1000 => 8,
            _ => 4,
        };
        let packets = packets(sources, stretches * (STRETCH_US / 1000) as u32);
        for (contender, costs) in contenders.iter().zip(&mut costs) {
            costs[n] = packet_ns(contender, &packets);
        }
    }
    costs
}

/// A row a rule: nanoseconds a packet, and milliseconds for all packets of a second of the room.
pub(crate) fn costs(contenders: &[Contender], costs: &[[f64; SIZES.len()]]) -> String {
    let rows = contenders.iter().zip(costs).map(|(contender, costs)| {
        let mut row = vec![contender.name.clone()];
        row.extend(costs.iter().map(|ns| format!("{ns:.0}")));
        row.extend(SIZES.iter().zip(costs).map(|(&sources, ns)| {
            let packets_a_second = f64::from(sources * 1000 / FRAME_MS);
            format!("{:.2}", ns * packets_a_second / 1e6)
        }));
        row
    });
    let headings = [
        "rule",
        ">ns a packet, 10 sources",
        ">300",
        ">10,000",
        ">ms a second of the room, 10 sources",
        ">300",
        ">10,000",
    ];
    table(&headings, rows)
}
