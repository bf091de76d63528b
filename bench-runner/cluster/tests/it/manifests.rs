//! The manifests are what `tollgate` applies, pass the `restricted` standard, and are what kustomize renders.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde_json::Value;
use tollgate_cluster::objects::{self, Object, Run, Settings, rights, route};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../k8s-manifests")
        .join(name)
}

/// Returns what kustomize makes of a folder; `None` where there is no kubectl on this machine.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn rendered(name: &str) -> Option<Vec<Value>> {
    let output = match Command::new("kubectl")
        .arg("kustomize")
        .arg(folder(name))
        .output()
    {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: kubectl can't be run here: {error}");
            return None;
        }
    };
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {told}");
    let text = String::from_utf8(output.stdout).unwrap();
    Some(serde_saphyr::from_multiple(&text).unwrap())
}

fn by_name(objects: impl IntoIterator<Item = Value>) -> BTreeMap<String, Value> {
    let named = |object: Value| {
        let name = object.pointer("/metadata/name").unwrap().as_str().unwrap();
        (
            format!("{} {name}", object["kind"].as_str().unwrap()),
            object,
        )
    };
    objects.into_iter().map(named).collect()
}

fn values(objects: Vec<Object>) -> BTreeMap<String, Value> {
    by_name(objects.into_iter().map(|object| object.value))
}

/// Checks that a field which Kubernetes doesn't know isn't there: the types drop it.
fn check_schema(object: &Value) {
    fn same<T: serde::de::DeserializeOwned + serde::Serialize>(object: &Value) {
        let typed: T = serde_json::from_value(object.clone()).unwrap();
        assert_eq!(serde_json::to_value(typed).unwrap(), *object);
    }
    match object["kind"].as_str().unwrap() {
        "Namespace" => same::<Namespace>(object),
        "ServiceAccount" => same::<ServiceAccount>(object),
        "Role" => same::<Role>(object),
        "RoleBinding" => same::<RoleBinding>(object),
        "NetworkPolicy" => same::<NetworkPolicy>(object),
        "Service" => same::<Service>(object),
        "Pod" => same::<Pod>(object),
        "ConfigMap" => same::<ConfigMap>(object),
        "Secret" => same::<Secret>(object),
        "Gateway" | "HTTPRoute" => {}
        other => panic!("{other} has no schema here"),
    }
}

/// Checks a pod against the `restricted` Pod Security Standard.
fn check_restricted(pod: &Value) {
    let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
    let spec = pod.spec.unwrap();
    assert_ne!(spec.host_network, Some(true));
    assert_ne!(spec.host_pid, Some(true));
    assert_ne!(spec.host_ipc, Some(true));
    let security = spec.security_context.unwrap();
    assert_eq!(security.run_as_non_root, Some(true));
    assert_eq!(security.seccomp_profile.unwrap().type_, "RuntimeDefault");
    for volume in spec.volumes.into_iter().flatten() {
        assert!(volume.secret.is_some() && volume.host_path.is_none());
    }
    for container in spec.containers {
        let security = container.security_context.unwrap();
        assert_eq!(security.allow_privilege_escalation, Some(false));
        assert_eq!(security.read_only_root_filesystem, Some(true));
        let capabilities = security.capabilities.unwrap();
        assert_eq!(
            (capabilities.drop.unwrap(), capabilities.add),
            (vec!["ALL".to_owned()], None)
        );
        assert!(
            container
                .ports
                .into_iter()
                .flatten()
                .all(|port| port.host_port.is_none())
        );
    }
}

#[test]
fn what_kustomize_renders_is_what_is_applied() {
    let settings = Settings::default();
    let Some(base) = rendered("base") else { return };
    let base = by_name(base);
    assert_eq!(base, values(objects::base(&settings)));
    let Some(split) = rendered("overlays/gateway-split") else {
        return;
    };
    let split = by_name(split);
    for (name, object) in values(route::split(&settings, "cilium")) {
        assert_eq!(split[&name], object, "{name}");
    }
    for (name, object) in &base {
        check_schema(object);
        assert_eq!(split[name], *object, "{name}");
    }
}

#[test]
fn every_overlay_renders_to_objects_of_kubernetes() {
    let level = |objects: &BTreeMap<String, Value>| {
        let labels = &objects["Namespace tollgate"]["metadata"]["labels"];
        labels["pod-security.kubernetes.io/enforce"]
            .as_str()
            .map(ToOwned::to_owned)
    };
    let overlays = fs::read_dir(folder("overlays")).unwrap();
    let mut seen = 0;
    for overlay in overlays {
        let name = overlay.unwrap().file_name().into_string().unwrap();
        let Some(objects) = rendered(&format!("overlays/{name}")) else {
            return;
        };
        let objects = by_name(objects);
        let mut hosts = 0;
        for object in objects.values() {
            check_schema(object);
            if object["kind"] == "Pod" && object["spec"]["hostNetwork"] == true {
                hosts += 1;
            } else if object["kind"] == "Pod" {
                check_restricted(object);
            }
        }
        let expected = match name.as_str() {
            "restricted" => (Some("restricted".to_owned()), 0),
            "host-network" => (Some("privileged".to_owned()), 2),
            _ => (None, 0),
        };
        assert_eq!((level(&objects), hosts), expected, "{name}");
        seen += 1;
    }
    assert!(seen >= 3, "{seen}");
}

