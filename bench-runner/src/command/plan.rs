//! `tollgate plan`: what a scenario would do here, without doing it.

use std::fmt::Write as _;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use tollgate_probes::facts;
use tollgate_reports::calibration::{Calibration, Costs};
use tollgate_reports::gate::Policy;
use tollgate_reports::verdict::fewest_rounds;
use tollgate_results::arm::Name;
use tollgate_results::plan::Plan;
use tollgate_results::workload::{Cpu, Workload};
use tollgate_scenarios::{Scenario, estimate};

use super::source;
use crate::calibration;
use crate::campaign::{comparable, slices};
use crate::cli::PlanArgs;
use crate::clock::SystemClock;
use crate::exit::Exit;
use crate::output;
use crate::progress::minutes;

/// Fewest rounds with an interval (statistics §2.4).
const FEWEST_ROUNDS: u32 = 6;

/// Prints the plan, or the list of shipped scenarios.
pub(super) fn plan(args: &PlanArgs) -> anyhow::Result<Exit> {
    let Some(name) = &args.scenario else {
        return shipped(args.json);
    };
    let clock = SystemClock::start();
    let scenario = Scenario::load(name)?;
    let on_cluster = scenario
        .arms
        .iter()
        .any(|arm| arm.datapath.cluster.is_some());
    let plan = if on_cluster {
        // What a cluster lacks is for the cluster to say, and so is on which CPUs pods run.
        let mut plan = source::resolved(&scenario, &args.choices, clock, &|_| None)?;
        for workload in &mut plan.workloads {
            workload.cpu = Cpu::Free;
        }
        plan
    } else {
        source::plan(name, &args.choices, clock)?
    };
    if args.json {
        let mut text = serde_json::to_vec_pretty(&plan)?;
        text.push(b'\n');
        output::result(&text)?;
    } else {
        let calibration = calibration::load(&facts::read().fingerprint(), &plan)?;
        let mut text = describe(&plan);
        text.push_str(&noise(&plan, calibration.as_ref()));
        output::result(text.as_bytes())?;
    }
    comparable(&plan)?;
    Ok(Exit::Done)
}

fn shipped(json: bool) -> anyhow::Result<Exit> {
    if json {
        let names: Vec<&str> = tollgate_scenarios::shipped()
            .iter()
            .map(|shipped| shipped.name)
            .collect();
        output::result(format!("{}\n", serde_json::to_string(&names)?).as_bytes())?;
        return Ok(Exit::Done);
    }
    let mut table = table(&["scenario", "what it compares"]);
    for shipped in tollgate_scenarios::shipped() {
        table.add_row([shipped.name.to_owned(), Scenario::load(shipped.name)?.about]);
    }
    output::result(format!("{table}\nRun one with `tollgate run NAME`.\n").as_bytes())?;
    Ok(Exit::Done)
}

fn describe(plan: &Plan) -> String {
    let mut text = format!("{}: {}\n\n", plan.scenario, plan.about);
    let mut arms = table(&["arm", "datapath", "compared with", "workloads"]);
    for arm in &plan.arms {
        let reference = arm
            .reference
            .as_ref()
            .map_or("(reference)", |name| name.as_str());
        let workloads: Vec<&str> = arm.workloads.iter().map(Name::as_str).collect();
        arms.add_row([
            arm.name.as_str(),
            &arm.describe(),
            reference,
            &workloads.join(", "),
        ]);
    }
    let mut workloads = table(&["workload", "traffic", "CPU placement"]);
    for workload in &plan.workloads {
        workloads.add_row([
            workload.name.as_str(),
            workload.traffic.kind(),
            workload.cpu.as_str(),
        ]);
    }
    let _ = writeln!(text, "{arms}\n{workloads}\n");
    let rounds = plan.rounds;
    let _ = writeln!(
        text,
        "{} rounds after round 0, {} slices of {} (+ {} warm-up) in all, seed {}: about {}.",
        rounds.count,
        slices(plan),
        rounds.slice.words(),
        rounds.warmup.words(),
        plan.seed,
        minutes(estimate(plan).duration()),
    );
    for skipped in &plan.skipped {
        let _ = writeln!(text, "Skipped here: {}: {}", skipped.arm, skipped.reason);
    }
    for claim in &plan.claims {
        let pairs = claim.pairs.iter();
        let pairs: Vec<String> = pairs
            .map(|pair| format!("{} against {}", pair.arm, pair.baseline))
            .collect();
        let _ = writeln!(
            text,
            "Claim to test: “{}” ({}: {}): {}.",
            claim.about,
            claim.metric,
            claim.change.words(),
            pairs.join(", ")
        );
    }
    text
}

/// Says what this machine's noise lets such a plan tell, and what keeps it from telling anything.
fn noise(plan: &Plan, calibration: Option<&Calibration>) -> String {
    let mut text = String::new();
    if plan.rounds.count < FEWEST_ROUNDS {
        let _ = writeln!(
            text,
            "Warning: {} rounds have no interval, so nothing will be decided; take {FEWEST_ROUNDS} or more.",
            plan.rounds.count
        );
    }
    for claim in &plan.claims {
        let comparisons = plan.comparisons(claim);
        let fewest = fewest_rounds(comparisons);
        if usize::try_from(plan.rounds.count).is_ok_and(|count| count < fewest) {
            let _ = writeln!(
                text,
                "Warning: the claim {} has {comparisons} comparisons, of which {} rounds can prove nothing together; take {fewest} or \
                 more.",
                claim.name, plan.rounds.count
            );
        }
    }
    if plan.reconfigures() && plan.rounds.installs < FEWEST_ROUNDS {
        let _ = writeln!(
            text,
            "Warning: a command switches the cluster between the arms, so that each install counts once, and {} of them \
             have no interval; take {FEWEST_ROUNDS} installs or more (--rounds 30).",
            plan.rounds.installs
        );
    }
    let spins =
        |workload: &&Workload| workload.cpu == Cpu::Shared && workload.load.open().is_some();
    for workload in plan.workloads.iter().filter(spins) {
        let _ = writeln!(
            text,
            "Warning: {} is an open loop on a CPU that client and server share: its generator spins there, so \
             that it delays what it measures; take cpu = \"split\".",
            workload.name
        );
    }
    if plan.arms.iter().any(|arm| arm.datapath.cluster.is_some()) {
        // Calibrations are of this machine.
        return text;
    }
    let Some(calibration) = calibration.filter(|known| !known.cells.is_empty()) else {
        let _ = writeln!(
            text,
            "Noise floor: not known here; `tollgate calibrate {}` measures it.",
            plan.scenario
        );
        return text;
    };
    let round = estimate(plan).seconds() / f64::from(plan.rounds.count + plan.rounds.installs);
    // Deploying takes a fraction of a second; the discarded round is what an install costs.
    let costs = Costs {
        install_seconds: round + 0.5,
        round_seconds: round,
    };
    let margins = Policy::default().margins;
    for cell in &calibration.cells {
        if let Some(margin) = margins.get(&cell.metric) {
            let _ = writeln!(
                text,
                "Noise floor of {} {}: {:.1} %; {}.",
                cell.workload,
                cell.metric,
                cell.floor() * 100.0,
                cell.advise(margin.0, costs).words
            );
        }
    }
    text
}

/// Returns an empty table that keeps to the terminal's width, 80 columns in a pipe.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(80)
        .set_header(header.iter().copied());
    table
}
