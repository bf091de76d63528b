//! What it costs to record a sample: at most 20 ns is wanted.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate_probes::clock::{Clock as _, Monotonic};
use tollgate_probes::recorder::Recorder;
use tollgate_results::outcome::Timed;

fn record(criterion: &mut Criterion) {
    let mut recorder = Recorder::new(&[Timed::Latency]);
    // Round trips of a pod are spread over some tens of microseconds.
    let mut latency_ns = 20_000_u64;
    criterion.bench_function("record a sample", |bencher| {
        bencher.iter(|| {
            latency_ns = 20_000 + (latency_ns * 31 + 7) % 50_000;
            recorder.replied(black_box(latency_ns));
        });
    });
    criterion.bench_function("read the clock", |bencher| {
        bencher.iter(|| Monotonic.now());
    });
}

criterion_group!(benches, record);
criterion_main!(benches);
