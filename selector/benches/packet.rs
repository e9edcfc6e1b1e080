//! Time a packet, by the number of sources: three talk, the others send noise.
//!
//! `cargo bench -p selector`. The figures beside those of the published rules are in `docs/selection.md`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use selector::{Level, Observation, Params, Selector, SourceId};

const TALKERS: u32 = 3;
const FRAME: Duration = Duration::from_millis(20);

/// Syllables of 200 ms around -25 dBov with pauses now and then, and hiss around -62 dBov; no randomness.
fn level(source: u32, frame: u32) -> Level {
    let wobble = (source.wrapping_mul(2_654_435_761) ^ frame.wrapping_mul(40_503)) >> 13;
    let speaks = source < TALKERS && !(frame / 60 + source).is_multiple_of(4);
    let dbov = if speaks { -20 - (frame % 10) as i8 } else { -62 };
    Level::from_dbov(dbov - (wobble % 4) as i8)
}

/// Each source's packet of one frame; returns the number of changes.
fn frame(selector: &mut Selector, sources: u32, frame: u32) -> usize {
    let mut changes = 0;
    for source in 0..sources {
        let observation = Observation::Packet { level: level(source, frame), voice: Some(true) };
        changes += selector.observe(FRAME * frame, SourceId(source), black_box(observation)).len();
    }
    changes
}

fn packets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("packet");
    for sources in [10, 300, 10_000] {
        group.throughput(Throughput::Elements(sources.into()));
        group.bench_function(BenchmarkId::from_parameter(sources), |bencher| {
            let mut selector = Selector::new(Params::with_slots(3));
            let mut n = 0;
            bencher.iter(|| {
                n += 1;
                frame(&mut selector, sources, n)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, packets);
criterion_main!(benches);
