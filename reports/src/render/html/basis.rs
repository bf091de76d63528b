//! What the report rests on: evidence, skipped arms, rounds, facts.

use maud::{Markup, html};

use tollgate_results::path_mtu::{MtuLimit, PathMtu};

use super::super::differences::differences;
use super::super::legend::Legend;
use super::super::{number, words};
use super::parts;
use crate::model::{Analysis, ArmSummary, EvidenceSummary, Fate};

/// Proof of each arm's path.
pub(super) fn evidence(analysis: &Analysis, legend: &Legend) -> Markup {
    // Another amount is noise; packets where the reference has none, or none where it has some, are another path.
    let counted = |arm: &ArmSummary, of: fn(&EvidenceSummary) -> Option<u64>| {
        let own = of(&arm.evidence);
        let reference = arm.reference.as_ref().and_then(|name| analysis.arm(name));
        let some = |value: Option<u64>| value.unwrap_or(0) > 0;
        let differs = reference.is_some_and(|other| some(of(&other.evidence)) != some(own));
        let text = own.map_or_else(|| number::UNKNOWN.to_owned(), number::count);
        parts::differing(&text, differs)
    };
    let table = html! {
            thead {
                tr {
                    th scope="col" { "Arm" }
                    th scope="col" { "Declared path" }
                    th.n scope="col" { "Requests" }
                    th.n scope="col" { "VXLAN packets" }
                    th.n scope="col" { "Packets on rules" }
                    th.n scope="col" { "eBPF translations" }
                    th scope="col" { "Connection tracking" }
                }
            }
            tbody {
                @for arm in &analysis.arms {
                    @let evidence = &arm.evidence;
                    tr {
                        th scope="row" { (parts::arm(legend, &arm.name)) }
                        td { (parts::judgement(evidence.judgement)) }
                        td.n { (number::count(evidence.requests)) }
                        td.n { (counted(arm, |it| it.encapsulated_packets)) }
                        td.n { (counted(arm, |it| it.rule_packets)) }
                        td.n { (counted(arm, |it| it.socket_translations.or(it.packet_translations))) }
                        td { (evidence.translation) }
                    }
                }
            }
    };
    html! {
        section #evidence aria-labelledby="evidence-title" {
            h2 #evidence-title { "Evidence" }
            p {
                "Whether each arm's packets took the path that the arm declares, by counters that the kernel keeps anyway. "
                "An arm whose counters contradict it is invalid. " mark { "≠" } " marks where packets went another way than those of the arm's reference."
            }
            (parts::table("What the datapath itself counted, over all slices of an arm", &table))
            details {
                summary { "Each check" }
                ul {
                    @for arm in &analysis.arms {
                        @for check in &arm.evidence.checks {
                            li { b { (arm.name) ", " (check.about) } ": " (check.text) " " (parts::judgement(check.judgement)) }
                        }
                    }
                }
            }
        }
    }
}

/// Arms that could not run.
pub(super) fn skipped(analysis: &Analysis) -> Markup {
    let skipped = &analysis.subject.skipped;
    if skipped.is_empty() {
        return html! {};
    }
    html! {
        section #skipped aria-labelledby="skipped-title" {
            h2 #skipped-title { "Skipped arms" }
            p { "The scenario has these arms too; they can't run on this machine." }
            dl {
                @for skipped in skipped {
                    dt { (skipped.arm) }
                    dd { (skipped.reason) }
                }
            }
        }
    }
}

/// Which rounds count, and why others don't.
pub(super) fn rounds(analysis: &Analysis) -> Markup {
    let conduct = &analysis.conduct;
    let excluded = conduct
        .rounds
        .iter()
        .filter(|round| round.fate != Fate::Kept);
    html! {
        section #conduct aria-labelledby="conduct-title" {
            h2 #conduct-title { "Rounds that count" }
            p { (words::rounds(analysis)) "." }
            ul {
                @for round in excluded {
                    li {
                        "Round " (round.round) ", " (words::fate(round.fate))
                        @if let Some(reason) = &round.reason { ": " (reason) }
                    }
                }
                @for failure in &conduct.failures {
                    li {
                        "Round " (failure.round) ", " (failure.workload) " on " (failure.arm) ", failed: " (failure.reason)
                    }
                }
            }
            @if !analysis.noise_floor.floors.is_empty() { (noise(analysis)) }
        }
    }
}

/// How far apart equal arms may look, for every metric.
fn noise(analysis: &Analysis) -> Markup {
    let table = html! {
            thead {
                tr {
                    th scope="col" { "Workload" }
                    th scope="col" { "Metric" }
                    th.n scope="col" { "Noise floor" }
                    th scope="col" { "Known from" }
                }
            }
            tbody {
                @for floor in &analysis.noise_floor.floors {
                    tr {
                        th scope="row" { (floor.workload) }
                        td { (words::short_metric(floor.metric)) }
                        td.n { "±" (number::share(floor.distance)) }
                        td { (words::floor_basis(&floor.basis)) }
                    }
                }
            }
    };
    html! {
        details {
            summary { "Noise floor of every metric" }
            (parts::table("How far apart equal arms may look", &table))
            p.about {
                "Differences below the noise floor aren't worth an argument, however sure their sign. The brackets in the figures of the verdicts are drawn at it."
            }
        }
    }
}

