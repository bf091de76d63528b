//! The node inspector: a pod on each node, in the node's network, that says what no API tells. Off unless somebody
//! applies it; it has a namespace of its own, so that the probes' needn't admit it.
//!
//! It has no port and no account: every minute it prints one line, which `tollgate cluster inspect` reads from its log.
//! It isn't privileged in Kubernetes' sense (no devices, no other processes), but nearly so by what it needs: rules of
//! the packet filter want `NET_ADMIN`, asking for eBPF programs by their numbers wants `SYS_ADMIN`.

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, HostPathVolumeSource, Namespace, PodSecurityContext, PodSpec, PodTemplateSpec,
    SeccompProfile, SecurityContext, Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::rights::account;
use super::{Object, ROLE, Settings, cluster_wide, metadata, namespace, namespaced, pods};

/// The namespace of the inspector alone.
pub const NAMESPACE: &str = "tollgate-inspector";

/// What its pods are labelled with, by [`ROLE`].
pub const INSPECTOR: &str = "inspector";

/// Its account, which may do nothing.
const ACCOUNT: &str = "tollgate-inspector";

/// How often it looks: what it sees changes with plugins and proxies, not with traffic.
const EVERY: &str = "1m";

/// What it may do on the node beside reading files.
const CAPABILITIES: [&str; 3] = ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"];

/// Where it sees the node's cgroups: programs that translate addresses of services sit at their root.
const CGROUPS: &str = "/host/cgroup";

/// Returns all of the inspector.
#[must_use]
pub fn inspector(settings: &Settings) -> Vec<Object> {
    let settings = Settings {
        namespace: NAMESPACE.to_owned(),
        ..settings.clone()
    };
    vec![
        cluster_wide(own_namespace(&settings)),
        namespaced(account(&settings, ACCOUNT)),
        namespaced(set(&settings)),
    ]
}

/// Returns the namespace, which has to admit pods in the nodes' network.
fn own_namespace(settings: &Settings) -> Namespace {
    let mut made = namespace(settings);
    let labels = made.metadata.labels.get_or_insert_default();
    labels.remove("pod-security.kubernetes.io/warn");
    labels.insert(
        "pod-security.kubernetes.io/enforce".to_owned(),
        "privileged".to_owned(),
    );
    made
}

fn set(settings: &Settings) -> DaemonSet {
    let args = ["inspect", "--json", "--every", EVERY];
    let pod = pods::pod(settings, ACCOUNT, INSPECTOR, &args, &[]);
    DaemonSet {
        metadata: metadata(settings, ACCOUNT),
        spec: Some(DaemonSetSpec {
            selector: LabelSelector {
                match_labels: Some([(ROLE.to_owned(), INSPECTOR.to_owned())].into()),
                ..LabelSelector::default()
            },
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: pod.metadata.labels.clone(),
                    ..ObjectMeta::default()
                }),
                spec: pod.spec.map(on_node),
            },
            ..DaemonSetSpec::default()
        }),
        ..DaemonSet::default()
    }
}

/// Turns a probe's pod into the inspector's: in the node's network, on every node, as root with three capabilities.
fn on_node(pod: PodSpec) -> PodSpec {
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|&word| word.to_owned())
            .collect::<Vec<_>>()
    };
    let mut containers = pod.containers;
    for container in &mut containers {
        INSPECTOR.clone_into(&mut container.name);
        container.security_context = Some(SecurityContext {
            // With SYS_ADMIN the API takes nothing else.
            allow_privilege_escalation: Some(true),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                add: Some(words(&CAPABILITIES)),
                drop: Some(words(&["ALL"])),
            }),
            ..SecurityContext::default()
        });
        container.volume_mounts = Some(vec![VolumeMount {
            name: "cgroups".to_owned(),
            mount_path: CGROUPS.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }]);
    }
    PodSpec {
        containers,
        // A set's pods have none.
        active_deadline_seconds: None,
        host_network: Some(true),
        service_account_name: Some(ACCOUNT.to_owned()),
        security_context: Some(PodSecurityContext {
            run_as_user: Some(0),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        // Nodes that take no other pods have a network too.
        tolerations: Some(vec![Toleration {
            operator: Some("Exists".to_owned()),
            ..Toleration::default()
        }]),
        volumes: Some(vec![Volume {
            name: "cgroups".to_owned(),
            host_path: Some(HostPathVolumeSource {
                path: "/sys/fs/cgroup".to_owned(),
                type_: Some("Directory".to_owned()),
            }),
            ..Volume::default()
        }]),
        ..pod
    }
}
