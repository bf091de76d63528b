//! The rounds of an anatomy: every arm with the clock and without, and where it has eBPF programs while their runs are counted,
//! back to back, in random order.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha12Rng;
use tollgate_results::anatomy::{AnatomyRecord, AnatomySlice, Followed, SliceOutcome};
use tollgate_results::arm::{Arm, Name};
use tollgate_results::slice::{Pinned, SliceKey};

use super::slice::{Live, Settings, Watched};
use crate::clock::Clock;
use crate::exit::EnvironmentError;
use crate::progress::Progress;
use crate::target::Target as _;
use crate::target::lab::LabTarget;

/// What a slice takes beside its own time: probes, programs, taking trips apart.
const AROUND: Duration = Duration::from_millis(150);

/// What measuring an anatomy takes.
pub(super) struct Campaign<'a, C> {
    pub(super) clock: &'a C,
    pub(super) progress: &'a mut dyn Progress,
    pub(super) pinned: Pinned,
}

/// One slice to measure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    followed: Followed,
    arm: Name,
    watched: Watched,
}

/// Returns the time that all rounds will take.
pub(super) fn estimate(record: &AnatomyRecord) -> Duration {
    let slice = record.slice.duration() + record.warmup.duration() + AROUND;
    let slices = u32::try_from(per_round(record)).unwrap_or(u32::MAX);
    slice.saturating_mul(slices.saturating_mul(record.rounds + 1))
}

/// Returns how many slices a round has.
fn per_round(record: &AnatomyRecord) -> usize {
    let of_arms = record.arms.iter().map(|arm| watched(record, arm).len());
    of_arms.sum::<usize>() * record.followed.len()
}

/// Returns the slices that an arm has in each round.
fn watched(record: &AnatomyRecord, arm: &Arm) -> Vec<Watched> {
    let mut watched = vec![Watched::Nothing, Watched::Clock];
    if record.programs && arm.datapath.has_programs() {
        watched.push(Watched::Statistics);
    }
    watched
}

impl<C: Clock> Campaign<'_, C> {
    /// Deploys the arms and measures all rounds. Dropping the future keeps the slices of rounds before.
    ///
    /// # Errors
    ///
    /// When the reference or all other arms can't be deployed, or not one slice of a round could be measured.
    pub(super) async fn run(
        &mut self,
        target: &mut LabTarget,
        record: &mut AnatomyRecord,
    ) -> anyhow::Result<()> {
        let mut arms = self.deploy(target, record).await?;
        let started_ns = self.clock.now_ns();
        let all = per_round(record) * (record.rounds as usize + 1);
        let mut done = 0;
        for round in 0..=record.rounds {
            let mut slices = Vec::new();
            for next in order(record, round) {
                let left = left(
                    self.clock.now_ns() - started_ns,
                    done,
                    all,
                    estimate(record),
                );
                self.tell(round, &next, (done, all, left))?;
                slices.push(self.slice(&mut arms, record, round, next).await?);
                done += 1;
            }
            all_failed(&slices, round)?;
            record.slices.append(&mut slices);
        }
        Ok(())
    }

    async fn deploy(
        &mut self,
        target: &mut LabTarget,
        record: &mut AnatomyRecord,
    ) -> anyhow::Result<BTreeMap<Name, Live>> {
        let mut live = BTreeMap::new();
        let arms: Vec<Arm> = record.arms.clone();
        let started_ns = self.clock.now_ns();
        let progress = &mut *self.progress;
        let mut told = |number: usize| {
            if let Some(arm) = arms.get(number) {
                progress.deploying(&arm.name, number, arms.len());
            }
        };
        let stood = target.deploy_all(&arms, &mut told).await;
        for (arm, deployed) in arms.iter().zip(stood) {
            let deployment = deployed.map_err(|error| {
                EnvironmentError(format!("`{}` could not be deployed: {error:#}", arm.name))
            })?;
            live.insert(arm.name.clone(), Live::new(deployment, arm));
        }
        let took_ns = self.clock.now_ns().saturating_sub(started_ns);
        self.progress
            .deployed(live.len(), Duration::from_nanos(took_ns));
        Ok(live)
    }

    async fn slice(
        &mut self,
        arms: &mut BTreeMap<Name, Live>,
        record: &AnatomyRecord,
        round: u32,
        next: Next,
    ) -> anyhow::Result<AnatomySlice> {
        let arm = arms.get_mut(&next.arm);
        let arm = arm.context("every arm of the record is deployed")?;
        let settings = Settings {
            followed: next.followed,
            netfilter: &record.netfilter,
            pinned: self.pinned,
            slice: record.slice,
            warmup: record.warmup,
            seed: record.seed ^ u64::from(round) << 32,
        };
        let measured = arm.slice(next.watched, &settings).await;
        let (outcome, counted_runs) = measured.unwrap_or_else(|error| {
            arm.forget_agents();
            let reason = format!("{error:#}");
            self.progress.note(&format!(
                "round {round}, {} on {}: {reason}",
                next.followed, next.arm
            ));
            (SliceOutcome::Failed { reason }, None)
        });
        Ok(AnatomySlice {
            round,
            arm: next.arm,
            followed: next.followed,
            counted_runs,
            outcome,
        })
    }

    fn tell(
        &mut self,
        round: u32,
        next: &Next,
        (done, all, left): (usize, usize, Duration),
    ) -> anyhow::Result<()> {
        let key = SliceKey {
            round,
            workload: format!("{}{}", next.followed, next.watched.suffix()).parse()?,
            arm: next.arm.clone(),
        };
        self.progress.measuring(&key, done, all, left);
        Ok(())
    }
}

