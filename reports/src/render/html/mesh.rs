//! A mesh as one HTML page: the answer, the heat map, nodes, zones, pairs.

use maud::{DOCTYPE, Markup, html};

use super::super::mesh as text;
use super::super::{figures, number, words};
use super::{head, parts};
use crate::mesh::{Basis, Effect, MeshReport, NodeReport, passes_wanted};
use crate::words::{count, margin};

/// Writes a mesh as one page that needs nothing else.
#[must_use]
pub fn mesh_page(report: &MeshReport) -> Vec<u8> {
    page(report).into_string().into_bytes()
}

fn page(report: &MeshReport) -> Markup {
    let subject = &report.subject;
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("Mesh of {} nodes – Tollgate", report.nodes.len())))
            body {
                a.skip href="#answer" { "Skip to the answer" }
                header {
                    p.eyebrow { b { "Tollgate" } " mesh · " (number::date(subject.started_unix_ms)) }
                    h1 { (text::title(report)) }
                }
                main {
                    (answer(report))
                    (contents(report))
                    @if let Some(heat) = figures::heat(report) {
                        section #heat aria-labelledby="heat-title" {
                            h2 #heat-title { "Every pair" }
                            (heat)
                        }
                    }
                    (nodes(report))
                    (zones(report))
                    (pairs(report))
                    (skipped(report))
                    (method(report))
                }
                footer {
                    p {
                        "Written by Tollgate " (subject.tool_version) " from " code { "mesh.json" } " and " code { "pairs.jsonl" }
                        " beside this page. It can be written again: " code { "tollgate cluster mesh --from FOLDER" } "."
                    }
                }
            }
        }
    }
}

fn answer(report: &MeshReport) -> Markup {
    html! {
        section.answer #answer aria-labelledby="answer-title" {
            h2 #answer-title { "The answer" }
            ul.answers {
                @for answer in text::answers(report) {
                    li {
                        @match answer.verdict {
                            Some(verdict) => (parts::verdict(verdict)),
                            None => (parts::badge("warning", "!", "note")),
                        }
                        p { (answer.text) }
                    }
                }
            }
            p { (text::conduct(report)) }
        }
    }
}

fn contents(report: &MeshReport) -> Markup {
    let has_pairs = !report.slow_pairs.is_empty() || !report.failed_pairs.is_empty();
    let sections = [
        (
            "heat",
            "Every pair",
            report.subject.measured + report.subject.failed > 0,
        ),
        ("nodes", "Nodes", true),
        ("zones", "Zones", !report.zones.is_empty()),
        ("pairs", "Slow and failed pairs", has_pairs),
        (
            "skipped",
            "Nodes that took no part",
            !report.subject.skipped.is_empty(),
        ),
        ("method", "Method", true),
    ];
    html! {
        nav aria-label="Sections of this page" {
            ul {
                @for (id, title, _) in sections.iter().filter(|(_, _, shown)| *shown) {
                    li { a href={ "#" (id) } { (title) } }
                }
            }
        }
    }
}

fn nodes(report: &MeshReport) -> Markup {
    let ranked = text::ranked(report);
    let both_ways = report.nodes.iter().any(|node| node.sending.is_some());
    let inner = html! {
        thead {
            tr {
                th { "node" } th { "zone" } th.n { "p50" } th.n { "p99" } th.n { "against its zone" } th { "verdict" }
                @if both_ways { th.n { "as sender" } }
                th.n { "p (Holm)" } th.n { "n" } th.n { "lost" } th.n { "failed" } th { "kernel" }
            }
        }
        tbody { @for node in ranked { (row(node, both_ways)) } }
    };
    html! {
        section #nodes aria-labelledby="nodes-title" {
            h2 #nodes-title { "Nodes" }
            p.about {
                "The slowest first. The median round trip of a node's pairs, and how it differs from that of its zone's other nodes, "
                "peer by peer: Hodges-Lehmann estimate with the exact signed-rank interval for itself alone."
            }
            (parts::table("Every node", &inner))
        }
    }
}

fn row(node: &NodeReport, both_ways: bool) -> Markup {
    html! {
        tr {
            th { (node.name) }
            td { (node.zone.as_deref().unwrap_or("")) }
            td.n { (text::latency(node.p50_ns)) }
            td.n { (text::latency(node.p99_ns)) }
            td.n { (text::change(&node.effect)) }
            td { (parts::verdict(node.effect.verdict)) }
            @if both_ways { td.n { (node.sending.as_ref().map_or_else(String::new, text::change)) } }
            td.n { (p_value(&node.effect)) }
            td.n { (node.effect.observations) }
            td.n { (if node.lost > 0.0 { number::share(node.lost) } else { String::new() }) }
            td.n { (if node.failed > 0 { count(node.failed.into()) } else { String::new() }) }
            td { (node.kernel.as_deref().unwrap_or("")) }
        }
    }
}

fn p_value(effect: &Effect) -> String {
    match effect.p_holm {
        Some(p) if p < 0.000_1 => "< 0.0001".to_owned(),
        Some(p) => format!("{p:.4}"),
        None => String::new(),
    }
}

