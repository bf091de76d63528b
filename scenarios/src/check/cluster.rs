//! Arms that are paths through a Kubernetes cluster.

use std::collections::BTreeMap;

use tollgate_results::arm::{Arm, Name};
use tollgate_results::cluster::Aspect;
use tollgate_results::cluster_path::{ClusterPath, Path, declarable};
use tollgate_results::together::Together;
use tollgate_results::workload::Workload;

use super::range;
use crate::document::Document;
use crate::fault::suggestion;
use crate::file::{ArmTable, ClusterTable};

/// Keys that build an arm of a lab: on a cluster there is nothing to build.
const LAB_KEYS: [&str; 10] = [
    "pods", "wire", "service", "services", "offloads", "standing", "kernel", "line", "place",
    "outside",
];

/// Longest name of a context, in characters: as long as names of Kubernetes are.
const LONGEST_CONTEXT: usize = 253;

/// Longest name of a node, in characters.
const LONGEST_NODE: usize = 253;

/// Longest value that is declared, in characters.
const LONGEST_VALUE: usize = 100;

/// Checks what an arm's table says of a cluster; `None` for an arm of a lab.
pub(super) fn check(
    document: &mut Document<'_>,
    arm: &Name,
    table: &ArmTable,
) -> Option<ClusterPath> {
    let cluster = table.cluster.as_ref()?;
    let mut faults: Vec<(Vec<&str>, String)> = Vec::new();
    for key in LAB_KEYS {
        if document.has(&["arm", arm.as_str(), key]) {
            let message = "builds an arm of a lab, and this one is a path through a cluster; remove the key, or say \
                           in cluster.declares what the cluster is to be";
            faults.push((vec![key], message.to_owned()));
        }
    }
    faults.extend(
        of_table(cluster)
            .into_iter()
            .map(|(below, message)| ([&["cluster"], below.as_slice()].concat(), message)),
    );
    for (below, message) in faults {
        if !document.is_broken(&["arm", arm.as_str()]) {
            let path = [&["arm", arm.as_str()], below.as_slice()].concat();
            document.fault(&path, message);
        }
    }
    Some(ClusterPath {
        context: cluster.context.clone(),
        nodes: cluster.nodes.clone().unwrap_or_default(),
        // What doesn't fit is out of range, which is told.
        clients: cluster
            .clients
            .map_or(1, |clients| u8::try_from(clients).unwrap_or(1)),
        declares: cluster.declares.clone(),
        ..ClusterPath::of(cluster.path?)
    })
}

/// Returns what is wrong with the table itself, by its keys.
fn of_table(table: &ClusterTable) -> Vec<(Vec<&'static str>, String)> {
    let mut faults = Vec::new();
    if table.path.is_none() {
        let message = "`path` is missing; write for example path = \"pod-ip\"";
        faults.push((vec![], message.to_owned()));
    }
    let good = |text: &str, longest: usize| {
        !text.is_empty() && text.chars().count() <= longest && !text.chars().any(char::is_control)
    };
    if let Some(context) = &table.context
        && !good(context, LONGEST_CONTEXT)
    {
        let message = format!(
            "is no name of a context: write 1 to {LONGEST_CONTEXT} characters, as `kubectl config get-contexts` lists \
             them"
        );
        faults.push((vec!["context"], message));
    }
    let of_nodes = nodes(table).into_iter();
    faults.extend(of_nodes.map(|message| (vec!["nodes"], message)));
    if let Some(clients) = table.clients {
        if let Some(message) = range(clients, (1, i64::from(Together::MOST))) {
            faults.push((vec!["clients"], message));
        }
        let path = table
            .path
            .filter(|path| clients > 1 && !path.takes_clients());
        if let Some(path) = path {
            let message = format!("`{path}` has one client only; leave the key out");
            faults.push((vec!["clients"], message));
        }
    }
    for (aspect, value) in &table.declares {
        let Some(values) = declarable(*aspect) else {
            let message = format!(
                "`{aspect}` is no matter of the datapath; declare {}",
                listed()
            );
            faults.push((vec!["declares", aspect.as_str()], message));
            continue;
        };
        let known = values.is_empty() || values.contains(&value.as_str());
        if !good(value, LONGEST_VALUE) || !known {
            let known = suggestion(value, values.iter().copied());
            let message = format!("`{}` is no {aspect}{known}", value.escape_debug());
            faults.push((vec!["declares", aspect.as_str()], message));
        }
    }
    faults
}

