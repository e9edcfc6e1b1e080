//! What a tick of a room costs, and what each codec does: 20 ms of sound each.
//!
//! ```text
//! cargo bench -p audio-mixer
//! ```

use std::hint::black_box;
use std::time::Instant;

use audio_mixer::{
    Codec, ComfortNoise, Decoder, DtmfDetector, Encoder, FRAME_SAMPLES, Frame, GainControl, Limiter,
    MixMinus, Ramp,
};
use criterion::{BenchmarkId, Criterion, criterion_group};

/// Packets of a voice, to be repeated: 1 s.
const PACKETS: usize = 50;

/// Harmonics that glide, with pauses: what encoders spend on is speech, not silence.
fn voice(frame: usize, pitch_hz: f32) -> Frame {
    std::array::from_fn(|n| {
        let t = (frame * FRAME_SAMPLES + n) as f32 / 16_000.0;
        let hz = pitch_hz * (1.0 + 0.1 * (t * 3.0).sin());
        let sum = (1..12).map(|k| (t * hz * k as f32 * std::f32::consts::TAU).sin() / k as f32).sum::<f32>();
        (sum * 3_000.0 * (0.5 + 0.5 * (t * 20.0).sin())) as i16
    })
}

fn packets(codec: Codec, pitch_hz: f32) -> Vec<Vec<u8>> {
    let mut encoder = codec.encoder();
    let encode = |frame| {
        let mut packet = Vec::new();
        encoder.encode(&voice(frame, pitch_hz), &mut packet);
        packet
    };
    (0..PACKETS).map(encode).collect()
}

/// Three phones that speak, each with a mix of their own; the others share one mix and its packet.
struct Room {
    speakers: Vec<Speaker>,
    limiter: Limiter,
    encoder: Box<dyn Encoder>,
    packet: Vec<u8>,
    /// What would be sent: RTP and SRTP are not counted.
    outboxes: Vec<Vec<u8>>,
    tick: usize,
}

struct Speaker {
    packets: Vec<Vec<u8>>,
    decoder: Box<dyn Decoder>,
    samples: Vec<i16>,
    ramp: Ramp,
    limiter: Limiter,
    encoder: Box<dyn Encoder>,
    outbox: Vec<u8>,
}

impl Room {
    fn new(codec: Codec, listeners: usize) -> Room {
        let speaker = |n: u8| Speaker {
            packets: packets(codec, 100.0 + 40.0 * f32::from(n)),
            decoder: codec.decoder(),
            samples: Vec::new(),
            ramp: Ramp::new(),
            limiter: Limiter::new(),
            encoder: codec.encoder(),
            outbox: Vec::new(),
        };
        Room {
            speakers: (0..3).map(speaker).collect(),
            limiter: Limiter::new(),
            encoder: codec.encoder(),
            packet: Vec::new(),
            outboxes: vec![Vec::new(); listeners],
            tick: 0,
        }
    }

    fn tick(&mut self) {
        let mut mix = MixMinus::new();
        let tick = self.tick;
        self.tick += 1;
        let spoken: Vec<Option<Frame>> =
            self.speakers.iter_mut().map(|speaker| speaker.speak(tick)).collect();
        spoken.iter().flatten().for_each(|frame| mix.add(frame));
        for (speaker, own) in self.speakers.iter_mut().zip(&spoken) {
            let sum = own.as_ref().map_or(*mix.all(), |own| mix.without(own));
            speaker.encoder.encode(&speaker.limiter.limit(&sum), &mut speaker.outbox);
        }
        self.encoder.encode(&self.limiter.limit(mix.all()), &mut self.packet);
        for outbox in &mut self.outboxes {
            outbox.clear();
            outbox.extend_from_slice(&self.packet);
        }
        black_box(&self.outboxes);
    }
}

impl Speaker {
    fn speak(&mut self, tick: usize) -> Option<Frame> {
        self.samples.clear();
        self.decoder.decode(&self.packets[tick % PACKETS], &mut self.samples).ok()?;
        self.ramp.shape(self.samples.first_chunk())
    }
}

fn rooms(criterion: &mut Criterion) {
    for codec in [Codec::Pcmu, Codec::Opus] {
        let mut group = criterion.benchmark_group(format!("tick of 3 speakers, {codec:?}"));
        for listeners in [1, 10, 200, 1_000] {
            let mut room = Room::new(codec, listeners);
            group.bench_function(BenchmarkId::from_parameter(listeners), |bencher| {
                bencher.iter(|| room.tick())
            });
        }
    }
}

fn codecs(criterion: &mut Criterion) {
    for codec in Codec::ALL {
        let mut group = criterion.benchmark_group(format!("{codec:?}"));
        let frames: Vec<Frame> = (0..PACKETS).map(|frame| voice(frame, 120.0)).collect();
        let packets = packets(codec, 120.0);
        let (mut encoder, mut decoder) = (codec.encoder(), codec.decoder());
        let (mut packet, mut samples, mut at) = (Vec::new(), Vec::new(), 0);
        group.bench_function("encode", |bencher| {
            bencher.iter(|| {
                at = (at + 1) % PACKETS;
                encoder.encode(&frames[at], &mut packet);
            });
        });
        group.bench_function("decode", |bencher| {
            bencher.iter(|| {
                at = (at + 1) % PACKETS;
                samples.clear();
                decoder.decode(&packets[at], &mut samples)
            });
        });
        group.bench_function("new", |bencher| bencher.iter(|| (codec.encoder(), codec.decoder())));
    }
}

fn parts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parts");
    let frame = voice(7, 120.0);
    let mut mix = MixMinus::new();
    mix.add(&frame);
    let loud = frame.map(|sample| 8 * i32::from(sample));
    let mut limiter = Limiter::new();
    group.bench_function("without and limit, soft", |bencher| {
        bencher.iter(|| limiter.limit(&mix.without(black_box(&[0; FRAME_SAMPLES]))));
    });
    group.bench_function("limit, loud", |bencher| bencher.iter(|| limiter.limit(black_box(&loud))));
    let mut gain = GainControl::new();
    group.bench_function("gain control", |bencher| {
        bencher.iter(|| {
            let mut frame = black_box(frame);
            gain.apply(&mut frame);
            frame
        });
    });
    let mut detector = DtmfDetector::new();
    group.bench_function("DTMF detector", |bencher| bencher.iter(|| detector.hear(black_box(&frame))));
    let mut noise = ComfortNoise::new(-60, 1);
    group.bench_function("comfort noise", |bencher| bencher.iter(|| noise.frame()));
    group.bench_function("level", |bencher| bencher.iter(|| audio_mixer::level_dbov(black_box(&frame))));
}

/// What 200 listeners take, and what one does: the best of many, turn by turn, so that both have the same machine.
fn ratio_of_200_to_1(codec: Codec) {
    let mut rooms = [Room::new(codec, 1), Room::new(codec, 200)];
    let mut best_us = [f64::MAX; 2];
    for _ in 0..100 {
        for (room, best_us) in rooms.iter_mut().zip(&mut best_us) {
            let start = Instant::now();
            (0..PACKETS).for_each(|_| room.tick());
            let us = start.elapsed().as_secs_f64() * 1e6 / PACKETS as f64;
            *best_us = best_us.min(us);
        }
    }
    let [one, many] = best_us;
    println!("{codec:?}: {one:.1} µs for 1 listener, {many:.1} µs for 200: {:.2} times as much", many / one);
}

criterion_group!(benches, rooms, codecs, parts);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    for codec in Codec::ALL {
        ratio_of_200_to_1(codec);
    }
}
