//! What every command that measures shares: a campaign's folder, and the ground on which it is measured.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tollgate_lab::{Lab, LabOptions};
use tollgate_probes::facts;
use tollgate_reports::model::Analysis;
use tollgate_results::RECORD_SCHEMA;
use tollgate_results::facts::Facts;
use tollgate_results::plan::Plan;
use tollgate_results::run::{Campaign, ClusterRun, Hosts, RunRecord, TargetKind};
use tollgate_store::{CampaignDir, Recording};

use super::cluster::{self, Stood, StoodSplit};
use super::hosts::{self, Reached};
use super::{interrupt, report};
use crate::campaign::Campaigner;
use crate::clock::{Clock as _, SystemClock};
use crate::exit::{EnvironmentError, Exit};
use crate::output;
use crate::placement::Placement;
use crate::progress::Progress;
use crate::target::lab::LabTarget;

/// What measuring takes beside a campaign.
pub(super) struct Meter {
    /// Time.
    pub(super) clock: SystemClock,
    /// What the user sees meanwhile.
    pub(super) progress: Box<dyn Progress>,
}

/// A campaign whose folder is open for recording.
pub(super) struct Open {
    pub(super) recording: Recording,
    /// What is measured so far; without histograms.
    pub(super) campaign: Campaign,
    ground: Ground,
}

/// What a campaign stands on.
pub(super) enum Ground {
    /// This machine, with the probe's binary.
    Lab(PathBuf),
    /// Two machines that were reached.
    Hosts(Box<Reached>),
    /// A cluster with probes in it.
    Cluster(Box<Stood>),
    /// A cluster with a gateway and backends in it.
    Split(Box<StoodSplit>),
}

/// What a record says of its ground.
struct Described {
    target: TargetKind,
    facts: Facts,
    hosts: Option<Hosts>,
    cluster: Option<ClusterRun>,
}

impl Ground {
    /// Returns what the record says of it.
    fn described(&self) -> Described {
        let of = |target, facts| Described {
            target,
            facts,
            hosts: None,
            cluster: None,
        };
        match self {
            Self::Lab(_) => of(TargetKind::Lab, facts::read()),
            Self::Hosts(reached) => Described {
                hosts: Some(reached.hosts.clone()),
                ..of(TargetKind::Hosts, reached.pair.client.facts.clone())
            },
            Self::Cluster(stood) => Described {
                cluster: Some(stood.cluster.clone()),
                ..of(TargetKind::Cluster, stood.ends.client.facts.clone())
            },
            Self::Split(stood) => Described {
                cluster: Some(stood.cluster.clone()),
                ..of(TargetKind::Cluster, stood.client.facts.clone())
            },
        }
    }
}

/// How measuring a campaign ended.
pub(super) enum Measured {
    /// All of it is measured, and its reports are written.
    Whole(CampaignDir, Box<Analysis>),
    /// It was interrupted; what was measured is kept and reported.
    Interrupted(CampaignDir, Box<Analysis>),
    /// It was interrupted before anything was measured; nothing is kept.
    Nothing,
}

impl Open {
    /// Makes a new campaign's folder.
    ///
    /// # Errors
    ///
    /// When it is not empty or cannot be written.
    pub(super) fn create(
        dir: &Path,
        plan: Plan,
        ground: Ground,
        clock: SystemClock,
    ) -> anyhow::Result<Self> {
        let Described {
            target,
            facts,
            hosts,
            cluster,
        } = ground.described();
        let run = RunRecord {
            schema: RECORD_SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            target,
            started_unix_ms: clock.unix_ms(),
            plan,
            facts,
            hosts,
            cluster,
            installs: Vec::new(),
        };
        Ok(Self {
            recording: CampaignDir::create(dir, &run)?,
            campaign: Campaign {
                run,
                slices: Vec::new(),
            },
            ground,
        })
    }

    /// Opens a campaign to go on with it, with the probe's binary as told. Its hosts are reached again.
    ///
    /// # Errors
    ///
    /// When it is damaged, another process records to it, or it was measured on another machine.
    pub(super) fn resume(dir: &Path, told: Option<&Path>) -> anyhow::Result<Self> {
        let (_, campaign) = report::open(dir)?;
        let ground = match (campaign.run.hosts, &campaign.run.cluster) {
            (Some(hosts), _) => Ground::Hosts(Box::new(hosts::reach_again(hosts, told)?)),
            (None, Some(run)) => {
                let plan = &campaign.run.plan;
                match &run.gateway {
                    None => Ground::Cluster(Box::new(cluster::reach_again(run, plan)?)),
                    Some(gateway) => {
                        Ground::Split(Box::new(cluster::reach_split_again(run, gateway, plan)?))
                    }
                }
            }
            (None, None) => Ground::Lab(probe(told)?),
        };
        let (recording, mut campaign) = CampaignDir::resume(dir)?;
        let found = ground.described();
        let now = fingerprint(&found.facts, found.hosts.as_ref(), found.cluster.as_ref());
        let run = &campaign.run;
        let then = fingerprint(&run.facts, run.hosts.as_ref(), run.cluster.as_ref());
        if now != then {
            return Err(anyhow::Error::new(EnvironmentError(format!(
                "`{}` was measured on another machine or set-up (fingerprint {then}, here {now}); \
                 resume it there, or start a new campaign here",
                dir.display()
            ))));
        }
        for slice in &mut campaign.slices {
            slice.histograms.clear();
        }
        Ok(Self {
            recording,
            campaign,
            ground,
        })
    }
}

