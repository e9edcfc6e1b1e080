//! Time of a packet pushed and a frame pulled, beside the decoder's.
//!
//! `cargo bench -p audio-mixer --bench jitter`. The decoder copies linear PCM: about 0.1 µs of each figure.

use std::hint::black_box;
use std::time::{Duration, Instant};

use audio_mixer::{DecodeError, Decoder, JitterBuffer, Packet, SILENCE};
use criterion::{Criterion, criterion_group, criterion_main};

const FRAME: Duration = Duration::from_millis(20);

struct Linear;

impl Decoder for Linear {
    fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), DecodeError> {
        samples.extend(payload.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
        Ok(())
    }

    fn duration(&self, payload: &[u8]) -> Option<usize> {
        Some(payload.len() / 2)
    }

    fn conceal(&mut self, _: Option<&[u8]>, _: usize, _: &mut Vec<i16>) -> bool {
        false
    }
}

/// 20 ms of a tone of 200 Hz, whose periods fit it.
fn payload() -> Vec<u8> {
    let sample = |n: u16| (8000.0 * (f64::from(n) * std::f64::consts::TAU / 80.0).sin()) as i16;
    (0..320).flat_map(|n| sample(n).to_le_bytes()).collect()
}

/// A call of which some packets arrive.
struct Call {
    buffer: JitterBuffer,
    now: Instant,
    frame: u32,
    payload: Vec<u8>,
}

impl Call {
    fn new() -> Call {
        let buffer = JitterBuffer::new(Box::new(Linear), 16_000);
        let mut call = Call { buffer, now: Instant::now(), frame: 0, payload: payload() };
        (0..500).for_each(|_| call.frame(true));
        call
    }

    fn frame(&mut self, arrives: bool) {
        self.now += FRAME;
        self.frame += 1;
        if arrives {
            let (sequence, timestamp) = (self.frame as u16, self.frame.wrapping_mul(320));
            self.buffer.push(self.now, &Packet { sequence, timestamp, payload: black_box(&self.payload) });
        }
        let mut heard = SILENCE;
        black_box(self.buffer.pull(self.now, &mut heard));
    }
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("jitter");
    group.bench_function("steady", |bencher| {
        let mut call = Call::new();
        bencher.iter(|| call.frame(true));
    });
    // The first frame of a loss, in which the pitch is looked for, and the next one, which fades back.
    group.bench_function("lost and recovered", |bencher| {
        let mut call = Call::new();
        bencher.iter(|| {
            call.frame(false);
            call.frame(true);
        });
    });
    group.bench_function("silent", |bencher| {
        let mut call = Call::new();
        bencher.iter(|| call.frame(false));
    });
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
