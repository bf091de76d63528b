//! A weighted split of requests through the Gateway API: two backends, a gateway, a route.

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use super::pods;
use super::{Object, PART_OF, ROLE, Settings, metadata, namespaced};
use crate::paths::FIRST_PORT;

/// A backend of the split: its name, which its responses carry, and its weight.
pub const SPLIT: [(&str, u64); 2] = [("stable", 90), ("canary", 10)];

/// Port of the gateway and of the services behind it.
const HTTP: u16 = 80;

/// Returns the objects of a split through a gateway of the given class.
#[must_use]
pub fn split(settings: &Settings, class: &str) -> Vec<Object> {
    let mut objects = Vec::new();
    for (name, _) in SPLIT {
        objects.push(namespaced(backend(settings, name)));
        objects.push(namespaced(service(settings, name)));
    }
    objects.push(gateway(settings, class));
    objects.push(route(settings));
    objects
}

fn backend(settings: &Settings, name: &str) -> Pod {
    let port = FIRST_PORT.to_string();
    let args = [
        "serve", "--bind", "0.0.0.0", "--port", &port, "--name", name,
    ];
    pods::pod(
        settings,
        &format!("tollgate-{name}"),
        name,
        &args,
        &[FIRST_PORT],
    )
}

fn service(settings: &Settings, name: &str) -> Service {
    Service {
        metadata: metadata(settings, &format!("tollgate-{name}")),
        spec: Some(ServiceSpec {
            selector: Some([(ROLE.to_owned(), name.to_owned())].into()),
            ports: Some(vec![ServicePort {
                name: Some("http".to_owned()),
                port: i32::from(HTTP),
                target_port: Some(IntOrString::Int(i32::from(FIRST_PORT))),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn gateway(settings: &Settings, class: &str) -> Object {
    let value = json!({
        "metadata": meta(settings, "tollgate-split"),
        "spec": {
            "gatewayClassName": class,
            "listeners": [{"name": "http", "protocol": "HTTP", "port": HTTP}],
        },
    });
    custom("Gateway", "gateways", value)
}

/// The route is as it was in v1.0 of the Gateway API, and still is in v1.6.
fn route(settings: &Settings) -> Object {
    let backends = SPLIT.map(|(name, weight)| {
        json!({"name": format!("tollgate-{name}"), "port": HTTP, "weight": weight})
    });
    let value = json!({
        "metadata": meta(settings, "tollgate-split"),
        "spec": {
            "parentRefs": [{"name": "tollgate-split"}],
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
    let api_version = "gateway.networking.k8s.io/v1";
    value["apiVersion"] = api_version.into();
    value["kind"] = kind.into();
    Object {
        api_version,
        kind,
        plural,
        namespaced: true,
        value,
    }
}
