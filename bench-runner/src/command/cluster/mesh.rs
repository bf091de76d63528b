//! `tollgate cluster mesh`: every pair of a cluster's nodes.
//!
//! - `asked`: which workload, on which nodes
//! - `stand`: the probes, one on each node
//! - `course`: the tournament, round by round

mod asked;
mod course;
mod stand;

use std::path::Path;

use anyhow::ensure;
use tollgate_cluster::api::Cluster;
use tollgate_cluster::objects::{Run, Settings};
use tollgate_reports::mesh::analyse;
use tollgate_reports::render::{mesh_page, mesh_text};
use tollgate_results::RECORD_SCHEMA;
use tollgate_results::mesh::{
    MOST_MEETINGS, Meeting, MeshCluster, MeshNode, MeshRecord, Met, SkippedNode,
};
use tollgate_results::units::Nanoseconds;
use tollgate_store::{MeshDir, MeshRecording};

use self::asked::Asked;
use self::course::Course;
use self::stand::Standing;
use super::stand as campaign;
use crate::cli::MeshArgs;
use crate::clock::{Clock as _, SystemClock};
use crate::command::hosts::runtime;
use crate::command::interrupt::interrupted;
use crate::command::measure::next_free;
use crate::command::source::drawn_seed;
use crate::exit::{EnvironmentError, Exit};
use crate::output;
use crate::progress::{self, Progress};
use crate::target::cluster::Hold;

/// Pairs that meet at the same time where nothing else is said: their agents are 200 connections through the API server.
const AT_ONCE: u32 = 100;

/// What a mesh may take beyond its estimate until its probes end by themselves, in seconds.
const BEYOND: i64 = 1_800;

/// Longest that probes stand, in seconds: a mesh that takes longer is resumed.
const LONGEST: i64 = 48 * 3_600;

/// Measures a mesh, goes on with one, or reports on one again.
pub(super) fn mesh(args: &MeshArgs) -> anyhow::Result<Exit> {
    if let Some(dir) = &args.from {
        let (folder, mesh) = MeshDir::open(dir)?;
        tell(&folder, &mesh.record, &mesh.meetings, args.json)?;
        return Ok(Exit::Done);
    }
    if let Some(dir) = &args.out {
        // Before probes are set up for minutes.
        let taken = dir
            .read_dir()
            .is_ok_and(|mut entries| entries.next().is_some());
        ensure!(
            !taken,
            "`{}` is not empty; name another folder with --out, or go on with --resume",
            dir.display()
        );
    }
    let clock = SystemClock::start();
    let mut progress = progress::of(args.progress);
    let runtime = runtime()?;
    let measured = if let Some(dir) = &args.resume {
        runtime.block_on(go_on(dir, progress.as_mut(), clock))
    } else {
        let asked = Asked::of(args)?;
        runtime.block_on(begin(args, asked, progress.as_mut(), clock))
    };
    progress.finish();
    // A connection may still be under way; nothing waits for it.
    runtime.shutdown_background();
    let Some(measured) = measured? else {
        return Ok(Exit::Interrupted);
    };
    let Measured { recording, exit } = measured;
    if recording.is_empty() {
        recording.discard();
        return match exit {
            Ok(Exit::Done) => Err(nothing(&[])),
            exit => exit,
        };
    }
    let folder = recording.finish()?;
    let (folder, mesh) = MeshDir::open(folder.path())?;
    tell(&folder, &mesh.record, &mesh.meetings, args.json)?;
    let measured = |meeting: &Meeting| matches!(meeting.outcome, Met::Measured(_));
    let exit = match exit {
        Ok(Exit::Done) if !mesh.meetings.iter().any(measured) => Err(nothing(&mesh.meetings)),
        exit => exit,
    };
    exit.map_err(|error| {
        let folder = folder.path().display();
        error.context(format!(
            "the mesh is kept in `{folder}`; go on with --resume"
        ))
    })
}

