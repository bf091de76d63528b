//! Analysis and description of a large campaign: 30 rounds of 8 arms on two workloads.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate_reports::synthetic::Synthetic;
use tollgate_reports::{analyse, describe};

fn analyse_wide(criterion: &mut Criterion) {
    let campaign = Synthetic::wide(8, 30).campaign();
    let mut group = criterion.benchmark_group("analyse");
    group.sample_size(10);
    group.bench_function("30 rounds x 8 arms", |bencher| {
        bencher.iter(|| analyse(black_box(&campaign)));
    });
    group.bench_function("describe, 10,000 resamples", |bencher| {
        bencher.iter(|| describe(black_box(&campaign), 1, 10_000));
    });
    group.finish();
}

criterion_group!(benches, analyse_wide);
criterion_main!(benches);
