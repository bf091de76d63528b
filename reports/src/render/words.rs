//! What things are called in plain English. Banned: "no change", "same", and "significant" alone
//! (statistics §2.6); a test looks for them in every report.

use tollgate_results::arm::Name;
use tollgate_results::facts::{Facts, Privilege};
use tollgate_results::run::TargetKind;
use tollgate_results::workload::{Traffic, Workload};

use super::number;
use crate::model::{
    Analysis, Cell, ClaimVerdict, Direction, Estimate, Fate, Floor, FloorBasis, Flows, Interval,
    Judgement, Metric, Responses, Scaling, Steal, TestedClaim, Typical, Unit, Verdict,
};
use crate::stats::real64;
use crate::words;

mod traffic;

pub(super) use traffic::{placement, placement_meaning, sends, stamped, workload};

/// Says a metric in words for headings.
pub(super) const fn metric(metric: Metric) -> &'static str {
    match metric {
        Metric::P50 => "median latency (p50)",
        Metric::P90 => "90th percentile of latency (p90)",
        Metric::P99 => "99th percentile of latency (p99)",
        Metric::P999 => "99.9th percentile of latency (p99.9)",
        Metric::PlanP50 => "median latency from the planned time (p50 from plan)",
        Metric::PlanP90 => "90th percentile of latency from the planned time (p90 from plan)",
        Metric::PlanP99 => "99th percentile of latency from the planned time (p99 from plan)",
        Metric::PlanP999 => "99.9th percentile of latency from the planned time (p99.9 from plan)",
        Metric::ServiceP50 => "median service time, from the actual send",
        Metric::LatenessP50 => "median lateness of the generator",
        Metric::LatenessP99 => "99th percentile of the generator's lateness",
        Metric::ConnectP50 => "median time to connect",
        Metric::TlsP50 => "median time of the TLS handshake",
        Metric::FirstByteP50 => "median time to the first byte of the response",
        Metric::LastByteP50 => "median time from the first byte of the response to its last",
        Metric::Rate => "requests per second",
        Metric::Throughput => "throughput",
        Metric::Loss => "loss",
        Metric::CpuPerRequest => "CPU time per request",
        Metric::CpuPerMib => "CPU time per MiB of payload",
        Metric::Beside => "payload per second of the bulk data beside the requests",
        Metric::PdvUpP50 => "median packet delay variation, client to server",
        Metric::PdvUpP99 => "99th percentile of packet delay variation, client to server",
        Metric::PdvDownP50 => "median packet delay variation, server to client",
        Metric::PdvDownP99 => "99th percentile of packet delay variation, server to client",
    }
}

/// A metric's name where room is scarce.
pub(super) const fn short_metric(metric: Metric) -> &'static str {
    match metric {
        Metric::CpuPerRequest => "CPU/request",
        Metric::CpuPerMib => "CPU/MiB",
        Metric::Beside => "beside",
        other => other.as_str(),
    }
}

/// The unit that a figure's axis shows, and how many of the record's units make one.
pub(super) fn axis_unit(unit: Unit, largest: f64) -> (&'static str, f64) {
    match unit {
        Unit::Nanoseconds => ("µs", 1e3),
        Unit::PerSecond => ("per second", 1.0),
        Unit::BitsPerSecond if largest < 1e9 => ("Mbit/s", 1e6),
        Unit::BitsPerSecond => ("Gbit/s", 1e9),
        Unit::Share => ("%", 0.01),
    }
}

/// Writes a value with its unit.
pub(super) fn value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Nanoseconds => number::micros(value),
        Unit::PerSecond => format!("{}/s", number::three_digits(value)),
        Unit::BitsPerSecond => {
            let (unit, scale) = axis_unit(unit, value.abs());
            format!("{} {unit}", number::three_digits(value / scale))
        }
        Unit::Share => number::share(value),
    }
}

/// Says what else a workload's slices tell.
pub(super) fn beside_verdicts(analysis: &Analysis, workload: &Name) -> Vec<String> {
    let mut lines = responses(analysis, workload);
    lines.extend(flows(analysis, workload));
    lines.extend(backends(analysis, workload));
    lines
}

/// Says how long each backend of a split took, where that was kept.
fn backends(analysis: &Analysis, workload: &Name) -> Vec<String> {
    let of_workload = analysis.splits.iter().filter(|of| of.workload == *workload);
    let timed = of_workload.filter(|of| !of.latencies.is_empty());
    let lines = timed.map(|of| {
        let each = of.latencies.iter().map(|backend| {
            format!(
                "{} p50 {}, p99 {} ({} replies)",
                backend.name,
                number::duration(real64(backend.p50_ns)),
                number::duration(real64(backend.p99_ns)),
                words::count(backend.replies)
            )
        });
        let each: Vec<String> = each.collect();
        format!(
            "Backends of {}, connecting left out: {}.",
            of.arm,
            each.join("; ")
        )
    });
    lines.collect()
}

