//! `k8s-manifests/`: the same objects as files for kustomize, written by `cargo xtask manifests`.
//!
//! Kustomize 3.2 reads them, and so does kubectl since 1.21: `resources`, `patches` and `images` are all that is used.

use serde_json::{Value, json};

use crate::objects::pods::Role;
use crate::objects::{Object, Settings, base, inspector, mesh, of_run, rights, route, runner};

/// The line that every file opens with.
const HEAD: &str =
    "# Written by `cargo xtask manifests` from bench-runner/cluster/src: change it there.\n";

/// The class of the split's gateway, which a user replaces by the cluster's own.
const CLASS: &str = "cilium";

/// A file below `k8s-manifests/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path below the folder, with `/`.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// Returns every file that is generated.
#[must_use]
pub fn files() -> Vec<File> {
    let settings = Settings::default();
    let mut files = folder("base", None, (&base(&settings), Value::Null), &HEADS);
    let namespace = |level: &str| {
        let label = json!({"pod-security.kubernetes.io/enforce": level});
        let patch = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": settings.namespace, "labels": label},
        });
        json!({"patches": [{"patch": yaml(&patch)}]})
    };
    files.extend(overlay(
        "restricted",
        &[],
        namespace("restricted"),
        RESTRICTED,
    ));
    let with_hosts = Settings {
        host_network: true,
        ..settings.clone()
    };
    let hosts: Vec<Object> = of_run(&with_hosts)
        .into_iter()
        .filter(|object| {
            Role::ALL
                .iter()
                .any(|role| role.is_host() && object.name() == role.pod())
        })
        .collect();
    files.extend(overlay(
        "host-network",
        &hosts,
        namespace("privileged"),
        HOST_NETWORK,
    ));
    let mut split = route::split(&settings, CLASS, &route::usual());
    split.extend(rights::of_gateway(&settings));
    files.extend(overlay("gateway-split", &split, json!({}), GATEWAY_SPLIT));
    let runner = runner::in_cluster(&settings);
    files.extend(alone("in-cluster-runner", &runner, IN_CLUSTER_RUNNER));
    let inspector = inspector::inspector(&settings);
    files.extend(alone("node-inspector", &inspector, NODE_INSPECTOR));
    let everywhere = mesh::everywhere(&settings);
    files.extend(overlay("mesh", &everywhere, json!({}), MESH));
    files
}

const HEADS: [&str; 1] = ["The namespace, its runner's rights, and the probes."];

const RESTRICTED: &[&str] = &[
    "The namespace refuses what the `restricted` Pod Security Standard forbids. The base passes it as it is.",
];

const HOST_NETWORK: &[&str] = &[
    "Probes in the network of both nodes: the floor that pods are compared with. The namespace has to admit",
    "`hostNetwork`, which only the `privileged` standard does.",
];

const GATEWAY_SPLIT: &[&str] = &[
    "Two backends behind a Gateway, 90 to 10. It needs the Gateway API's CRDs (standard channel) and a controller;",
    "set gatewayClassName to one that `kubectl get gatewayclasses` shows.",
];

const IN_CLUSTER_RUNNER: &[&str] = &[
    "The runner as a Job: it makes its probes by itself, measures, removes them, and stays for an hour, so that its",
    "results can be copied out (README.md). It needs nothing of the base, and passes the `restricted` standard.",
];

const NODE_INSPECTOR: &[&str] = &[
    "A pod in the network of each node that says what no API tells: links, rules, eBPF programs, conntrack. It runs as",
    "root with NET_ADMIN, NET_RAW and SYS_ADMIN, in a namespace of its own; `tollgate cluster inspect` reads its log.",
];

const MESH: &[&str] = &[
    "A probe on every node that takes one, as `tollgate cluster mesh` puts them: pulls the image beforehand, and shows which",
    "nodes refuse. The command makes probes of its own and doesn't need these.",
];

/// Returns an overlay of the base.
fn overlay(name: &str, objects: &[Object], more: Value, about: &[&str]) -> Vec<File> {
    let path = format!("overlays/{name}");
    folder(&path, Some("../../base"), (objects, more), about)
}

/// Returns an overlay that holds all that it needs.
fn alone(name: &str, objects: &[Object], about: &[&str]) -> Vec<File> {
    folder(
        &format!("overlays/{name}"),
        None,
        (objects, Value::Null),
        about,
    )
}

/// Returns a folder with a file for each object, and its kustomization.
fn folder(
    path: &str,
    below: Option<&str>,
    (objects, more): (&[Object], Value),
    about: &[&str],
) -> Vec<File> {
    let mut files: Vec<File> = Vec::new();
    for object in objects {
        let name = format!("{}.yaml", object.kind.to_lowercase());
        let path = format!("{path}/{name}");
        let text = yaml(&object.value);
        // Objects of a kind share a file, in their order.
        match files.iter_mut().find(|file| file.path == path) {
            Some(file) => {
                file.text.push_str("---\n");
                file.text.push_str(&text);
            }
            None => files.push(File {
                path,
                text: format!("{HEAD}{text}"),
            }),
        }
    }
    let own = files.iter().filter_map(|file| file.path.rsplit('/').next());
    let resources: Vec<&str> = below.into_iter().chain(own).collect();
    let mut kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": resources,
    });
    if let (Value::Object(fields), Value::Object(more)) = (&mut kustomization, more) {
        fields.extend(more);
    }
    let about: String = about.iter().flat_map(|line| ["# ", line, "\n"]).collect();
    files.push(File {
        path: format!("{path}/kustomization.yaml"),
        text: format!("{HEAD}{about}{}", yaml(&kustomization)),
    });
    files
}

/// Writes a value as YAML.
fn yaml(value: &Value) -> String {
    let mut text = serde_saphyr::to_string(value).expect("texts, numbers and lists serialise");
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
