//! `tollgate cluster split`: whether a weighted split of requests is what its weights say.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use tollgate_reports::split::{Split, SplitVerdict, Weighted, groups, judge};
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
    let mut all = Vec::new();
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
            all.extend(groups(&backends, &http));
        }
    }
    ensure!(
        !all.is_empty(),
        "there is no measurement in it; give what `tollgate-probe http … --json` prints"
    );
    let split = judge(&backends, &all, args.tolerance.0)?;
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(&split)?)
    } else {
        told(&split)
    };
    output::result(text.as_bytes())?;
    Ok(Exit::Done)
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