/// What was recorded, and how that ended.
struct Measured {
    recording: MeshRecording,
    exit: anyhow::Result<Exit>,
}

/// Where not one pair was measured, the last reason says why.
fn nothing(meetings: &[Meeting]) -> anyhow::Error {
    let reason = meetings
        .iter()
        .rev()
        .find_map(|meeting| match &meeting.outcome {
            Met::Failed { reason, .. } => Some(reason.as_str()),
            Met::Measured(_) => None,
        });
    let reason = reason.unwrap_or("no pair met");
    anyhow::Error::new(EnvironmentError(format!(
        "no pair of nodes could be measured: {reason}"
    )))
}

/// Sets a new mesh up, and measures it.
async fn begin(
    args: &MeshArgs,
    asked: Asked,
    progress: &mut dyn Progress,
    clock: SystemClock,
) -> anyhow::Result<Option<Measured>> {
    let cluster_args = args.cluster();
    let cluster = campaign::connect(&cluster_args).await?;
    let (nodes, mut skipped) = asked::nodes(&cluster, &args.nodes).await?;
    let all = MeshRecord::meetings(nodes.len(), args.passes, args.both_ways);
    ensure!(
        all <= MOST_MEETINGS,
        "{all} meetings are more than the {MOST_MEETINGS} of a mesh; choose fewer --passes or nodes"
    );
    let seed = args.seed.unwrap_or_else(|| drawn_seed(clock));
    let settings = Settings {
        deadline_seconds: deadline(all, asked.each(), args.at_once.unwrap_or(1)),
        run: Some(Run {
            name: format!("mesh-{seed}"),
            owner: None,
        }),
        ..campaign::wanted(&cluster_args)
    };
    preflight(&cluster, &settings, nodes.len()).await?;
    let network = campaign::network(&cluster).await?;
    standing(&cluster, &settings, &nodes, async |stood| {
        skipped.extend(stood.missing(&nodes));
        announce(&skipped);
        let (nodes, stood) = stood.of_those_that_stand(nodes.clone())?;
        let at_once = args
            .at_once
            .unwrap_or(if (stood.machines as usize) < nodes.len() {
                1
            } else {
                AT_ONCE
            });
        let record = MeshRecord {
            schema: RECORD_SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_unix_ms: clock.unix_ms(),
            cluster: MeshCluster {
                context: args.context.clone(),
                server: cluster.server().to_owned(),
                namespace: cluster.namespace().to_owned(),
                image: settings.image.clone(),
                pull_secrets: settings.pull_secrets.clone(),
                host_network: settings.host_network,
                network,
            },
            nodes,
            skipped,
            machines: stood.machines,
            scenario: asked.scenario,
            workload: asked.workload,
            slice: asked.slice,
            warmup: asked.warmup,
            seed,
            passes: args.passes,
            both_ways: args.both_ways,
            at_once,
            margin: args.margin,
            installs: 1,
        };
        let out = args.out.clone();
        let dir = out.unwrap_or_else(|| next_free(Path::new("meshes"), record.scenario.as_str()));
        let recording = MeshDir::create(&dir, &record)?;
        Ok(measure(stood, &record, recording, progress, clock).await)
    })
    .await
}

/// Sets the probes of a mesh up that goes on, and measures what it lacks.
async fn go_on(
    dir: &Path,
    progress: &mut dyn Progress,
    clock: SystemClock,
) -> anyhow::Result<Option<Measured>> {
    let (recording, mesh) = MeshDir::resume(dir)?;
    let mut record = mesh.record;
    let args = asked::again(&record);
    let cluster = campaign::connect(&args).await?;
    ensure!(
        cluster.server() == record.cluster.server,
        "`{}` was measured on the cluster at {}, and this is {}; resume it there with its context",
        dir.display(),
        record.cluster.server,
        cluster.server()
    );
    let nodes = record.nodes.clone();
    let left = record.planned().saturating_sub(recording.measured() as u64);
    let settings = Settings {
        deadline_seconds: deadline(left, asked::each(&record), record.at_once),
        run: Some(Run {
            name: format!("mesh-{}", record.seed),
            owner: None,
        }),
        ..campaign::wanted(&args)
    };
    preflight(&cluster, &settings, nodes.len()).await?;
    standing(&cluster, &settings, &nodes, async |stood| {
        let missing = stood.missing(&nodes);
        announce(&missing);
        let standing = stood.seats.iter().flatten().count();
        if left > 0 && standing < 2 {
            return Err(asked::wrong_number(standing, &missing));
        }
        record.installs += 1;
        recording.write_record(&record)?;
        Ok(measure(stood, &record, recording, progress, clock).await)
    })
    .await
}

