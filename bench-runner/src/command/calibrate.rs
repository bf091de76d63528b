//! `tollgate calibrate`: how much this machine's own noise moves the same path against itself.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use tollgate_reports::analyse;
use tollgate_reports::calibration::{Calibration, Costs, Rate};
use tollgate_reports::gate::Policy;
use tollgate_reports::model::Analysis;
use tollgate_results::RECORD_SCHEMA;
use tollgate_results::plan::Plan;
use tollgate_results::run::{Campaign, Install};
use tollgate_scenarios::estimate;
use tollgate_store::CampaignDir;

use super::measure::{self, Ground, Measured, Meter, Open};
use super::plan::table;
use super::source;
use crate::calibration;
use crate::campaign::{self, comparable};
use crate::cli::CalibrateArgs;
use crate::clock::SystemClock;
use crate::exit::Exit;
use crate::gate;
use crate::output;
use crate::progress::{self, minutes};

/// Name of the file that says what was asked for.
const REQUEST: &str = "request.json";

/// What a calibration was asked for: enough to go on with it.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    schema: u32,
    campaigns: u32,
    plan: Plan,
}

/// Measures the same path against itself, or takes campaigns that did.
pub(super) fn calibrate(args: &CalibrateArgs) -> anyhow::Result<Exit> {
    let folders = if args.from.is_empty() {
        match measure(args)? {
            Some(folders) => folders,
            None => return Ok(Exit::Interrupted),
        }
    } else {
        args.from.clone()
    };
    let mut found = Vec::new();
    let mut costs = Vec::new();
    for folder in &folders {
        let (_, campaign) = CampaignDir::open(folder)?;
        let analysis = analyse(&campaign);
        costs.push(cost(&campaign, &analysis));
        found.push(analysis);
    }
    let all: Vec<&Analysis> = found.iter().collect();
    let calibration = Calibration::of(&all)?;
    let path = calibration::save(&calibration)?;
    if args.json {
        let mut json = serde_json::to_vec_pretty(&calibration)?;
        json.push(b'\n');
        output::result(&json)?;
    } else {
        output::result(describe(&calibration, mean(&costs)).as_bytes())?;
        output::result(format!("\nCalibration: {}\n", path.display()).as_bytes())?;
    }
    Ok(Exit::Done)
}

/// Measures what is lacking; `None` where it was interrupted.
fn measure(args: &CalibrateArgs) -> anyhow::Result<Option<Vec<PathBuf>>> {
    let clock = SystemClock::start();
    let probe = measure::probe(args.probe.as_deref())?;
    let (dir, request) = match &args.resume {
        Some(dir) => (dir.clone(), read(dir)?),
        None => begin(args, clock)?,
    };
    let mut meter = Meter {
        clock,
        progress: progress::of(args.progress),
    };
    let mut folders = Vec::new();
    for number in 1..=request.campaigns {
        let folder = dir.join(format!("{number:03}"));
        let open = if folder.join(tollgate_store::RUN).exists() {
            Open::resume(&folder, Some(&probe))?
        } else {
            let plan = Plan {
                seed: request.plan.seed.wrapping_add(u64::from(number)),
                ..request.plan.clone()
            };
            Open::create(&folder, plan, Ground::Lab(probe.clone()), clock)?
        };
        if !campaign::is_over(&open.campaign) {
            let what = format!("campaign {number} of {}", request.campaigns);
            if !matches!(meter.measure(open).context(what)?, Measured::Whole(..)) {
                output::note(&format!(
                    "Interrupted after {} of {} campaigns; they are kept. Go on with: tollgate calibrate --resume {}",
                    number - 1,
                    request.campaigns,
                    dir.display()
                ));
                return Ok(None);
            }
        }
        folders.push(folder);
    }
    Ok(Some(folders))
}

fn begin(args: &CalibrateArgs, clock: SystemClock) -> anyhow::Result<(PathBuf, Request)> {
    ensure!(
        (1..=1_000).contains(&args.campaigns),
        "--campaigns: {} is out of range; write 1 to 1000",
        args.campaigns
    );
    let name = args
        .scenario
        .as_deref()
        .context("name a scenario, for example `tollgate calibrate overlay-tax`")?;
    let plan = against_itself(source::plan(name, &args.choices(), clock)?);
    comparable(&plan)?;
    ensure!(
        plan.rounds.count >= 6,
        "--rounds: {} are too few for an interval; write at least 6",
        plan.rounds.count
    );
    let each = estimate(&plan).duration();
    output::note(&format!(
        "{}: `{}` against a second install of itself, {} campaigns of {} rounds, seed {}: about {}",
        plan.scenario,
        plan.reference,
        args.campaigns,
        plan.rounds.count,
        plan.seed,
        minutes(each * args.campaigns),
    ));
    let dir = args
        .out
        .clone()
        .unwrap_or_else(|| measure::next_free(Path::new("calibrations"), plan.scenario.as_str()));
    let shown = dir.display();
    ensure!(
        !dir.join(REQUEST).exists(),
        "`{shown}` is the folder of a calibration; go on with it by --resume, or name another"
    );
    fs::create_dir_all(&dir).with_context(|| format!("failed to make the folder `{shown}`"))?;
    let request = Request {
        schema: RECORD_SCHEMA,
        campaigns: args.campaigns,
        plan,
    };
    let mut json = serde_json::to_vec_pretty(&request)?;
    json.push(b'\n');
    tollgate_store::write_whole(&dir.join(REQUEST), &json)?;
    Ok((dir, request))
}

