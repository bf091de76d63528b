//! References: which arm each arm is compared with.

use tollgate_results::arm::{Arm, Name, Pods};

use super::missing;
use crate::document::Document;
use crate::fault::suggestion;
use crate::file::File;

/// Gives every arm its reference and returns the scenario's.
///
/// Following references from any arm ends at the scenario's reference, which alone has none.
pub(super) fn check(document: &mut Document<'_>, file: &File, arms: &mut [Arm]) -> Option<Name> {
    let Some(reference) = &file.reference else {
        let example = arms.first().map_or("native", |arm| arm.name.as_str());
        missing(document, "reference", &format!("reference = \"{example}\""));
        return None;
    };
    known(document, arms, &["reference"], reference);
    if file
        .arm
        .get(reference)
        .is_some_and(|table| table.reference.is_some())
    {
        let message =
            "this arm is the scenario's reference: it is compared with no other; remove the key";
        document.fault(&["arm", reference.as_str(), "reference"], message);
    }
    for (name, table) in &file.arm {
        if let Some(own) = &table.reference {
            known(document, arms, &["arm", name.as_str(), "reference"], own);
        }
    }
    for arm in arms.iter_mut() {
        arm.reference = match arm.reference.take() {
            _ if arm.name == *reference => None,
            own => own.or_else(|| Some(reference.clone())),
        };
    }
    for arm in arms.iter() {
        circle(document, arms, arm);
        coverage(document, arms, arm);
        fairness(document, arms, arm);
    }
    Some(reference.clone())
}

/// Notes a reference that is no arm, or a whole sweep.
fn known(document: &mut Document<'_>, arms: &[Arm], path: &[&str], reference: &Name) {
    if arms.iter().any(|arm| arm.name == *reference) {
        return;
    }
    let in_series = |arm: &&Arm| {
        arm.sweep
            .as_ref()
            .is_some_and(|sweep| sweep.series == *reference)
    };
    if let Some(level) = arms.iter().find(in_series) {
        let message = format!(
            "`{reference}` is a sweep, and a reference is one arm; name a level, for example `{}`",
            level.name
        );
        document.fault(path, message);
    } else if !document.has(&["arm", reference.as_str()]) {
        let known = suggestion(reference.as_str(), arms.iter().map(|arm| arm.name.as_str()));
        document.fault(path, format!("no arm is named `{reference}`{known}"));
    }
}

/// Notes an arm from which references lead back to itself, once for each circle.
fn circle(document: &mut Document<'_>, arms: &[Arm], start: &Arm) {
    let mut way = vec![&start.name];
    let mut at = start;
    while let Some(next) = at.reference.as_ref().and_then(|name| find(arms, name)) {
        if next.name == start.name {
            let first = way.iter().all(|name| start.name <= **name);
            if first {
                let way: Vec<_> = way.iter().map(|name| format!("`{name}`")).collect();
                let message = format!(
                    "the arm is compared with itself ({} → `{}`); name another reference",
                    way.join(" → "),
                    start.name
                );
                document.fault(&["arm", table_name(start), "reference"], message);
            }
            return;
        }
        if way.contains(&&next.name) {
            return;
        }
        way.push(&next.name);
        at = next;
    }
}

/// Notes workloads of an arm that its reference doesn't run.
fn coverage(document: &mut Document<'_>, arms: &[Arm], arm: &Arm) {
    let Some(reference) = arm.reference.as_ref().and_then(|name| find(arms, name)) else {
        return;
    };
    let of_first_level = arm.sweep.as_ref().is_none_or(|sweep| {
        arms.iter().find(|other| {
            other
                .sweep
                .as_ref()
                .is_some_and(|o| o.series == sweep.series)
        }) == Some(arm)
    });
    let lacking: Vec<_> = arm
        .workloads
        .iter()
        .filter(|name| !reference.workloads.contains(name))
        .map(|name| format!("`{name}`"))
        .collect();
    let broken = document.is_broken(&["arm", table_name(reference)]);
    if !lacking.is_empty() && of_first_level && !broken {
        let message = format!(
            "runs {}, which its reference `{}` does not: nothing to compare; add it there or remove \
             it here",
            lacking.join(", "),
            reference.name
        );
        document.fault(&["arm", table_name(arm), "workloads"], message);
    }
}

/// Notes eBPF compared with a bridge where nothing shows how much of the difference is the bridge.
fn fairness(document: &mut Document<'_>, arms: &[Arm], arm: &Arm) {
    let reference = arm.reference.as_ref().and_then(|name| find(arms, name));
    let bridge = reference.filter(|reference| reference.datapath.pods == Pods::Bridge);
    let routed = arms.iter().any(|arm| arm.datapath.pods == Pods::Routed);
    if let Some(bridge) = bridge.filter(|_| arm.datapath.pods.past_the_stack() && !routed) {
        let message = format!(
            "against `{}` eBPF would be credited with the bridge that it leaves out, about half of the \
             difference; add an arm with pods = \"routed\", which shows that half",
            bridge.name
        );
        document.fault(&["arm", table_name(arm), "pods"], message);
    }
}

fn find<'a>(arms: &'a [Arm], name: &Name) -> Option<&'a Arm> {
    arms.iter().find(|arm| arm.name == *name)
}

/// Returns the NAME of `[arm.NAME]`, which for a level of a sweep is the series.
fn table_name(arm: &Arm) -> &str {
    arm.sweep
        .as_ref()
        .map_or(arm.name.as_str(), |sweep| sweep.series.as_str())
}