/// Says what an arm's responses were, where they tell something: error statuses, a split between backends.
fn responses(analysis: &Analysis, workload: &Name) -> Vec<String> {
    let of_workload = analysis
        .responses
        .iter()
        .filter(|of| of.workload == *workload);
    let telling: Vec<&Responses> = of_workload.collect();
    if telling.iter().all(|of| of.is_plain()) {
        return Vec::new();
    }
    let lines = telling.iter().map(|of| {
        let statuses = of.statuses.iter();
        let statuses: Vec<String> = statuses
            .map(|(status, count)| format!("{} of {status}", words::count(*count)))
            .collect();
        let split: Vec<String> = of
            .split()
            .iter()
            .map(|(name, share)| format!("{name} {}", number::share(*share)))
            .collect();
        let split = if split.is_empty() {
            String::new()
        } else {
            format!("; backends {}", split.join(", "))
        };
        format!("Responses of {}: {}{split}.", of.arm, statuses.join(", "))
    });
    lines.collect()
}

/// Says whether source ports differ, for each arm that sweeps over them.
fn flows(analysis: &Analysis, workload: &Name) -> Vec<String> {
    let of_workload = analysis.flows.iter().filter(|of| of.workload == *workload);
    let lines = of_workload.map(|of| {
        let Flows {
            arm, ports, rounds, ..
        } = of;
        let Some(found) = of.difference else {
            return format!("{ports} source ports of {arm}: too few replies to compare them.");
        };
        let told = if found.p <= Flows::LEVEL {
            "differ"
        } else {
            "aren't told apart"
        };
        format!(
            "{ports} source ports of {arm} {told}: sd {} between ports (p = {:.3} by permutation, {rounds} rounds), {} \
             between visits of one port.",
            number::share(found.between),
            found.p,
            number::share(found.within),
        )
    });
    lines.collect()
}

/// Writes a typical value with its unit.
pub(super) fn typical(unit: Unit, typical: Option<&Typical>) -> String {
    typical.map_or_else(
        || number::UNKNOWN.to_owned(),
        |typical| value(unit, typical.median),
    )
}

/// Writes the change of a cell's value against the reference with its 95 % interval: in percent, for loss in
/// percentage points. `None` where there is no interval.
pub(super) fn change(cell: &Cell) -> Option<String> {
    match cell.unit {
        Unit::Share => shift(cell),
        _ => cell.change.as_ref().map(words::change),
    }
}

/// Writes the difference of a cell's value from the reference in its unit, with its 95 % interval.
pub(super) fn shift(cell: &Cell) -> Option<String> {
    let shift = cell.shift.as_ref()?;
    Some(words::shift_with_interval(cell.unit, shift).replace("percentage points", "pp"))
}

/// Writes the rise along a sweep with its 95 % interval, or that there is none.
pub(super) fn rise(scaling: &Scaling) -> String {
    let relative = |interval: Interval| Interval {
        low: interval.low - 1.0,
        high: interval.high - 1.0,
        ..interval
    };
    scaling.claim.rise.map_or_else(
        || number::UNKNOWN.to_owned(),
        |rise| {
            words::change(&Estimate {
                value: rise.value - 1.0,
                interval95: relative(rise.interval95),
                interval90: relative(rise.interval90),
            })
        },
    )
}

/// Returns what a reader should know of a cell: why there is no verdict, what would give one, and notes.
pub(super) fn remarks(cell: &Cell) -> impl Iterator<Item = &str> {
    let resolution = cell
        .to_resolve
        .as_ref()
        .map(|resolution| resolution.words.as_str());
    let reason = cell.reason.as_deref();
    let notes = cell.notes.iter().map(String::as_str);
    reason.into_iter().chain(resolution).chain(notes)
}

/// Keeps figures with their unit, and intervals on one line.
pub(super) fn unbroken(text: &str) -> String {
    let mut kept = String::with_capacity(text.len() + 16);
    let mut inside = false;
    for c in text.chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            _ => {}
        }
        kept.push(if inside && c == ' ' { '\u{a0}' } else { c });
    }
    kept = kept.replace(" vs ", " vs\u{a0}");
    for unit in ["%", "µs", "ms", "pp", "min"] {
        kept = kept.replace(&format!(" {unit}"), &format!("\u{a0}{unit}"));
    }
    kept
}

