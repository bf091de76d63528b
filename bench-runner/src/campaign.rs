//! The loop of a campaign: deploy all arms, then round by round one slice of each; again for each install.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use tollgate_results::arm::Name;
use tollgate_results::plan::Plan;
use tollgate_results::run::{Campaign, Install, RunRecord};
use tollgate_results::slice::{Slice, SliceKey, SliceResult};
use tollgate_scenarios::{can_compare, estimate};

use crate::clock::Clock;
use crate::exit::EnvironmentError;
use crate::placement::Placement;
use crate::progress::Progress;
use crate::schedule;
use crate::target::{Deployment as _, Target};

mod course;
mod slice;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use slice::start_agent;

use course::Course;
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

/// Returns how many slices a plan has, those included that are discarded: one round of each install.
#[must_use]
pub fn slices(plan: &Plan) -> usize {
    plan.slices_per_round() * (plan.rounds.count + plan.rounds.installs) as usize
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
    /// Runs what a campaign still lacks: planned rounds, spread over fresh installs, then rounds in place of those that
    /// the rules drop. `campaign` holds the slices measured before and, at the end, all of them; histograms may be left
    /// out, and are left out of the added ones: they are in the journal.
    ///
    /// Dropping the future interrupts the campaign between two appended slices: what was appended stays.
    ///
    /// # Errors
    ///
    /// When the reference or all other arms cannot be deployed, an arm not a second time, or the journal cannot be
    /// written, or not one slice of a round could be measured. A slice that fails is a record, not an error.
    pub async fn run(&mut self, campaign: &mut Campaign) -> anyhow::Result<()> {
        let mut course = Course::of(campaign);
        let mut pace = Pace::start(self.clock, &campaign.run.plan, &course);
        while !course.is_over() {
            let first = next_round(campaign);
            let mut arms = self.deploy(&mut campaign.run, first).await?;
            self.journal.write_run(&campaign.run)?;
            let first = schedule::round(&campaign.run.plan, first);
            self.round(campaign, &mut arms, first, &mut pace).await?;
            let mut share = course.share();
            while share > 0 || course.replace {
                let order = schedule::balanced(
                    &campaign.run.plan,
                    next_round(campaign),
                    &campaign.slices,
                    course.counted(),
                );
                self.round(campaign, &mut arms, order, &mut pace).await?;
                share = share.saturating_sub(1);
                course = Course::of(campaign);
            }
        }
        Ok(())
    }

    /// Measures the slices of a round.
    async fn round(
        &mut self,
        campaign: &mut Campaign,
        arms: &mut BTreeMap<Name, LiveArm<T>>,
        order: Vec<SliceKey>,
        pace: &mut Pace,
    ) -> anyhow::Result<()> {
        let slices = order.len();
        let mut failures = Vec::new();
        for (position, key) in order.into_iter().enumerate() {
            let (all, left) = pace.left(self.clock);
            self.progress.measuring(&key, pace.measured, all, left);
            let arm = arms
                .get_mut(&key.arm)
                .context("every planned arm is deployed")?;
            let mut slice = self.slice(&campaign.run, arm, key, position).await;
            self.journal.append(&slice)?;
            pace.measured += 1;
            if let SliceResult::Failed { reason } = &slice.record.result {
                failures.push((slice.record.key.round, reason.clone()));
            }
            slice.histograms.clear();
            campaign.slices.push(slice);
        }
        // Where not one slice of a round was measured, no later one will be. What was measured is kept.
        match failures.first() {
            Some((round, reason)) if failures.len() == slices => {
                Err(anyhow::Error::new(EnvironmentError(format!(
                    "no slice could be measured in round {round}: {reason}"
                ))))
            }
            _ => Ok(()),
        }
    }

    /// Deploys the plan's arms in random order, afresh. At first, arms that cannot stand are skipped, loudly; later that
    /// is an error, since slices of them are there.
    async fn deploy(
        &mut self,
        run: &mut RunRecord,
        first_round: u32,
    ) -> anyhow::Result<BTreeMap<Name, LiveArm<T>>> {
        let install = u32::try_from(run.installs.len()).context("too many installs")?;
        let order = schedule::deployment(&run.plan, install);
        let started_unix_ms = self.clock.unix_ms();
        self.target.clear().await?;
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
                Err(error) if install > 0 => {
                    let again = format!("`{name}` could not be deployed again: {error:#}");
                    return Err(anyhow::Error::new(EnvironmentError(again)));
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
}

/// How far this call has come, for people.
struct Pace {
    started_ns: u64,
    /// Slices measured.
    measured: usize,
    /// Slices expected, replacements aside.
    all: usize,
    /// Time expected for all, before anything was measured.
    estimate: Duration,
}

impl Pace {
    fn start(clock: &impl Clock, plan: &Plan, course: &Course) -> Self {
        Self {
            started_ns: clock.now_ns(),
            measured: 0,
            all: plan.slices_per_round() * course.rounds_left() as usize,
            estimate: estimate(plan).duration(),
        }
    }

    /// Returns how many slices are expected and the time that those left will take.
    fn left(&self, clock: &impl Clock) -> (usize, Duration) {
        let all = self.all.max(self.measured + 1);
        let left = u32::try_from(all - self.measured).unwrap_or(u32::MAX);
        let time = match u32::try_from(self.measured) {
            Ok(measured) if measured > 0 => {
                let taken = clock.now_ns().saturating_sub(self.started_ns);
                Duration::from_nanos(taken) / measured * left
            }
            _ => self.estimate,
        };
        (all, time)
    }
}

/// Returns whether nothing is left to measure of a campaign.
#[must_use]
pub fn is_over(campaign: &Campaign) -> bool {
    Course::of(campaign).is_over()
}

/// Returns the number of the next round.
fn next_round(campaign: &Campaign) -> u32 {
    let rounds = campaign
        .slices
        .iter()
        .map(|slice| slice.record.key.round + 1);
    rounds.max().unwrap_or(0)
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