/// Returns the slices of a round in their order: by what is followed, each with all arms, with the clock, without, and
/// counted, mixed. Every second round is the mirror of the one before, so that each comes before each other equally often.
fn order(record: &AnatomyRecord, round: u32) -> Vec<Next> {
    let pair = u64::from(round.div_ceil(2));
    let mut followed = record.followed.clone();
    followed.shuffle(&mut random(record.seed, u64::from(round) << 8));
    let mut order = Vec::new();
    for followed in followed {
        let mut slices: Vec<Next> = record
            .arms
            .iter()
            .flat_map(|arm| {
                let watched = watched(record, arm).into_iter();
                watched.map(move |watched| Next {
                    followed,
                    arm: arm.name.clone(),
                    watched,
                })
            })
            .collect();
        slices.shuffle(&mut random(
            record.seed,
            (pair << 8) | (1 + followed as u64),
        ));
        if round.is_multiple_of(2) {
            slices.reverse();
        }
        order.append(&mut slices);
    }
    order
}

fn random(seed: u64, purpose: u64) -> ChaCha12Rng {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    rng.set_stream(purpose);
    rng
}

/// Where not one slice of a round was measured, no later one will be.
fn all_failed(slices: &[AnatomySlice], round: u32) -> anyhow::Result<()> {
    let reasons = slices.iter().map(|slice| match &slice.outcome {
        SliceOutcome::Failed { reason } => Some(reason),
        _ => None,
    });
    match reasons.collect::<Option<Vec<_>>>().as_deref() {
        Some([reason, ..]) => Err(anyhow::Error::new(EnvironmentError(format!(
            "no slice could be measured in round {round}: {reason}"
        )))),
        _ => Ok(()),
    }
}

/// Returns the time that is left: as estimated, later as fast as so far.
fn left(spent_ns: u64, done: usize, all: usize, estimate: Duration) -> Duration {
    let (Ok(done), Ok(all)) = (u32::try_from(done), u32::try_from(all)) else {
        return estimate;
    };
    if done == 0 {
        return estimate;
    }
    Duration::from_nanos(spent_ns) / done * all.saturating_sub(done)
}
