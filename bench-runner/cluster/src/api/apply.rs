//! Puts a run's objects into the cluster, and takes them out again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams,
    Preconditions,
};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{Cluster, ClusterError, ClusterErrorKind, status_code};
use crate::objects::{
    FIELD_MANAGER, OWNER, Object, PART_OF, RUN, Run, Settings, mesh, of_run, owner, token,
};

/// How long the end of a run's pods is waited for: they have a second to go, and nodes are busy.
const GONE: Duration = Duration::from_secs(60);

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// A run's objects, as the server has them.
#[derive(Debug, Clone)]
pub struct Made {
    /// Its settings, with its owner's uid in them.
    pub settings: Settings,
    /// The services by their names.
    services: BTreeMap<String, Value>,
}

impl Made {
    /// Returns the addresses of a service.
    #[must_use]
    pub fn service_addresses(&self, name: &str) -> Vec<IpAddr> {
        let listed = self
            .services
            .get(name)
            .and_then(|service| service.pointer("/spec/clusterIPs")?.as_array());
        let texts = listed.into_iter().flatten().filter_map(Value::as_str);
        texts.filter_map(|text| text.parse().ok()).collect()
    }

    /// Returns the port on every node that leads to a service's TCP port.
    #[must_use]
    pub fn node_port(&self, name: &str, port: u16) -> Option<u16> {
        let ports = self
            .services
            .get(name)?
            .pointer("/spec/ports")?
            .as_array()?;
        let of = |entry: &&Value| entry["port"] == port;
        let drawn = ports
            .iter()
            .filter(of)
            .find(|entry| entry["protocol"] == "TCP")?;
        u16::try_from(drawn["nodePort"].as_u64()?).ok()
    }
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cleaned {
    /// The runs.
    pub runs: Vec<String>,
    /// Pods that are still going, each with its node.
    pub left: Vec<String>,
}

impl Cleaned {
    /// Says which pods are still going and when they end; `None` where all are gone.
    #[must_use]
    pub fn still_going(&self) -> Option<String> {
        let left = (!self.left.is_empty()).then(|| self.left.join(", "))?;
        Some(format!(
            "still going: {left}; a pod ends when its node answers, or is deleted with its node"
        ))
    }
}

impl Cluster {
    /// Makes all that a run owns, its token first, once it has [begun](Self::begin). What was made until an error stays, and goes by
    /// [`Self::clean`].
    ///
    /// # Errors
    ///
    /// When the server refuses an object; it says which and why.
    pub async fn make(&self, settings: Settings, secret: &str) -> Result<Made, ClusterError> {
        self.make_of(settings, secret, &of_run).await
    }

    /// As [`Self::make`], of other objects than the usual ones.
    ///
    /// # Errors
    ///
    /// As [`Self::make`].
    pub async fn make_of(
        &self,
        settings: Settings,
        secret: &str,
        objects: &(dyn Fn(&Settings) -> Vec<Object> + Sync),
    ) -> Result<Made, ClusterError> {
        self.apply(&token(&settings, secret)).await?;
        let mut services = BTreeMap::new();
        for object in objects(&settings) {
            let mut made = self.apply(&object).await?;
            if let Some(same) = same_node_ports(&object, &made) {
                made = self.apply(&same).await?;
            }
            if object.kind == "Service" {
                services.insert(object.name().to_owned(), made);
            }
        }
        Ok(Made { settings, services })
    }

    /// Makes a mesh, once it has begun: its token, and a probe on each of these nodes.
    ///
    /// # Errors
    ///
    /// As [`Self::make`].
    pub async fn make_mesh(
        &self,
        settings: &Settings,
        secret: &str,
        nodes: &[String],
    ) -> Result<(), ClusterError> {
        self.apply(&token(settings, secret)).await?;
        for object in mesh::of_mesh(settings, nodes) {
            self.apply(&object).await?;
        }
        Ok(())
    }

    /// Begins a run: makes its owner, which only one run in a namespace has. Returns the settings with the owner's uid in
    /// them, by which [`Self::clean`] takes it for this run's.
    ///
    /// # Errors
    ///
    /// When another run stands in the namespace, or the server refuses.
    pub async fn begin(&self, mut settings: Settings) -> Result<Settings, ClusterError> {
        let uid = self.claim(&owner(&settings)).await?;
        settings.run = settings.run.map(|run| Run {
            owner: Some(uid),
            ..run
        });
        Ok(settings)
    }

    /// Makes the owner of a run where there is none; returns its uid.
    async fn claim(&self, owner: &Object) -> Result<String, ClusterError> {
        let action = "make the object that owns the run";
        let unlike = |error: serde_json::Error| {
            ClusterError::new(action, ClusterErrorKind::Answer(error.to_string()))
        };
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let owner: ConfigMap = serde_json::from_value(owner.value.clone()).map_err(unlike)?;
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let made = match api.create(&params, &owner).await {
            Ok(made) => made,
            Err(error) if status_code(&error) == Some(409) => {
                let why = format!(
                    "a run stands in namespace {} ({OWNER}); wait for its end, remove it with `tollgate cluster clean`, or \
                     choose another namespace",
                    self.namespace
                );
                return Err(ClusterError::new(action, ClusterErrorKind::Occupied(why)));
            }
            Err(error) => return Err(self.failed(action, &error)),
        };
        let unnamed = || ClusterErrorKind::Answer("it has no uid".to_owned());
        let uid = made.metadata.uid;
        uid.ok_or_else(|| ClusterError::new(action, unnamed()))
    }