/// Returns what is wrong with the nodes that a table names.
fn nodes(table: &ClusterTable) -> Vec<String> {
    let mut faults = Vec::new();
    let (Some(path), Some(names)) = (table.path, &table.nodes) else {
        return faults;
    };
    if !path.takes_nodes() {
        let of = Path::ALL.iter().filter(|path| path.takes_nodes());
        let of: Vec<&str> = of.map(|path| path.as_str()).collect();
        faults.push(format!(
            "`{path}` takes no nodes of its own; name them for {}, or choose those of the campaign with --nodes",
            of.join(", ")
        ));
    }
    for name in names {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        if !(1..=LONGEST_NODE).contains(&name.len()) || !name.chars().all(good) {
            faults.push(format!(
                "`{}` is no name of a node: write what `kubectl get nodes` lists",
                name.escape_debug()
            ));
        }
    }
    match names.as_slice() {
        [client, server] if client == server => {
            faults.push("both are the same node; write it once".to_owned());
        }
        [_] if path == Path::NodePortFar => {
            faults.push(
                "with one node the other's port is its own; write path = \"node-port\"".to_owned(),
            );
        }
        [_] | [_, _] => {}
        more => faults.push(format!(
            "there are {} nodes; write that of the client and that of the server, or one for both",
            more.len()
        )),
    }
    faults
}

fn listed() -> String {
    let all = Aspect::ALL.iter();
    let names: Vec<&str> = all
        .filter(|aspect| declarable(**aspect).is_some())
        .map(|aspect| aspect.as_str())
        .collect();
    names.join(", ")
}

/// Checks that several clients of an arm have workloads that add up.
pub(super) fn several(document: &mut Document<'_>, arms: &[Arm], workloads: &[Workload]) {
    let has_several = |arm: &&Arm| {
        let path = arm.datapath.cluster.as_ref();
        path.is_some_and(|path| path.clients > 1)
    };
    for arm in arms.iter().filter(has_several) {
        let own = workloads
            .iter()
            .filter(|workload| arm.workloads.contains(&workload.name));
        for workload in own {
            if let Some(why) = workload.has_one_client() {
                let message = format!(
                    "`{}` is {why}, and several clients can't send it as one; leave it out of this arm's `workloads`, or \
                     the key out",
                    workload.name
                );
                document.fault(&["arm", arm.name.as_str(), "cluster", "clients"], message);
            }
        }
    }
}

/// Checks what arms of clusters must satisfy together.
pub(super) fn together(document: &mut Document<'_>, arms: &[Arm]) {
    let paths = || {
        arms.iter()
            .filter_map(|arm| Some((arm, arm.datapath.cluster.as_ref()?)))
    };
    let Some((first, _)) = paths().next() else {
        return;
    };
    for arm in arms {
        let table = ["arm", arm.name.as_str()];
        let says = document.has(&[table[0], table[1], "cluster"]) || document.is_broken(&table);
        if arm.datapath.cluster.is_none() && !says {
            let message = format!(
                "is an arm of a lab, and `{}` is one of a cluster; give it a `cluster` too, or a scenario of its own",
                first.name
            );
            document.fault(&table, message);
        }
    }
    let mut by_context: BTreeMap<Option<&str>, &Name> = BTreeMap::new();
    for (arm, path) in paths() {
        if !arm.change.apply.is_empty() {
            by_context
                .entry(path.context.as_deref())
                .or_insert(&arm.name);
        }
    }
    let mut seen = BTreeMap::new();
    for (arm, path) in paths() {
        let table = ["arm", arm.name.as_str()];
        let other = by_context.get(&path.context.as_deref());
        if let (Some(other), true) = (other, arm.change.apply.is_empty()) {
            let message = format!(
                "`{other}` changes the configuration of this cluster, and nothing says what this arm's is; give it \
                 `apply` too"
            );
            document.fault(&table, message);
        }
        let same = (
            path.context.as_deref(),
            path.path,
            // Between nodes that are named, each number of clients has a server of its own.
            path.ends().map(|ends| (ends, path.clients)),
            arm.datapath.family,
        );
        if let (Some((twin, clients)), None) = (seen.insert(same, (&arm.name, path.clients)), other)
        {
            let remedy = if clients == path.clients {
                "remove one, or let `apply` make the difference"
            } else {
                "name the `nodes` of both, so that each number of clients has a server of its own"
            };
            let message =
                format!("is the same path as `{twin}`, through the same cluster; {remedy}");
            document.fault(&table, message);
        }
    }
}
