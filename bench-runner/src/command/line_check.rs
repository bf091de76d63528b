//! `tollgate lab line-check`: how true a lab's line is to what it is set to on this machine, by the project's own probes.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tollgate_results::agent::{Job, Serve};
use tollgate_results::arm::{Arm, Datapath};
use tollgate_results::change::Change;
use tollgate_results::line::{Line, LineCounters};
use tollgate_results::outcome::{JobReport, Timed};
use tollgate_results::stream::{OneWay, UdpStream};
use tollgate_results::units::{BitRate, Bytes, Nanoseconds, Rate};
use tollgate_results::workload::{Load, Traffic};

use super::plan::table;
use super::{hosts, measure};
use crate::agent::Agent;
use crate::cli::LineCheckArgs;
use crate::exit::{EnvironmentError, Exit};
use crate::output;
use crate::target::lab::{LabDeployment, LabTarget};
use crate::target::{Deployment as _, End, Target as _};

/// Seed of the lines: the same packets are lost in every check.
const SEED: u64 = 1;

/// Delays that are tried, in milliseconds; what a line without a delay adds is only shown.
const DELAYS_MS: [u64; 4] = [0, 1, 20, 100];
/// How far a delay may be off: by this share, or by so many nanoseconds.
const DELAY_SHARE: f64 = 0.02;
const DELAY_NS: f64 = 50_000.0;

/// Loss that is tried, in millionths, over so many datagrams.
const LOSS_PPM: u32 = 10_000;
const DATAGRAMS: u64 = 100_000;
/// Deviations of a binomial count that hold 99 % of all cases.
const DEVIATIONS: f64 = 2.576;

/// Rate that is tried, and how far it may be off.
const RATE: BitRate = BitRate(100_000_000);
const RATE_SHARE: f64 = 0.02;

/// Ethernet, IPv4 and UDP headers, which the line's rate counts.
const HEADERS: u64 = 14 + 20 + 8;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// What is set.
    set: String,
    /// What was measured.
    measured: String,
    /// What is allowed.
    allowed: String,
    /// Whether it holds; `None` for what is only shown.
    holds: Option<bool>,
}

/// Measures and prints.
pub(super) fn line_check(args: &LineCheckArgs) -> anyhow::Result<Exit> {
    let probe = measure::probe(args.probe.as_deref())?;
    let lab = measure::lab()?;
    let runtime = hosts::runtime()?;
    let findings = runtime.block_on(async {
        let mut target = LabTarget::new(lab, probe, SEED);
        findings(&mut target).await
    })?;
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(&findings)?)
    } else {
        printed(&findings)
    };
    output::result(text.as_bytes())?;
    let failed = findings
        .iter()
        .filter(|finding| finding.holds == Some(false))
        .count();
    if failed > 0 {
        return Err(anyhow::Error::new(EnvironmentError(format!(
            "{failed} of {} are off: this machine is too busy for a line, or too slow",
            findings.len()
        ))));
    }
    Ok(Exit::Done)
}

async fn findings(target: &mut LabTarget) -> anyhow::Result<Vec<Finding>> {
    output::note("the path without a line …");
    let path = one_way(target, None).await?;
    let mut findings = vec![Finding {
        set: "no line".to_owned(),
        measured: format!("p50 {:.1} µs, p95 {:.1} µs", path.p50 / 1e3, path.p95 / 1e3),
        allowed: "the path's own".to_owned(),
        holds: None,
    }];
    for ms in DELAYS_MS {
        output::note(&format!("a delay of {ms} ms …"));
        findings.push(delay(target, Nanoseconds(ms * 1_000_000), path).await?);
    }
    output::note(&format!("a loss of 1 % of {DATAGRAMS} datagrams …"));
    findings.push(loss(target).await?);
    output::note(&format!("a rate of {RATE} …"));
    findings.push(rate(target).await?);
    Ok(findings)
}

fn printed(findings: &[Finding]) -> String {
    let mut table = table(&["set", "measured", "allowed", "holds"]);
    for finding in findings {
        let holds = match finding.holds {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        };
        table.add_row([&finding.set, &finding.measured, &finding.allowed, holds]);
    }
    let mut text = format!("{table}\n");
    let _ = writeln!(
        text,
        "Delays are one way, and what the line adds to the same path without one: that has both ends' own part in it."
    );
    text
}

/// What a line of this delay adds to the path.
async fn delay(
    target: &mut LabTarget,
    delay: Nanoseconds,
    path: OneWayDelay,
) -> anyhow::Result<Finding> {
    let line = Line {
        delay,
        ..Line::default()
    };
    let with = one_way(target, Some(line)).await?;
    let set = real(delay.0);
    let allowed = (set * DELAY_SHARE).max(DELAY_NS);
    let off = with.p50 - path.p50 - set;
    Ok(Finding {
        set: format!("delay of {}", delay.words()),
        measured: format!(
            "p50 {:+.1} µs off, p95 {:+.1} µs",
            off / 1e3,
            (with.p95 - path.p95 - set) / 1e3
        ),
        allowed: format!("±{:.0} µs at p50", allowed / 1e3),
        holds: (delay.0 > 0).then_some(off.abs() <= allowed),
    })
}

/// From the sender's call to the receiver's, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct OneWayDelay {
    p50: f64,
    p95: f64,
}

