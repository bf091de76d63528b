//! `tollgate cluster split`: whether a weighted split of requests is what its weights say.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use tollgate_reports::split::{Group, Split, SplitVerdict, Weighted, judge};
use tollgate_results::http::HttpOutcome;

use super::read;
use crate::cli::SplitArgs;
use crate::command::plan::table;
use crate::exit::Exit;
use crate::output;

/// What is read of the probe's JSON.
#[derive(Debug, Deserialize)]
struct Measured {
    http: Option<HttpOutcome>,
}

/// Judges the responses in the probe's output.
pub(super) fn split(args: &SplitArgs) -> anyhow::Result<Exit> {
    let backends: Vec<Weighted> = args
        .weights
        .iter()
        .map(|weight| Weighted {
            name: weight.name.clone(),
            weight: weight.weight,
        })
        .collect();
    let mut groups = Vec::new();
    for file in &args.from {
        let text = read(file)?;
        for (index, document) in serde_json::Deserializer::from_str(&text)
            .into_iter()
            .enumerate()
        {
            let context = || format!("`{}`, document {}", file.display(), index + 1);
            let measured: Measured = document.with_context(context)?;
            let http = measured.http.with_context(|| {
                format!("{} is not of `tollgate-probe http … --json`", context())
            })?;
            groups.extend(sorted(&backends, http));
        }
    }
    ensure!(
        !groups.is_empty(),
        "there is no measurement in it; give what `tollgate-probe http … --json` prints"
    );
    let split = judge(&backends, &groups, args.tolerance.0)?;
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(&split)?)
    } else {
        told(&split)
    };
    output::result(text.as_bytes())?;
    Ok(Exit::Done)
}

/// Sorts one measurement's responses by the backends that were declared: those of each kept connection together, where that is
/// known.
fn sorted(backends: &[Weighted], http: HttpOutcome) -> Vec<Group> {
    if http.by_connection.is_empty() {
        return vec![group(backends, http.backends, http.other_backends)];
    }
    let of_connections = http.by_connection.into_iter();
    let mut groups: Vec<Group> = of_connections
        .map(|seen| group(backends, seen, 0))
        .collect();
    if let Some(first) = groups.first_mut() {
        first.strangers += http.other_backends;
    }
    groups
}

fn group(backends: &[Weighted], mut seen: BTreeMap<String, u64>, others: u64) -> Group {
    let hits = backends
        .iter()
        .map(|backend| seen.remove(&backend.name).unwrap_or(0))
        .collect();
    Group {
        hits,
        strangers: seen.values().sum::<u64>() + others,
    }
}

fn told(split: &Split) -> String {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let mut table = table(&["backend", "declared", "seen", "95 % interval", "responses"]);
    for share in &split.shares {
        let mark = if share.off { " *" } else { "" };
        table.add_row([
            share.name.clone(),
            percent(share.declared),
            format!("{}{mark}", percent(share.seen)),
            format!("{} to {}", percent(share.low), percent(share.high)),
            share.hits.to_string(),
        ]);
    }
    let points = split.tolerance * 100.0;
    let enough = format!(
        "{} responses of {} that ±{points} points want",
        split.requests, split.needed
    );
    let verdict = match split.verdict {
        SplitVerdict::AsDeclared => format!("AS DECLARED: {enough}"),
        SplitVerdict::Off => format!("OFF: not what the weights say (*); {enough}"),
        SplitVerdict::Insufficient => format!("INSUFFICIENT: {enough}"),
    };
    let mut text = format!("{table}\n{verdict}\n");
    if let Some(clustering) = split.clustered {
        let _ = writeln!(
            text,
            "Responses of one connection go together: {} connections are worth {:.0} requests. Send more on new ones.",
            clustering.groups, split.effective
        );
    }
    if split.strangers > 0 {
        let _ = writeln!(
            text,
            "{} responses are of backends that weren't declared.",
            split.strangers
        );
    }
    text
}
