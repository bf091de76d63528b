//! What the tables of a scenario must satisfy together. Nothing is said about what could not be read.

mod arms;
mod change;
mod claims;
mod cluster;
mod kernel;
mod references;
mod split;
mod workloads;

use std::fmt::Display;

use tollgate_results::arm::Name;
use tollgate_results::plan::Rounds;
use tollgate_results::units::{Nanoseconds, Share};

use crate::SCENARIO_SCHEMA;
use crate::document::Document;
use crate::fault::Faults;
use crate::file::File;
use crate::scenario::Scenario;

/// Longest `about`, in characters: three sentences.
const LONGEST_ABOUT: usize = 300;

/// Checks what was read and turns it into a scenario.
pub(crate) fn check(
    mut document: Document<'_>,
    file: &File,
    stem: &str,
    hash: String,
) -> Result<Scenario, Faults> {
    schema(&mut document, file);
    let name = name(&mut document, file, stem);
    let about = about(&mut document, file);
    let rounds = rounds(&mut document, file);
    let workloads = workloads::check(&mut document, file);
    let names: Vec<Name> = workloads
        .iter()
        .map(|workload| workload.name.clone())
        .collect();
    let mut arms = arms::check(&mut document, file, &names);
    cluster::together(&mut document, &arms);
    cluster::several(&mut document, &arms, &workloads);
    let reference = references::check(&mut document, file, &mut arms);
    workloads::check_use(&mut document, file, &arms);
    let claims = claims::check(&mut document, file, &arms, &workloads);
    let split = split::check(&mut document, file);
    let scenario = match (name, about, reference) {
        (Some(name), Some(about), Some(reference)) => Some(Scenario {
            name,
            about,
            hash,
            rounds,
            reference,
            arms,
            workloads,
            claims,
            split,
        }),
        _ => None,
    };
    document.finish(scenario)
}

fn schema(document: &mut Document<'_>, file: &File) {
    match file.schema {
        Some(schema) if schema == i64::from(SCENARIO_SCHEMA) => {}
        Some(schema) => document.fault(
            &["schema"],
            format!(
                "this version of Tollgate reads scenario format {SCENARIO_SCHEMA}, not {schema}; write \
                 schema = {SCENARIO_SCHEMA}, or take the version that the file was written for"
            ),
        ),
        None => missing(document, "schema", "schema = 1"),
    }
}

fn name(document: &mut Document<'_>, file: &File, stem: &str) -> Option<Name> {
    match &file.name {
        Some(name) if name.as_str() != stem => document.fault(
            &["name"],
            format!("`{name}` is not the file's name; write name = \"{stem}\" or rename the file"),
        ),
        Some(_) => {}
        None => missing(document, "name", &format!("name = \"{stem}\"")),
    }
    file.name.clone()
}

fn about(document: &mut Document<'_>, file: &File) -> Option<String> {
    let Some(about) = &file.about else {
        missing(document, "about", "about = \"What ... costs against ...\"");
        return None;
    };
    for fault in one_line(about, LONGEST_ABOUT, "what is compared") {
        document.fault(&["about"], fault);
    }
    Some(about.clone())
}

/// Says what is wrong with a text that has to fit on one line.
fn one_line(text: &str, longest: usize, what: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let length = text.chars().count();
    if text.trim().is_empty() || length > longest {
        faults.push(format!("{length} characters; say in 1 to {longest} {what}"));
    }
    if text.chars().any(char::is_control) {
        faults.push("has a line break or control character; write one line".to_owned());
    }
    faults
}

fn rounds(document: &mut Document<'_>, file: &File) -> Rounds {
    let table = &file.rounds;
    let rounds = Rounds {
        count: u32::try_from(table.count).unwrap_or(0),
        slice: table.slice,
        warmup: table.warmup,
        margin: table.margin,
        installs: u32::try_from(table.installs).unwrap_or(0),
    };
    for (key, message) in out_of_range(table.count, &rounds) {
        document.fault(&["rounds", key], message);
    }
    if let Some(message) = too_many_installs(table.installs, table.count) {
        document.fault(&["rounds", "installs"], message);
    }
    rounds
}

/// Returns the keys of [`Rounds`] that are out of range, each with what is wrong. `count` is the one that was
/// written, which `rounds` may be too narrow for.
pub(crate) fn out_of_range(count: i64, rounds: &Rounds) -> Vec<(&'static str, String)> {
    let second = 1_000_000_000;
    let times = |least, most| (Nanoseconds(least), Nanoseconds(most));
    let checks = [
        ("count", range(count, (1, 1_000))),
        (
            "slice",
            range(rounds.slice, times(second / 100, 600 * second)),
        ),
        ("warmup", range(rounds.warmup, times(0, 60 * second))),
        ("margin", range(rounds.margin, (Share(0.001), Share(0.5)))),
    ];
    let faults = checks.into_iter();
    faults
        .filter_map(|(key, fault)| Some((key, fault?)))
        .collect()
}

/// Says what is wrong with a number of installs for a number of rounds.
pub(crate) fn too_many_installs(installs: i64, rounds: i64) -> Option<String> {
    range(installs, (1, 100)).or_else(|| {
        (installs > rounds.max(1)).then(|| {
            format!(
                "{installs} installs for {rounds} rounds; each needs one, write at most {rounds}"
            )
        })
    })
}

/// Says what is wrong with a value outside of a range.
fn range<T: Copy + PartialOrd + Display>(value: T, (least, most): (T, T)) -> Option<String> {
    (value < least || value > most)
        .then(|| format!("{value} is out of range; write {least} to {most}"))
}

/// Notes a top-level key that the file lacks.
fn missing(document: &mut Document<'_>, key: &str, example: &str) {
    if !document.has(&[key]) {
        document.fault(&[key], format!("is missing; write {example}"));
    }
}
