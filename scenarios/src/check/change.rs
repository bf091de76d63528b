//! What is done to an arm beyond its datapath: commands that can be run, and a toll that can be planted.

use tollgate_results::arm::Name;
use tollgate_results::change::{Change, Command, MOST_PLANTED, Place};
use tollgate_results::units::Nanoseconds;

use super::range;
use crate::document::Document;
use crate::file::{ArmTable, CommandTable};

/// Most commands of an arm: what needs more is a script.
const MOST_COMMANDS: usize = 32;

/// Most words of a command.
const MOST_WORDS: usize = 64;

/// Longest word of a command, in bytes.
const LONGEST_WORD: usize = 4096;

/// Shortest and longest time of a command.
const WITHIN: (Nanoseconds, Nanoseconds) = (Nanoseconds(10_000_000), Nanoseconds(600_000_000_000));

/// Checks what an arm's table says of changes.
pub(super) fn check(document: &mut Document<'_>, arm: &Name, table: &ArmTable) -> Change {
    let mut faults: Vec<(&str, String)> = Vec::new();
    if table.apply.len() > MOST_COMMANDS {
        let message = format!(
            "{} commands; at most {MOST_COMMANDS} are run: put them into a script",
            table.apply.len()
        );
        faults.push(("apply", message));
    }
    let on_cluster = table.cluster.is_some();
    let mut apply = Vec::new();
    for (number, command) in table.apply.iter().enumerate() {
        match checked(command, on_cluster) {
            Ok(command) => apply.push(command),
            Err(wrong) => {
                let numbered = wrong.iter().map(|wrong| {
                    let message = format!("command {}: {wrong}", number + 1);
                    ("apply", message)
                });
                faults.extend(numbered);
            }
        }
    }
    let ready = table
        .ready
        .as_ref()
        .map(|command| checked(command, on_cluster));
    let ready = ready.and_then(|ready| {
        ready
            .map_err(|wrong| faults.extend(wrong.into_iter().map(|wrong| ("ready", wrong))))
            .ok()
    });
    let planted = table.planted;
    let wrong = planted.and_then(|toll| range(toll, (Nanoseconds(1), MOST_PLANTED)));
    faults.extend(wrong.map(|wrong| ("planted", wrong)));
    for (key, message) in faults {
        if !document.is_broken(&["arm", arm.as_str()]) {
            document.fault(&["arm", arm.as_str(), key], message);
        }
    }
    Change {
        apply,
        ready,
        planted,
    }
}

/// Returns the command, or everything that is wrong with it.
fn checked(table: &CommandTable, on_cluster: bool) -> Result<Command, Vec<String>> {
    let mut faults = Vec::new();
    let places = "client, server, client-node or server-node";
    let on = match (table.on, on_cluster) {
        (None | Some(Place::Runner), true) => Some(Place::Runner),
        (Some(other), true) => {
            faults.push(format!(
                "{other} is a place of a lab, and commands of a cluster's arm run on the runner's machine; remove `on`"
            ));
            None
        }
        (None, false) => {
            faults.push(format!("`on` is missing; write {places}"));
            None
        }
        (Some(Place::Runner), false) => {
            faults.push(format!(
                "runner is the place of a cluster's arm; write {places}"
            ));
            None
        }
        (on, false) => on,
    };
    if table.run.first().is_none_or(String::is_empty) {
        let example = "run = [\"sysctl\", \"-w\", \"net.core.busy_poll=50\"]";
        faults.push(format!(
            "`run` names no program; write for example {example}"
        ));
    }
    if table.run.len() > MOST_WORDS {
        let words = table.run.len();
        faults.push(format!(
            "{words} words; at most {MOST_WORDS}: put it into a script"
        ));
    }
    if table
        .run
        .iter()
        .any(|word| word.len() > LONGEST_WORD || word.contains('\0'))
    {
        faults.push(format!(
            "a word is longer than {LONGEST_WORD} bytes or has a zero byte; put it into a script"
        ));
    }
    faults.extend(range(table.within, WITHIN).map(|wrong| format!("within: {wrong}")));
    match on.filter(|_| faults.is_empty()) {
        Some(on) => Ok(Command {
            on,
            run: table.run.clone(),
            within: table.within,
        }),
        None => Err(faults),
    }
}