/// Returns what must be the same when a campaign goes on: of one machine, or of all.
fn fingerprint(facts: &Facts, hosts: Option<&Hosts>, cluster: Option<&ClusterRun>) -> String {
    let servers = hosts.map(|hosts| &hosts.server_facts);
    let of_clusters = cluster.into_iter().flat_map(|cluster| {
        let all = cluster.all();
        all.flat_map(|one| one.client_facts.iter().chain([&one.server_facts]))
    });
    let machines = std::iter::once(facts).chain(servers).chain(of_clusters);
    let each: Vec<String> = machines.map(Facts::fingerprint).collect();
    each.join(" and ")
}

impl Meter {
    /// Measures what a campaign still lacks, in a lab of its own or between its hosts, and writes its reports.
    ///
    /// # Errors
    ///
    /// When the lab or its arms cannot stand, or the folder cannot be written; what was measured is kept.
    pub(super) fn measure(&mut self, mut open: Open) -> anyhow::Result<Measured> {
        let ended = self.run(&mut open);
        self.progress.finish();
        let (_, campaign) = CampaignDir::open(open.recording.folder().path())?;
        if campaign.slices.is_empty() {
            open.recording.discard();
            return ended.map(|_| Measured::Nothing);
        }
        let folder = open.recording.finish()?;
        report::keep_calibration(&folder, &campaign)?;
        let analysis = Box::new(report::write(&folder, &campaign)?);
        let ended = ended.with_context(|| {
            format!("what was measured is kept in `{}`", folder.path().display())
        })?;
        Ok(match ended {
            Exit::Interrupted => Measured::Interrupted(folder, analysis),
            _ => Measured::Whole(folder, analysis),
        })
    }

    fn run(&mut self, open: &mut Open) -> anyhow::Result<Exit> {
        let runtime = hosts::runtime()?;
        let Open {
            recording,
            campaign,
            ground,
        } = open;
        let ended = runtime.block_on(async {
            let work = async {
                match ground {
                    Ground::Lab(probe) => {
                        let placement = Placement::of_this_process()
                            .context("failed to read the CPU affinity")?;
                        let seed = campaign.run.plan.seed;
                        let mut target = LabTarget::new(lab()?, probe.clone(), seed);
                        let ended = self
                            .campaigner(&mut target, recording, &placement)
                            .run(campaign)
                            .await;
                        self.take_down(target);
                        ended
                    }
                    Ground::Cluster(stood) => {
                        let placement = stood.placement();
                        stood.target.reconnect()?;
                        self.campaigner(&mut stood.target, recording, &placement)
                            .run(campaign)
                            .await
                    }
                    Ground::Split(stood) => {
                        let placement = stood.placement();
                        stood.target.reconnect()?;
                        self.campaigner(&mut stood.target, recording, &placement)
                            .run(campaign)
                            .await
                    }
                    Ground::Hosts(reached) => {
                        let placement = reached.placement();
                        self.campaigner(&mut reached.target, recording, &placement)
                            .run(campaign)
                            .await
                    }
                }
            };
            tokio::select! {
                ended = work => ended.map(|()| Exit::Done),
                signal = interrupt::interrupted() => signal.map(|()| Exit::Interrupted),
            }
        });
        // A deployment may still run in a blocking thread: the holder ends it with this process.
        runtime.shutdown_background();
        ended
    }

    /// Ends a lab with all its arms, and tells how long that took.
    fn take_down(&mut self, target: LabTarget) {
        let started_ns = self.clock.now_ns();
        drop(target);
        let took_ns = self.clock.now_ns().saturating_sub(started_ns);
        self.progress.removed(Duration::from_nanos(took_ns));
    }

    fn campaigner<'a, T>(
        &'a mut self,
        target: &'a mut T,
        journal: &'a mut Recording,
        placement: &'a Placement,
    ) -> Campaigner<'a, T, SystemClock, Recording> {
        Campaigner {
            target,
            clock: &self.clock,
            journal,
            progress: self.progress.as_mut(),
            placement,
        }
    }
}

/// Starts a lab.
///
/// # Errors
///
/// When this machine has none.
pub(super) fn lab() -> anyhow::Result<Lab> {
    let options = LabOptions {
        holder: super::holder()?,
    };
    Lab::start(&options).map_err(|error| {
        anyhow::Error::new(EnvironmentError(format!("{:#}", anyhow::Error::new(error))))
    })
}

/// Returns the first of NAME-1, NAME-2, … that is free.
pub(super) fn next_free(parent: &Path, name: &str) -> PathBuf {
    let mut number = 1_u32;
    loop {
        let dir = parent.join(format!("{name}-{number}"));
        if !dir.exists() {
            return dir;
        }
        number += 1;
    }
}

/// Tells which arms are left out and why.
pub(super) fn announce_skipped(plan: &Plan) {
    for skipped in &plan.skipped {
        output::note(&format!("skipping {}: {}", skipped.arm, skipped.reason));
    }
}

/// Finds the probe's binary: as told, beside this program, or in the PATH.
///
/// # Errors
///
/// When it is in none of these places.
pub(super) fn probe(told: Option<&Path>) -> anyhow::Result<PathBuf> {
    const NAME: &str = "tollgate-probe";
    if let Some(path) = told {
        return path
            .canonicalize()
            .with_context(|| format!("failed to find the probe `{}`", path.display()));
    }
    let beside = env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(|dir| dir.join(NAME)));
    let path = env::var_os("PATH").unwrap_or_default();
    let found = beside
        .into_iter()
        .chain(env::split_paths(&path).map(|dir| dir.join(NAME)))
        .find(|candidate| candidate.is_file());
    match found {
        Some(probe) => Ok(probe),
        None => bail!(
            "no `{NAME}` beside this program or in the PATH; build it with `make build`, or name it with --probe"
        ),
    }
}
