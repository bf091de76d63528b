//! A weighted split of requests through the Gateway API: backends, a gateway, a route.
//!
//! Gateways and routes are no part of Kubernetes' own types; what is needed of them is small, and the same since v1.0.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPort,
    NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};
use tollgate_results::arm::Name;

use super::pods::{self, Role};
use super::seats::Seat;
use super::{Object, PART_OF, ROLE, Settings, metadata, namespaced, rights};
use crate::paths::FIRST_PORT;

/// Weights of backends by their names, which their responses carry.
pub type Weights = BTreeMap<Name, u32>;

/// Name of the gateway and of its route.
pub const GATEWAY: &str = "tollgate-split";

/// Group and version of gateways and routes.
pub const API_VERSION: &str = "gateway.networking.k8s.io/v1";

/// Port of the gateway and of the services behind it.
pub const HTTP: u16 = 80;

/// Port that a backend answers on.
pub const BACKEND_PORT: u16 = FIRST_PORT;

/// Returns the weights of the manifests: 90 to 10.
#[must_use]
pub fn usual() -> Weights {
    let weights = [("stable", 90), ("canary", 10)].into_iter();
    weights
        .filter_map(|(name, weight)| Some((name.parse().ok()?, weight)))
        .collect()
}

/// Returns the pod of a backend.
#[must_use]
pub fn pod_of(backend: &Name) -> String {
    format!("tollgate-{backend}")
}

/// Returns the objects of a split through a gateway of the given class.
#[must_use]
pub fn split(settings: &Settings, class: &str, weights: &Weights) -> Vec<Object> {
    let mut objects = vec![namespaced(policy(settings, weights))];
    for name in weights.keys() {
        objects.push(namespaced(backend(settings, name)));
        objects.push(namespaced(service(settings, name)));
    }
    objects.push(gateway(settings, class));
    objects.push(route(settings, weights));
    objects
}

/// Returns the objects of a run that splits requests, in the order in which they are applied.
#[must_use]
pub fn of_run(settings: &Settings, class: &str, weights: &Weights) -> Vec<Object> {
    let mut objects = vec![namespaced(rights::probe_account(settings))];
    objects.extend(split(settings, class, weights));
    objects.push(namespaced(pods::probe(settings, Seat::usual(Role::Client))));
    objects
}

fn backend(settings: &Settings, name: &Name) -> Pod {
    let port = BACKEND_PORT.to_string();
    let args = [
        "serve",
        "--bind",
        "0.0.0.0",
        "--port",
        &port,
        "--name",
        name.as_str(),
    ];
    let mut pod = pods::pod(
        settings,
        &pod_of(name),
        name.as_str(),
        &args,
        &[BACKEND_PORT],
    );
    if let Some(spec) = &mut pod.spec {
        // All of them on the other side: where a backend stands isn't what is compared.
        spec.affinity = Some(pods::affinity(settings, Seat::usual(Role::Far)));
    }
    pod
}

fn service(settings: &Settings, name: &Name) -> Service {
    Service {
        metadata: metadata(settings, &pod_of(name)),
        spec: Some(ServiceSpec {
            selector: Some([(ROLE.to_owned(), name.to_string())].into()),
            ports: Some(vec![ServicePort {
                name: Some("http".to_owned()),
                port: i32::from(HTTP),
                target_port: Some(IntOrString::Int(i32::from(BACKEND_PORT))),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// Returns the policy: the client may send to whatever the gateway's address is, and backends answer on their port
/// whoever asks, since a gateway's proxies stand where its controller puts them.
fn policy(settings: &Settings, weights: &Weights) -> NetworkPolicy {
    let client = Role::Client.as_str().to_owned();
    let backends = weights.keys().map(Name::to_string);
    NetworkPolicy {
        metadata: metadata(settings, GATEWAY),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_expressions: Some(vec![LabelSelectorRequirement {
                    key: ROLE.to_owned(),
                    operator: "In".to_owned(),
                    values: Some(std::iter::once(client).chain(backends).collect()),
                }]),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: None,
                ports: Some(vec![NetworkPolicyPort {
                    port: Some(IntOrString::Int(i32::from(BACKEND_PORT))),
                    protocol: Some("TCP".to_owned()),
                    ..NetworkPolicyPort::default()
                }]),
            }]),
            egress: Some(vec![NetworkPolicyEgressRule {
                to: None,
                ports: Some(vec![NetworkPolicyPort {
                    protocol: Some("TCP".to_owned()),
                    ..NetworkPolicyPort::default()
                }]),
            }]),
        }),
    }
}

fn gateway(settings: &Settings, class: &str) -> Object {
    let value = json!({
        "metadata": meta(settings, GATEWAY),
        "spec": {
            "gatewayClassName": class,
            "listeners": [{"name": "http", "protocol": "HTTP", "port": HTTP}],
        },
    });
    custom("Gateway", "gateways", value)
}

/// The route is as it was in v1.0 of the Gateway API, and still is in v1.6.
fn route(settings: &Settings, weights: &Weights) -> Object {
    let backends: Vec<Value> = weights
        .iter()
        .map(|(name, weight)| json!({"name": pod_of(name), "port": HTTP, "weight": weight}))
        .collect();
    let value = json!({
        "metadata": meta(settings, GATEWAY),
        "spec": {
            "parentRefs": [{"name": GATEWAY}],
            "rules": [{"backendRefs": backends}],
        },
    });
    custom("HTTPRoute", "httproutes", value)
}

fn meta(settings: &Settings, name: &str) -> Value {
    let mut value = serde_json::to_value(metadata(settings, name)).expect("texts serialise");
    value["labels"][PART_OF.0] = PART_OF.1.into();
    value
}

fn custom(kind: &'static str, plural: &'static str, mut value: Value) -> Object {
    value["apiVersion"] = API_VERSION.into();
    value["kind"] = kind.into();
    Object {
        api_version: API_VERSION,
        kind,
        plural,
        namespaced: true,
        value,
    }
}
