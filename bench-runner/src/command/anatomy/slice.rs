//! One slice of an anatomy: with the packet clock, without it and anything else beside the traffic, or while the kernel counts the
//! runs of eBPF programs.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tollgate_lab::ClockSpec;
use tollgate_lab::bpf::{ProgramRuns, count_runs};
use tollgate_reports::anatomy::{Seen, assemble};
use tollgate_results::agent::{Exchanges, Job, Log, Serve, Turns};
use tollgate_results::anatomy::{Followed, Hook, ProgramCost, SliceOutcome};
use tollgate_results::arm::Arm;
use tollgate_results::histogram::Histogram;
use tollgate_results::outcome::{JobReport, Timed};
use tollgate_results::slice::Pinned;
use tollgate_results::units::{Bytes, Nanoseconds};
use tollgate_results::workload::{Close, Load, Traffic};

use crate::agent::Agent;
use crate::campaign::start_agent;
use crate::target::lab::LabDeployment;
use crate::target::{Deployment as _, End};

/// What each packet carries: a small request, as in the shipped scenarios.
const PAYLOAD: Bytes = Bytes(64);

/// A datagram that takes longer is lost.
const TIMEOUT: Nanoseconds = Nanoseconds(1_000_000_000);

/// Longest that control may take around a slice's own time.
const CONTROL_LIMIT: Duration = Duration::from_secs(15);

/// What watches the traffic of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Watched {
    /// Nothing: the headline.
    Nothing,
    /// The packet clock.
    Clock,
    /// The kernel's own statistics of how often programs run and for how long.
    Statistics,
}

impl Watched {
    /// Returns what is added to the name of what is followed, in progress.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Clock => "-clocked",
            Self::Statistics => "-counted",
        }
    }
}

/// What a slice came to, and how many runs of the arm's own programs the kernel counted meanwhile; `None` where it has none.
pub(super) type Came = (SliceOutcome, Option<u64>);

/// What a slice is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings<'a> {
    pub(super) followed: Followed,
    pub(super) netfilter: &'a [Hook],
    pub(super) pinned: Pinned,
    pub(super) slice: Nanoseconds,
    pub(super) warmup: Nanoseconds,
    pub(super) seed: u64,
}

impl Settings<'_> {
    fn traffic(&self) -> Traffic {
        match self.followed {
            Followed::TcpRr => Traffic::TcpRr { payload: PAYLOAD },
            Followed::UdpRr => Traffic::UdpRr {
                payload: PAYLOAD,
                timeout: TIMEOUT,
            },
            Followed::TcpConnect => Traffic::TcpCrr {
                payload: PAYLOAD,
                close: Close::Rst,
            },
        }
    }

    /// What a round trip is: of a handshake the `connect` alone.
    const fn timed(&self) -> Timed {
        match self.followed {
            Followed::TcpRr | Followed::UdpRr => Timed::Latency,
            Followed::TcpConnect => Timed::Connect,
        }
    }

    fn limit(&self) -> Duration {
        self.slice.duration() + self.warmup.duration() + CONTROL_LIMIT
    }
}

/// A deployed arm and the agents in it.
pub(super) struct Live {
    deployment: LabDeployment,
    planted: Option<Nanoseconds>,
    has_programs: bool,
    agents: Option<Agents>,
}

struct Agents {
    client: Agent,
    server: Agent,
}

impl Live {
    pub(super) fn new(deployment: LabDeployment, arm: &Arm) -> Self {
        Self {
            deployment,
            planted: arm.change.planted,
            has_programs: arm.datapath.has_programs(),
            agents: None,
        }
    }

    /// Drops the agents, which ends them and their traffic.
    pub(super) fn forget_agents(&mut self) {
        self.agents = None;
    }

    /// Measures a slice. Runs that the kernel counted in one that is not for that slowed it down, and are told.
    pub(super) async fn slice(
        &mut self,
        watched: Watched,
        settings: &Settings<'_>,
    ) -> anyhow::Result<Came> {
        let before = self.programs().await?;
        let counting = (watched == Watched::Statistics).then(count_runs);
        let counting = counting.transpose()?;
        let measured = match watched {
            Watched::Clock => self.clocked(settings).await,
            Watched::Nothing | Watched::Statistics => self.plain(settings).await,
        };
        drop(counting);
        let outcome = measured?;
        let counted = ProgramRuns::between(&before, self.programs().await?);
        let runs = self.has_programs.then(|| total(&counted));
        let outcome = match (watched, outcome) {
            (Watched::Statistics, SliceOutcome::Plain { latency }) => SliceOutcome::Counted {
                latency,
                programs: counted.into_iter().map(cost).collect(),
            },
            (_, outcome) => outcome,
        };
        Ok((outcome, runs))
    }

    async fn programs(&self) -> anyhow::Result<Vec<ProgramRuns>> {
        if self.has_programs {
            self.deployment.programs().await
        } else {
            Ok(Vec::new())
        }
    }

