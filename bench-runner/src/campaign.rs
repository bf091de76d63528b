//! The loop of a campaign: deploy all arms, then round by round one slice of each; again for each install.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use tollgate_results::arm::{Arm, Name};
use tollgate_results::cluster_path::Held;
use tollgate_results::facts::ArmFacts;
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

mod blocks;
mod course;
mod slice;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use slice::start_agent;

use course::Course;
use slice::LiveArm;

/// How often the arms may fall in a row: what fells them three times will do so again.
const MOST_FALLS: u32 = 3;

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
        let (mut falls, mut reason) = (0, None);
        while !course.is_over() {
            let whole = course.standing.whole.len();
            let fallen = if campaign.run.plan.reconfigures() {
                let rounds = course.share();
                self.block(campaign, rounds, reason.take(), &mut pace)
                    .await?
            } else {
                self.install(campaign, &mut course, reason.take(), &mut pace)
                    .await?
            };
            course = Course::of(campaign);
            let Some(why) = fallen else { continue };
            falls = if course.standing.whole.len() > whole {
                1
            } else {
                falls + 1
            };
            if falls == MOST_FALLS {
                return Err(anyhow::Error::new(EnvironmentError(format!(
                    "the arms fell {MOST_FALLS} times without a whole round between, at last because of {why}"
                ))));
            }
            self.progress.note(&format!("{why}; deploying anew"));
            reason = Some(why);
        }
        Ok(())
    }

    /// Measures one install's share of the rounds. Returns why it broke off, where its arms fell.
    async fn install(
        &mut self,
        campaign: &mut Campaign,
        course: &mut Course,
        reason: Option<String>,
        pace: &mut Pace,
    ) -> anyhow::Result<Option<String>> {
        let first = next_round(campaign);
        let mut arms = self.deploy(&mut campaign.run, first, reason).await?;
        self.journal.write_run(&campaign.run)?;
        let first = schedule::round(&campaign.run.plan, first);
        let mut fallen = self.round(campaign, &mut arms, first, pace).await?;
        let mut share = course.share();
        while fallen.is_none() && (share > 0 || course.replace) {
            let order = schedule::balanced(
                &campaign.run.plan,
                next_round(campaign),
                &campaign.slices,
                course.counted(),
            );
            fallen = self.round(campaign, &mut arms, order, pace).await?;
            share = share.saturating_sub(1);
            *course = Course::of(campaign);
        }
        Ok(fallen)
    }

    /// Measures the slices of a round. Returns why it broke off, where the arms fell.
    async fn round(
        &mut self,
        campaign: &mut Campaign,
        arms: &mut BTreeMap<Name, LiveArm<T>>,
        order: Vec<SliceKey>,
        pace: &mut Pace,
    ) -> anyhow::Result<Option<String>> {
        let slices = order.len();
        let round = order.first().map_or(0, |key| key.round);
        let spell = self.slices(campaign, arms, order, 0, pace).await?;
        // Where not one slice of a round was measured, no later one will be. What was measured is kept.
        match (spell.fallen, spell.failures.first()) {
            (None, Some(reason)) if spell.failures.len() == slices => {
                Err(anyhow::Error::new(EnvironmentError(format!(
                    "no slice could be measured in round {round}: {reason}"
                ))))
            }
            (fallen, _) => Ok(fallen),
        }
    }

    /// Measures slices in their order, the first of them at this position of its round. Breaks off where the arms have
    /// fallen.
    async fn slices(
        &mut self,
        campaign: &mut Campaign,
        arms: &mut BTreeMap<Name, LiveArm<T>>,
        order: Vec<SliceKey>,
        first: usize,
        pace: &mut Pace,
    ) -> anyhow::Result<Spell> {
        let mut spell = Spell::default();
        for (position, key) in (first..).zip(order) {
            let (all, left) = pace.left(self.clock);
            self.progress.measuring(&key, pace.measured, all, left);
            let arm = arms
                .get_mut(&key.arm)
                .context("every planned arm is deployed")?;
            let mut slice = self.slice(&campaign.run, arm, key, position).await;
            self.journal.append(&slice)?;
            pace.measured += 1;
            slice.histograms.clear();
            let failure = match &slice.record.result {
                SliceResult::Failed { reason } => Some(reason.clone()),
                SliceResult::Measured(_) => None,
            };
            campaign.slices.push(slice);
            if let Some(reason) = failure {
                spell.failures.push(reason);
                spell.fallen = self.target.fallen().await;
                if spell.fallen.is_some() {
                    break;
                }
            }
        }
        Ok(spell)
    }

    /// Deploys the plan's arms in random order, afresh. At first, arms that cannot stand are skipped, loudly; later that
    /// is an error, since slices of them are there.
    async fn deploy(
        &mut self,
        run: &mut RunRecord,
        first_round: u32,
        reason: Option<String>,
    ) -> anyhow::Result<BTreeMap<Name, LiveArm<T>>> {
        let install = u32::try_from(run.installs.len()).context("too many installs")?;
        let order = schedule::deployment(&run.plan, install);
        let started_unix_ms = self.clock.unix_ms();
        self.target.clear().await?;
        let started_ns = self.clock.now_ns();
        let wanted: Vec<Arm> = order
            .iter()
            .filter_map(|name| run.plan.arm(name).cloned())
            .collect();
        let progress = &mut *self.progress;
        let mut told = |number: usize| {
            if let Some(arm) = wanted.get(number) {
                progress.deploying(&arm.name, number, wanted.len());
            }
        };
        let stood = self.target.deploy_all(&wanted, &mut told).await;
        let mut live: BTreeMap<Name, LiveArm<T>> = BTreeMap::new();
        for (arm, stood) in wanted.iter().zip(stood) {
            if let Some(stands) = self.settle(run, arm, stood, install)? {
                live.insert(arm.name.clone(), stands);
            }
        }
        let took_ns = self.clock.now_ns().saturating_sub(started_ns);
        live.retain(|name, _| run.plan.arm(name).is_some());
        comparable(&run.plan)?;
        self.progress
            .deployed(live.len(), Duration::from_nanos(took_ns));
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
            reason,
        });
        Ok(live)
    }

    /// Deploys one arm, as [`Self::settle`] has it.
    async fn stand(
        &mut self,
        run: &mut RunRecord,
        name: &Name,
        install: u32,
    ) -> anyhow::Result<Option<LiveArm<T>>> {
        let Some(arm) = run.plan.arm(name).cloned() else {
            return Ok(None);
        };
        let stood = self.target.deploy(&arm).await;
        self.settle(run, &arm, stood, install)
    }

    /// Takes what came of deploying an arm. In the first install one that cannot stand is skipped, loudly, and `None`; later
    /// that is an error.
    fn settle(
        &mut self,
        run: &mut RunRecord,
        arm: &Arm,
        stood: anyhow::Result<T::Deployment>,
        install: u32,
    ) -> anyhow::Result<Option<LiveArm<T>>> {
        let name = &arm.name;
        match stood {
            Ok(deployment) => {
                self.misdeclared(arm, &deployment.site().facts);
                Ok(Some(LiveArm::new(deployment)))
            }
            Err(error) if install > 0 => {
                let again = format!("`{name}` could not be deployed again: {error:#}");
                Err(anyhow::Error::new(EnvironmentError(again)))
            }
            Err(error) => {
                self.progress.note(&format!("skipping {name}: {error:#}"));
                run.plan.skip(name, &format!("{error:#}"));
                Ok(None)
            }
        }
    }

    /// Says at once what makes an arm invalid, before an hour is spent on it.
    fn misdeclared(&mut self, arm: &Arm, facts: &ArmFacts) {
        let cluster = arm.datapath.cluster.iter();
        let declared = cluster.flat_map(|path| path.declared(facts.network.as_ref()));
        for wrong in declared.filter(|declared| declared.held() == Held::No) {
            let name = &arm.name;
            self.progress
                .note(&format!("{name} will be invalid: {wrong}"));
        }
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
        let begun_ns = self.clock.now_ns();
        let result = slice::measure(arm, &run.plan, self.placement, &key).await;
        let taken_ns = self.clock.now_ns().saturating_sub(begun_ns);
        let rounds = run.plan.rounds;
        let own_ns = rounds.warmup.0.saturating_add(rounds.slice.0);
        let stamp = slice::Stamp {
            install: run.installs.len().saturating_sub(1),
            position,
            started_unix_ms,
            control_ns: result.is_ok().then(|| taken_ns.saturating_sub(own_ns)),
        };
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

/// What came of measuring some slices.
#[derive(Default)]
struct Spell {
    /// Why slices failed, in their order.
    failures: Vec<String>,
    /// Why the arms don't stand any more, where they don't.
    fallen: Option<String>,
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
