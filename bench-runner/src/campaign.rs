//! The loop of a campaign: deploy all arms, then round by round one slice of each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use tollgate_results::arm::Name;
use tollgate_results::plan::Plan;
use tollgate_results::run::{Install, RunRecord};
use tollgate_results::slice::{Slice, SliceKey, SliceResult};
use tollgate_scenarios::{can_compare, estimate};

use crate::clock::Clock;
use crate::exit::EnvironmentError;
use crate::placement::Placement;
use crate::progress::Progress;
use crate::schedule;
use crate::target::{Deployment as _, Target};

mod slice;
#[cfg(test)]
pub(crate) mod tests;

use slice::LiveArm;

/// Where a campaign is kept while it runs.
pub trait Journal {
    /// Keeps a finished slice.
    fn append(&mut self, slice: &Slice) -> anyhow::Result<()>;

    /// Replaces the run record.
    fn write_run(&mut self, run: &RunRecord) -> anyhow::Result<()>;
}

impl Journal for tollgate_store::Recording {
    fn append(&mut self, slice: &Slice) -> anyhow::Result<()> {
        Ok(Self::append(self, slice)?)
    }

    fn write_run(&mut self, run: &RunRecord) -> anyhow::Result<()> {
        Ok(Self::write_run(self, run)?)
    }
}

/// Returns how many slices a plan has, round 0 included.
#[must_use]
pub fn slices(plan: &Plan) -> usize {
    plan.slices_per_round() * (plan.rounds.count as usize + 1)
}

/// Everything that a campaign needs besides its record.
pub struct Campaigner<'a, T, C, J> {
    /// Where the arms are deployed.
    pub target: &'a mut T,
    /// Time.
    pub clock: &'a C,
    /// Where slices are kept.
    pub journal: &'a mut J,
    /// What the user sees.
    pub progress: &'a mut dyn Progress,
    /// CPUs of each placement.
    pub placement: &'a Placement,
}