    /// Measures round trips, and nothing else.
    async fn plain(&mut self, settings: &Settings<'_>) -> anyhow::Result<SliceOutcome> {
        let job = self.job(settings);
        let serve = self.serve(settings);
        let agents = self.agents().await?;
        let measuring = async {
            agents.server.serve(&serve).await?;
            let armed = agents.client.arm(&job).await?;
            agents.client.run(&armed).await
        };
        let report = in_time(settings, measuring).await?;
        Ok(SliceOutcome::Plain {
            latency: latency(report, settings)?,
        })
    }

    /// Measures round trips while their packets are followed.
    async fn clocked(&mut self, settings: &Settings<'_>) -> anyhow::Result<SliceOutcome> {
        let job = self.job(settings);
        let serve = self.serve(settings);
        self.agents().await?;
        let spec = ClockSpec {
            followed: settings.followed,
            netfilter: settings.netfilter.to_vec(),
            ring_bytes: ClockSpec::RING_BYTES,
            away_from: settings.pinned.client,
        };
        let sites = self.deployment.start_clock(spec).await?;
        let agents = self.agents().await?;
        let measured = in_time(settings, exchange(agents, &serve, &job, settings)).await;
        // Stopped whatever came of it: the next slice may be one without.
        let (end, trips) = self.deployment.stop_clock().await?;
        let (report, exchanges, turns) = measured?;
        ensure!(
            exchanges.missed == 0 && turns.missed == 0,
            "there was no room for {} of the exchanges; choose a shorter --slice",
            exchanges.missed.max(turns.missed)
        );
        let clocked = assemble(Seen {
            followed: settings.followed,
            sites: &sites,
            trips: &trips,
            exchanges: &exchanges,
            turns: &turns,
            latency: latency(report, settings)?,
            lost: end.lost,
            given_up: end.given_up,
        });
        Ok(SliceOutcome::Clocked(Box::new(clocked)))
    }

    fn job(&self, settings: &Settings<'_>) -> Job {
        Job {
            traffic: settings.traffic(),
            load: Load::Closed,
            timestamps: false,
            ports: None,
            beside: None,
            target: self.deployment.site().endpoints.target,
            warmup: settings.warmup,
            duration: settings.slice,
            cpu: settings.pinned.client,
            seed: settings.seed,
            key: self.deployment.site().key.clone(),
        }
    }

    fn serve(&self, settings: &Settings<'_>) -> Serve {
        let site = self.deployment.site();
        Serve {
            bind: site.endpoints.bind,
            port: site.endpoints.port,
            cpu: settings.pinned.server,
            name: None,
            planted: self.planted,
            key: site.key.clone(),
        }
    }

    async fn agents(&mut self) -> anyhow::Result<&mut Agents> {
        let agents = match self.agents.take() {
            Some(agents) => agents,
            None => Agents {
                server: start_agent(&mut self.deployment, End::Server)
                    .await
                    .context("server")?,
                client: start_agent(&mut self.deployment, End::Client(0))
                    .await
                    .context("client")?,
            },
        };
        Ok(self.agents.insert(agents))
    }
}

fn total(programs: &[ProgramRuns]) -> u64 {
    let runs = programs.iter().map(|program| program.runs);
    runs.fold(0, u64::saturating_add)
}

fn cost(program: ProgramRuns) -> ProgramCost {
    ProgramCost {
        place: program.place,
        program: program.program,
        runs: program.runs,
        time_ns: program.time_ns,
    }
}

/// Runs a job whose exchanges and turns are kept.
async fn exchange(
    agents: &mut Agents,
    serve: &Serve,
    job: &Job,
    settings: &Settings<'_>,
) -> anyhow::Result<(JobReport, Exchanges, Turns)> {
    let log = Log { most: Log::MOST };
    let Agents { client, server } = agents;
    server.serve(serve).await?;
    let armed = client.arm(job).await?;
    // The far end's kernel answers a handshake: its process has no turn.
    let has_turns = settings.followed != Followed::TcpConnect;
    if has_turns {
        server.keep_turns(log).await?;
    }
    let logged = client.run_logged(&armed, log).await?;
    let turns = if has_turns {
        server.take_turns().await?
    } else {
        Turns::default()
    };
    Ok((logged.report, logged.exchanges, turns))
}

async fn in_time<T>(
    settings: &Settings<'_>,
    measuring: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let limit = settings.limit();
    tokio::time::timeout(limit, measuring)
        .await
        .with_context(|| format!("no answer from the probes within {} s", limit.as_secs()))?
}

/// Returns the round trips of a slice that lost next to nothing.
fn latency(mut report: JobReport, settings: &Settings<'_>) -> anyhow::Result<Histogram> {
    let (sent, lost) = (report.outcome.sent, report.outcome.lost);
    ensure!(sent > 0, "nothing was sent");
    ensure!(
        lost <= sent / 100,
        "{lost} of {sent} requests were lost: their packets arrived nowhere"
    );
    let latency = report.histograms.remove(&settings.timed());
    latency.context("the probe timed something else than was asked for")
}
