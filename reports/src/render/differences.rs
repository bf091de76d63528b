//! In which facts arms differ: everything that an arm declares and its devices have, whatever dimensions there are.

use std::collections::BTreeMap;

use serde_json::Value;
use tollgate_results::arm::Name;

use super::number;
use crate::model::{Analysis, ArmSummary};

/// Facts of all arms.
pub(super) struct Differences<'a> {
    /// What all arms have alike: heading and value.
    pub shared: Vec<(String, String)>,
    /// Headings of what some arms have otherwise.
    pub headings: Vec<String>,
    /// Each arm with one value for each heading.
    pub rows: Vec<Row<'a>>,
}

/// One arm's values.
pub(super) struct Row<'a> {
    pub arm: &'a Name,
    pub values: Vec<Fact>,
}

/// A value, and whether the arm's reference has another.
pub(super) struct Fact {
    pub text: String,
    pub differs: bool,
}

/// Gathers the facts of all arms.
pub(super) fn differences(analysis: &Analysis) -> Differences<'_> {
    let all: Vec<BTreeMap<String, String>> = analysis.arms.iter().map(facts).collect();
    let mut keys: Vec<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    keys.sort_unstable();
    keys.dedup();
    let value = |facts: &BTreeMap<String, String>, key: &String| -> String {
        facts.get(key).cloned().unwrap_or_else(none)
    };
    let alike = |key: &&String| {
        let mut values = all.iter().map(|facts| value(facts, key));
        let first = values.next();
        values.all(|value| Some(&value) == first.as_ref())
    };
    let (shared, own): (Vec<&String>, Vec<&String>) = keys.into_iter().partition(alike);
    let row = |(arm, facts): (&'_ ArmSummary, &BTreeMap<String, String>)| {
        let place = analysis
            .arms
            .iter()
            .position(|other| Some(&other.name) == arm.reference.as_ref());
        let values = own.iter().map(|key| {
            let text = value(facts, key);
            let other = place.and_then(|place| all.get(place));
            Fact {
                differs: other.is_some_and(|other| value(other, key) != text),
                text,
            }
        });
        values.collect::<Vec<Fact>>()
    };
    Differences {
        rows: analysis
            .arms
            .iter()
            .zip(&all)
            .map(|(arm, facts)| Row {
                arm: &arm.name,
                values: row((arm, facts)),
            })
            .collect(),
        shared: all.first().map_or_else(Vec::new, |first| {
            let pairs = shared.iter().map(|key| ((*key).clone(), value(first, key)));
            pairs.filter(|(_, value)| *value != none()).collect()
        }),
        headings: own.into_iter().cloned().collect(),
    }
}

fn none() -> String {
    number::UNKNOWN.to_owned()
}

/// All facts of an arm. Its dimensions are read from their JSON, so that a new one shows by itself.
fn facts(arm: &ArmSummary) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    if let Ok(Value::Object(dimensions)) = serde_json::to_value(&arm.dimensions) {
        for (name, value) in dimensions {
            flatten(&mut facts, &name, value);
        }
    }
    let commands: Vec<String> = arm.change.apply.iter().map(|it| it.run.join(" ")).collect();
    if !commands.is_empty() {
        facts.insert("commands".to_owned(), commands.join("; "));
    }
    if let Some(planted) = arm.change.planted {
        facts.insert("planted toll".to_owned(), planted.words());
    }
    let devices = [("MTU of pod", arm.pod_mtu), ("MTU of wire", arm.wire_mtu)];
    for (name, mtu) in devices {
        let known = mtu.map(|mtu| number::count(u64::from(mtu)));
        facts.insert(name.to_owned(), known.unwrap_or_else(none));
    }
    let entries = arm.programming.as_ref().and_then(|it| it.entries);
    if let Some(entries) = entries {
        facts.insert("rules or entries".to_owned(), number::count(entries));
    }
    facts
}

fn flatten(facts: &mut BTreeMap<String, String>, name: &str, value: Value) {
    let name = name.replace('_', " ");
    let text = match value {
        Value::Null => none(),
        Value::String(text) => text,
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(count) => count
            .as_u64()
            .map_or_else(|| count.to_string(), number::count),
        Value::Object(inner) => {
            for (key, value) in inner {
                flatten(facts, &format!("{name}: {key}"), value);
            }
            return;
        }
        Value::Array(all) => {
            let all: Vec<String> = all.iter().map(ToString::to_string).collect();
            all.join(", ")
        }
    };
    facts.insert(name, text);
}
