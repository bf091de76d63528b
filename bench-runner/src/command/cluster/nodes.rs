//! What the inspector saw on a node, in a line or two.

use tollgate_results::node::NodeFacts;

/// Most programs that are named; the JSON has all of them.
const MOST_PROGRAMS: usize = 4;

/// Says what stands on a node beside the findings: connections that are tracked, eBPF programs, what can't be read.
pub(super) fn line(node: &str, seen: &NodeFacts) -> String {
    let mut parts = Vec::new();
    if let Some((entries, most)) = seen
        .conntrack
        .and_then(|table| table.entries.zip(table.most))
    {
        parts.push(format!("{entries} of {most} connections tracked"));
    }
    let named = seen.programs.iter().take(MOST_PROGRAMS);
    let programs: Vec<String> = named
        .map(|programs| format!("{} at {}", programs.name, programs.hook))
        .collect();
    let more = seen.programs.len().saturating_sub(MOST_PROGRAMS);
    match (programs.is_empty(), more) {
        (true, _) => parts.push("no eBPF program on its links".to_owned()),
        (false, 0) => parts.push(format!("eBPF: {}", programs.join(", "))),
        (false, more) => parts.push(format!("eBPF: {} and {more} more", programs.join(", "))),
    }
    if !seen.unread.is_empty() {
        parts.push(format!("unread: {}", seen.unread.join(", ")));
    }
    format!("{node}: {}", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use tollgate_results::node::{ConntrackTable, Hook, Programs};

    use super::*;

    #[test]
    fn a_node_is_a_line() {
        let program = |number: u32| Programs {
            name: format!("program_{number}"),
            hook: Hook::TcxIngress,
            count: 1,
            at: Vec::new(),
        };
        let seen = NodeFacts {
            conntrack: Some(ConntrackTable {
                entries: Some(7),
                most: Some(100),
                buckets: None,
            }),
            programs: (0..6).map(program).collect(),
            unread: vec!["rules: no".to_owned()],
            ..NodeFacts::default()
        };
        let told = line("node1", &seen);
        assert!(
            told.starts_with(
                "node1: 7 of 100 connections tracked; eBPF: program_0 at tcx-ingress, "
            )
        );
        assert!(
            told.ends_with("program_3 at tcx-ingress and 2 more; unread: rules: no"),
            "{told}"
        );
        let nothing = line("node2", &NodeFacts::default());
        assert_eq!(nothing, "node2: no eBPF program on its links");
    }
}