/// Returns what a reader should know of the campaign, without what the answers say already.
pub(super) fn notes(analysis: &Analysis) -> impl Iterator<Item = &str> {
    let told = |note: &&String| {
        let answers = &analysis.answers;
        !answers
            .iter()
            .any(|answer| answer.text.contains(note.as_str()))
    };
    analysis
        .conduct
        .notes
        .iter()
        .filter(told)
        .map(String::as_str)
}

/// Says on how many rounds cells rest: `n = 10 rounds`, `n = 9 to 10 rounds`.
pub(super) fn rounds_compared<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> String {
    rounds_between(cells.into_iter().map(|cell| cell.rounds))
}

/// The same for any numbers of rounds.
pub(super) fn rounds_between(rounds: impl Iterator<Item = u32>) -> String {
    let (least, most) = rounds.fold((u32::MAX, 0), |(least, most), n| {
        (least.min(n), most.max(n))
    });
    match (least, most) {
        (1, 1) => "n = 1 round".to_owned(),
        (least, most) if least < most => format!("n = {least} to {most} rounds"),
        (_, most) => format!("n = {most} rounds"),
    }
}

/// The symbol of a verdict, for who doesn't see its colour.
pub(super) const fn symbol(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Slower => "▲",
        Verdict::Faster => "▼",
        Verdict::Equivalent => "≈",
        Verdict::Inconclusive | Verdict::Insufficient => "?",
        Verdict::Invalid => "✕",
    }
}

/// The symbol of a verdict on a claim, for who doesn't see its colour.
pub(super) const fn claim_symbol(verdict: ClaimVerdict) -> &'static str {
    match verdict {
        ClaimVerdict::Holds => "✓",
        ClaimVerdict::HoldsInPart => "○",
        ClaimVerdict::DoesNotHold => "≠",
        ClaimVerdict::Undecided | ClaimVerdict::Untested => "?",
        ClaimVerdict::Invalid => "✕",
    }
}

/// Says what a claim says, and how many comparisons were judged together.
pub(super) fn claimed(claim: &TestedClaim) -> String {
    let together = match claim.comparisons {
        0 | 1 => String::new(),
        many => format!(" {many} comparisons were judged together."),
    };
    format!(
        "Claimed is a change of the {}, arm against baseline: {}.{together}",
        metric(claim.metric),
        claim.claimed
    )
}

/// Writes the result with no round dropped, where rounds were: `slower +24.8 % [24.5, 26.6] (12 rounds)`.
pub(super) fn undropped(cell: &Cell) -> Option<String> {
    let undropped = cell.undropped?;
    let effect = undropped.effect.map(|effect| match cell.unit {
        Unit::Share => {
            words::shift_with_interval(cell.unit, &effect).replace("percentage points", "pp")
        }
        _ => words::change(&crate::analysis::change(&effect, cell.direction)),
    });
    let effect = effect.map_or_else(String::new, |effect| format!(" {effect}"));
    Some(format!(
        "{}{effect} ({} rounds)",
        undropped.verdict, undropped.rounds
    ))
}

/// Returns the noise floor of a workload's metric.
pub(super) fn floor<'a>(
    analysis: &'a Analysis,
    workload: &Name,
    metric: Metric,
) -> Option<&'a Floor> {
    let mut floors = analysis.noise_floor.floors.iter();
    floors.find(|floor| floor.workload == *workload && floor.metric == metric)
}

/// Says where a noise floor is known from.
pub(super) fn floor_basis(basis: &FloorBasis) -> String {
    match basis {
        FloorBasis::Calibration { campaigns } => format!(
            "calibration of this machine (φ: equal arms stayed closer in 95 % of {campaigns} A/A campaigns)"
        ),
        FloorBasis::Twin { arm } => format!(
            "arm {arm}, which is its reference deployed a second time (A/A; the farther end of its 95 % interval)"
        ),
        FloorBasis::Spread { rounds } => format!(
            "spread of {rounds} rounds (no A/A; the smallest difference that nine of ten campaigns like this find)"
        ),
    }
}

/// Says which way is worse.
pub(super) const fn worse(direction: Direction) -> &'static str {
    match direction {
        Direction::LargerIsWorse => "less is better",
        Direction::SmallerIsWorse => "more is better",
    }
}

/// Says a judgement on evidence.
pub(super) const fn judgement(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Ok => "proved",
        Judgement::Unknown => "could not be told",
        Judgement::Contradicts => "contradicts",
    }
}