impl<T: Target, C: Clock, J: Journal> Campaigner<'_, T, C, J> {
    /// Runs what a campaign still lacks. `done` are the slices that its earlier installs measured.
    ///
    /// Dropping the future interrupts the campaign between two appended slices: what was appended stays.
    ///
    /// # Errors
    ///
    /// When the reference or all other arms cannot be deployed, or the journal cannot be written. A slice
    /// that fails is a record, not an error.
    pub async fn run(&mut self, run: &mut RunRecord, done: &[SliceKey]) -> anyhow::Result<()> {
        let first = done.iter().map(|key| key.round + 1).max().unwrap_or(0);
        let needed = run.plan.rounds.count.saturating_sub(kept_rounds(run, done));
        if needed == 0 {
            return Ok(());
        }
        let mut arms = self.deploy(run, first).await?;
        self.journal.write_run(run)?;
        let rounds = first..=first + needed;
        let all = rounds.clone().count() * run.plan.slices_per_round();
        let started = self.clock.now_ns();
        let mut measured = 0;
        let mut failures = Vec::new();
        for round in rounds {
            for (position, key) in schedule::round(&run.plan, round).into_iter().enumerate() {
                let left = self.time_left(&run.plan, started, measured, all);
                self.progress.measuring(&key, measured, all, left);
                let arm = arms
                    .get_mut(&key.arm)
                    .context("every planned arm is deployed")?;
                let slice = self.slice(run, arm, key, position).await;
                self.journal.append(&slice)?;
                measured += 1;
                if let SliceResult::Failed { reason } = slice.record.result {
                    failures.push(reason);
                }
            }
            // Where not one slice of a round was measured, no later one will be.
            if failures.len() == measured {
                let reason = failures.swap_remove(0);
                let error = EnvironmentError(format!("no slice could be measured: {reason}"));
                return Err(anyhow::Error::new(error));
            }
        }
        Ok(())
    }

    /// Deploys the plan's arms in random order. Arms that cannot stand are skipped, loudly.
    async fn deploy(
        &mut self,
        run: &mut RunRecord,
        first_round: u32,
    ) -> anyhow::Result<BTreeMap<Name, LiveArm<T>>> {
        let install = u32::try_from(run.installs.len()).context("too many installs")?;
        let order = schedule::deployment(&run.plan, install);
        let started_unix_ms = self.clock.unix_ms();
        let mut live: BTreeMap<Name, LiveArm<T>> = BTreeMap::new();
        for (number, name) in order.iter().enumerate() {
            let Some(arm) = run.plan.arm(name) else {
                continue;
            };
            self.progress.deploying(name, number, order.len());
            match self.target.deploy(arm).await {
                Ok(deployment) => {
                    live.insert(name.clone(), LiveArm::new(deployment));
                }
                Err(error) => {
                    self.progress.note(&format!("skipping {name}: {error:#}"));
                    run.plan.skip(name, &format!("{error:#}"));
                }
            }
        }
        live.retain(|name, _| run.plan.arm(name).is_some());
        comparable(&run.plan)?;
        let facts = live
            .iter()
            .map(|(name, arm)| (name.clone(), arm.deployment.site().facts.clone()));
        run.installs.push(Install {
            started_unix_ms,
            first_round,
            order: order
                .into_iter()
                .filter(|name| live.contains_key(name))
                .collect(),
            arms: facts.collect(),
        });
        Ok(live)
    }

    /// Measures one slice; a failure is its result, and the arm's agents are started anew for the next.
    async fn slice(
        &mut self,
        run: &RunRecord,
        arm: &mut LiveArm<T>,
        key: SliceKey,
        position: usize,
    ) -> Slice {
        let started_unix_ms = self.clock.unix_ms();
        let install = run.installs.len().saturating_sub(1);
        let stamp = slice::Stamp {
            install,
            position,
            started_unix_ms,
        };
        let result = slice::measure(arm, &run.plan, self.placement, &key).await;
        if let Err(error) = &result {
            arm.forget_agents();
            self.progress.note(&format!(
                "round {}, {} on {}: {error:#}",
                key.round, key.workload, key.arm
            ));
        }
        stamp.slice(key, result)
    }

    fn time_left(&self, plan: &Plan, started: u64, measured: usize, all: usize) -> Duration {
        let left = u32::try_from(all - measured).unwrap_or(u32::MAX);
        match u32::try_from(measured) {
            Ok(measured) if measured > 0 => {
                Duration::from_nanos(self.clock.now_ns().saturating_sub(started)) / measured * left
            }
            _ => estimate(plan).duration(),
        }
    }
}

/// Checks that the plan still compares something.
///
/// # Errors
///
/// With [`EnvironmentError`] when the reference or all other arms are skipped; it names the reasons.
pub fn comparable(plan: &Plan) -> anyhow::Result<()> {
    if can_compare(plan) {
        return Ok(());
    }
    let reasons: Vec<String> = plan
        .skipped
        .iter()
        .map(|skipped| format!("{}: {}", skipped.arm, skipped.reason))
        .collect();
    let what = if plan.arm(&plan.reference).is_some() {
        "no arm is left to compare with the reference".to_owned()
    } else {
        format!("the reference `{}` can't run here", plan.reference)
    };
    Err(anyhow::Error::new(EnvironmentError(format!(
        "{what} ({})",
        reasons.join("; ")
    ))))
}

/// Returns how many rounds are complete and not discarded.
#[must_use]
pub fn kept_rounds(run: &RunRecord, done: &[SliceKey]) -> u32 {
    let discarded: BTreeSet<u32> = run
        .installs
        .iter()
        .map(|install| install.first_round)
        .collect();
    let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
    for key in done {
        *sizes.entry(key.round).or_default() += 1;
    }
    let complete = |(round, size): &(&u32, &usize)| {
        **size >= run.plan.slices_per_round() && !discarded.contains(*round)
    };
    u32::try_from(sizes.iter().filter(complete).count()).unwrap_or(u32::MAX)
}
