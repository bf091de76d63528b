//! A gateway: which classes there are, what stands against a split, and waiting until it has an address.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::net::lookup_host;
use tokio::time::{sleep, timeout};

use super::{Cluster, ClusterError, ClusterErrorKind, Preflight, status_code};
use crate::objects::Settings;
use crate::objects::rights::{GATEWAY_RIGHTS, RIGHTS};
use crate::objects::route::{API_VERSION, GATEWAY, HTTP};
use crate::snapshot::text_at;

/// How often a gateway is looked at: controllers take seconds, load balancers of clouds minutes.
const LOOK: Duration = Duration::from_millis(250);

/// A class of gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayClass {
    /// Its name.
    pub name: String,
    /// Who makes its gateways; `None` where classes may not be read.
    pub controller: Option<String>,
}

impl Cluster {
    /// Looks for everything that stands against a split through a gateway to so many backends, and chooses the class: the
    /// one that is named, else the only one.
    ///
    /// # Errors
    ///
    /// When the server can't be reached, or doesn't know us.
    pub async fn preflight_gateway(
        &self,
        settings: &Settings,
        backends: usize,
        wanted: Option<&str>,
    ) -> Result<(Preflight, Option<GatewayClass>), ClusterError> {
        let rights = [&RIGHTS[..], &GATEWAY_RIGHTS[..]].concat();
        // The client has a pod too.
        let mut found = self.preflight_with(settings, &rights, backends + 1).await?;
        let listed = self
            .list(&format!("/apis/{API_VERSION}/gatewayclasses"), "")
            .await;
        let class = match listed {
            Ok(classes) => choose(&classes, wanted),
            Err(error) => match status_code(&error) {
                Some(404) => Err(
                    "the Gateway API isn't installed: install its CRDs (standard channel) and a controller".to_owned(),
                ),
                Some(401 | 403) => match wanted {
                    Some(name) => {
                        found.notes.push("gateway classes may not be read".to_owned());
                        Ok(GatewayClass {
                            name: name.to_owned(),
                            controller: None,
                        })
                    }
                    None => Err("gateway classes may not be read; name one with --gateway-class".to_owned()),
                },
                _ => return Err(self.failed("look for gateway classes", &error)),
            },
        };
        Ok(match class {
            Ok(class) => (found, Some(class)),
            Err(problem) => {
                found.problems.push(problem);
                (found, None)
            }
        })
    }

    /// Waits until the gateway of a run takes requests, and returns where.
    ///
    /// # Errors
    ///
    /// When it doesn't within the limit: with what its controller says of it.
    pub async fn gateway(&self, limit: Duration) -> Result<SocketAddr, ClusterError> {
        let mut why = "its controller hasn't looked at it".to_owned();
        let waited = timeout(limit, async {
            loop {
                match self.reachable().await? {
                    Ok(address) => return Ok(address),
                    Err(still) => why = still,
                }
                sleep(LOOK).await;
            }
        });
        let waited = waited.await;
        let action = "set the gateway up";
        match waited {
            Ok(Ok(address)) => Ok(address),
            Ok(Err(error)) => Err(self.failed(action, &error)),
            Err(_) => {
                let told = format!("not ready after {} s: {why}", limit.as_secs());
                Err(ClusterError::new(action, ClusterErrorKind::Late(told)))
            }
        }
    }

    /// Returns where the gateway takes requests, or what it still lacks.
    async fn reachable(&self) -> Result<Result<SocketAddr, String>, kube::Error> {
        let path = |plural: &str| {
            format!(
                "/apis/{API_VERSION}/namespaces/{}/{plural}/{GATEWAY}",
                self.namespace
            )
        };
        let gateway = self.get(&path("gateways")).await?;
        let conditions = gateway.pointer("/status/conditions");
        if let Some(lacking) = lacking(conditions, &["Accepted", "Programmed"]) {
            return Ok(Err(format!("gateway: {lacking}")));
        }
        let Some(address) = text_at(&gateway, "/status/addresses/0/value") else {
            let why = "gateway: it has no address: is there a load balancer, or does its class want another kind of service?";
            return Ok(Err(why.to_owned()));
        };
        let route = self.get(&path("httproutes")).await?;
        let conditions = route.pointer("/status/parents/0/conditions");
        if let Some(lacking) = lacking(conditions, &["Accepted", "ResolvedRefs"]) {
            return Ok(Err(format!("route: {lacking}")));
        }
        Ok(resolved(address).await)
    }
}

