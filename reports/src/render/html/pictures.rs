//! The sections that consist of figures.

use maud::{Markup, html};

use super::super::figures::{self, Figure};
use super::super::legend::Legend;
use super::super::{number, words};
use super::parts;
use crate::model::{Analysis, Scaling};

/// More figures than this under one heading are folded away.
const MANY: usize = 6;

/// How figures of sweeps grow, with a claim for each series.
pub(super) fn scaling(analysis: &Analysis, legend: &Legend) -> Markup {
    let panels = figures::panels(analysis, legend);
    if panels.is_empty() {
        return html! {};
    }
    html! {
        section #scaling aria-labelledby="scaling-title" {
            h2 #scaling-title { "With the number of services" }
            p {
                "Whether a figure grows with the number of services in the kernel. Grows, falls and flat are said only where they are proved."
            }
            div.gallery {
                @for panel in &panels {
                    div {
                        (parts::figure(&panel.figure))
                        ul.claims { @for scaling in &panel.scalings { (claim(legend, scaling)) } }
                    }
                }
            }
        }
    }
}

fn claim(legend: &Legend, scaling: &Scaling) -> Markup {
    // The badge has said the verdict already.
    let verdict = format!("{}: ", scaling.claim.verdict.as_str());
    let words = &scaling.claim.words;
    let words = words.strip_prefix(verdict.as_str()).unwrap_or(words);
    html! {
        li {
            (parts::series(legend, &scaling.series))
            " " (parts::scaling(scaling.claim.verdict)) " "
            (words::unbroken(words))
        }
    }
}

/// Percentile spectra of every workload.
pub(super) fn spectra(analysis: &Analysis, legend: &Legend) -> Markup {
    let figures: Vec<Figure> = analysis
        .workloads
        .iter()
        .flat_map(|workload| figures::spectra(analysis, legend, workload))
        .collect();
    if figures.is_empty() {
        return html! {};
    }
    html! {
        section #spectra aria-labelledby="spectra-title" {
            h2 #spectra-title { "Percentiles" }
            p {
                "How slow the slowest requests are. Further right are rarer ones: at p99 one request in a hundred takes longer. "
                "Lines that run apart only at the right differ in their tail, not in their typical request."
            }
            (parts::key(analysis, legend))
            (parts::gallery(&figures))
        }
    }
}

/// Paired rounds of every workload.
pub(super) fn rounds(analysis: &Analysis, legend: &Legend) -> Markup {
    let groups = analysis
        .workloads
        .iter()
        .map(|workload| (workload, figures::rounds(analysis, legend, workload)));
    let groups: Vec<_> = groups.filter(|(_, figures)| !figures.is_empty()).collect();
    if groups.is_empty() {
        return html! {};
    }
    html! {
        section #rounds aria-labelledby="rounds-title" {
            h2 #rounds-title { "Round by round" }
            p {
                "An arm and its reference in each round, joined. Where the lines all point one way, the difference is there every "
                "time; where both move together, the machine moved, and the comparison doesn't care. Each figure has its own scale."
            }
            (parts::key(analysis, legend))
            @for (workload, figures) in &groups {
                h3 { (workload.name) }
                @if figures.len() > MANY {
                    details { summary { (figures.len()) " arms" } (parts::gallery(figures)) }
                } @else {
                    (parts::gallery(figures))
                }
            }
        }
    }
}

/// Every slice in the order measured, with softirq and steal beneath.
pub(super) fn timeline(analysis: &Analysis, legend: &Legend) -> Markup {
    let figures = analysis
        .workloads
        .iter()
        .filter_map(|workload| figures::timeline(analysis, legend, workload));
    let figures: Vec<Figure> = figures.collect();
    if figures.is_empty() {
        return html! {};
    }
    html! {
        section #timeline aria-labelledby="timeline-title" {
            h2 #timeline-title { "Over time" }
            p {
                "Every slice in the order measured, and what the CPUs did meanwhile. Soft interrupts are kernel work for the network; steal is time that the "
                "hypervisor gave to others. Where all arms move together, the machine moved."
            }
            (parts::key(analysis, legend))
            div.gallery.wide { @for figure in &figures { (parts::figure(figure)) } }
        }
    }
}

/// Time to program the services.
pub(super) fn programming(analysis: &Analysis, legend: &Legend) -> Markup {
    let Some(figure) = figures::programming(analysis, legend) else {
        return html! {};
    };
    let table = html! {
            thead {
                tr {
                    th scope="col" { "Arm" }
                    th.n scope="col" { "Services" }
                    th.n scope="col" { "Rules or entries" }
                    th.n scope="col" { "Median time" }
                    th.n scope="col" { "Installs" }
                }
            }
            tbody {
                @for arm in &analysis.arms {
                    @if let Some(programming) = &arm.programming {
                        tr {
                            th scope="row" { (parts::arm(legend, &arm.name)) }
                            td.n { (number::count(u64::from(programming.services))) }
                            td.n { (programming.entries.map_or_else(|| number::UNKNOWN.to_owned(), number::count)) }
                            td.n { (number::duration(programming.median_ns)) }
                            td.n { (programming.times_ns.len()) }
                        }
                    }
                }
            }
    };
    html! {
        section #programming aria-labelledby="programming-title" {
            h2 #programming-title { "Programming time" }
            p { "How long it took to write an arm's service rules or map entries into the kernel, all at once." }
            div.forest {
                (parts::figure(&figure))
                (parts::table("Time to program all services of an arm", &table))
            }
        }
    }
}
