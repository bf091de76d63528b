//! What keeps two campaigns from being comparable.

use serde::Serialize;
use serde_json::Value;

use super::Difference;
use crate::model::{Analysis, ArmSummary};
use crate::render::target;

/// Most facts that are named in one line.
const MOST: usize = 6;

/// Returns everything in which the two differ and should not.
pub(super) fn of(before: &Analysis, after: &Analysis) -> Vec<Difference> {
    let mut found = Vec::new();
    let (old, new) = (&before.subject, &after.subject);
    if old.fingerprint != new.fingerprint {
        let facts = changed(&old.facts, &new.facts);
        found.push(Difference {
            about: "machine".to_owned(),
            text: format!(
                "fingerprint {} against {}{}",
                old.fingerprint,
                new.fingerprint,
                facts.map_or_else(String::new, |facts| format!(" ({facts})"))
            ),
            cost: "what differs may be the machine's doing, and not that of the change".to_owned(),
        });
    }
    if old.facts.affinity != new.facts.affinity {
        let cpus = |affinity: &Option<String>| affinity.clone().unwrap_or_else(|| "all".to_owned());
        found.push(Difference {
            about: "CPU affinity".to_owned(),
            text: format!(
                "CPUs {} against {}",
                cpus(&old.facts.affinity),
                cpus(&new.facts.affinity)
            ),
            cost: "what differs may be the doing of what else runs on those CPUs".to_owned(),
        });
    }
    if old.target != new.target {
        found.push(Difference {
            about: "target".to_owned(),
            text: format!("{} against {}", target(old.target), target(new.target)),
            cost: "what differs may be the target's doing, and not that of the change".to_owned(),
        });
    }
    if old.scenario != new.scenario {
        found.push(Difference {
            about: "scenario".to_owned(),
            text: format!("`{}` against `{}`", old.scenario, new.scenario),
            cost: "arms and workloads of one name need not be one thing".to_owned(),
        });
    }
    let lengths = [
        ("slice", old.rounds.slice, new.rounds.slice),
        ("warm-up", old.rounds.warmup, new.rounds.warmup),
    ];
    for (about, old, new) in lengths {
        if old != new {
            found.push(Difference {
                about: about.to_owned(),
                text: format!("{old} against {new}"),
                cost: "percentiles of slices of another length are other percentiles".to_owned(),
            });
        }
    }
    found.extend(workloads(before, after));
    found.extend(arms(before, after));
    found
}

fn workloads(before: &Analysis, after: &Analysis) -> impl Iterator<Item = Difference> {
    before.workloads.iter().filter_map(|old| {
        let new = after.workloads.iter().find(|new| new.name == old.name)?;
        Some(Difference {
            about: format!("workload {}", old.name),
            text: changed(old, new)?,
            cost: "its figures are not compared: they are of another traffic".to_owned(),
        })
    })
}

fn arms(before: &Analysis, after: &Analysis) -> impl Iterator<Item = Difference> {
    before.arms.iter().filter_map(|old| {
        let new = after.arms.iter().find(|new| new.name == old.name)?;
        let declared = |arm: &ArmSummary| (arm.dimensions.clone(), arm.reference.clone());
        let (old_side, new_side) = (declared(old), declared(new));
        Some(Difference {
            about: format!("arm {}", old.name),
            text: changed(&old_side.0, &new_side.0).or_else(|| {
                let name = |arm: &ArmSummary| {
                    let reference = arm.reference.as_ref();
                    reference.map_or_else(|| "nothing".to_owned(), ToString::to_string)
                };
                (old_side.1 != new_side.1)
                    .then(|| format!("compared with {} against {}", name(old), name(new)))
            })?,
            cost: "what differs may be what the arms declare, and not the change".to_owned(),
        })
    })
}

/// Names what differs between two values of one type: `wire: native against vxlan`.
fn changed<T: Serialize>(old: &T, new: &T) -> Option<String> {
    let value = |of: &T| serde_json::to_value(of).unwrap_or(Value::Null);
    let mut found = Vec::new();
    walk("", &value(old), &value(new), &mut found);
    let more = found.len().saturating_sub(MOST);
    found.truncate(MOST);
    if more > 0 {
        found.push(format!("… and {more} more"));
    }
    (!found.is_empty()).then(|| found.join("; "))
}

fn walk(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    if old == new {
        return;
    }
    if let (Value::Object(old), Value::Object(new)) = (old, new) {
        let keys = old
            .keys()
            .chain(new.keys().filter(|key| !old.contains_key(*key)));
        for key in keys {
            let path = match path {
                "" => key.clone(),
                path => format!("{path}.{key}"),
            };
            let of = |side: &serde_json::Map<String, Value>| {
                side.get(key).cloned().unwrap_or(Value::Null)
            };
            walk(&path, &of(old), &of(new), found);
        }
        return;
    }
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    };
    found.push(format!("{path}: {} against {}", text(old), text(new)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_by_its_path() {
        let old = serde_json::json!({"wire": "native", "services": null, "sysctls": {"a.b": "1", "c": "2"}});
        let new = serde_json::json!({"wire": "vxlan", "services": {"count": 3}, "sysctls": {"a.b": "1", "c": "3"}});
        assert_eq!(
            changed(&old, &new).unwrap(),
            "services: none against {\"count\":3}; sysctls.c: 2 against 3; wire: native against vxlan"
        );
        assert_eq!(changed(&old, &old), None);
        let many: Value = (0..20)
            .map(|key| (key.to_string(), Value::from(key)))
            .collect();
        let told = changed(&many, &serde_json::json!({})).unwrap();
        assert!(told.ends_with("… and 14 more"), "{told}");
    }
}
