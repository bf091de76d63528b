//! A mesh as text for a terminal of 80 columns, and the sentences that its page shares.

use super::layout::{self, Column, Side};
use super::{number, words};
use crate::mesh::{Basis, Effect, MeshReport, NodeReport, ZonePair, passes_wanted};
use crate::model::Verdict;
use crate::words::{bracketed, count, margin, percent, plural};

/// Most nodes that a terminal lists.
const MOST_ROWS: usize = 20;

/// Most sentences of one kind; the tables have the rest.
const MOST_SENTENCES: usize = 10;

/// A sentence of the answer, with what it is.
pub(super) struct Answer {
    /// The verdict that it tells, where it tells one.
    pub(super) verdict: Option<Verdict>,
    pub(super) text: String,
}

/// Writes a mesh as text.
#[must_use]
pub fn mesh_text(report: &MeshReport) -> String {
    let mut lines = layout::wrap(&title(report), layout::WIDTH);
    lines.extend(layout::wrap(&conduct(report), layout::WIDTH));
    lines.push(String::new());
    for answer in answers(report) {
        let first = match answer.verdict {
            Some(verdict) => format!("{} ", words::symbol(verdict)),
            None => "! ".to_owned(),
        };
        lines.extend(layout::hanging(&first, &answer.text));
    }
    lines.push(String::new());
    lines.extend(nodes(report));
    if !report.zones.is_empty() {
        lines.push(String::new());
        lines.extend(zones(report));
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// Says what was measured.
pub(super) fn title(report: &MeshReport) -> String {
    let subject = &report.subject;
    let where_ = if subject.host_network {
        "between the nodes' own networks"
    } else {
        "from pod to pod"
    };
    format!(
        "Mesh of {}: {} {where_}, {}",
        plural(report.nodes.len(), "node"),
        words::sends(&subject.workload),
        subject.network
    )
}

/// Says how it was measured.
pub(super) fn conduct(report: &MeshReport) -> String {
    let subject = &report.subject;
    let pairs = report.pairs.map_or_else(String::new, |pairs| {
        format!(
            " Median round trip of a pair {}, half of them {} to {}.",
            number::duration(pairs.median_ns),
            number::duration(pairs.low_ns),
            number::duration(pairs.high_ns)
        )
    });
    let at_once = match subject.at_once {
        1 => "one after the other".to_owned(),
        most => format!("up to {most} at once"),
    };
    let machines = if (subject.machines as usize) < report.nodes.len() {
        format!(
            " These nodes share {}: whom they share it with is part of what was measured.",
            plural(subject.machines as usize, "machine")
        )
    } else {
        String::new()
    };
    format!(
        "{} of {} meetings measured, {} each, {at_once}; {}{}; seed {}.{machines}{pairs}",
        count(subject.measured),
        count(subject.planned),
        number::duration(words::to_f64(subject.slice_ns)),
        passes(subject.passes),
        if subject.both_ways { ", both ways" } else { "" },
        subject.seed
    )
}

/// Returns the answer in sentences: nodes, directions, zones, what didn't answer.
pub(super) fn answers(report: &MeshReport) -> Vec<Answer> {
    let mut answers = node_answers(report);
    answers.extend(sending_answers(report));
    for pair in &report.zones {
        let told = pair.crossing.as_ref().filter(|effect| is_told(effect));
        answers.extend(told.map(|effect| Answer {
            verdict: Some(effect.verdict),
            text: format!(
                "Crossing between {} and {} costs {} against staying in either.",
                pair.zone,
                pair.other,
                change(effect)
            ),
        }));
    }
    answers.extend(failures(report).into_iter().map(|text| Answer {
        verdict: None,
        text,
    }));
    answers
}

fn node_answers(report: &MeshReport) -> Vec<Answer> {
    let mut told: Vec<&NodeReport> = report.nodes.iter().filter(|node| node.is_told()).collect();
    told.sort_by(|a, b| size(&b.effect).total_cmp(&size(&a.effect)));
    if told.is_empty() {
        return vec![nobody(report)];
    }
    let more = told.len().saturating_sub(MOST_SENTENCES);
    let mut answers: Vec<Answer> = told
        .into_iter()
        .take(MOST_SENTENCES)
        .map(|node| Answer {
            verdict: Some(node.effect.verdict),
            text: format!(
                "{} is {} than the others of its zone, peer by peer: {}.",
                node.name,
                node.effect.verdict,
                change(&node.effect)
            ),
        })
        .collect();
    if more > 0 {
        answers.push(Answer {
            verdict: None,
            text: format!("{more} more nodes were told from the others: see the table."),
        });
    }
    answers
}

/// Says that no node was told from the others, and what that is worth.
fn nobody(report: &MeshReport) -> Answer {
    let nodes = report.nodes.len();
    if report.basis == Basis::Nothing {
        return Answer {
            verdict: Some(Verdict::Insufficient),
            text: format!(
                "{} and {} are too few to tell a node from the others; measure with --passes {}.",
                plural(nodes, "node"),
                passes(report.subject.passes),
                passes_wanted(nodes)
            ),
        };
    }
    let of = |verdict: Verdict| {
        let nodes = report.nodes.iter();
        nodes.filter(|node| node.effect.verdict == verdict).count()
    };
    let equivalent = of(Verdict::Equivalent);
    let verdict = if equivalent == nodes {
        Verdict::Equivalent
    } else {
        Verdict::Inconclusive
    };
    Answer {
        verdict: Some(verdict),
        text: format!(
            "No node was told from the others of its zone: {equivalent} of {nodes} are within {} of them, {} undecided.",
            margin(report.subject.margin),
            of(Verdict::Inconclusive) + of(Verdict::Insufficient)
        ),
    }
}

fn sending_answers(report: &MeshReport) -> Vec<Answer> {
    let told = report.nodes.iter().filter_map(|node| {
        let effect = node.sending.as_ref().filter(|effect| is_told(effect))?;
        Some(Answer {
            verdict: Some(effect.verdict),
            text: format!(
                "{} is {} as the sender than as the responder, peer by peer: {}.",
                node.name,
                effect.verdict,
                change(effect)
            ),
        })
    });
    told.take(MOST_SENTENCES).collect()
}

/// Says what didn't answer, what was lost, and who took no part.
fn failures(report: &MeshReport) -> Vec<String> {
    let mut lines = Vec::new();
    for node in report
        .nodes
        .iter()
        .filter(|node| node.absent > 0)
        .take(MOST_SENTENCES)
    {
        lines.push(format!(
            "{}: its probe didn't answer in {}.",
            node.name,
            plural(node.absent as usize, "meeting")
        ));
    }
    let name = |place: u32| {
        let node = report.nodes.get(place as usize);
        node.map_or("?", |node| node.name.as_str())
    };
    let blameless = |place: u32| {
        let node = report.nodes.get(place as usize);
        node.is_some_and(|node| node.absent == 0)
    };
    let between = report
        .failed_pairs
        .iter()
        .filter(|pair| blameless(pair.one) && blameless(pair.other));
    for pair in between.take(MOST_SENTENCES) {
        lines.push(format!(
            "{} and {} didn't reach each other: {}.",
            name(pair.one),
            name(pair.other),
            pair.reason
        ));
    }
    let mut lossy: Vec<&NodeReport> = report.nodes.iter().filter(|it| it.lost > 0.0).collect();
    lossy.sort_by(|a, b| b.lost.total_cmp(&a.lost));
    if let Some(worst) = lossy.first() {
        lines.push(format!(
            "Requests were lost in meetings of {}; most in those of {}: {}.",
            plural(lossy.len(), "node"),
            worst.name,
            number::share(worst.lost)
        ));
    }
    let subject = &report.subject;
    let left = subject
        .planned
        .saturating_sub(subject.measured + subject.failed);
    if left > 0 {
        lines.push(format!(
            "{} planned meetings didn't take place.",
            count(left)
        ));
    }
    for skipped in report.subject.skipped.iter().take(MOST_SENTENCES) {
        lines.push(format!(
            "{} took no part: {}.",
            skipped.node, skipped.reason
        ));
    }
    let more = report.subject.skipped.len().saturating_sub(MOST_SENTENCES);
    if more > 0 {
        lines.push(format!("{more} more nodes took no part."));
    }
    lines
}

const fn is_told(effect: &Effect) -> bool {
    matches!(effect.verdict, Verdict::Slower | Verdict::Faster)
}

/// How far an effect is from none.
fn size(effect: &Effect) -> f64 {
    effect.ratio.map_or(0.0, |ratio| ratio.ln().abs())
}

/// Writes an effect with its interval: `+24.8 % [24.5, 26.6]`.
pub(super) fn change(effect: &Effect) -> String {
    match (effect.ratio, effect.interval95) {
        (Some(ratio), Some(interval)) => {
            bracketed(ratio - 1.0, interval.low - 1.0, interval.high - 1.0)
        }
        (Some(ratio), None) => percent(ratio - 1.0),
        (None, _) => number::UNKNOWN.to_owned(),
    }
}

/// Writes a number of passes.
fn passes(number: u32) -> String {
    match number {
        1 => "1 pass".to_owned(),
        number => format!("{number} passes"),
    }
}

/// Returns all nodes, the slowest first.
pub(super) fn ranked(report: &MeshReport) -> Vec<&NodeReport> {
    let mut nodes: Vec<&NodeReport> = report.nodes.iter().collect();
    let ratio = |node: &NodeReport| node.effect.ratio.unwrap_or(0.0);
    nodes.sort_by(|a, b| {
        let told = b.is_told().cmp(&a.is_told());
        told.then(ratio(b).total_cmp(&ratio(a)))
    });
    nodes
}

/// Writes a latency, where there is one.
pub(super) fn latency(ns: Option<f64>) -> String {
    ns.map_or_else(|| number::UNKNOWN.to_owned(), number::duration)
}

fn nodes(report: &MeshReport) -> Vec<String> {
    let left = |width| Column {
        width,
        side: Side::Left,
    };
    let right = |width| Column {
        width,
        side: Side::Right,
    };
    let columns = [left(22), right(8), right(8), left(20), left(12)];
    let row = |cells: &[String]| layout::row(&columns, cells, |_, text| text.to_owned());
    let titles = ["node", "p50", "p99", "than its zone", "verdict"].map(str::to_owned);
    let mut lines = row(&titles);
    let ranked = ranked(report);
    for node in ranked.iter().take(MOST_ROWS) {
        lines.extend(row(&[
            node.name.clone(),
            latency(node.p50_ns),
            latency(node.p99_ns),
            change(&node.effect),
            node.effect.verdict.to_string(),
        ]));
    }
    let more = ranked.len().saturating_sub(MOST_ROWS);
    if more > 0 {
        lines.push(format!("and {more} more in the report"));
    }
    lines
}

fn zones(report: &MeshReport) -> Vec<String> {
    let left = |width| Column {
        width,
        side: Side::Left,
    };
    let columns = [
        left(36),
        Column {
            width: 7,
            side: Side::Right,
        },
        left(9),
        left(22),
    ];
    let row = |cells: &[String]| layout::row(&columns, cells, |_, text| text.to_owned());
    let titles = ["zones", "pairs", "p50", "crossing costs"].map(str::to_owned);
    let mut lines = row(&titles);
    for pair in report.zones.iter().take(MOST_ROWS) {
        lines.extend(row(&[
            zone_words(pair),
            count(pair.pairs.into()),
            latency(pair.spread.map(|spread| spread.median_ns)),
            pair.crossing.as_ref().map_or_else(String::new, change),
        ]));
    }
    lines
}

/// Names two zones, or one.
pub(super) fn zone_words(pair: &ZonePair) -> String {
    if pair.zone == pair.other {
        format!("within {}", pair.zone)
    } else {
        format!("{} – {}", pair.zone, pair.other)
    }
}
