//! The tournament: round by round, pairs at once as far as allowed, each result kept as it ends.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context as _;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha12Rng;
use tokio::task::JoinSet;
use tollgate_cluster::mesh::{Mesh, Pair};
use tollgate_results::door::Secret;
use tollgate_results::mesh::{Meeting, MeetingKey, MeshRecord, Met, Times};
use tollgate_results::outcome::{JobReport, Timed};
use tollgate_store::MeshRecording;

use super::asked;
use super::stand::Standing;
use crate::clock::{Clock as _, SystemClock};
use crate::exit::EnvironmentError;
use crate::progress::{Progress, minutes};
use crate::target::cluster::mesh::{Encounter, Failure, Seat, Side, meet};

/// A node whose probe didn't answer so often in a row, while others did, is left out of what follows.
const MOST_MISSES: u32 = 3;

/// So many meetings in a row in which a probe didn't answer, or two rounds of them: it is the API server that is gone.
const FEWEST_SILENT: usize = 6;

/// What measures a mesh.
pub(super) struct Course<'a> {
    record: &'a MeshRecord,
    /// `None` while a probe is at a meeting, and where a node has none.
    seats: Vec<Option<Seat>>,
    /// Meetings in a row in which a node's probe didn't answer.
    misses: Vec<u32>,
    /// Nodes that are left out, since their probes are gone.
    gone: Vec<bool>,
    key: Secret,
    clock: SystemClock,
    /// Meetings in which a probe didn't answer, since the last in which all did: they count only once others answer again.
    silent: Vec<Meeting>,
}

/// Two nodes that are to meet, and the ways that are to be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Next {
    pass: u32,
    round: u32,
    /// Client and server.
    ways: Vec<(u32, u32)>,
}

/// Two nodes that met.
struct Done {
    seats: [(u32, Seat); 2],
    meetings: Vec<Meeting>,
}

impl<'a> Course<'a> {
    pub(super) fn new(record: &'a MeshRecord, stood: Standing, clock: SystemClock) -> Self {
        Self {
            record,
            misses: vec![0; stood.seats.len()],
            gone: vec![false; stood.seats.len()],
            seats: stood.seats,
            key: stood.key,
            clock,
            silent: Vec::new(),
        }
    }

    /// Says what is going to be measured, and how long that takes.
    pub(super) fn words_of_all(&self, recording: &MeshRecording) -> String {
        let nodes = self.record.nodes.len();
        let at_once = match self.record.at_once {
            1 if (self.record.machines as usize) < nodes => {
                "one after the other, since nodes share a machine".to_owned()
            }
            1 => "one after the other".to_owned(),
            most => format!("up to {most} at once"),
        };
        format!(
            "Mesh of {nodes} nodes: {} meetings in {} rounds, {at_once}; seed {}: about {}",
            self.left(recording),
            self.rounds(),
            self.record.seed,
            minutes(self.estimate(recording)),
        )
    }

    /// Returns how many rounds there are, over all passes.
    fn rounds(&self) -> usize {
        let rounds = Mesh::of(self.record.nodes.len()).map_or(0, Mesh::rounds);
        rounds * self.record.passes as usize
    }

    /// Returns how many meetings are left.
    fn left(&self, recording: &MeshRecording) -> usize {
        let all = usize::try_from(self.record.planned()).unwrap_or(usize::MAX);
        all.saturating_sub(recording.measured())
    }

