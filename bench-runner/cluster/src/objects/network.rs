//! Services in front of the probes, and the policy that admits probes only.

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
    NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::pods::Role;
use super::seats::{Seat, service_of};
use super::{ROLE, Settings, metadata};
use crate::paths::{self, To};

/// The service in front of the probe on the other node.
pub const FAR: &str = "tollgate-far";

/// The same without an address of its own.
pub const FAR_HEADLESS: &str = "tollgate-far-headless";

/// The same on a port of every node.
pub const FAR_NODE_PORT: &str = "tollgate-far-node-port";

/// The same behind a load balancer of the cluster's.
pub const FAR_LOAD_BALANCER: &str = "tollgate-far-load-balancer";

/// The service in front of the probe on the client's node.
pub const NEAR: &str = "tollgate-near";

/// The service in front of the client itself.
pub const HAIRPIN: &str = "tollgate-hairpin";

/// Returns the services of a run: each with the ports of the paths through it.
pub(super) fn services(settings: &Settings) -> Vec<Service> {
    let mut services = to_far(settings, 0);
    services.push(plain(settings, NEAR, Seat::usual(Role::Near)));
    services.push(plain(settings, HAIRPIN, Seat::usual(Role::Client)));
    if settings.load_balancer {
        services.push(balanced(settings));
    }
    for pair in 1..=settings.pairs.len() {
        services.extend(to_far(settings, pair));
    }
    services
}

/// Returns the services in front of the server of a pair of nodes.
fn to_far(settings: &Settings, pair: usize) -> Vec<Service> {
    let plain = |name: &str| plain(settings, name, Seat::of(Role::Far, pair));
    let mut node_port = plain(FAR_NODE_PORT);
    if let Some(spec) = &mut node_port.spec {
        spec.type_ = Some("NodePort".to_owned());
    }
    // By its name it leads to the pod's own address.
    let mut headless = plain(FAR_HEADLESS);
    if let Some(spec) = &mut headless.spec {
        spec.cluster_ip = Some("None".to_owned());
    }
    vec![plain(FAR), headless, node_port]
}

/// Returns the service of this name in front of a probe.
fn plain(settings: &Settings, name: &str, to: Seat) -> Service {
    let through = paths::ports(|way| way.to.service() == Some(name));
    service(settings, name, to, &through)
}

/// Returns the service behind a load balancer, which costs money in some clusters.
pub(super) fn balanced(settings: &Settings) -> Service {
    let ports = paths::ports(|way| matches!(way.to, To::LoadBalancer(_)));
    let far = Seat::usual(Role::Far);
    let mut service = service(settings, FAR_LOAD_BALANCER, far, &ports);
    if let Some(spec) = &mut service.spec {
        spec.type_ = Some("LoadBalancer".to_owned());
    }
    service
}

fn service(settings: &Settings, name: &str, to: Seat, ports: &[u16]) -> Service {
    let both = |port: &u16| {
        ["TCP", "UDP"].map(|protocol| ServicePort {
            name: Some(format!("{}-{port}", protocol.to_lowercase())),
            port: i32::from(*port),
            protocol: Some(protocol.to_owned()),
            target_port: Some(IntOrString::Int(i32::from(*port))),
            ..ServicePort::default()
        })
    };
    Service {
        metadata: metadata(settings, &service_of(name, to.pair)),
        spec: Some(ServiceSpec {
            selector: Some([(ROLE.to_owned(), to.word())].into()),
            ports: Some(ports.iter().flat_map(both).collect()),
            // An address of each family where the cluster has both; of its only one elsewhere.
            ip_family_policy: Some("PreferDualStack".to_owned()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// Ports of DNS servers, as policies see them behind the service: those of `OpenShift` listen on the second.
const DNS: [u16; 2] = [53, 5353];

/// Returns the policy: probes talk to probes, on the ports of the traffic, and to nobody else but DNS servers. Agents need
/// no way in: a port-forward comes by the pod's loopback.
pub(super) fn policy(settings: &Settings) -> NetworkPolicy {
    // By their roles: backends behind a gateway are ours too, and have to answer it.
    let usual = Role::ALL.into_iter().map(Seat::usual);
    let others = settings
        .seats()
        .into_iter()
        .filter(|seat| *seat != Seat::usual(seat.role));
    let words = usual.chain(others).map(Seat::word);
    let ours = LabelSelector {
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: ROLE.to_owned(),
            operator: "In".to_owned(),
            values: Some(words.collect()),
        }]),
        ..LabelSelector::default()
    };
    let mut peers = vec![NetworkPolicyPeer {
        pod_selector: Some(ours.clone()),
        ..NetworkPolicyPeer::default()
    }];
    // Through a node port the packets come from a node's address, and go to one.
    peers.extend(settings.node_addresses.iter().map(|address| {
        let bits = if address.contains(':') { 128 } else { 32 };
        NetworkPolicyPeer {
            ip_block: Some(IPBlock {
                cidr: format!("{address}/{bits}"),
                except: None,
            }),
            ..NetworkPolicyPeer::default()
        }
    }));
    let port = |port: u16| {
        ["TCP", "UDP"].map(|protocol| NetworkPolicyPort {
            port: Some(IntOrString::Int(i32::from(port))),
            protocol: Some(protocol.to_owned()),
            ..NetworkPolicyPort::default()
        })
    };
    let ports: Vec<_> = paths::ports(|_| true).into_iter().flat_map(port).collect();
    NetworkPolicy {
        metadata: metadata(settings, "tollgate-probes-only"),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(ours),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: Some(peers.clone()),
                ports: Some(ports.clone()),
            }]),
            egress: Some(vec![
                NetworkPolicyEgressRule {
                    to: Some(peers),
                    // A node port's number is drawn by the cluster: out to nodes any port is open.
                    ports: settings.node_addresses.is_empty().then_some(ports),
                },
                // Where a cluster's DNS server is (a pod, an address of the node), no two agree on.
                NetworkPolicyEgressRule {
                    to: None,
                    ports: Some(DNS.into_iter().flat_map(port).collect()),
                },
            ]),
        }),
    }
}