/// Sets the probes up, does what wants them, and removes them, however that ended; `None` where they were interrupted as
/// they came up.
async fn standing<T>(
    cluster: &Cluster,
    settings: &Settings,
    nodes: &[MeshNode],
    work: impl AsyncFnOnce(Standing) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    let mut hold = Hold::new(cluster.clone());
    let up = tokio::select! {
        stood = Standing::up(&mut hold, settings, nodes) => stood.map(Some),
        signal = interrupted() => signal.map(|()| None),
    };
    let ended = match up {
        Ok(Some(stood)) => work(stood).await.map(Some),
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    if let Err(left) = hold.remove().await {
        output::note(&format!(
            "note: the mesh's objects are left behind ({left:#}); remove them with `tollgate cluster clean`"
        ));
    }
    ended
}

/// Runs the tournament. An interrupt ends it; what was measured is kept.
async fn measure(
    stood: Standing,
    record: &MeshRecord,
    mut recording: MeshRecording,
    progress: &mut dyn Progress,
    clock: SystemClock,
) -> Measured {
    let exit = {
        let mut course = Course::new(record, stood, clock);
        progress.note(&course.words_of_all(&recording));
        tokio::select! {
            ended = course.run(&mut recording, progress) => ended.map(|()| Exit::Done),
            signal = interrupted() => signal.map(|()| Exit::Interrupted),
        }
    };
    Measured { recording, exit }
}

/// Refuses what stands against a mesh, all at once.
async fn preflight(cluster: &Cluster, settings: &Settings, pods: usize) -> anyhow::Result<()> {
    let found = cluster.preflight_for(settings, pods).await;
    let found = found.map_err(|error| campaign::unwell(&error))?;
    for note in &found.notes {
        output::note(&format!("note: {note}"));
    }
    campaign::refused(&found)
}

/// Says which nodes take no part.
fn announce(skipped: &[SkippedNode]) {
    for node in skipped {
        output::note(&format!("skipping {}: {}", node.node, node.reason));
    }
}

/// Returns when probes end by themselves: twice what is estimated, and half an hour.
fn deadline(meetings: u64, each: Nanoseconds, at_once: u32) -> i64 {
    let seconds = each.0.saturating_mul(meetings) / u64::from(at_once.max(1)) / 1_000_000_000;
    let seconds = i64::try_from(seconds).unwrap_or(LONGEST);
    seconds.saturating_mul(2).min(LONGEST - BEYOND) + BEYOND
}

/// Writes the reports into the folder, and prints one.
fn tell(
    folder: &MeshDir,
    record: &MeshRecord,
    meetings: &[Meeting],
    json: bool,
) -> anyhow::Result<()> {
    let report = analyse(record, meetings);
    let mut text = serde_json::to_vec_pretty(&report)?;
    text.push(b'\n');
    folder.write_report("report.json", &text)?;
    let page = folder.write_report("report.html", &mesh_page(&report))?;
    if json {
        output::result(&text)?;
    } else {
        output::result(mesh_text(&report).as_bytes())?;
        output::note(&format!("Report: {}", page.display()));
    }
    Ok(())
}

/// Returns nodes of a record by their names.
fn names(nodes: &[MeshNode]) -> Vec<String> {
    nodes.iter().map(|node| node.name.clone()).collect()
}
