//! The probes: pods that pass the `restricted` standard, each with an agent that is reached by port-forward.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container, ContainerPort, LocalObjectReference, NodeAffinity,
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodAffinity, PodAffinityTerm,
    PodAntiAffinity, PodSecurityContext, PodSpec, ResourceRequirements, SeccompProfile,
    SecretVolumeSource, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::seats::Seat;
use super::{ROLE, Settings, TOKEN, metadata, rights};
use crate::paths;
use crate::snapshot::ZONE;

/// Port of the agents, on the pod's own loopback: only a port-forward gets there.
pub const AGENT_PORT: u16 = 7788;

/// Agents in the nodes' own network keep away from those of pods that may be forwarded to the same loopback.
const HOST_AGENT_PORT: u16 = 7798;

/// The label that is different on every node.
const NODE: &str = "kubernetes.io/hostname";

/// The user that probes run as: nobody's, as in the images of the distroless project.
const USER: i64 = 65_532;

/// Where the token lies.
const TOKEN_DIR: &str = "/run/tollgate";

/// Which probe a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sends; answers itself through a service (hairpin).
    Client,
    /// Answers on the client's node.
    Near,
    /// Answers on another node.
    Far,
    /// Answers in another zone.
    Zone,
    /// Sends from the network of the client's node.
    HostClient,
    /// Answers in the network of the other node.
    HostFar,
}

impl Role {
    /// Every role of a run.
    pub const ALL: [Self; 6] = [
        Self::Client,
        Self::Near,
        Self::Far,
        Self::Zone,
        Self::HostClient,
        Self::HostFar,
    ];

    /// Returns the role's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Near => "near",
            Self::Far => "far",
            Self::Zone => "zone",
            Self::HostClient => "host-client",
            Self::HostFar => "host-far",
        }
    }

    /// Returns the name of its pod in the usual paths.
    #[must_use]
    pub fn pod(self) -> String {
        Seat::usual(self).pod()
    }

    /// Returns whether it is in its node's own network.
    #[must_use]
    pub const fn is_host(self) -> bool {
        matches!(self, Self::HostClient | Self::HostFar)
    }

    /// Returns the port of its agent.
    #[must_use]
    pub const fn agent_port(self) -> u16 {
        agent_port(self.is_host())
    }

    /// Returns the ports that it answers on, one for each path.
    pub(super) fn ports(self) -> Vec<u16> {
        paths::ports(|way| way.server == Some(self))
    }

    /// Returns whether it stands on the client's node; `None` where its node is not chosen by that.
    const fn beside_client(self) -> Option<bool> {
        match self {
            Self::Client | Self::Zone => None,
            Self::Near | Self::HostClient => Some(true),
            Self::Far | Self::HostFar => Some(false),
        }
    }
}

/// Returns the probes of a run.
pub(super) fn probes(settings: &Settings) -> Vec<Pod> {
    let seats = settings.seats().into_iter();
    seats.map(|seat| probe(settings, seat)).collect()
}

/// Returns one probe.
pub(super) fn probe(settings: &Settings, seat: Seat) -> Pod {
    let role = seat.role;
    let mut pod = agent(
        settings,
        &seat.pod(),
        &seat.word(),
        role.is_host(),
        &role.ports(),
    );
    if let Some(spec) = &mut pod.spec {
        let affinity = affinity(settings, seat);
        spec.affinity = Some(affinity).filter(|found| *found != Affinity::default());
    }
    pod
}

/// Returns the port of the agent of a probe in its node's own network, or in one of its own.
pub(super) const fn agent_port(is_host: bool) -> u16 {
    if is_host { HOST_AGENT_PORT } else { AGENT_PORT }
}

/// Returns a pod with an agent, which answers on these ports.
pub(super) fn agent(
    settings: &Settings,
    name: &str,
    role: &str,
    is_host: bool,
    ports: &[u16],
) -> Pod {
    let listen = format!("127.0.0.1:{}", agent_port(is_host));
    let token_file = format!("{TOKEN_DIR}/token");
    let args = [
        "agent",
        "--listen",
        &listen,
        "--plain",
        "--token-file",
        &token_file,
        "--state-dir",
        TOKEN_DIR,
    ];
    let mut pod = pod(settings, name, role, &args, ports);
    let Some(spec) = &mut pod.spec else {
        return pod;
    };
    spec.host_network = is_host.then_some(true);
    spec.volumes = Some(vec![Volume {
        name: "token".to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(TOKEN.to_owned()),
            // The pod's group may read it; the probe runs as nobody else.
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }]);
    for container in &mut spec.containers {
        container.volume_mounts = Some(vec![VolumeMount {
            name: "token".to_owned(),
            mount_path: TOKEN_DIR.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }]);
    }
    pod
}

