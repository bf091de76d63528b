//! From a campaign to its analysis: pure, deterministic, whatever the records hold.

mod answers;
mod cells;
mod claims;
mod context;
mod description;
mod flows;
mod generator;
mod installs;
pub(crate) mod load;
mod noise_floor;
mod paired;
mod responses;
mod scaling;
mod series;
mod splits;
pub(crate) mod values;

use tollgate_results::arm::Arm;
use tollgate_results::facts::ArmFacts;
use tollgate_results::run::Campaign;

use crate::model::{
    ANALYSIS_SCHEMA, Analysis, ArmSummary, Cell, Conduct, EvidenceSummary, Judgement, Level,
    Programming, Subject,
};
use crate::stats::{median, real64};
pub(crate) use cells::{change, margin, typical};
use context::Context;
pub use description::describe;
pub(crate) use scaling::less_one;
use values::Observations;

/// Resampled campaigns behind each pooled percentile (statistics §2.5).
const RESAMPLES: u32 = 10_000;

/// Analyses a campaign: which rounds count, what the evidence says, every verdict and every series.
///
/// The result depends on the campaign alone: the same campaign gives the same analysis, also long after it ran.
#[must_use]
pub fn analyse(campaign: &Campaign) -> Analysis {
    analysis(campaign, None)
}

/// As [`analyse`], with a [description](describe) drawn from the plan's seed: what reports are rendered from.
#[must_use]
pub fn analyse_in_full(campaign: &Campaign) -> Analysis {
    analysis(campaign, Some(RESAMPLES))
}

fn analysis(campaign: &Campaign, resamples: Option<u32>) -> Analysis {
    let observations = Observations::of(&campaign.slices);
    let seconds_per_round = series::seconds_per_round(campaign);
    let context = Context::of(campaign, &observations, seconds_per_round);
    let cells = cells::compare(&context);
    let scalings = scaling::follow(&context);
    let claims = claims::test(&context);
    let splits = splits::all(&context);
    Analysis {
        schema: ANALYSIS_SCHEMA,
        answers: answers::write(&context, &cells, (&scalings, &claims, &splits)),
        description: resamples
            .map(|resamples| description::of(&context, &cells, campaign.run.plan.seed, resamples)),
        subject: subject(campaign),
        conduct: conduct(&context, &cells),
        noise_floor: noise_floor::state(&context, &cells),
        arms: campaign
            .run
            .plan
            .arms
            .iter()
            .map(|arm| arm_summary(&context, arm))
            .collect(),
        workloads: campaign.run.plan.workloads.clone(),
        cells,
        levels: levels(&context),
        scalings,
        claims,
        responses: responses::count(&context),
        flows: flows::compare(&context),
        splits,
        spectra: series::spectra(&context),
        timeline: series::timeline(&context),
    }
}

fn conduct(context: &Context<'_>, cells: &[Cell]) -> Conduct {
    let mut conduct = context.validity.conduct.clone();
    conduct.notes.extend(cells::unattainable(cells));
    conduct
}

fn subject(campaign: &Campaign) -> Subject {
    let run = &campaign.run;
    Subject {
        scenario: run.plan.scenario.clone(),
        about: run.plan.about.clone(),
        scenario_hash: run.plan.scenario_hash.clone(),
        target: run.target,
        tool_version: run.version.clone(),
        started_unix_ms: run.started_unix_ms,
        elapsed_seconds: series::elapsed_seconds(campaign),
        seed: run.plan.seed,
        rounds: run.plan.rounds,
        reference: run.plan.reference.clone(),
        facts: run.facts.clone(),
        fingerprint: run.facts.fingerprint(),
        installs: u32::try_from(run.installs.len()).unwrap_or(u32::MAX),
        skipped: run.plan.skipped.clone(),
    }
}

fn levels(context: &Context<'_>) -> Vec<Level> {
    let plan = &context.campaign.run.plan;
    let mut levels = Vec::new();
    for workload in &plan.workloads {
        for metric in values::all_metrics(workload) {
            for arm in &plan.arms {
                let typical = cells::typical_of(context, &workload.name, &arm.name, metric);
                levels.extend(typical.map(|typical| Level {
                    workload: workload.name.clone(),
                    arm: arm.name.clone(),
                    metric,
                    unit: metric.unit(),
                    typical,
                }));
            }
        }
    }
    levels
}

fn arm_summary(context: &Context<'_>, arm: &Arm) -> ArmSummary {
    let facts: Vec<&ArmFacts> = context
        .campaign
        .run
        .installs
        .iter()
        .filter_map(|install| install.arms.get(&arm.name))
        .collect();
    let mut notes: Vec<String> = Vec::new();
    for note in facts.iter().flat_map(|facts| &facts.notes) {
        if !notes.contains(note) {
            notes.push(note.clone());
        }
    }
    let latest = facts.last();
    ArmSummary {
        name: arm.name.clone(),
        datapath: datapath(context, arm),
        dimensions: arm.datapath.clone(),
        change: arm.change.clone(),
        reference: arm.reference.clone(),
        sweep: arm.sweep.clone(),
        evidence: context
            .evidence
            .get(&arm.name)
            .cloned()
            .unwrap_or_else(nothing_seen),
        programming: programming(arm, &facts),
        pod_mtu: latest.and_then(|facts| facts.pod_mtu),
        wire_mtu: latest.and_then(|facts| facts.wire_mtu),
        path_mtu: latest.and_then(|facts| facts.path_mtu.clone()),
        notes,
    }
}

/// Says what carries an arm's packets: between hosts nothing is known but the address.
fn datapath(context: &Context<'_>, arm: &Arm) -> String {
    let path = context.campaign.run.path(&arm.name);
    path.unwrap_or_else(|| arm.describe())
}

fn nothing_seen() -> EvidenceSummary {
    EvidenceSummary {
        judgement: Judgement::Unknown,
        checks: Vec::new(),
        slices: 0,
        requests: 0,
        encapsulated_packets: None,
        rule_packets: None,
        socket_translations: None,
        packet_translations: None,
        endpoints: Vec::new(),
        translation: "not looked at".to_owned(),
    }
}

fn programming(arm: &Arm, facts: &[&ArmFacts]) -> Option<Programming> {
    let times_ns: Vec<u64> = facts
        .iter()
        .filter_map(|facts| facts.programming_ns)
        .collect();
    let times: Vec<f64> = times_ns.iter().map(|&time| real64(time)).collect();
    Some(Programming {
        services: arm.datapath.services?.count,
        entries: facts.last().and_then(|facts| facts.programmed),
        median_ns: median(&times)?,
        times_ns,
    })
}
