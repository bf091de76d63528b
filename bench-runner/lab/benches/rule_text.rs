//! How long it takes to write the rules of 10,000 services, before any program loads them.

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate_lab::services::{self, ServiceSet};
use tollgate_results::arm::{Family, Position, Services};

fn rule_text(criterion: &mut Criterion) {
    let services = Services {
        count: 10_000,
        position: Position::Random,
        ..Services::default()
    };
    let server = ([10, 244, 1, 2], 8080).into();
    let set = ServiceSet::new(&services, Family::Ipv4, &[server], 1);
    let node = [192, 168, 77, 1].into();
    let mut group = criterion.benchmark_group("rule text of 10,000 services");
    group.sample_size(20);
    group.bench_function("lay out", |bench| {
        bench.iter(|| ServiceSet::new(&services, Family::Ipv4, &[server], 1));
    });
    group.bench_function("iptables", |bench| {
        bench.iter(|| services::iptables(&set, usize::MAX));
    });
    group.bench_function("nftables", |bench| {
        bench.iter(|| services::nftables(&set, node, usize::MAX));
    });
    group.finish();
}

criterion_group!(benches, rule_text);
criterion_main!(benches);