fn zones(report: &MeshReport) -> Markup {
    if report.zones.is_empty() {
        return html! {};
    }
    let inner = html! {
        thead {
            tr {
                th { "zones" } th.n { "pairs" } th.n { "p50" } th.n { "half of them" } th.n { "crossing costs" } th { "verdict" }
                th.n { "p (Holm)" } th.n { "n" }
            }
        }
        tbody {
            @for pair in &report.zones {
                tr {
                    th { (text::zone_words(pair)) }
                    td.n { (count(pair.pairs.into())) }
                    td.n { (text::latency(pair.spread.map(|spread| spread.median_ns))) }
                    td.n {
                        @if let Some(spread) = pair.spread {
                            (number::duration(spread.low_ns)) " to " (number::duration(spread.high_ns))
                        }
                    }
                    @if let Some(crossing) = &pair.crossing {
                        td.n { (text::change(crossing)) }
                        td { (parts::verdict(crossing.verdict)) }
                        td.n { (p_value(crossing)) }
                        td.n { (crossing.observations) }
                    } @else { td {} td {} td {} td {} }
                }
            }
        }
    };
    html! {
        section #zones aria-labelledby="zones-title" {
            h2 #zones-title { "Zones" }
            p.about { "What a round trip between two zones costs against staying in either, whatever the nodes add." }
            (parts::table("Pairs of zones", &inner))
        }
    }
}

fn pairs(report: &MeshReport) -> Markup {
    if report.slow_pairs.is_empty() && report.failed_pairs.is_empty() {
        return html! {};
    }
    let name = |place: u32| {
        let node = report.nodes.get(place as usize);
        node.map_or("", |node| node.name.as_str())
    };
    html! {
        section #pairs aria-labelledby="pairs-title" {
            h2 #pairs-title { "Slow and failed pairs" }
            @if !report.slow_pairs.is_empty() {
                p.about {
                    "Pairs that are slower than their nodes and zones explain, by more than the margin; the furthest first. A description "
                    "without interval: measure again before you believe one."
                }
                (parts::table("Slow pairs", &html! {
                    thead { tr { th { "node" } th { "node" } th.n { "p50" } th.n { "than explained" } } }
                    tbody {
                        @for pair in &report.slow_pairs {
                            tr {
                                th { (name(pair.one)) }
                                td { (name(pair.other)) }
                                td.n { (number::duration(pair.p50_ns)) }
                                td.n { (crate::words::percent(pair.ratio - 1.0)) }
                            }
                        }
                    }
                }))
            }
            @if !report.failed_pairs.is_empty() {
                h3 { "Pairs that gave nothing" }
                (parts::table("Failed pairs", &html! {
                    thead { tr { th { "node" } th { "node" } th { "why" } } }
                    tbody {
                        @for pair in &report.failed_pairs {
                            tr { th { (name(pair.one)) } td { (name(pair.other)) } td { (pair.reason) } }
                        }
                    }
                }))
            }
        }
    }
}

fn skipped(report: &MeshReport) -> Markup {
    let skipped = &report.subject.skipped;
    if skipped.is_empty() {
        return html! {};
    }
    let inner = html! {
        thead { tr { th { "node" } th { "why" } } }
        tbody {
            @for one in skipped { tr { th { (one.node) } td { (one.reason) } } }
        }
    };
    html! {
        section #skipped aria-labelledby="skipped-title" {
            h2 #skipped-title { "Nodes that took no part" }
            (parts::table("Nodes that took no part", &inner))
        }
    }
}

fn method(report: &MeshReport) -> Markup {
    let subject = &report.subject;
    html! {
        section #method aria-labelledby="method-title" {
            h2 #method-title { "Method" }
            div.columns {
                div {
                    h3 { "Who meets whom" }
                    p {
                        "A round-robin tournament: a node is in one pair at a time, and its meetings are spread over the whole time. "
                        "Each is " (words::sends(&subject.workload)) ". A lost reply is an infinite delay in the percentile."
                        @if subject.installs > 1 { " The probes were set up " (subject.installs) " times: the mesh was resumed." }
                    }
                }
                div {
                    h3 { "What makes a verdict" }
                    p {
                        @match report.basis {
                            Basis::Passes => {
                                "A pass over all pairs is one observation (" (subject.passes) " in all): what is said holds for these nodes as "
                                "they stand."
                            }
                            Basis::Peers => {
                                "Each other node is one observation: what is left of a pair's latency when zones and the peer's own effect "
                                "are taken off (median polish of logarithms)."
                            }
                            Basis::Nothing => {
                                "There are too few nodes and passes for verdicts that hold together: with "
                                (passes_wanted(report.nodes.len())) " passes there are."
                            }
                        }
                        " A node is told from the others where the signed-rank test does so at 5 % after Holm's adjustment over all nodes, and the "
                        "estimate is beyond " (margin(subject.margin)) ". Where noise is below that margin, equal nodes are hardly ever told apart; where it is "
                        "above, in 5 to 10 of 100 meshes one is. A node that is alone "
                        "in its zone isn't judged: its effect may be the zone's."
                    }
                }
                div {
                    h3 { "What crossing costs" }
                    p {
                        "Two nodes of one zone and two of the other: their pairs across against their pairs within, so that what nodes add "
                        "cancels. No pair is used twice."
                    }
                }
            }
        }
    }
}