/// Says how many arms were proved to take the declared path.
pub(super) fn evidence(analysis: &Analysis) -> String {
    let all = analysis.arms.len();
    let of = |wanted| {
        analysis
            .arms
            .iter()
            .filter(|arm| arm.evidence.judgement == wanted)
            .count()
    };
    let (ok, bad) = (of(Judgement::Ok), of(Judgement::Contradicts));
    let on = if ok == all {
        format!("all {all} arms")
    } else {
        format!("{ok} of {all} arms")
    };
    let shown = format!("counters show that the declared path carried the packets, on {on}");
    if bad == 0 {
        shown
    } else {
        format!("{shown}; on {bad} they contradict, and those arms are invalid")
    }
}

/// Says which rounds count.
pub(super) fn rounds(analysis: &Analysis) -> String {
    let conduct = &analysis.conduct;
    let arms = analysis.arms.len();
    let partial = conduct
        .rounds
        .iter()
        .filter(|round| round.fate == Fate::Partial)
        .count();
    let mut said = vec![format!(
        "{} of {} rounds count",
        conduct.kept,
        conduct.could_count()
    )];
    // A command that switches a cluster between the arms leaves only one of them at a time.
    let switched = analysis
        .arms
        .iter()
        .any(|arm| arm.dimensions.cluster.is_some() && !arm.change.apply.is_empty());
    let order = if switched {
        format!(
            "each of {} installs has its rounds of all {arms} arms one arm after the other, in random order",
            analysis.subject.installs
        )
    } else {
        format!("each measures all {arms} arms back to back in random order")
    };
    said.push(format!(
        "{order}, {} per slice",
        analysis.subject.rounds.slice.words()
    ));
    said.push(match conduct.dropped {
        0 => "none dropped for noise".to_owned(),
        dropped => format!("{dropped} dropped for noise"),
    });
    if partial > 0 {
        said.push(format!("{partial} only partly measured"));
    }
    if !conduct.complete {
        said.push("the campaign was interrupted and can be resumed".to_owned());
    }
    said.join("; ")
}

/// Says what the machine is.
pub(super) fn machine(facts: &Facts) -> String {
    let virtual_machine = match &facts.hypervisor {
        Some(hypervisor) => format!(" (virtual, {hypervisor})"),
        None => String::new(),
    };
    let cpus = match facts.cpus {
        1 => "1 CPU".to_owned(),
        cpus => format!("{cpus} CPUs"),
    };
    let rights = match facts.privilege {
        Privilege::Root => "as root",
        Privilege::Rootless => "without root",
    };
    let memory = number::three_digits(to_f64(facts.memory_mib) / 1024.0);
    format!(
        "{cpus}, {}{virtual_machine}; {memory} GiB; Linux {}; {rights}",
        facts.cpu_model, facts.kernel
    )
}

/// Says what can be said of steal.
pub(super) fn steal(steal: Steal) -> String {
    match steal {
        Steal::Observed { largest_share } => {
            format!(
                "at most {} of a CPU in any slice",
                number::share(largest_share)
            )
        }
        Steal::Unobservable => {
            "unobservable: this machine shows none, which isn't proof of none".to_owned()
        }
    }
}

/// Says where the scenario ran.
pub(crate) const fn target(target: TargetKind) -> &'static str {
    match target {
        TargetKind::Lab => "lab: nodes and pods are network namespaces of one machine",
        TargetKind::Cluster => "cluster: probe pods in Kubernetes",
        TargetKind::Hosts => "hosts: two agents on two machines",
    }
}

/// Says what became of a round.
pub(super) const fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Kept => "counts",
        Fate::Warmup => "discarded by design",
        Fate::Partial => "partly measured",
        Fate::Dropped => "dropped for noise",
    }
}

/// Returns the metric that speaks first for a workload.
pub(super) fn main_metric(analysis: &Analysis, workload: &Workload) -> Metric {
    let noise = &analysis.noise_floor.workloads;
    let known = noise.iter().find(|noise| noise.workload == workload.name);
    known.map_or_else(
        || match workload.traffic {
            Traffic::TcpStream { .. } | Traffic::UdpStream(_) => Metric::Throughput,
            _ if workload.load.open().is_some() => Metric::PlanP50,
            _ => Metric::P50,
        },
        |noise| noise.metric,
    )
}

/// Joins names as a sentence does: `a`, `a and b`, `a, b and c`.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a Name>) -> String {
    series(names.into_iter().map(Name::as_str))
}

/// Puts words in a row: `a, b and c`.
pub(super) fn series<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = words.into_iter().collect();
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// A count as a number to compute with.
#[expect(
    clippy::cast_precision_loss,
    reason = "figures of a report stay far below 2^53"
)]
pub(super) const fn to_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stay_with_their_unit() {
        assert_eq!(
            unbroken("by +3.1 µs, +24.8 % [24.5, 26.6]."),
            "by +3.1\u{a0}µs, +24.8\u{a0}% [24.5,\u{a0}26.6]."
        );
    }
}