/// The machine, the run and the arms' devices.
pub(super) fn facts(analysis: &Analysis, legend: &Legend) -> Markup {
    let rows = rows(analysis);
    let table = html! {
            tbody {
                @for (heading, fact) in rows { tr { th scope="row" { (heading) } td { (fact) } } }
            }
    };
    let notes: Vec<(&ArmSummary, &String)> = analysis
        .arms
        .iter()
        .flat_map(|arm| arm.notes.iter().map(move |note| (arm, note)))
        .collect();
    html! {
        section #facts aria-labelledby="facts-title" {
            h2 #facts-title { "Facts" }
            (arms(analysis, legend))
            p { "Figures of two reports may be compared where their fingerprints are equal." }
            (parts::table("The machine and the run", &table))
            @if !notes.is_empty() {
                ul { @for (arm, note) in notes { li { b { (arm.name) } ": " (note) } } }
            }
        }
    }
}

/// What the arms are, where they differ.
fn arms(analysis: &Analysis, legend: &Legend) -> Markup {
    let found = differences(analysis);
    if found.headings.is_empty() {
        return html! {};
    }
    let table = html! {
            thead {
                tr {
                    th scope="col" { "Arm" }
                    @for heading in &found.headings { th scope="col" { (heading) } }
                }
            }
            tbody {
                @for row in &found.rows {
                    tr {
                        th scope="row" { (parts::arm(legend, row.arm)) }
                        @for fact in &row.values { td { (parts::differing(&fact.text, fact.differs)) } }
                    }
                }
            }
    };
    let shared: Vec<String> = found
        .shared
        .iter()
        .map(|(heading, value)| format!("{heading} {value}"))
        .collect();
    html! {
        (parts::table("In what the arms differ", &table))
        p.about {
            mark { "≠" } " marks what an arm's reference has otherwise: that is what was compared."
            @if !shared.is_empty() { " All arms alike: " (shared.join(", ")) "." }
        }
    }
}

/// Says what gets through in one piece: from client to server, back, and between their nodes.
fn path_mtus(analysis: &Analysis) -> String {
    let one = |mtu: &Option<PathMtu>| {
        let Some(PathMtu {
            mtu: Some(mtu),
            limit,
            ..
        }) = mtu
        else {
            return "?".to_owned();
        };
        match limit {
            MtuLimit::BlackHole { .. } => format!("{mtu} (larger ones vanish)"),
            _ => mtu.to_string(),
        }
    };
    let of_arm = |arm: &ArmSummary| {
        let mtus = arm.path_mtu.as_ref()?;
        let overhead = match mtus.overhead() {
            Some(bytes) if bytes > 0 => format!(" ({bytes} B taken by the path)"),
            _ => String::new(),
        };
        let (there, back) = (one(&mtus.there), one(&mtus.back));
        let nodes = one(&mtus.node_there);
        Some(format!(
            "{} {there} there, {back} back, {nodes} between nodes{overhead}",
            arm.name
        ))
    };
    let known: Vec<String> = analysis.arms.iter().filter_map(of_arm).collect();
    if known.is_empty() {
        "not looked for".to_owned()
    } else {
        known.join("; ")
    }
}

fn rows(analysis: &Analysis) -> Vec<(String, String)> {
    let subject = &analysis.subject;
    let facts = &subject.facts;
    let unknown = || "not shown by this machine".to_owned();
    let exact = match facts.exact_irq_time {
        Some(true) => "exact".to_owned(),
        Some(false) => "sampled at each tick".to_owned(),
        None => "unknown".to_owned(),
    };
    let mtus = analysis.arms.iter().map(|arm| {
        let mtu = |value: Option<u32>| value.map_or_else(|| "?".to_owned(), |mtu| mtu.to_string());
        format!("{} {}/{}", arm.name, mtu(arm.pod_mtu), mtu(arm.wire_mtu))
    });
    let mut rows = vec![
        ("Fingerprint", subject.fingerprint.clone()),
        ("Machine", words::machine(facts)),
        (
            "Clock source",
            facts.clocksource.clone().unwrap_or_else(unknown),
        ),
        (
            "CPUs that the runner may use",
            facts.affinity.clone().unwrap_or_else(|| "all".to_owned()),
        ),
        (
            "Frequency governor",
            facts.governor.clone().unwrap_or_else(unknown),
        ),
        ("Soft interrupt time", exact),
        (
            "Resolution of CPU times",
            number::duration(words::to_f64(facts.cpu_time_resolution_ns)),
        ),
        ("Steal", words::steal(analysis.conduct.steal)),
        ("MTU of pod / wire", mtus.collect::<Vec<_>>().join(", ")),
        ("Path MTU, found by probing", path_mtus(analysis)),
        (
            "Scenario",
            format!("{}, SHA-256 {}", subject.scenario, subject.scenario_hash),
        ),
        ("Seed", subject.seed.to_string()),
        (
            "Slice",
            format!(
                "{} after {} of warm-up",
                subject.rounds.slice.words(),
                subject.rounds.warmup.words()
            ),
        ),
        ("Installs", subject.installs.to_string()),
        ("Started", number::date(subject.started_unix_ms)),
        ("Took", number::span(whole(subject.elapsed_seconds))),
        ("Tollgate", subject.tool_version.clone()),
    ];
    let mut rows: Vec<(String, String)> = rows
        .drain(..)
        .map(|(heading, fact)| (heading.to_owned(), fact))
        .collect();
    rows.extend(
        facts
            .sysctls
            .iter()
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    rows.extend(
        facts
            .tools
            .iter()
            .map(|(tool, version)| (tool.clone(), version.clone())),
    );
    rows
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of floats saturates, and a campaign takes less than 2^64 s"
)]
fn whole(seconds: f64) -> u64 {
    seconds.round() as u64
}
