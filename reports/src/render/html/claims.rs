//! Claims: what this machine says of each, baseline by baseline.

use maud::{Markup, html};
use tollgate_results::arm::Name;

use super::super::legend::Legend;
use super::super::{figures, glossary, words};
use super::parts;
use crate::model::{Analysis, TestedClaim, TestedComparison, TestedPair};

/// All claims of the scenario.
pub(super) fn section(analysis: &Analysis, legend: &Legend) -> Markup {
    if analysis.claims.is_empty() {
        return html! {};
    }
    html! {
        section #claims aria-labelledby="claims-title" {
            h2 #claims-title { "Claims" }
            p { (glossary::CLAIM_RULE) "." }
            @for claim in &analysis.claims { (of_claim(analysis, legend, claim)) }
            details {
                summary { "What the verdicts on claims mean" }
                dl {
                    @for (verdict, meaning) in glossary::CLAIMS {
                        dt { (parts::claim(verdict)) }
                        dd { (meaning) "." }
                    }
                }
            }
        }
    }
}

fn of_claim(analysis: &Analysis, legend: &Legend, claim: &TestedClaim) -> Markup {
    let workloads = claim.workloads(analysis.workloads.iter().map(|workload| &workload.name));
    let title = format!(
        "Change of {} against each baseline, with its exact 95 % interval",
        words::short_metric(claim.metric)
    );
    let table = html! {
        thead {
            tr {
                th scope="col" { "Arm" }
                th scope="col" { "Baseline" }
                th scope="col" { "Claim" }
                @for workload in &workloads { th scope="col" { (workload.as_str()) } }
            }
        }
        tbody {
            @for pair in &claim.pairs { (row(legend, pair, &workloads)) }
        }
    };
    let figure = figures::claim(legend, claim);
    html! {
        h3 id={ "claim-" (claim.name) } { "“" (claim.about) "” " (parts::claim(claim.verdict)) }
        p.about { (words::unbroken(&words::claimed(claim))) }
        div.forest[figure.is_some()] {
            @if let Some(figure) = &figure { (parts::figure(figure)) }
            (parts::table(&title, &table))
        }
    }
}

fn row(legend: &Legend, pair: &TestedPair, workloads: &[&Name]) -> Markup {
    html! {
        tr {
            th scope="row" { (parts::arm(legend, &pair.arm)) }
            td { (parts::arm(legend, &pair.baseline)) }
            td.verdict {
                (parts::claim(pair.verdict))
                @if let Some(reason) = &pair.reason { br; small { (reason) } }
            }
            @for workload in workloads {
                @match pair.comparisons.iter().find(|one| one.workload == **workload) {
                    Some(one) => (cell(one)),
                    None => td { small { "not measured" } },
                }
            }
        }
    }
}

fn cell(one: &TestedComparison) -> Markup {
    let change = one.change.as_ref().map(crate::words::change);
    html! {
        td {
            (parts::claim(one.verdict))
            @if let Some(change) = change {
                @let (value, interval) = change.split_once(" [").unwrap_or((&change, ""));
                br; b { (words::unbroken(value)) }
                @if !interval.is_empty() { " " span.interval { "[" (interval) } }
            }
            @if let Some(reason) = &one.reason { br; small { (words::unbroken(reason)) } }
        }
    }
}