    /// Returns the time that they will take.
    fn estimate(&self, recording: &MeshRecording) -> Duration {
        let at_once = (self.record.at_once as usize).min(self.record.nodes.len() / 2);
        let turns = self.left(recording).div_ceil(at_once.max(1));
        let each = asked::each(self.record).duration();
        each.saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX))
    }

    /// Measures what is left. Dropping the future interrupts it: what was appended stays.
    ///
    /// # Errors
    ///
    /// When no probe answers any more, or none ever did, or the folder can't be written.
    pub(super) async fn run(
        &mut self,
        recording: &mut MeshRecording,
        progress: &mut dyn Progress,
    ) -> anyhow::Result<()> {
        let mesh = Mesh::of(self.record.nodes.len())?;
        let started_ns = self.clock.now_ns();
        let (all, estimate) = (self.left(recording), self.estimate(recording));
        let mut done = 0;
        for pass in 0..self.record.passes {
            let order = order(self.record, pass);
            for round in 0..mesh.rounds() {
                let mut queue: VecDeque<Next> = mesh
                    .round(round)
                    .filter_map(|pair| self.next(pass, round, pair, &order, recording))
                    .collect();
                let mut running = JoinSet::new();
                loop {
                    while running.len() < self.record.at_once as usize {
                        let Some(next) = queue.pop_front() else { break };
                        let left = left(self.clock.now_ns() - started_ns, done, all, estimate);
                        progress.meeting(&self.words(&next), done, all, left);
                        self.start(next, &mut running);
                    }
                    let Some(ended) = running.join_next().await else {
                        break;
                    };
                    let ended = ended.context("a meeting fell over")?;
                    done += ended.meetings.len();
                    self.keep(ended, recording, progress)?;
                }
            }
        }
        self.end(recording, progress)
    }

    /// Returns what two seats of a round are to measure; `None` where nothing is left, or one has no probe.
    fn next(
        &self,
        pass: u32,
        round: usize,
        pair: Pair,
        order: &[u32],
        recording: &MeshRecording,
    ) -> Option<Next> {
        let (mut client, mut server) = (order[pair.client], order[pair.server]);
        if pass % 2 == 1 {
            (client, server) = (server, client);
        }
        let stands = |node: u32| {
            let node = node as usize;
            self.seats[node].is_some() && !self.gone[node]
        };
        if !stands(client) || !stands(server) {
            return None;
        }
        let back = self.record.both_ways.then_some((server, client));
        let ways: Vec<(u32, u32)> = [Some((client, server)), back]
            .into_iter()
            .flatten()
            .filter(|&(client, server)| {
                !recording.has(&MeetingKey {
                    pass,
                    client,
                    server,
                })
            })
            .collect();
        let round = u32::try_from(round).unwrap_or(u32::MAX);
        (!ways.is_empty()).then_some(Next { pass, round, ways })
    }

    /// Names two nodes.
    fn words(&self, next: &Next) -> String {
        let name = |node: u32| self.record.nodes[node as usize].name.as_str();
        next.ways
            .first()
            .map_or_else(String::new, |&(client, server)| {
                format!("{} → {}", name(client), name(server))
            })
    }

    /// Lets two probes meet, beside others.
    fn start(&mut self, next: Next, running: &mut JoinSet<Done>) {
        let Some(&(one, other)) = next.ways.first() else {
            return;
        };
        let taken = (
            self.seats[one as usize].take(),
            self.seats[other as usize].take(),
        );
        let (Some(first), Some(second)) = taken else {
            // Each node is in one pair at a time: both are there.
            (self.seats[one as usize], self.seats[other as usize]) = taken;
            return;
        };
        let encounter = Encounter {
            workload: self.record.workload.clone(),
            warmup: self.record.warmup,
            slice: self.record.slice,
            seed: self.record.seed ^ u64::from(next.pass) << 48 ^ u64::from(one) << 24,
            key: self.key.clone(),
        };
        let clock = self.clock;
        running.spawn(async move {
            let mut seats = [(one, first), (other, second)];
            let mut meetings = Vec::new();
            for (client, server) in next.ways {
                let started_unix_ms = clock.unix_ms();
                let [a, b] = &mut seats;
                let measured = if client == a.0 {
                    meet(&mut a.1, &mut b.1, &encounter).await
                } else {
                    meet(&mut b.1, &mut a.1, &encounter).await
                };
                let outcome = outcome(measured, client, server);
                meetings.push(Meeting {
                    pass: next.pass,
                    round: next.round,
                    client,
                    server,
                    started_unix_ms,
                    outcome,
                });
            }
            Done { seats, meetings }
        });
    }

    /// Keeps what two nodes gave. What a silent probe left is kept once another pair has answered: else the API server may be
    /// to blame, and the pair is measured when the mesh goes on.
    fn keep(
        &mut self,
        ended: Done,
        recording: &mut MeshRecording,
        progress: &mut dyn Progress,
    ) -> anyhow::Result<()> {
        for (node, seat) in ended.seats {
            self.seats[node as usize] = Some(seat);
        }
        for meeting in ended.meetings {
            if let Met::Failed {
                node: Some(node), ..
            } = meeting.outcome
            {
                self.misses[node as usize] += 1;
                self.silent.push(meeting);
                self.give_up(recording)?;
                continue;
            }
            for node in [meeting.client, meeting.server] {
                self.misses[node as usize] = 0;
            }
            self.flush(recording, progress)?;
            recording.append(&meeting)?;
        }
        Ok(())
    }

    /// Keeps what silent probes left; says which are left out from now on.
    fn flush(
        &mut self,
        recording: &mut MeshRecording,
        progress: &mut dyn Progress,
    ) -> anyhow::Result<()> {
        for meeting in std::mem::take(&mut self.silent) {
            recording.append(&meeting)?;
            if let Met::Failed {
                reason,
                node: Some(node),
            } = &meeting.outcome
                && self.misses[*node as usize] >= MOST_MISSES
                && !self.gone[*node as usize]
            {
                self.gone[*node as usize] = true;
                let name = &self.record.nodes[*node as usize].name;
                progress.note(&format!(
                    "{name} is left out from now on: its probe didn't answer {MOST_MISSES} times ({reason})"
                ));
            }
        }
        Ok(())
    }

    /// Gives up where no probe answers any more.
    fn give_up(&self, recording: &MeshRecording) -> anyhow::Result<()> {
        let most = FEWEST_SILENT.max(self.record.nodes.len());
        match self.silent.last() {
            Some(Meeting {
                outcome: Met::Failed { reason, .. },
                ..
            }) if self.silent.len() >= most => {
                let after = recording.measured();
                Err(anyhow::Error::new(EnvironmentError(format!(
                    "no probe answers any more, after {after} meetings: {reason}"
                ))))
            }
            _ => Ok(()),
        }
    }

    /// Drops what silent probes left at the very end: nothing after it tells a node that is gone from a network that is.
    fn end(
        &mut self,
        recording: &MeshRecording,
        progress: &mut dyn Progress,
    ) -> anyhow::Result<()> {
        let silent = std::mem::take(&mut self.silent);
        let Some(Meeting {
            outcome: Met::Failed { reason, .. },
            ..
        }) = silent.last()
        else {
            return Ok(());
        };
        if recording.is_empty() {
            let said = format!("no pair of nodes could be measured: {reason}");
            return Err(anyhow::Error::new(EnvironmentError(said)));
        }
        progress.note(&format!(
            "meetings at the end without an answer, which are not kept: {} ({reason}); --resume measures them",
            silent.len()
        ));
        Ok(())
    }
}

