//! From scenario to plan: the command line laid over the file, and what this machine cannot run set apart.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_results::arm::{Arm, Datapath, Name};
use tollgate_results::claim::Claim;
use tollgate_results::plan::{Plan, Rounds, Skipped};
use tollgate_results::units::Nanoseconds;

use crate::check::{out_of_range, too_many_installs};
use crate::fault::{Fault, Faults, suggestion};
use crate::scenario::Scenario;

/// Time that a slice takes beside its warm-up and window: connecting, and counters read at both ends.
pub const CONTROL_PER_SLICE: Nanoseconds = Nanoseconds(100_000_000);

/// Most rounds on one install where installs are what repeats: 4 to 5 (statistics §2.2).
const ROUNDS_OF_INSTALL: u32 = 5;

/// Most installs of a campaign.
const MOST_INSTALLS: u32 = 100;

/// What the command line lays over a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// `--rounds`: rounds after round 0.
    pub rounds: Option<u32>,
    /// `--slice`: measured length of a slice.
    pub slice: Option<Nanoseconds>,
    /// `--warmup`: traffic before the measured window.
    pub warmup: Option<Nanoseconds>,
    /// `--installs`: installs over which the rounds are spread.
    pub installs: Option<u32>,
    /// `--seed`, or the seed that the caller drew.
    pub seed: u64,
    /// `--arm`: only these arms, and those that they are compared with; a sweep's name is all of its
    /// levels. Empty: all arms.
    pub arms: Vec<Name>,
}

/// Resolves a scenario for one machine. `missing` says why a datapath cannot stand here, or `None`.
///
/// An arm whose reference is skipped is skipped too. The plan resolves even where nothing is left to
/// compare: see [`can_compare`].
///
/// # Errors
///
/// All faults of the command line.
pub fn resolve(
    scenario: &Scenario,
    overrides: &Overrides,
    missing: &dyn Fn(&Datapath) -> Option<String>,
) -> Result<Plan, Faults> {
    let mut faults = Vec::new();
    let rounds = rounds(scenario, overrides, &mut faults);
    let chosen = chosen(scenario, overrides, &mut faults);
    let reasons: BTreeMap<&Name, String> = chosen
        .iter()
        .filter_map(|arm| Some((&arm.name, missing(&arm.datapath)?)))
        .collect();
    let mut arms = Vec::new();
    let mut skipped = Vec::new();
    for arm in &chosen {
        match skip_reason(&chosen, &reasons, arm) {
            Some(reason) => skipped.push(Skipped {
                arm: arm.name.clone(),
                reason,
            }),
            None => arms.push(arm.clone()),
        }
    }
    let used: BTreeSet<&Name> = arms.iter().flat_map(|arm: &Arm| &arm.workloads).collect();
    let workloads = scenario.workloads.iter();
    let plan = Plan {
        scenario: scenario.name.clone(),
        about: scenario.about.clone(),
        scenario_hash: scenario.hash.clone(),
        seed: overrides.seed,
        rounds,
        reference: scenario.reference.clone(),
        workloads: workloads
            .filter(|workload| used.contains(&workload.name))
            .cloned()
            .collect(),
        claims: claims(scenario, &chosen, &used),
        arms,
        skipped,
    };
    Faults::or(faults, plan)
}

/// Says whether a plan has anything to compare. It has not where its reference or all other arms are
/// skipped.
#[must_use]
pub fn can_compare(plan: &Plan) -> bool {
    plan.arms.iter().any(|arm| arm.reference.is_some())
}

/// Returns how long a plan's slices take, round 0 included; setting the arms up comes on top.
#[must_use]
pub fn estimate(plan: &Plan) -> Nanoseconds {
    let Rounds {
        count,
        slice,
        warmup,
        installs,
        ..
    } = plan.rounds;
    let per_slice = slice
        .0
        .saturating_add(warmup.0)
        .saturating_add(CONTROL_PER_SLICE.0);
    // The first round of each install is discarded.
    let rounds = u64::from(count) + u64::from(installs);
    let slices = rounds.saturating_mul(plan.slices_per_round() as u64);
    Nanoseconds(per_slice.saturating_mul(slices))
}

fn rounds(scenario: &Scenario, overrides: &Overrides, faults: &mut Vec<Fault>) -> Rounds {
    let count = overrides.rounds.unwrap_or(scenario.rounds.count);
    let rounds = Rounds {
        count,
        slice: overrides.slice.unwrap_or(scenario.rounds.slice),
        warmup: overrides.warmup.unwrap_or(scenario.rounds.warmup),
        margin: scenario.rounds.margin,
        installs: overrides
            .installs
            .unwrap_or_else(|| installs(scenario, count)),
    };
    for (key, message) in out_of_range(i64::from(rounds.count), &rounds) {
        let option = if key == "count" {
            "--rounds".to_owned()
        } else {
            format!("--{key}")
        };
        faults.push(Fault::new(option, message));
    }
    let installs = too_many_installs(i64::from(rounds.installs), i64::from(rounds.count));
    faults.extend(installs.map(|message| Fault::new("--installs", message)));
    rounds
}

