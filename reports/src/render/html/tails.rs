//! Where in the distribution arms differ: curves of quantile ratios, and percentiles of all traffic.

use maud::{Markup, html};

use super::super::figures::{self, Figure};
use super::super::legend::Legend;
use super::super::{number, words};
use super::parts;
use crate::model::{Analysis, Interval, PooledRatio};
use crate::words::bracketed;

/// More curves than this for one workload are folded away.
const MANY: usize = 6;

/// The section; nothing where nothing was described.
pub(super) fn section(analysis: &Analysis, legend: &Legend) -> Markup {
    let Some(description) = &analysis.description else {
        return html! {};
    };
    let curves = analysis.workloads.iter().map(|workload| {
        let figures = figures::curves(analysis, legend, workload);
        (&workload.name, figures)
    });
    let curves: Vec<(_, Vec<Figure>)> = curves.filter(|(_, it)| !it.is_empty()).collect();
    if curves.is_empty() && description.pooled.is_empty() {
        return html! {};
    }
    html! {
        section #tails aria-labelledby="tails-title" {
            h2 #tails-title { "Typical request or tail" }
            p {
                "Each arm against its reference, from the fast requests (p10) to the slow ones (p99.9). A flat line costs every request "
                "alike; one that rises to the right hurts the slow requests most."
            }
            @for (workload, figures) in &curves {
                h3 { (workload) }
                @if figures.len() > MANY {
                    details { summary { (figures.len()) " arms" } (parts::gallery(figures)) }
                } @else {
                    (parts::gallery(figures))
                }
            }
            @if !description.pooled.is_empty() {
                details {
                    summary { "Percentiles of all traffic together, for description only" }
                    (pooled(legend, &description.pooled, description.resamples))
                }
            }
        }
    }
}

fn pooled(legend: &Legend, ratios: &[PooledRatio], resamples: u32) -> Markup {
    let table = html! {
        thead {
            tr {
                th scope="col" { "Workload" }
                th scope="col" { "Percentile" }
                th scope="col" { "Arm" }
                th.n scope="col" { "Value" }
                th.n scope="col" { "Reference" }
                th.n scope="col" { "Change" }
                th.n scope="col" { "Rounds" }
            }
        }
        tbody {
            @for pooled in ratios {
                tr {
                    th scope="row" { (pooled.workload) }
                    td { (words::short_metric(pooled.metric)) }
                    td { (parts::arm(legend, &pooled.arm)) }
                    td.n { (number::micros(pooled.arm_ns)) }
                    td.n { (number::micros(pooled.reference_ns)) " " small { (pooled.reference) } }
                    td.n { (change(pooled)) }
                    td.n { (pooled.rounds) }
                }
            }
        }
    };
    html! {
        p.about {
            "All requests of all rounds in one pot. The worst round rules such a percentile, so it isn't the one above, which is that of a typical slice, and no "
            "verdict rests on it. Interval: 95 %, by the t-expanded cluster bootstrap of rounds, " (number::count(u64::from(resamples))) " resamples."
        }
        (parts::table("Percentiles of all traffic, descriptive", &table))
    }
}

fn change(pooled: &PooledRatio) -> String {
    let Interval { low, high, .. } = pooled.interval;
    if pooled.ratio.is_finite() {
        words::unbroken(&bracketed(pooled.ratio - 1.0, low - 1.0, high - 1.0))
    } else {
        number::LOST.to_owned()
    }
}

/// Ratios with installs as replicates; nothing for fewer than 4 installs, or where they don't differ.
pub(super) fn installs(analysis: &Analysis, legend: &Legend) -> Markup {
    let described = analysis.description.as_ref();
    let installs = described.map_or(&[][..], |it| it.installs.as_slice());
    if installs.is_empty() {
        return html! {};
    }
    let table = html! {
        thead {
            tr {
                th scope="col" { "Workload" }
                th scope="col" { "Metric" }
                th scope="col" { "Arm" }
                th.n scope="col" { "Change over installs" }
                th.n scope="col" { "Installs" }
                th.n scope="col" { "Spread of rounds" }
                th.n scope="col" { "Spread of installs" }
            }
        }
        tbody {
            @for row in installs {
                tr {
                    th scope="row" { (row.workload) }
                    td { (words::short_metric(row.metric)) }
                    td { (parts::arm(legend, &row.arm)) " " small { "vs " (row.reference) } }
                    td.n {
                        (words::unbroken(&crate::words::change(&crate::analysis::change(&row.ratio, row.metric.direction()))))
                    }
                    td.n { (row.installs) }
                    td.n { (number::share(row.round_spread)) }
                    td.n { (number::share(row.install_spread)) }
                }
            }
        }
    };
    html! {
        section #installs aria-labelledby="installs-title" {
            h2 #installs-title { "Over installs" }
            p {
                "What another deployment of the arms would give. Here the arms were deployed often enough to tell, and installs differ by more than their rounds do: "
                "these intervals, by Student's t over the means of installs, 95 %, are the ones to quote. The verdicts' intervals hold for these installs only."
            }
            (parts::table("Change with installs as replicates; spreads are standard deviations of the logarithm of the ratio", &table))
        }
    }
}
