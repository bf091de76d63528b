//! `tollgate plan`: what a scenario would do here, without doing it.

use std::fmt::Write as _;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{ContentArrangement, Table};
use tollgate_results::arm::Name;
use tollgate_results::plan::Plan;
use tollgate_scenarios::{Scenario, estimate};

use super::source;
use crate::campaign::{comparable, slices};
use crate::cli::PlanArgs;
use crate::clock::SystemClock;
use crate::exit::Exit;
use crate::output;
use crate::progress::minutes;

/// Prints the plan, or the list of shipped scenarios.
pub(super) fn plan(args: &PlanArgs) -> anyhow::Result<Exit> {
    let Some(name) = &args.scenario else {
        return shipped(args.json);
    };
    let plan = source::plan(name, &args.choices, SystemClock::start())?;
    if args.json {
        let mut text = serde_json::to_vec_pretty(&plan)?;
        text.push(b'\n');
        output::result(&text)?;
    } else {
        output::result(describe(&plan).as_bytes())?;
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
            &arm.datapath.to_string(),
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