/// Returns the installs of a scenario whose command line says nothing of them. Where a command switches one cluster between
/// the arms, an install has at most [`ROUNDS_OF_INSTALL`] rounds, unless the file says otherwise.
fn installs(scenario: &Scenario, count: u32) -> u32 {
    let switched = scenario
        .arms
        .iter()
        .any(|arm| arm.datapath.cluster.is_some() && !arm.change.apply.is_empty());
    match scenario.rounds.installs {
        1 if switched => count.div_ceil(ROUNDS_OF_INSTALL).clamp(1, MOST_INSTALLS),
        installs => installs,
    }
}

/// Returns the arms that the command line asks for and, by their references, what they are compared with.
/// An arm that is there only for comparison runs only what is compared.
fn chosen(scenario: &Scenario, overrides: &Overrides, faults: &mut Vec<Fault>) -> Vec<Arm> {
    if overrides.arms.is_empty() {
        return scenario.arms.clone();
    }
    let mut named: BTreeSet<&Name> = BTreeSet::new();
    for name in &overrides.arms {
        let matching = scenario.arms.iter().filter(|arm| {
            arm.name == *name
                || arm
                    .sweep
                    .as_ref()
                    .is_some_and(|sweep| sweep.series == *name)
        });
        let before = named.len();
        let mut any = false;
        named.extend(matching.inspect(|_| any = true).map(|arm| &arm.name));
        if !any {
            let known = suggestion(
                name.as_str(),
                scenario.arms.iter().map(|arm| arm.name.as_str()),
            );
            let message = format!("scenario `{}` has no arm `{name}`{known}", scenario.name);
            faults.push(Fault::new("--arm", message));
        } else if named.len() == before {
            faults.push(Fault::new(
                "--arm",
                format!("`{name}` is named twice; name it once"),
            ));
        }
    }
    if faults.is_empty() && named.iter().all(|name| **name == scenario.reference) {
        let message = format!(
            "`{}` is the reference: name an arm to compare it with",
            scenario.reference
        );
        faults.push(Fault::new("--arm", message));
    }
    with_references(scenario, &named)
}

fn with_references(scenario: &Scenario, named: &BTreeSet<&Name>) -> Vec<Arm> {
    let wanted: BTreeSet<&Name> = scenario
        .arms
        .iter()
        .filter(|arm| named.contains(&arm.name) && arm.name != scenario.reference)
        .flat_map(|arm| &arm.workloads)
        .collect();
    let mut kept = named.clone();
    let mut next: Vec<&Name> = named.iter().copied().collect();
    while let Some(name) = next.pop() {
        let reference = scenario.arm(name).and_then(|arm| arm.reference.as_ref());
        next.extend(reference.filter(|reference| kept.insert(reference)));
    }
    let arms = scenario.arms.iter().filter(|arm| kept.contains(&arm.name));
    arms.map(|arm| Arm {
        workloads: arm
            .workloads
            .iter()
            .filter(|name| wanted.contains(name))
            .cloned()
            .collect(),
        ..arm.clone()
    })
    .collect()
}

/// Returns the claims with what of them the chosen arms can test; pairs with a skipped arm stay, so that the report says so.
fn claims(scenario: &Scenario, chosen: &[Arm], used: &BTreeSet<&Name>) -> Vec<Claim> {
    let is_chosen = |name: &Name| chosen.iter().any(|arm| arm.name == *name);
    let claims = scenario.claims.iter().cloned().map(|mut claim| {
        claim
            .pairs
            .retain(|pair| is_chosen(&pair.arm) && is_chosen(&pair.baseline));
        claim.workloads.retain(|name| used.contains(name));
        claim
    });
    claims.filter(|claim| !claim.pairs.is_empty()).collect()
}

/// Says why an arm cannot run: what it needs is missing, or what it is compared with cannot run.
fn skip_reason(arms: &[Arm], reasons: &BTreeMap<&Name, String>, arm: &Arm) -> Option<String> {
    if let Some(reason) = reasons.get(&arm.name) {
        return Some(reason.clone());
    }
    let name = arm.reference.as_ref()?;
    let reference = arms.iter().find(|other| other.name == *name)?;
    skip_reason(arms, reasons, reference)?;
    Some(format!("its reference `{name}` can't run here"))
}