    /// Applies one object on the server's side, as our field manager.
    ///
    /// # Errors
    ///
    /// When the server refuses it.
    pub async fn apply(&self, object: &Object) -> Result<Value, ClusterError> {
        let (group, version) = object
            .api_version
            .split_once('/')
            .unwrap_or(("", object.api_version));
        let kind = GroupVersionKind::gvk(group, version, object.kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, object.plural);
        let api: Api<DynamicObject> = if object.namespaced {
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        };
        // Ours are ours: a field that somebody else changed meanwhile is set back.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let applied = api
            .patch(object.name(), &params, &Patch::Apply(&object.value))
            .await;
        let failed = |error: kube::Error| {
            let action = format!("apply {} {}", object.kind.to_lowercase(), object.name());
            self.failed(action, &error)
        };
        let applied = applied.map_err(failed)?;
        serde_json::to_value(applied).map_err(|error| {
            let action = format!("read {} {}", object.kind.to_lowercase(), object.name());
            ClusterError::new(action, ClusterErrorKind::Answer(error.to_string()))
        })
    }

    /// Returns the names of the runs in the namespace.
    pub(super) async fn runs(&self) -> Result<Vec<String>, kube::Error> {
        let path = format!("/api/v1/namespaces/{}/configmaps", self.namespace);
        let owners = self.list(&path, &selector()).await?;
        let name = |owner: &Value| {
            let label = owner.pointer("/metadata/labels")?.get(RUN)?.as_str()?;
            Some(label.to_owned())
        };
        let ours =
            |owner: &&Value| owner.pointer("/metadata/name").and_then(Value::as_str) == Some(OWNER);
        Ok(owners.iter().filter(ours).filter_map(name).collect())
    }

    /// Removes a run from the namespace: its owner, and with it all that it owns. With the uid of an owner only that one,
    /// should another run stand there by now; without, whichever stands. Returns when the pods are gone, or after a minute.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn clean(&self, owner: Option<&str>) -> Result<Cleaned, ClusterError> {
        let action = "remove the run's objects";
        let mut runs = self
            .runs()
            .await
            .map_err(|error| self.failed(action, &error))?;
        let params = DeleteParams {
            preconditions: owner.map(|uid| Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        match api.delete(OWNER, &params).await {
            Ok(_) => {}
            // It is gone, or another run's by now.
            Err(error) if matches!(status_code(&error), Some(404 | 409)) => runs.clear(),
            Err(error) => return Err(self.failed(action, &error)),
        }
        let mut left = Vec::new();
        let gone = timeout(GONE, async {
            loop {
                left = self.pods_of_runs(owner).await?;
                // Who removed nothing waits for nothing.
                if left.is_empty() || runs.is_empty() {
                    return Ok(());
                }
                sleep(LOOK).await;
            }
        });
        if let Ok(Err(error)) = gone.await {
            return Err(self.failed("see the run's pods go", &error));
        }
        Ok(Cleaned { runs, left })
    }

    /// Returns the pods of runs, each with its node: of all, or of that with this owner.
    pub(super) async fn pods_of_runs(
        &self,
        owner: Option<&str>,
    ) -> Result<Vec<String>, kube::Error> {
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace);
        let pods = self.list(&path, &selector()).await?;
        let text =
            |pod: &Value, at: &str| pod.pointer(at).and_then(Value::as_str).map(str::to_owned);
        let ours = pods.iter().filter(|pod| {
            let of = pod.pointer("/metadata/ownerReferences/0/uid");
            owner.is_none() || of.and_then(Value::as_str) == owner
        });
        let told = ours.filter_map(|pod| {
            let name = text(pod, "/metadata/name")?;
            Some(match text(pod, "/spec/nodeName") {
                Some(node) => format!("{name} on {node}"),
                None => name,
            })
        });
        Ok(told.collect())
    }
}

/// Servers draw a node port for each protocol; a path has one number. Returns the service with the number of TCP for
/// UDP too, where they differ.
fn same_node_ports(object: &Object, made: &Value) -> Option<Object> {
    let drawn = made.pointer("/spec/ports")?.as_array()?;
    let number = |port: &Value, protocol: &str| {
        let found = drawn
            .iter()
            .find(|entry| entry["port"] == *port && entry["protocol"] == protocol);
        found.and_then(|entry| entry.get("nodePort")).cloned()
    };
    let mut same = object.clone();
    let mut differ = false;
    for entry in same.value.pointer_mut("/spec/ports")?.as_array_mut()? {
        let tcp = number(&entry["port"], "TCP")?;
        differ |= number(&entry["port"], "UDP")? != tcp;
        entry["nodePort"] = tcp;
    }
    differ.then_some(same)
}

/// Selects what belongs to a run.
fn selector() -> String {
    let (key, value) = PART_OF;
    format!(
        "labelSelector={}%3D{value}%2C{}",
        key.replace('/', "%2F"),
        RUN.replace('/', "%2F")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn node_ports_of_both_protocols_are_made_the_same() {
        let service = |numbers: [Option<u16>; 2]| {
            let ports = ["TCP", "UDP"]
                .into_iter()
                .zip(numbers)
                .map(|(protocol, number)| {
                    let mut port = json!({"port": 7791, "protocol": protocol});
                    if let Some(number) = number {
                        port["nodePort"] = number.into();
                    }
                    port
                });
            json!({"spec": {"ports": ports.collect::<Vec<_>>()}})
        };
        let object = Object {
            api_version: "v1",
            kind: "Service",
            plural: "services",
            namespaced: true,
            value: service([None, None]),
        };
        let same = same_node_ports(&object, &service([Some(30_001), Some(30_002)])).unwrap();
        assert_eq!(same.value, service([Some(30_001), Some(30_001)]));
        assert_eq!(
            same_node_ports(&object, &service([Some(30_001), Some(30_001)])),
            None
        );
        assert_eq!(
            same_node_ports(&object, &service([None, None])),
            None,
            "no node port at all"
        );
    }
}
