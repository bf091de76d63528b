//! `tollgate anatomy`: follows packets through each arm's datapath and says where their time goes.

mod folder;
mod rounds;
mod slice;

use std::path::Path;

use anyhow::Context as _;
use tollgate_lab::bpf::count_runs;
use tollgate_probes::facts;
use tollgate_reports::anatomy::{Anatomy, Judged, analyse};
use tollgate_reports::render;
use tollgate_results::RECORD_SCHEMA;
use tollgate_results::anatomy::{AnatomyRecord, Followed};
use tollgate_results::arm::Service;
use tollgate_results::plan::Plan;
use tollgate_results::workload::Cpu;

use self::folder::Folder;
use self::rounds::Campaign;
use super::{hosts, interrupt, measure, source};
use crate::campaign::comparable;
use crate::cli::AnatomyArgs;
use crate::clock::{Clock as _, SystemClock};
use crate::exit::{EnvironmentError, Exit};
use crate::output;
use crate::placement::Placement;
use crate::progress::{self, minutes};
use crate::target::lab::LabTarget;

/// Measures an anatomy, or reports on one again.
pub(super) fn anatomy(args: &AnatomyArgs) -> anyhow::Result<Exit> {
    if let Some(dir) = &args.from {
        let folder = Folder::open(dir)?;
        let anatomy = analyse(&folder.read()?);
        folder.report(&anatomy)?;
        print(&anatomy, args.json, &folder)?;
        return Ok(ended(&anatomy));
    }
    let clock = SystemClock::start();
    let name = args.scenario.as_deref();
    let name = name.context("name a scenario, for example `tollgate anatomy overlay-tax`")?;
    let probe = measure::probe(args.probe.as_deref())?;
    let plan = source::plan(name, &args.choices(), clock)?;
    comparable(&plan)?;
    measure::announce_skipped(&plan);
    let out = args.out.clone();
    let dir =
        out.unwrap_or_else(|| measure::next_free(Path::new("anatomies"), plan.scenario.as_str()));
    let folder = Folder::create(&dir)?;
    let mut record = record(args, plan, clock);
    output::note(&format!(
        "{}: {} arms, {}, {} rounds, seed {}: about {}",
        record.scenario,
        record.arms.len(),
        list(&record.followed),
        record.rounds,
        record.seed,
        minutes(rounds::estimate(&record)),
    ));
    let exit = follow(args, &mut record, probe, clock);
    if record.slices.iter().all(|slice| slice.round == 0) {
        folder.discard();
        return exit;
    }
    folder.write(&record)?;
    let anatomy = analyse(&record);
    folder.report(&anatomy)?;
    let kept = || format!("what was measured is kept in `{}`", dir.display());
    let exit = exit.with_context(kept)?;
    print(&anatomy, args.json, &folder)?;
    Ok(match exit {
        Exit::Done => ended(&anatomy),
        other => other,
    })
}

/// Says what will be measured.
fn record(args: &AnatomyArgs, plan: Plan, clock: SystemClock) -> AnatomyRecord {
    let services = |plan: &Plan| {
        let mut arms = plan.arms.iter();
        arms.any(|arm| arm.datapath.service != Service::None)
    };
    let mut followed = args.follow.clone();
    if followed.is_empty() {
        followed = vec![Followed::TcpRr, Followed::UdpRr];
        // Rules are walked for a connection's first packet alone.
        followed.extend(services(&plan).then_some(Followed::TcpConnect));
    }
    followed.sort_unstable();
    followed.dedup();
    let mut netfilter = args.netfilter.clone();
    netfilter.sort_unstable();
    netfilter.dedup();
    let programs = counts_programs(&plan);
    AnatomyRecord {
        schema: RECORD_SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_unix_ms: clock.unix_ms(),
        scenario: plan.scenario,
        about: plan.about,
        seed: plan.seed,
        facts: facts::read(),
        reference: plan.reference,
        arms: plan.arms,
        skipped: plan.skipped,
        followed,
        netfilter,
        cpu: Cpu::Shared,
        rounds: args.rounds,
        slice: args.slice,
        warmup: args.warmup,
        event_cost: args.event_cost,
        packet_cost: args.packet_cost,
        programs,
        slices: Vec::new(),
    }
}

/// Says whether there are eBPF programs whose runs can be counted, and tells who can't why.
fn counts_programs(plan: &Plan) -> bool {
    let mut arms = plan.arms.iter();
    if !arms.any(|arm| arm.datapath.has_programs()) {
        return false;
    }
    match count_runs() {
        Ok(_) => true,
        Err(error) => {
            output::note(&format!(
                "What each eBPF program costs stays untold: {}",
                error.chain()
            ));
            false
        }
    }
}

/// Measures what the record says, and adds the slices to it.
fn follow(
    args: &AnatomyArgs,
    record: &mut AnatomyRecord,
    probe: std::path::PathBuf,
    clock: SystemClock,
) -> anyhow::Result<Exit> {
    let placement = Placement::of_this_process().context("failed to read the CPU affinity")?;
    let mut progress = progress::of(args.progress);
    let runtime = hosts::runtime()?;
    let ended = runtime.block_on(async {
        let mut target = LabTarget::new(measure::lab()?, probe, record.seed);
        if let Some(reason) = target.missing_clock(&record.netfilter).await? {
            return Err(anyhow::Error::new(EnvironmentError(reason)));
        }
        let mut campaign = Campaign {
            clock: &clock,
            progress: progress.as_mut(),
            pinned: placement.pinned(record.cpu),
        };
        tokio::select! {
            ended = campaign.run(&mut target, record) => ended.map(|()| Exit::Done),
            signal = interrupt::interrupted() => signal.map(|()| Exit::Interrupted),
        }
    });
    progress.finish();
    // A call of the lab may still be under way: the holder ends it with this process.
    runtime.shutdown_background();
    ended
}

fn list(followed: &[Followed]) -> String {
    let names: Vec<_> = followed.iter().map(|followed| followed.as_str()).collect();
    names.join(" and ")
}

fn print(anatomy: &Anatomy, json: bool, folder: &Folder) -> anyhow::Result<()> {
    if json {
        let mut text = serde_json::to_vec_pretty(anatomy)?;
        text.push(b'\n');
        output::result(&text)?;
    } else {
        output::result(render::anatomy_text(anatomy).as_bytes())?;
        output::note(&format!("Report: {}", folder.page().display()));
    }
    Ok(())
}

/// An anatomy of which nothing can be believed is no result.
fn ended(anatomy: &Anatomy) -> Exit {
    let mut arms = anatomy.arms.iter();
    if arms.any(|arm| arm.judged == Judged::Agrees) {
        Exit::Done
    } else {
        Exit::Environment
    }
}