/// Measures the one-way delay of a few hundred datagrams a second.
async fn one_way(target: &mut LabTarget, line: Option<Line>) -> anyhow::Result<OneWayDelay> {
    let stream = UdpStream {
        payload: Bytes(64),
        rate: Some(Rate(500)),
        ..UdpStream::default()
    };
    let (report, _) = run(target, line, stream, Nanoseconds(2_000_000_000)).await?;
    let up = report
        .histograms
        .get(&Timed::OneWayUp)
        .context("the two ends read no common clock")?;
    let lost = up_of(&report)?.lost;
    let quantile = |share| {
        up.quantile_of_sent(share, lost)
            .context("too few datagrams arrived")
    };
    Ok(OneWayDelay {
        p50: real(quantile(0.5)?),
        p95: real(quantile(0.95)?),
    })
}

/// Counts what is lost.
async fn loss(target: &mut LabTarget) -> anyhow::Result<Finding> {
    let line = Line {
        loss_ppm: LOSS_PPM,
        ..Line::default()
    };
    let rate = Rate(20_000);
    let stream = UdpStream {
        payload: Bytes(64),
        rate: Some(rate),
        ..UdpStream::default()
    };
    let duration = Nanoseconds(DATAGRAMS * 1_000_000_000 / rate.0);
    let (report, counters) = run(target, Some(line), stream, duration).await?;
    let counters = counters.context("the arm has no line")?;
    let up = up_of(&report)?;
    let (sent, share) = (real(up.sent), f64::from(LOSS_PPM) / 1e6);
    let mean = sent * share;
    let allowed = DEVIATIONS * (mean * (1.0 - share)).sqrt();
    Ok(Finding {
        set: "loss of 1 %".to_owned(),
        measured: format!(
            "{} of {} lost; with the warm-up the line lost {} of {}",
            up.lost, up.sent, counters.there.lost, counters.there.entered
        ),
        allowed: format!("{:.0} to {:.0}", mean - allowed, mean + allowed),
        holds: Some((real(up.lost) - mean).abs() <= allowed),
    })
}

/// Sends a fifth more than the rate carries and counts what arrives.
async fn rate(target: &mut LabTarget) -> anyhow::Result<Finding> {
    let line = Line {
        rate: Some(RATE),
        queue: Some(Line::QUEUE),
        ..Line::default()
    };
    let payload = Bytes(1_400);
    let frame = payload.0 + HEADERS;
    let stream = UdpStream {
        payload,
        rate: Some(Rate(RATE.0 * 6 / 5 / 8 / frame)),
        ..UdpStream::default()
    };
    let (report, _) = run(target, Some(line), stream, Nanoseconds(3_000_000_000)).await?;
    let up = up_of(&report)?;
    ensure!(up.receiving_ns > 0, "nothing arrived");
    // The first one begins the time that is measured.
    let bits = real(up.received.saturating_sub(1) * frame * 8);
    let measured = bits * 1e9 / real(up.receiving_ns);
    let off = measured / real(RATE.0) - 1.0;
    Ok(Finding {
        set: format!("rate of {RATE}"),
        measured: format!("{:.2} Mbit/s ({:+.2} %)", measured / 1e6, off * 100.0),
        allowed: format!("±{:.0} %", RATE_SHARE * 100.0),
        holds: Some(off.abs() <= RATE_SHARE),
    })
}

fn up_of(report: &JobReport) -> anyhow::Result<OneWay> {
    let both = report.outcome.datagrams.as_ref();
    both.and_then(|both| both.up)
        .context("nothing became known of the datagrams")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts and times stay far below 2^53"
)]
fn real(count: u64) -> f64 {
    count as f64
}

/// Sends datagrams over a path of its own; returns what was measured and what the line counted, where there is one.
async fn run(
    target: &mut LabTarget,
    line: Option<Line>,
    stream: UdpStream,
    duration: Nanoseconds,
) -> anyhow::Result<(JobReport, Option<LineCounters>)> {
    let name = "line".parse()?;
    let arm = Arm {
        name,
        reference: None,
        datapath: Datapath {
            line,
            ..Datapath::default()
        },
        workloads: Vec::new(),
        sweep: None,
        change: Change::default(),
    };
    let mut deployment = target.deploy(&arm).await?;
    let endpoints = deployment.site().endpoints;
    let mut server = agent(&mut deployment, End::Server).await?;
    let mut client = agent(&mut deployment, End::Client(0)).await?;
    server
        .serve(&Serve {
            bind: endpoints.bind,
            port: endpoints.port,
            cpu: None,
            name: None,
            planted: None,
            key: None,
        })
        .await?;
    let job = Job {
        traffic: Traffic::UdpStream(stream),
        load: Load::Closed,
        timestamps: false,
        ports: None,
        beside: None,
        target: endpoints.target,
        warmup: Nanoseconds(300_000_000),
        duration,
        cpu: None,
        seed: SEED,
        key: None,
    };
    let armed = client.arm(&job).await?;
    let report = client.run(&armed).await?;
    let counters = deployment.counters().await?.line;
    drop((client, server));
    target.clear().await?;
    Ok((report, counters))
}

async fn agent(deployment: &mut LabDeployment, end: End) -> anyhow::Result<Agent> {
    let stream = deployment.agent(end).await?;
    Agent::connect(stream).await
}
