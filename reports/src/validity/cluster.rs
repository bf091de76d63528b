//! What a reader should know of a campaign's cluster, one line each.

use tollgate_results::cluster::ClusterFacts;
use tollgate_results::run::{ClusterRun, RunRecord};

use crate::stats::rounds::FEWEST;
use crate::words;

/// Says what the clusters' networks are, and what stood where as the campaign began.
pub(super) fn notes(cluster: &ClusterRun, switched: bool) -> Vec<String> {
    cluster
        .all()
        .flat_map(|one| {
            // One cluster needs no name.
            let name = match &one.context {
                Some(context) if !cluster.beside.is_empty() => format!(" of context {context}"),
                _ => String::new(),
            };
            of(one, &name, switched)
        })
        .collect()
}

fn of(cluster: &ClusterRun, name: &str, switched: bool) -> Vec<String> {
    let placed: Vec<String> = cluster
        .placed
        .iter()
        .map(|(pod, node)| format!("{pod} on {node}"))
        .collect();
    let facts = match &cluster.client_facts {
        None => "The facts are those of the client's node".to_owned(),
        Some(facts) => format!(
            "The client's node{name} has {} CPUs ({}), Linux {}, fingerprint {}",
            facts.cpus,
            facts.cpu_model,
            facts.kernel,
            facts.fingerprint()
        ),
    };
    let mut notes = vec![
        format!("{facts}. Probes: {}", placed.join(", ")),
        format!(
            "The cluster{name} as its API {}: {}",
            if switched {
                "told before a command switched it"
            } else {
                "tells"
            },
            match known(&cluster.network) {
                known if known.is_empty() => "nothing that may be read".to_owned(),
                known => known,
            }
        ),
    ];
    let remarks = cluster.network.remarks.iter();
    notes.extend(remarks.map(|remark| format!("The cluster{name}: {remark}")));
    notes
}

fn known(network: &ClusterFacts) -> String {
    let known = network.findings.iter().filter_map(|(aspect, finding)| {
        let value = finding.value.as_ref()?;
        Some(format!("{} {value}", aspect.label()))
    });
    known.collect::<Vec<_>>().join("; ")
}

/// Says what repeats where a command switches a cluster between the arms, and why arms were deployed before their time.
pub(super) fn switched(run: &RunRecord) -> Vec<String> {
    let mut notes = Vec::new();
    if run.plan.reconfigures() {
        notes.push(format!(
            "A command switched the cluster between the arms, so that they never stood at the same time: what repeats is \
             the install, not the round. Each of {} counts once, by the mean of its rounds; an interval needs {FEWEST}",
            words::plural(run.installs.len(), "install")
        ));
    }
    let reasons = run.installs.iter().enumerate();
    notes.extend(reasons.filter_map(|(number, install)| {
        let reason = install.reason.as_ref()?;
        Some(format!(
            "Install {number} replaced arms that had fallen: {reason}"
        ))
    }));
    notes
}
