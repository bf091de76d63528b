//! Whether an object has fields that its kind doesn't know: the types drop them.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::place::Place;

/// Returns what is wrong with an object.
pub(super) fn faults(object: &Value) -> Vec<String> {
    let fault = match object["kind"].as_str() {
        Some("ConfigMap") => fault::<ConfigMap>(object),
        Some("Namespace") => fault::<Namespace>(object),
        Some("Pod") => fault::<Pod>(object),
        Some("Secret") => fault::<Secret>(object),
        Some("Service") => fault::<Service>(object),
        Some("ServiceAccount") => fault::<ServiceAccount>(object),
        Some("NetworkPolicy") => fault::<NetworkPolicy>(object),
        Some("Gateway") => shape::<GatewaySpec>(object),
        Some("HTTPRoute") => shape::<RouteSpec>(object),
        Some(kind) => Some(format!("the double has no schema of {kind}")),
        None => Some("it has no kind".to_owned()),
    };
    fault.into_iter().collect()
}

fn fault<T: DeserializeOwned + Serialize>(object: &Value) -> Option<String> {
    let typed: T = match serde_json::from_value(object.clone()) {
        Ok(typed) => typed,
        Err(error) => return Some(error.to_string()),
    };
    match serde_json::to_value(typed) {
        Ok(known) if known == *object => None,
        Ok(known) => Some(format!("unknown fields: it is read as {known}")),
        Err(error) => Some(error.to_string()),
    }
}

/// What a cluster is able to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offers {
    /// Whether it gives services an address of each family: that of IPv6 is `::1`.
    pub dual_stack: bool,
    /// The address that its load balancer gives to services that ask for one.
    pub load_balancer: Option<std::net::Ipv4Addr>,
}

/// What is used of a gateway, as its definition has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "it is only looked at whether it can be read")]
struct GatewaySpec {
    gateway_class_name: String,
    listeners: Vec<Listener>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is only looked at whether it can be read")]
struct Listener {
    name: String,
    protocol: String,
    port: u16,
}

/// What is used of a route.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "it is only looked at whether it can be read")]
struct RouteSpec {
    parent_refs: Vec<Parent>,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is only looked at whether it can be read")]
struct Parent {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "it is only looked at whether it can be read")]
struct Rule {
    backend_refs: Vec<Backend>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is only looked at whether it can be read")]
struct Backend {
    name: String,
    port: u16,
    weight: u32,
}

/// Returns what keeps an object that is no part of Kubernetes itself from being read.
fn shape<T: DeserializeOwned>(object: &Value) -> Option<String> {
    let read = serde_json::from_value::<T>(object["spec"].clone());
    read.err().map(|error| error.to_string())
}

/// Fills in what a server draws: addresses and ports of services, nodes of pods.
pub(super) fn fill(place: &Place, object: &mut Value, offers: Offers) {
    if place.plural == "pods" {
        let bound = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution\
                     /nodeSelectorTerms/0/matchFields/0/values/0";
        let far = place.name.ends_with("far") || place.name.ends_with("zone");
        let any = json!(if far { "node2" } else { "node1" });
        object["spec"]["nodeName"] = object.pointer(bound).cloned().unwrap_or(any);
    }
    let holds = |kinds: [&str; 2]| kinds.map(|kind| json!({"type": kind, "status": "True"}));
    match place.plural.as_str() {
        // What a controller would say; tests bind the address.
        "gateways" => {
            object["status"] = json!({
                "addresses": [{"type": "IPAddress", "value": super::GATEWAY_ADDRESS}],
                "conditions": holds(["Accepted", "Programmed"]),
            });
        }
        "httproutes" => {
            let conditions = holds(["Accepted", "ResolvedRefs"]);
            object["status"] = json!({"parents": [{"conditions": conditions}]});
        }
        _ => {}
    }
    if place.plural != "services" {
        return;
    }
    let spec = &mut object["spec"];
    if spec.get("clusterIP").is_none() {
        // Loopback, so that tests can send there.
        let sum: u32 = place.name.bytes().map(u32::from).sum();
        spec["clusterIP"] = json!(format!("127.96.0.{}", sum % 200 + 1));
        spec["clusterIPs"] = json!([spec["clusterIP"]]);
        if offers.dual_stack {
            spec["clusterIPs"] = json!([spec["clusterIP"], "::1"]);
        }
    }
    let kind = spec.get("type").and_then(Value::as_str).unwrap_or_default();
    let balanced = kind == "LoadBalancer";
    if kind == "NodePort" {
        for port in spec["ports"].as_array_mut().into_iter().flatten() {
            // A real server draws one; the same as the pod's port, so that tests can send there.
            port["nodePort"] = port["targetPort"].clone();
        }
    }
    if let (true, Some(address)) = (balanced, offers.load_balancer) {
        object["status"] = json!({"loadBalancer": {"ingress": [{"ip": address.to_string()}]}});
    }
}
