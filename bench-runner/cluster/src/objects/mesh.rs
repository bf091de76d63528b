//! The probes of a mesh: one on each node, and the policy that admits them to each other.
//!
//! A run makes pods, each bound to its node, and no daemon set: a daemon set's pods may have no deadline, so that those
//! of a runner which was killed would stand for ever, and its rights would be more. The manifests hold the daemon set: who
//! applies them knows no node by name.

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec};
use k8s_openapi::api::core::v1::{Affinity, Pod, PodTemplateSpec};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::pods::{agent, agent_port, on_node};
use super::{Object, PART_OF, ROLE, Settings, metadata, namespaced, rights};
use crate::paths::FIRST_PORT;

/// The role of a mesh's probes.
const MESH: &str = "mesh";

/// The port on which they answer each other.
pub const PORT: u16 = FIRST_PORT;

/// Returns the name of the probe on the node of this place.
#[must_use]
pub fn pod_name(place: usize) -> String {
    format!("tollgate-mesh-{place}")
}

/// Returns the port of a probe's agent, on its loopback.
#[must_use]
pub const fn port_of_agent(settings: &Settings) -> u16 {
    agent_port(settings.host_network)
}

/// Returns the objects of a mesh over these nodes, in the order in which they are applied. Owner and token aren't among
/// them.
#[must_use]
pub fn of_mesh(settings: &Settings, nodes: &[String]) -> Vec<Object> {
    let mut objects = vec![
        namespaced(rights::probe_account(settings)),
        namespaced(policy(settings)),
    ];
    let pods = nodes.iter().enumerate();
    objects.extend(pods.map(|(place, node)| namespaced(pod(settings, place, node))));
    objects
}

/// Returns the objects that the manifests hold: the policy, and a probe on every node that takes one.
#[must_use]
pub fn everywhere(settings: &Settings) -> Vec<Object> {
    vec![
        namespaced(policy(settings)),
        namespaced(daemon_set(settings)),
    ]
}

fn pod(settings: &Settings, place: usize, node: &str) -> Pod {
    let name = pod_name(place);
    let mut pod = agent(settings, &name, MESH, settings.host_network, &[PORT]);
    if let Some(spec) = &mut pod.spec {
        // Through the scheduler: a node that takes no pods refuses, and says why.
        spec.affinity = Some(Affinity {
            node_affinity: Some(on_node(node)),
            ..Affinity::default()
        });
    }
    pod
}

fn daemon_set(settings: &Settings) -> DaemonSet {
    let name = "tollgate-mesh";
    let Pod {
        metadata: of_pod,
        spec,
        ..
    } = agent(settings, name, MESH, settings.host_network, &[PORT]);
    let mut template = PodTemplateSpec {
        metadata: Some(of_pod),
        spec,
    };
    if let Some(metadata) = &mut template.metadata {
        // Those of a template's pods are the server's to give.
        (metadata.name, metadata.namespace) = (None, None);
    }
    if let Some(spec) = &mut template.spec {
        spec.active_deadline_seconds = None;
    }
    let selector = [(ROLE, MESH), PART_OF].map(|(key, value)| (key.to_owned(), value.to_owned()));
    DaemonSet {
        metadata: metadata(settings, name),
        spec: Some(DaemonSetSpec {
            selector: LabelSelector {
                match_labels: Some(selector.into()),
                ..LabelSelector::default()
            },
            template,
            ..DaemonSetSpec::default()
        }),
        ..DaemonSet::default()
    }
}

/// Returns the policy: probes of a mesh talk to each other, on one port, and to nobody else.
fn policy(settings: &Settings) -> NetworkPolicy {
    let ours = LabelSelector {
        match_labels: Some([(ROLE.to_owned(), MESH.to_owned())].into()),
        ..LabelSelector::default()
    };
    let peers = vec![NetworkPolicyPeer {
        pod_selector: Some(ours.clone()),
        ..NetworkPolicyPeer::default()
    }];
    let ports = ["TCP", "UDP"].map(|protocol| NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(PORT))),
        protocol: Some(protocol.to_owned()),
        ..NetworkPolicyPort::default()
    });
    NetworkPolicy {
        metadata: metadata(settings, "tollgate-mesh-only"),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(ours),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: Some(peers.clone()),
                ports: Some(ports.to_vec()),
            }]),
            egress: Some(vec![NetworkPolicyEgressRule {
                to: Some(peers),
                ports: Some(ports.to_vec()),
            }]),
        }),
    }
}
