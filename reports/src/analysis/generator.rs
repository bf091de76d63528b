//! Open loops whose generator was the bottleneck: their figures say more of it than of the path.

use tollgate_results::arm::{Arm, Name};
use tollgate_results::outcome::Bottleneck;

use crate::analysis::context::Context;
use crate::model::Metric;
use crate::stats::real64;
use crate::words;

/// Returns why a cell says nothing of the path: in more than half of an arm's slices the generator was the
/// bottleneck. What tells of the generator itself is not limited by it.
pub(super) fn limit(
    context: &Context<'_>,
    workload: &Name,
    metric: Metric,
    arms: [&Arm; 2],
) -> Option<String> {
    if metric.is_of_generator() {
        return None;
    }
    arms.into_iter().find_map(|arm| {
        let Limited { marked, slices, of } = Limited::of(context, workload, arm);
        let of = of.filter(|_| 2 * marked > slices)?;
        Some(format!(
            "the generator was the bottleneck in {marked} of {} of {}: {}",
            words::plural(slices, "slice"),
            arm.name,
            told(of)
        ))
    })
}

/// Returns a note on an arm of which fewer slices, but some, were limited.
pub(super) fn note(
    context: &Context<'_>,
    workload: &Name,
    metric: Metric,
    arm: &Arm,
) -> Option<String> {
    let Limited { marked, slices, of } = Limited::of(context, workload, arm);
    let of = of.filter(|_| 2 * marked <= slices && !metric.is_of_generator())?;
    Some(format!(
        "the generator was the bottleneck in {marked} of {}: {}",
        words::plural(slices, "slice"),
        told(of)
    ))
}

/// How many slices of an arm were limited by the generator, and how the first of them was.
struct Limited {
    marked: usize,
    slices: usize,
    of: Option<Bottleneck>,
}

impl Limited {
    fn of(context: &Context<'_>, workload: &Name, arm: &Arm) -> Self {
        let mut limited = Self {
            marked: 0,
            slices: 0,
            of: None,
        };
        for (_, slice) in context.kept(workload, &arm.name) {
            limited.slices += 1;
            limited.marked += usize::from(slice.bottleneck.is_some());
            limited.of = limited.of.or(slice.bottleneck);
        }
        limited
    }
}

fn told(bottleneck: Bottleneck) -> String {
    match bottleneck {
        Bottleneck::Unsent { share } => format!(
            "{:.1} % of the plan was not sent; lower the rate or raise connections and in-flight",
            share * 100.0
        ),
        Bottleneck::Late { p99_ns, .. } => format!(
            "requests went out late (p99 {:.1} µs); lower the rate or give the client a CPU of its own",
            real64(p99_ns) / 1e3
        ),
    }
}