/// Chooses a class, or says why none can be.
fn choose(classes: &[Value], wanted: Option<&str>) -> Result<GatewayClass, String> {
    let of = |class: &Value| GatewayClass {
        name: text_at(class, "/metadata/name")
            .unwrap_or_default()
            .to_owned(),
        controller: text_at(class, "/spec/controllerName").map(ToOwned::to_owned),
    };
    let names: Vec<String> = classes.iter().map(|class| of(class).name).collect();
    let found = match (wanted, classes) {
        (_, []) => {
            return Err(
                "no GatewayClass is there: install a controller of the Gateway API (Cilium, Envoy Gateway, Istio …)"
                    .to_owned(),
            );
        }
        (Some(wanted), _) => {
            let index = names.iter().position(|name| name == wanted);
            index.map(|index| &classes[index]).ok_or_else(|| {
                format!(
                    "there is no GatewayClass {wanted}; there are {}",
                    names.join(", ")
                )
            })?
        }
        (None, [only]) => only,
        (None, _) => {
            return Err(format!(
                "there are several gateway classes; choose one with --gateway-class: {}",
                names.join(", ")
            ));
        }
    };
    match lacking(found.pointer("/status/conditions"), &["Accepted"]) {
        Some(why) => Err(format!(
            "GatewayClass {}: {why}; does its controller run?",
            of(found).name
        )),
        None => Ok(of(found)),
    }
}

/// Says which condition doesn't hold, with what its controller says of it.
fn lacking(conditions: Option<&Value>, wanted: &[&str]) -> Option<String> {
    let conditions = conditions.and_then(Value::as_array);
    wanted.iter().find_map(|&kind| {
        let mut all = conditions.into_iter().flatten();
        let found = all.find(|condition| condition["type"] == kind);
        let Some(condition) = found else {
            return Some(format!("nobody has said that it is {kind}"));
        };
        if condition["status"] == "True" {
            return None;
        }
        let message = condition["message"]
            .as_str()
            .unwrap_or("no reason is given");
        Some(format!(
            "not {kind}: {}",
            message.lines().next().unwrap_or_default()
        ))
    })
}

/// Turns a gateway's address, which may be a name, into one that a probe connects to.
async fn resolved(address: &str) -> Result<SocketAddr, String> {
    if let Ok(ip) = address.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, HTTP));
    }
    let unknown = |why: String| format!("gateway: its name {address} can't be resolved: {why}");
    let mut found = lookup_host((address, HTTP))
        .await
        .map_err(|error| unknown(error.to_string()))?;
    found
        .next()
        .ok_or_else(|| unknown("it has no address".to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn class(name: &str, accepted: &str) -> Value {
        json!({
            "metadata": {"name": name}, "spec": {"controllerName": format!("example.org/{name}")},
            "status": {"conditions": [{"type": "Accepted", "status": accepted, "message": "waiting for\nthe controller"}]},
        })
    }

    #[test]
    fn a_class_is_chosen_or_the_reason_told() {
        let (one, two) = (class("cilium", "True"), class("envoy", "True"));
        let only = choose(std::slice::from_ref(&one), None).unwrap();
        assert_eq!(
            (only.name.as_str(), only.controller.as_deref()),
            ("cilium", Some("example.org/cilium"))
        );
        let both = [one, two];
        assert_eq!(choose(&both, Some("envoy")).unwrap().name, "envoy");
        for (classes, wanted, part) in [
            (
                &[][..],
                None,
                "no GatewayClass is there: install a controller",
            ),
            (&[][..], Some("x"), "no GatewayClass is there"),
            (
                &both[..],
                None,
                "choose one with --gateway-class: cilium, envoy",
            ),
            (
                &both[..],
                Some("x"),
                "there is no GatewayClass x; there are cilium, envoy",
            ),
            (
                &[class("late", "Unknown")][..],
                None,
                "GatewayClass late: not Accepted: waiting for; does",
            ),
        ] {
            let told = choose(classes, wanted).unwrap_err();
            assert!(told.contains(part) && !told.contains('\n'), "{told}");
        }
    }

    #[test]
    fn a_condition_that_doesn_t_hold_is_told_with_its_reason() {
        let conditions = json!([
            {"type": "Accepted", "status": "True"},
            {"type": "Programmed", "status": "False", "message": "no address is free"},
        ]);
        let told = lacking(Some(&conditions), &["Accepted", "Programmed"]).unwrap();
        assert_eq!(told, "not Programmed: no address is free");
        assert_eq!(lacking(Some(&conditions), &["Accepted"]), None);
        assert_eq!(
            lacking(None, &["Accepted"]).unwrap(),
            "nobody has said that it is Accepted"
        );
    }
}
