//! Rendering a campaign of 30 rounds × 8 arms: at most 1 s for everything that a run writes.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate_reports::analyse;
use tollgate_reports::model::Renderer;
use tollgate_reports::render::{Html, Json, Markdown, Terminal};
use tollgate_reports::synthetic::Synthetic;

fn rendering(criterion: &mut Criterion) {
    let analysis = analyse(&Synthetic::wide(8, 30).campaign());
    let renderers: [(&str, &dyn Renderer); 4] = [
        ("html", &Html),
        ("markdown", &Markdown),
        ("json", &Json),
        ("terminal", &Terminal { colour: false }),
    ];
    let mut group = criterion.benchmark_group("render 30 rounds x 8 arms");
    for (name, renderer) in renderers {
        group.bench_function(name, |bencher| {
            bencher.iter(|| renderer.render(black_box(&analysis)));
        });
    }
    group.finish();
}

criterion_group!(benches, rendering);
criterion_main!(benches);
