//! `k8s-manifests/`: the same objects as files for kustomize, written by `cargo xtask manifests`.
//!
//! Kustomize 3.2 reads them, and so does kubectl since 1.21: `resources`, `patches` and `images` are all that is used.

use serde_json::{Value, json};

use crate::objects::pods::Role;
use crate::objects::{Object, Settings, base, of_run, route};

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
    let mut files = folder("base", &base(&settings), Value::Null, &HEADS);
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
    let split = route::split(&settings, CLASS);
    files.extend(overlay("gateway-split", &split, json!({}), GATEWAY_SPLIT));
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

/// Returns an overlay of the base.
fn overlay(name: &str, objects: &[Object], more: Value, about: &[&str]) -> Vec<File> {
    folder(&format!("overlays/{name}"), objects, more, about)
}

/// Returns a folder with a file for each object, and its kustomization.
fn folder(path: &str, objects: &[Object], more: Value, about: &[&str]) -> Vec<File> {
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
    let below = path.starts_with("overlays/").then_some("../../base");
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