fn read(dir: &Path) -> anyhow::Result<Request> {
    let path = dir.join(REQUEST);
    let bytes = fs::read(&path).with_context(|| {
        format!(
            "`{}` is no calibration's folder; name the one that `tollgate calibrate` wrote to",
            dir.display()
        )
    })?;
    let request: Request = serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "`{}` was edited or damaged, or is of another version",
            path.display()
        )
    })?;
    ensure!(
        request.schema == RECORD_SCHEMA,
        "`{}` is of record format {}, and this version of Tollgate reads {RECORD_SCHEMA}; use the version that wrote it",
        path.display(),
        request.schema
    );
    Ok(request)
}

/// Leaves the reference, and puts a second install of it beside it.
fn against_itself(mut plan: Plan) -> Plan {
    let reference = plan.reference.clone();
    plan.arms.retain(|arm| arm.name == reference);
    plan.skipped.retain(|skipped| skipped.arm == reference);
    if let Some(arm) = plan.arms.first().cloned() {
        plan.workloads
            .retain(|workload| arm.workloads.contains(&workload.name));
        plan.arms.push(gate::again(&arm));
    }
    plan
}

/// What one of this campaign's installs took, and one of its rounds. Each install has a round of its own that is discarded.
fn cost(campaign: &Campaign, analysis: &Analysis) -> Costs {
    let rounds = campaign.run.plan.rounds;
    let rounds = f64::from(rounds.count) + f64::from(rounds.installs);
    let round_seconds = analysis.subject.elapsed_seconds / rounds;
    let installs = &campaign.run.installs;
    let count = f64::from(u32::try_from(installs.len()).unwrap_or(u32::MAX)).max(1.0);
    let deploying: Duration = installs.iter().map(deploying).sum();
    Costs {
        install_seconds: deploying.as_secs_f64() / count + round_seconds,
        round_seconds,
    }
}

/// How long an install's arms took to stand: the longest to be made and, after that, the services of all to be programmed.
///
/// Both arms of a calibration are made at the same time, and a sum over them would count that time twice. Services are
/// programmed in one arm after the other.
fn deploying(install: &Install) -> Duration {
    let arms = || install.arms.values();
    let made_ns = arms().map(|facts| facts.deploy_ns).max().unwrap_or(0);
    let programming_ns = arms().filter_map(|facts| facts.programming_ns);
    Duration::from_nanos(programming_ns.fold(made_ns, u64::saturating_add))
}

fn mean(costs: &[Costs]) -> Costs {
    let count = f64::from(u32::try_from(costs.len()).unwrap_or(u32::MAX)).max(1.0);
    let of = |cost: fn(&Costs) -> f64| costs.iter().map(cost).sum::<f64>() / count;
    Costs {
        install_seconds: of(|cost| cost.install_seconds),
        round_seconds: of(|cost| cost.round_seconds),
    }
}

fn describe(calibration: &Calibration, costs: Costs) -> String {
    let margins = Policy::default().margins;
    let mut cells = table(&[
        "workload",
        "metric",
        "s_round",
        "s_install",
        "phi",
        "MDE",
        "floor",
    ]);
    let mut advice = String::new();
    for cell in &calibration.cells {
        cells.add_row([
            cell.workload.to_string(),
            cell.metric.to_string(),
            percent(cell.s_round),
            cell.s_install.map_or_else(|| "–".to_owned(), percent),
            percent(cell.phi),
            percent(cell.mde),
            percent(cell.floor()),
        ]);
        if let Some(margin) = margins.get(&cell.metric) {
            let can = if margin.0 >= cell.floor() {
                "can"
            } else {
                "can't"
            };
            let _ = writeln!(
                advice,
                "{} {} {can} be gated at {margin}: {}. Equal arms were told apart in {}.",
                cell.workload,
                cell.metric,
                cell.advise(margin.0, costs).words,
                rate(cell.told_apart),
            );
        }
    }
    for note in &calibration.notes {
        let _ = writeln!(advice, "Note: {note}.");
    }
    format!(
        "{} against a second install of itself, {} campaigns, machine {}\n\n{cells}\n\n\
         s_round, s_install: standard deviation of the effect from round to round,\n\
         and from install to install. phi: 95 % of campaigns differ by less.\n\
         MDE: nine of ten campaigns find a difference of this size. floor: the larger\n\
         of both; a gate refuses smaller margins.\n\n{advice}",
        calibration.scenario, calibration.campaigns, calibration.fingerprint
    )
}

fn rate(rate: Rate) -> String {
    format!(
        "{}/{} (≤ {})",
        rate.hits,
        rate.trials,
        percent(rate.at_most)
    )
}

/// Writes a share with as many digits as tell something.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 10.0 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tollgate_results::facts::ArmFacts;

    use super::*;

    #[test]
    fn an_install_takes_as_long_as_its_slowest_arm_and_the_programming_of_all() {
        let arm = |deploy_ns, programming_ns| ArmFacts {
            deploy_ns,
            programming_ns,
            ..ArmFacts::default()
        };
        let mut install = Install {
            started_unix_ms: 0,
            first_round: 0,
            order: Vec::new(),
            arms: BTreeMap::new(),
            reason: None,
        };
        assert_eq!(deploying(&install), Duration::ZERO);
        install.arms = BTreeMap::from([
            ("native".parse().unwrap(), arm(70, Some(5))),
            ("native-again".parse().unwrap(), arm(60, Some(4))),
            ("bare".parse().unwrap(), arm(10, None)),
        ]);
        assert_eq!(deploying(&install), Duration::from_nanos(70 + 5 + 4));
    }
}