/// Returns which node sits on which seat of the tournament in a pass.
fn order(record: &MeshRecord, pass: u32) -> Vec<u32> {
    let nodes = u32::try_from(record.nodes.len()).unwrap_or(u32::MAX);
    let mut order: Vec<u32> = (0..nodes).collect();
    let mut random = ChaCha12Rng::seed_from_u64(record.seed);
    // Two passes share an order, and who sends: the second is the first with roles exchanged.
    random.set_stream(u64::from(pass / 2));
    order.shuffle(&mut random);
    order
}

/// Turns what probes said into what is recorded.
fn outcome(measured: Result<JobReport, Failure>, client: u32, server: u32) -> Met {
    match measured {
        Ok(mut report) => {
            let (sent, lost) = (report.outcome.sent, report.outcome.lost);
            let latency = report
                .histograms
                .remove(&Timed::Latency)
                .unwrap_or_default();
            let at = |quantile: f64| latency.quantile_of_sent(quantile, lost);
            Met::Measured(Times {
                sent,
                lost,
                min_ns: (!latency.is_empty()).then(|| latency.min_ns()),
                p50_ns: at(0.5),
                p90_ns: at(0.9),
                p99_ns: at(0.99),
            })
        }
        Err(Failure { side, error }) => Met::Failed {
            reason: format!("{error:#}").lines().collect::<Vec<_>>().join(" "),
            node: side.map(|side| match side {
                Side::Client => client,
                Side::Server => server,
            }),
        },
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
