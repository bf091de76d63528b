//! Plugins that are known by name: how they are set up isn't read.

use tollgate_results::cluster::{Aspect, Finding};

use super::{Facts, daemon_set, version};
use crate::snapshot::Snapshot;

/// Daemon sets, the plugins behind them, and why their wire is plain routing where it always is.
const KNOWN: [(&str, &str, Option<&str>); 7] = [
    (
        "aws-node",
        "amazon-vpc",
        Some("pods have addresses of the VPC, which routes them"),
    ),
    (
        "kindnet",
        "kindnet",
        Some("kindnet sets a route to each node's pods"),
    ),
    ("antrea-agent", "antrea", None),
    ("azure-cns", "azure", None),
    ("kube-router", "kube-router", None),
    ("ovnkube-node", "ovn-kubernetes", None),
    ("weave-net", "weave", None),
];

pub(super) fn find(snapshot: &Snapshot) -> Option<Facts> {
    let found = |(name, plugin, native)| Some((snapshot.daemon_set(&[name])?, plugin, native));
    let (set, plugin, native) = KNOWN.into_iter().find_map(found)?;
    let mut facts = Facts::default();
    facts.set(Aspect::Cni, Finding::stated(plugin, daemon_set(set)));
    facts.set(Aspect::CniVersion, version(set, plugin));
    let wire = match native {
        Some(why) => Finding::implied("native", why),
        None => Finding::unknown(format!("how {plugin} is set up isn't read")),
    };
    facts.set(Aspect::Wire, wire);
    Some(facts)
}
