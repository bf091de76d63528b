//! Whether an object has fields that its kind doesn't know: the types drop them.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::Serialize;
use serde::de::DeserializeOwned;
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

/// Fills in what a server draws: addresses and ports of services, nodes of pods.
pub(super) fn fill(place: &Place, object: &mut Value) {
    if place.plural == "pods" {
        let far = place.name.ends_with("far");
        object["spec"]["nodeName"] = json!(if far { "node2" } else { "node1" });
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
    }
    if spec.get("type") == Some(&json!("NodePort")) {
        for port in spec["ports"].as_array_mut().into_iter().flatten() {
            // A real server draws one; the same as the pod's port, so that tests can send there.
            port["nodePort"] = port["targetPort"].clone();
        }
    }
}
