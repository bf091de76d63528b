//! What a cluster's network is, from its API alone: a pure function from objects to findings.
//!
//! Every finding names the object that says it, or the default that it follows from; what the API doesn't tell is
//! unknown, with the reason, and never guessed. What a node really does (its devices, rules, programs) is for a
//! look at the node, where the inspector runs.
//!
//! - `cilium`, `calico`, `flannel`: plugins whose configuration is read
//! - `others`: plugins that are known by name
//! - `kube_proxy`: the service proxy of Kubernetes itself
//! - `common`: nodes, services, policies, gateways
//! - `nodes`: what a look at the nodes adds

mod calico;
mod cilium;
mod common;
mod flannel;
mod kube_proxy;
mod nodes;
mod others;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Container};
use tollgate_results::cluster::{Aspect, ClusterFacts, Finding};

pub use self::nodes::with_nodes;
use crate::snapshot::Snapshot;

/// Says what a cluster's network is.
#[must_use]
pub fn inspect(snapshot: &Snapshot) -> ClusterFacts {
    let mut facts = Facts::default();
    common::find(snapshot, &mut facts);
    let proxy = kube_proxy::find(snapshot);
    let finders = [cilium::find, calico::find, flannel::find, others::find];
    let mut plugins = finders.iter().filter_map(|find| find(snapshot));
    if let Some(found) = plugins.next() {
        facts.take(found);
        for second in plugins.filter_map(|found| found.findings.get(&Aspect::Cni).cloned()) {
            let name = second.value.unwrap_or_default();
            let whence = second.evidence.first().cloned().unwrap_or_default();
            facts.remarks.push(format!(
                "a second plugin stands beside it: {name} ({whence}); remove what is left of the one that isn't used"
            ));
        }
    } else {
        facts.set(Aspect::Cni, Finding::unknown(NO_PLUGIN));
    }
    facts.proxy(proxy);
    for &aspect in Aspect::ALL {
        let nothing = || Finding::unknown("no object that was read tells");
        facts.findings.entry(aspect).or_insert_with(nothing);
    }
    ClusterFacts {
        findings: facts.findings,
        remarks: facts.remarks,
        nodes: BTreeMap::new(),
    }
}

const NO_PLUGIN: &str = "no daemon set of a known plugin, and no node that names one: its configuration lies on the nodes";

/// Findings in the making.
#[derive(Debug, Default)]
struct Facts {
    findings: BTreeMap<Aspect, Finding>,
    remarks: Vec<String>,
}

impl Facts {
    fn set(&mut self, aspect: Aspect, finding: Finding) {
        self.findings.insert(aspect, finding);
    }

    fn value(&self, aspect: Aspect) -> Option<&str> {
        self.findings.get(&aspect)?.value.as_deref()
    }

    /// Takes over what a plugin says; what it doesn't know is kept as it was known before.
    fn take(&mut self, other: Self) {
        for (aspect, finding) in other.findings {
            if finding.value.is_some() || self.value(aspect).is_none() {
                self.set(aspect, finding);
            }
        }
        self.remarks.extend(other.remarks);
    }

    /// Adds what is known of kube-proxy, unless the plugin replaces it.
    fn proxy(&mut self, proxy: Option<Finding>) {
        let replaced = self.value(Aspect::Services).is_some();
        match proxy {
            Some(found) if replaced => self.remarks.push(format!(
                "the plugin translates service addresses, and kube-proxy still runs ({}): its rules stay in the nodes' \
                 tables; remove it",
                found.evidence.first().map_or("", String::as_str),
            )),
            Some(found) => {
                self.set(Aspect::Services, found);
                let why = "kube-proxy masquerades what a node forwards to another one's pod (externalTrafficPolicy Cluster)";
                let finding = Finding::implied("snat", why);
                self.findings.entry(Aspect::Outside).or_insert(finding);
            }
            None if replaced => {}
            None => {
                let why = "no kube-proxy in kube-system, as daemon set or static pod: it may run outside the cluster's view";
                let finding = Finding::unknown(why);
                self.findings.entry(Aspect::Services).or_insert(finding);
            }
        }
    }
}

/// A config map as settings, of which each is evidence by its own.
struct Settings<'a> {
    name: String,
    map: Option<&'a ConfigMap>,
}

impl<'a> Settings<'a> {
    fn of(snapshot: &'a Snapshot, name: &str) -> Self {
        let map = snapshot.config_map(name);
        let namespace = map.and_then(|map| map.metadata.namespace.as_deref());
        Self {
            name: format!("{}/{name}", namespace.unwrap_or("kube-system")),
            map,
        }
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.map?.data.as_ref()?.get(key).map(String::as_str)
    }

    fn is(&self, key: &str, value: &str) -> bool {
        self.get(key) == Some(value)
    }

    /// Says what a setting says.
    fn says(&self, key: &str) -> String {
        let value = self.get(key).unwrap_or("(not set)");
        format!("config map {}: {key} = {value}", self.name)
    }

    /// Says that a setting isn't there.
    fn lacks(&self, key: &str) -> String {
        format!("config map {}: {key} is not set", self.name)
    }

    /// Says that the map itself wasn't read.
    fn missing(&self) -> Option<Finding> {
        let why = format!("the config map {} was not read", self.name);
        self.map.is_none().then(|| Finding::unknown(why))
    }
}

/// Returns the containers of a daemon set.
fn containers(set: &DaemonSet) -> &[Container] {
    let spec = set
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref());
    spec.map_or(&[], |spec| &spec.containers)
}

/// Returns a variable of a daemon set's containers.
fn variable<'a>(set: &'a DaemonSet, name: &str) -> Option<&'a str> {
    let variables = containers(set)
        .iter()
        .flat_map(|container| container.env.iter().flatten());
    let mut found = variables.filter(|variable| variable.name == name);
    found.next()?.value.as_deref()
}

/// Says which daemon set it is, as evidence.
fn daemon_set(set: &DaemonSet) -> String {
    let name = set.metadata.name.as_deref().unwrap_or_default();
    match set.metadata.namespace.as_deref() {
        Some(namespace) => format!("daemon set {namespace}/{name}"),
        None => format!("daemon set {name}"),
    }
}

/// Returns the version in the image of a daemon set's first container of this name, else of its first.
fn version(set: &DaemonSet, container: &str) -> Finding {
    let all = containers(set);
    let named = all.iter().find(|found| found.name == container);
    let image = named
        .or(all.first())
        .and_then(|found| found.image.as_deref());
    let Some(image) = image else {
        return Finding::unknown(format!("{} names no image", daemon_set(set)));
    };
    // Its digest says nothing to people.
    let shown = image.split_once('@').map_or(image, |(name, _)| name);
    let evidence = format!("{}: image {shown}", daemon_set(set));
    match tag(image) {
        Some(tag) => Finding::stated(tag, evidence),
        None => Finding::unknown(format!("{evidence} has no tag")),
    }
}

/// Returns an image's tag.
fn tag(image: &str) -> Option<&str> {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let (_, tag) = name.rsplit_once(':')?;
    // A port of the registry is none.
    (!tag.contains('/') && !tag.is_empty()).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_told_from_ports_and_digests() {
        assert_eq!(
            tag("quay.io/cilium/cilium:v1.20.5@sha256:00"),
            Some("v1.20.5")
        );
        assert_eq!(tag("registry.local:5000/calico/node"), None);
        assert_eq!(
            tag("registry.local:5000/calico/node:v3.32.0"),
            Some("v3.32.0")
        );
        assert_eq!(tag("node@sha256:00"), None);
    }
}
