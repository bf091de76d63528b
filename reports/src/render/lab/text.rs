//! Labs as trees for a terminal of 80 columns.

use tollgate_results::lab_state::{ArmState, DeviceState, LabState, PlaceState, RuleTable};
use unicode_width::UnicodeWidthStr as _;

use super::super::layout::{self, WIDTH};
use super::words;

/// Fewest columns for words, however deep their branch is.
const NARROWEST: usize = 24;

/// Columns of a name before the words begin.
const NAME: usize = 10;

/// A branch of the tree: a name, what is said of it, and what is below it.
struct Branch {
    name: String,
    words: String,
    below: Vec<Branch>,
}

/// Writes labs as text, at most 80 columns wide.
#[must_use]
pub fn text(labs: &[LabState]) -> String {
    let mut lines = Vec::new();
    for lab in labs {
        for arm in &lab.arms {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            lines.extend(of_arm(lab.name.as_str(), arm));
        }
        if let Some(netfilter) = words::netfilter(&lab.netfilter) {
            lines.push(String::new());
            lines.extend(layout::wrap(&netfilter, WIDTH));
        }
    }
    if lines.is_empty() {
        lines.push("No lab stands.".to_owned());
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn of_arm(lab: &str, arm: &ArmState) -> Vec<String> {
    let mut lines = layout::wrap(&words::title(lab, arm), WIDTH);
    lines.extend(layout::wrap(&words::ends(arm), WIDTH));
    for remark in words::remarks(arm) {
        lines.extend(layout::hanging("note: ", &remark));
    }
    for machine in words::machines(arm) {
        lines.push(String::new());
        lines.push(layout::harmless(&machine.place));
        grow(&of_place(arm, machine), "", &mut lines);
    }
    lines
}

fn of_place(arm: &ArmState, place: &PlaceState) -> Vec<Branch> {
    let pods = words::pods(arm, place).map(|pod| Branch {
        below: of_place(arm, pod),
        ..named(&pod.place, String::new())
    });
    let mut branches: Vec<Branch> = pods.collect();
    branches.extend(words::shown(place).map(of_device));
    let missing = place.missing.iter();
    branches.extend(missing.map(|name| named(name, words::MISSING.to_owned())));
    branches.extend(words::others(place).map(|others| named("also", others)));
    branches.extend(listed("routes", words::routes(place)));
    let sockets = words::sockets(arm, place).iter().map(words::program);
    branches.extend(listed("sockets", sockets.collect()));
    if !place.tables.is_empty() {
        branches.push(Branch {
            below: place.tables.iter().map(of_table).collect(),
            ..named("rules", String::new())
        });
    }
    let conntrack = place.conntrack.map(words::conntrack);
    branches.extend(conntrack.map(|words| named("conntrack", words)));
    if !place.sysctls.is_empty() {
        branches.push(named("sysctls", words::sysctls(place)));
    }
    let faults = place.faults.iter();
    branches.extend(faults.map(|fault| named("unread", fault.clone())));
    branches
}

fn of_device(device: &DeviceState) -> Branch {
    let mut about = vec![words::device(device)];
    about.extend(words::joined(device));
    let addresses = words::addresses(device).join(", ");
    let programs = device.programs.iter().map(words::program);
    let below = Some(addresses)
        .filter(|addresses| !addresses.is_empty())
        .into_iter()
        .chain(programs);
    Branch {
        below: below.map(|words| named("", words)).collect(),
        ..named(&device.name, about.join(", "))
    }
}

fn of_table(table: &RuleTable) -> Branch {
    let mut about = words::rules(table);
    let chains = words::chains(table);
    if !chains.is_empty() {
        about.push_str(": ");
        about.push_str(&chains);
    }
    named(&words::table(table), about)
}

/// A branch with nothing below.
fn named(name: &str, words: String) -> Branch {
    Branch {
        name: layout::harmless(name),
        words,
        below: Vec::new(),
    }
}

/// A branch with a line for each of several; none where there are none.
fn listed(name: &str, several: Vec<String>) -> Option<Branch> {
    let below: Vec<Branch> = several.into_iter().map(|one| named("", one)).collect();
    (!below.is_empty()).then(|| Branch {
        below,
        ..named(name, String::new())
    })
}

/// Draws branches below what stands at `stem`.
fn grow(branches: &[Branch], stem: &str, lines: &mut Vec<String>) {
    for (index, branch) in branches.iter().enumerate() {
        let is_last = index + 1 == branches.len();
        let (elbow, rest) = if is_last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        let below = format!("{stem}{rest}");
        lines.extend(words_of(branch, &format!("{stem}{elbow}"), &below));
        grow(&branch.below, &below, lines);
    }
}

/// Writes what a branch says behind `first`, and behind `further` what goes on in more lines.
fn words_of(branch: &Branch, first: &str, further: &str) -> Vec<String> {
    let mut first = first.to_owned();
    if !branch.name.is_empty() {
        first.push_str(&branch.name);
        if branch.words.is_empty() {
            return vec![first];
        }
        let padding = NAME.saturating_sub(branch.name.width()).max(1);
        first.push_str(&" ".repeat(padding));
    }
    let trunk = if branch.below.is_empty() { " " } else { "│" };
    let further = format!("{further}{trunk}   ");
    let room = WIDTH
        .saturating_sub(first.width().max(further.width()))
        .max(NARROWEST);
    let lines = layout::wrap(&branch.words, room).into_iter().enumerate();
    lines
        .map(|(index, line)| match index {
            0 => format!("{first}{line}"),
            _ => format!("{further}{line}"),
        })
        .collect()
}