#[test]
fn a_run_applies_what_the_base_holds_and_marks_it_as_its_own() {
    let base = values(objects::base(&Settings::default()));
    let settings = Settings {
        run: Some(Run {
            name: "paths-1".to_owned(),
            owner: Some("a-uid".to_owned()),
        }),
        ..Settings::default()
    };
    let applied = values(objects::of_run(&settings));
    assert!(applied.len() > 8, "{applied:?}");
    for (name, mut object) in applied {
        check_schema(&object);
        let metadata = object["metadata"].as_object_mut().unwrap();
        let owners = metadata.remove("ownerReferences").unwrap();
        assert_eq!(owners[0]["uid"], "a-uid", "{name}");
        let label = metadata["labels"]
            .as_object_mut()
            .unwrap()
            .remove("tollgate.io/run");
        assert_eq!(label, Some("paths-1".into()), "{name}");
        assert_eq!(base[&name], object, "{name}");
    }
    let owner = objects::owner(&settings).value;
    check_schema(&owner);
    assert_eq!(owner["metadata"].get("ownerReferences"), None);
    let token = objects::token(&settings, &"ab".repeat(32)).value;
    check_schema(&token);
    assert_eq!(token["metadata"]["ownerReferences"][0]["uid"], "a-uid");
}

#[test]
fn pods_of_a_run_pass_the_restricted_standard_wherever_they_are_put() {
    let settings = Settings {
        nodes: Some(("node1".to_owned(), "node2".to_owned())),
        pull_secrets: vec!["registry".to_owned()],
        node_addresses: vec!["192.0.2.1".to_owned(), "2001:db8::1".to_owned()],
        ..Settings::default()
    };
    let mut nodes = Vec::new();
    for object in objects::of_run(&settings) {
        check_schema(&object.value);
        if object.kind == "Pod" {
            check_restricted(&object.value);
            let terms = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution\
                         /nodeSelectorTerms/0/matchFields/0/values/0";
            nodes.push(
                object
                    .value
                    .pointer(terms)
                    .unwrap()
                    .as_str()
                    .unwrap()
                    .to_owned(),
            );
            assert_eq!(
                object.value["spec"]["imagePullSecrets"][0]["name"],
                "registry"
            );
        }
        if object.kind == "NetworkPolicy" {
            let from = &object.value["spec"]["ingress"][0]["from"];
            assert_eq!(from[1]["ipBlock"]["cidr"], "192.0.2.1/32");
            assert_eq!(from[2]["ipBlock"]["cidr"], "2001:db8::1/128");
        }
    }
    assert_eq!(nodes, ["node1", "node1", "node2"]);
}

#[test]
fn no_right_goes_beyond_a_namespace_or_reads_a_secret() {
    for right in rights::RIGHTS {
        for verb in right.verbs {
            assert!(
                !["*", "escalate", "bind", "impersonate"].contains(verb),
                "{right:?}"
            );
            let reads = ["get", "list", "watch"].contains(verb);
            assert!(right.resource != "secrets" || !reads, "{right:?}");
        }
        assert_ne!(right.resource, "*");
    }
    let kinds: Vec<_> = objects::base(&Settings::default())
        .iter()
        .filter(|object| !object.namespaced)
        .map(|object| object.kind)
        .collect();
    assert_eq!(kinds, ["Namespace"]);
}

/// The script is tried on folders that stand for the node's.
#[test]
fn node_sysctls_are_set_and_put_back() {
    let text = fs::read_to_string(folder("node-sysctls/daemonset.yaml")).unwrap();
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    check_schema(&objects[0]);
    let set: DaemonSet = serde_json::from_value(objects[1].clone()).unwrap();
    assert_eq!(serde_json::to_value(&set).unwrap(), objects[1]);
    let command = set
        .spec
        .unwrap()
        .template
        .spec
        .unwrap()
        .containers
        .remove(0)
        .command
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (keys, old) = (dir.path().join("netfilter"), dir.path().join("old"));
    for made in [&keys, &old] {
        fs::create_dir(made).unwrap();
    }
    let value = |key: &str| {
        fs::read_to_string(keys.join(key))
            .unwrap()
            .trim()
            .to_owned()
    };
    for (key, before) in [
        ("nf_conntrack_max", "262144"),
        ("nf_conntrack_buckets", "65536"),
    ] {
        fs::write(keys.join(key), before).unwrap();
    }
    let script = command[2]
        .replace("/proc/sys/net/netfilter", keys.to_str().unwrap())
        .replace("/old", old.to_str().unwrap());
    let mut shell = Command::new(&command[0])
        .args([&command[1], &script])
        .spawn()
        .unwrap();
    let waited = |expected: &str| {
        (0..100).any(|_| {
            pause();
            value("nf_conntrack_buckets") == expected
        })
    };
    assert!(waited("524288"));
    assert_eq!(value("nf_conntrack_max"), "524288");
    let ended = Command::new("kill")
        .arg(shell.id().to_string())
        .status()
        .unwrap();
    assert!(ended.success() && shell.wait().unwrap().success());
    assert_eq!(
        (value("nf_conntrack_max"), value("nf_conntrack_buckets")),
        ("262144".to_owned(), "65536".to_owned())
    );
    assert_eq!(fs::read_dir(&old).unwrap().count(), 0);
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test waits for another process"
)]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(20));
}
