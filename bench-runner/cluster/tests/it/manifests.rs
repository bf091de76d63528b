//! The manifests are what `tollgate` applies, pass the `restricted` standard, and are what kustomize renders.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, Pod, PodSpec, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde_json::Value;
use tollgate_cluster::objects::seats::Pair;
use tollgate_cluster::objects::{
    self, Object, Run, Settings, inspector, mesh, rights, route, runner,
};

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
        "Job" => same::<Job>(object),
        "DaemonSet" => same::<DaemonSet>(object),
        "Gateway" | "HTTPRoute" => {}
        other => panic!("{other} has no schema here"),
    }
}

/// Checks a pod against the `restricted` Pod Security Standard.
fn check_restricted(pod: &Value) {
    let spec: PodSpec = serde_json::from_value(pod["spec"].clone()).unwrap();
    assert_ne!(spec.host_network, Some(true));
    assert_ne!(spec.host_pid, Some(true));
    assert_ne!(spec.host_ipc, Some(true));
    let security = spec.security_context.unwrap();
    assert_eq!(security.run_as_non_root, Some(true));
    assert_eq!(security.seccomp_profile.unwrap().type_, "RuntimeDefault");
    for volume in spec.volumes.into_iter().flatten() {
        let harmless =
            volume.secret.is_some() || volume.config_map.is_some() || volume.empty_dir.is_some();
        assert!(harmless && volume.host_path.is_none());
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
    for (name, object) in values(route::split(&settings, "cilium", &route::usual())) {
        assert_eq!(split[&name], object, "{name}");
    }
    for (name, object) in &base {
        check_schema(object);
        assert_eq!(split[name], *object, "{name}");
    }
    let Some(alone) = rendered("overlays/in-cluster-runner") else {
        return;
    };
    assert_eq!(by_name(alone), values(runner::in_cluster(&settings)));
    let Some(alone) = rendered("overlays/node-inspector") else {
        return;
    };
    assert_eq!(by_name(alone), values(inspector::inspector(&settings)));
}

#[test]
fn every_overlay_renders_to_objects_of_kubernetes() {
    let level = |objects: &BTreeMap<String, Value>| {
        let mut namespaces = objects
            .values()
            .filter(|object| object["kind"] == "Namespace");
        let labels = &namespaces.next().unwrap()["metadata"]["labels"];
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
            } else if object["kind"] == "Job" {
                check_restricted(&object["spec"]["template"]);
            }
        }
        let expected = match name.as_str() {
            "restricted" => (Some("restricted".to_owned()), 0),
            "host-network" => (Some("privileged".to_owned()), 2),
            "node-inspector" => (Some("privileged".to_owned()), 0),
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
fn arms_with_nodes_of_their_own_have_probes_and_services_of_their_own() {
    let pair = |client: &str, server: &str| Pair {
        client: client.to_owned(),
        server: server.to_owned(),
        clients: 1,
    };
    let settings = Settings {
        pairs: vec![pair("node2", "node1"), pair("node3", "node3")],
        clients: 2,
        ..Settings::default()
    };
    let usual = values(objects::of_run(&Settings::default()));
    let all = values(objects::of_run(&settings));
    assert_eq!(all.len(), usual.len() + 2 * (2 + 3) + 1);
    let second = &all["Pod tollgate-client-2"]["spec"]["affinity"]["podAffinity"];
    assert!(
        second
            .to_string()
            .contains("\"tollgate.io/role\":\"client\""),
        "{second}"
    );
    for (name, object) in &all {
        check_schema(object);
        if object["kind"] == "Pod" {
            check_restricted(object);
        }
        if object["kind"] != "NetworkPolicy" && usual.contains_key(name) {
            assert_eq!(usual[name], *object, "the usual probes stand as ever");
        }
    }
    let on = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution\
              /nodeSelectorTerms/0/matchFields/0/values/0";
    for (pod, node) in [
        ("tollgate-pair1-client", "node2"),
        ("tollgate-pair1-far", "node1"),
        ("tollgate-pair2-client", "node3"),
        ("tollgate-pair2-far", "node3"),
    ] {
        assert_eq!(
            all[&format!("Pod {pod}")].pointer(on).unwrap(),
            node,
            "{pod}"
        );
    }
    let roles = all["NetworkPolicy tollgate-probes-only"]
        .pointer("/spec/podSelector/matchExpressions/0/values")
        .unwrap()
        .to_string();
    for service in ["far", "far-headless", "far-node-port"] {
        let service = &all[&format!("Service tollgate-pair2-{service}")];
        assert_eq!(service["spec"]["selector"]["tollgate.io/role"], "pair2-far");
    }
    assert!(
        roles.contains("\"pair2-far\"")
            && roles.contains("\"client-2\"")
            && roles.contains("\"pair1-client\""),
        "{roles}"
    );
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

#[test]
fn the_inspector_asks_for_no_more_than_three_capabilities_and_has_no_account_to_speak_of() {
    let objects = inspector::inspector(&Settings::default());
    let set = objects
        .iter()
        .find(|object| object.kind == "DaemonSet")
        .unwrap();
    let spec: PodSpec =
        serde_json::from_value(set.value["spec"]["template"]["spec"].clone()).unwrap();
    assert_eq!(spec.automount_service_account_token, Some(false));
    assert_eq!(
        (
            spec.host_network,
            spec.host_pid,
            spec.active_deadline_seconds
        ),
        (Some(true), None, None)
    );
    for volume in spec.volumes.unwrap() {
        assert_eq!(volume.host_path.unwrap().path, "/sys/fs/cgroup");
    }
    for container in spec.containers {
        assert!(container.ports.is_none());
        assert!(
            container
                .volume_mounts
                .unwrap()
                .iter()
                .all(|mount| mount.read_only == Some(true))
        );
        let security = container.security_context.unwrap();
        assert_eq!(security.privileged, None);
        let capabilities = security.capabilities.unwrap();
        assert_eq!(capabilities.drop.unwrap(), ["ALL"]);
        assert_eq!(
            capabilities.add.unwrap(),
            ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"]
        );
    }
    let own = objects.iter().filter(|object| !object.namespaced);
    assert_eq!(
        own.map(Object::name).collect::<Vec<_>>(),
        [inspector::NAMESPACE]
    );
}

#[test]
fn a_run_that_splits_applies_what_the_overlay_holds() {
    let overlay = values(route::split(&Settings::default(), "envoy", &route::usual()));
    let settings = Settings {
        run: Some(Run {
            name: "gateway-split-1".to_owned(),
            owner: Some("a-uid".to_owned()),
        }),
        ..Settings::default()
    };
    let applied = route::of_run(&settings, "envoy", &route::usual());
    let kinds: Vec<&str> = applied.iter().map(|object| object.kind).collect();
    for kind in ["Gateway", "HTTPRoute", "NetworkPolicy", "ServiceAccount"] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    for (name, mut object) in values(applied) {
        check_schema(&object);
        if object["kind"] == "Pod" {
            check_restricted(&object);
        }
        let metadata = object["metadata"].as_object_mut().unwrap();
        assert_eq!(
            metadata.remove("ownerReferences").unwrap()[0]["uid"],
            "a-uid",
            "{name}"
        );
        metadata["labels"]
            .as_object_mut()
            .unwrap()
            .remove("tollgate.io/run");
        // The client and its account are those of the base.
        if let Some(same) = overlay.get(&name) {
            assert_eq!(*same, object, "{name}");
        }
    }
    let weights = &overlay["HTTPRoute tollgate-split"]["spec"]["rules"][0]["backendRefs"];
    assert_eq!(
        (&weights[0]["weight"], &weights[1]["weight"]),
        (&10.into(), &90.into())
    );
}

/// What a mesh applies differs from the manifests' daemon set in where it is put and when it ends.
#[test]
fn a_mesh_applies_what_its_overlay_holds() {
    let settings = Settings {
        run: Some(Run {
            name: "mesh-1".to_owned(),
            owner: Some("a-uid".to_owned()),
        }),
        ..Settings::default()
    };
    let nodes = ["node1", "node2"].map(str::to_owned);
    let applied = values(mesh::of_mesh(&settings, &nodes));
    let held = values(mesh::everywhere(&Settings::default()));
    for object in applied.values().chain(held.values()) {
        check_schema(object);
    }
    let daemon_set = &held["DaemonSet tollgate-mesh"];
    let template = &daemon_set["spec"]["template"];
    for (place, node) in nodes.iter().enumerate() {
        let mut pod = applied[&format!("Pod tollgate-mesh-{place}")].clone();
        check_restricted(&pod);
        assert!(pod["spec"]["affinity"].to_string().contains(node.as_str()));
        let spec = pod["spec"].as_object_mut().unwrap();
        spec.remove("affinity").unwrap();
        assert!(spec.remove("activeDeadlineSeconds").unwrap().as_i64() > Some(0));
        assert_eq!(pod["spec"], template["spec"]);
        assert_eq!(pod["metadata"]["labels"]["tollgate.io/run"], "mesh-1");
        assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], "a-uid");
    }
    // A daemon set with a deadline, or without its own labels, is refused by the server.
    assert_eq!(template["spec"].get("activeDeadlineSeconds"), None);
    for (key, value) in daemon_set["spec"]["selector"]["matchLabels"]
        .as_object()
        .unwrap()
    {
        assert_eq!(template["metadata"]["labels"][key], *value);
    }
    let policy = "NetworkPolicy tollgate-mesh-only";
    assert_eq!(applied[policy]["spec"], held[policy]["spec"]);
    let Some(rendered) = rendered("overlays/mesh") else {
        return;
    };
    let rendered = by_name(rendered);
    for (name, object) in &held {
        assert_eq!(rendered[name], *object, "{name}");
    }
    let pod = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": template["spec"]});
    check_restricted(&pod);
}