/// Returns a pod of the probe's image that may do nothing but its work.
pub(super) fn pod(
    settings: &Settings,
    name: &str,
    role: &str,
    args: &[&str],
    ports: &[u16],
) -> Pod {
    let mut metadata = metadata(settings, name);
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(ROLE.to_owned(), role.to_owned());
    let pull_secrets = settings
        .pull_secrets
        .iter()
        .map(|name| LocalObjectReference { name: name.clone() });
    let pull_secrets: Vec<_> = pull_secrets.collect();
    Pod {
        metadata,
        spec: Some(PodSpec {
            active_deadline_seconds: Some(settings.deadline_seconds),
            automount_service_account_token: Some(false),
            enable_service_links: Some(false),
            service_account_name: Some(rights::PROBE.to_owned()),
            termination_grace_period_seconds: Some(1),
            image_pull_secrets: Some(pull_secrets).filter(|secrets| !secrets.is_empty()),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                run_as_group: Some(USER),
                fs_group: Some(USER),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            containers: vec![container(settings, args, ports)],
            ..PodSpec::default()
        }),
        ..Pod::default()
    }
}

fn container(settings: &Settings, args: &[&str], ports: &[u16]) -> Container {
    let both = |port: &u16| {
        ["TCP", "UDP"].map(|protocol| ContainerPort {
            container_port: i32::from(*port),
            protocol: Some(protocol.to_owned()),
            ..ContainerPort::default()
        })
    };
    let ports: Vec<_> = ports.iter().flat_map(both).collect();
    let quantities = |list: &[(&str, &str)]| {
        let quantity =
            |(name, value): &(&str, &str)| ((*name).to_owned(), Quantity((*value).to_owned()));
        list.iter().map(quantity).collect::<BTreeMap<_, _>>()
    };
    Container {
        name: "probe".to_owned(),
        image: Some(settings.image.clone()),
        // Air-gapped clusters have the image on their nodes.
        image_pull_policy: Some("IfNotPresent".to_owned()),
        args: Some(args.iter().map(|&arg| arg.to_owned()).collect()),
        ports: Some(ports).filter(|ports| !ports.is_empty()),
        resources: Some(ResourceRequirements {
            requests: Some(quantities(&[("cpu", "100m"), ("memory", "64Mi")])),
            // No limit on CPU: throttling would be measured as latency of the path.
            limits: Some(quantities(&[("memory", "512Mi")])),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

/// Says on which node a probe is put: one that was chosen, else where the client is, or isn't.
pub(super) fn affinity(settings: &Settings, seat: Seat) -> Affinity {
    let role = seat.role;
    // Where several clients stand is where the first one does: the server's node is the other one for all of them.
    let beside = match seat.number {
        0 => role.beside_client(),
        _ => Some(true),
    };
    let term = |topology_key: &str| {
        let labels = [(ROLE.to_owned(), Role::Client.as_str().to_owned())];
        vec![PodAffinityTerm {
            label_selector: Some(LabelSelector {
                match_labels: Some(labels.into()),
                ..LabelSelector::default()
            }),
            topology_key: topology_key.to_owned(),
            ..PodAffinityTerm::default()
        }]
    };
    let apart = |topology_key: &str| PodAntiAffinity {
        required_during_scheduling_ignored_during_execution: Some(term(topology_key)),
        ..PodAntiAffinity::default()
    };
    if role == Role::Zone {
        return Affinity {
            pod_anti_affinity: Some(apart(ZONE)),
            ..Affinity::default()
        };
    }
    if let Some(node) = settings.node(seat) {
        return Affinity {
            node_affinity: Some(on_node(node)),
            ..Affinity::default()
        };
    }
    Affinity {
        pod_affinity: (beside == Some(true)).then(|| PodAffinity {
            required_during_scheduling_ignored_during_execution: Some(term(NODE)),
            ..PodAffinity::default()
        }),
        pod_anti_affinity: (beside == Some(false)).then(|| apart(NODE)),
        ..Affinity::default()
    }
}

pub(super) fn on_node(name: &str) -> NodeAffinity {
    NodeAffinity {
        required_during_scheduling_ignored_during_execution: Some(NodeSelector {
            node_selector_terms: vec![NodeSelectorTerm {
                match_fields: Some(vec![NodeSelectorRequirement {
                    key: "metadata.name".to_owned(),
                    operator: "In".to_owned(),
                    values: Some(vec![name.to_owned()]),
                }]),
                ..NodeSelectorTerm::default()
            }],
        }),
        ..NodeAffinity::default()
    }
}
