//! What stands against a run: all of it at once, before anything is made.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{Node, ResourceQuota};
use kube::Api;
use kube::api::PostParams;
use serde_json::Value;

use super::survey::unable;
use super::{Cleaned, Cluster, ClusterError, status_code};
use crate::objects::rights::{RIGHTS, Right};
use crate::objects::{OWNER, Settings, of_run};

/// What was found before a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preflight {
    /// The server's version.
    pub version: String,
    /// What has to be mended first, one line each with the way to mend it.
    pub problems: Vec<String>,
    /// What couldn't be looked at, or is worth knowing.
    pub notes: Vec<String>,
    /// Whether another run stands in the namespace.
    pub occupied: Option<String>,
}

impl Cluster {
    /// Looks for everything that stands against a run.
    ///
    /// # Errors
    ///
    /// When the server can't be reached, or doesn't know us.
    pub async fn preflight(&self, settings: &Settings) -> Result<Preflight, ClusterError> {
        let objects = of_run(settings);
        let pods = objects.iter().filter(|object| object.kind == "Pod").count();
        self.preflight_with(settings, &RIGHTS, pods).await
    }

    /// As [`Self::preflight`], with all rights that are needed and so many pods.
    pub(super) async fn preflight_with(
        &self,
        settings: &Settings,
        rights: &[Right],
        pods: usize,
    ) -> Result<Preflight, ClusterError> {
        let mut found = self.look(settings, rights, pods).await?;
        self.nodes_suffice(settings, &mut found).await;
        Ok(found)
    }

    /// Looks for everything that stands against a run of so many pods, but for its nodes.
    ///
    /// # Errors
    ///
    /// As [`Self::preflight`].
    pub async fn preflight_for(
        &self,
        settings: &Settings,
        pods: usize,
    ) -> Result<Preflight, ClusterError> {
        self.look(settings, &RIGHTS, pods).await
    }

    async fn look(
        &self,
        settings: &Settings,
        rights: &[Right],
        pods: usize,
    ) -> Result<Preflight, ClusterError> {
        let mut found = Preflight::default();
        let version = self.client.apiserver_version().await;
        let version =
            version.map_err(|error| self.failed("ask for the server's version", &error))?;
        found.version = version.git_version;
        self.rights(rights, &mut found).await?;
        self.namespace_admits(settings, &mut found).await?;
        self.quota_admits(pods, &mut found).await;
        self.nobody_else(&mut found).await?;
        Ok(found)
    }

    /// Asks for each right whether we have it.
    async fn rights(&self, rights: &[Right], found: &mut Preflight) -> Result<(), ClusterError> {
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        for right in rights {
            let (resource, part) = match right.resource.split_once('/') {
                Some((resource, part)) => (resource, Some(part.to_owned())),
                None => (right.resource, None),
            };
            let mut lacking = Vec::new();
            for &verb in right.verbs {
                let review = SelfSubjectAccessReview {
                    spec: SelfSubjectAccessReviewSpec {
                        resource_attributes: Some(ResourceAttributes {
                            group: Some(right.group.to_owned()),
                            resource: Some(resource.to_owned()),
                            subresource: part.clone(),
                            namespace: Some(self.namespace.clone()),
                            verb: Some(verb.to_owned()),
                            ..ResourceAttributes::default()
                        }),
                        ..SelfSubjectAccessReviewSpec::default()
                    },
                    ..SelfSubjectAccessReview::default()
                };
                let answer = reviews.create(&PostParams::default(), &review).await;
                let answer = answer.map_err(|error| self.failed("ask for our rights", &error))?;
                if !answer.status.is_some_and(|status| status.allowed) {
                    lacking.push(verb);
                }
            }
            if !lacking.is_empty() {
                found.problems.push(format!(
                    "no right to {} {} in namespace {} ({}); bind the role of k8s-manifests/base",
                    lacking.join(", "),
                    right.resource,
                    self.namespace,
                    right.purpose
                ));
            }
        }
        Ok(())
    }

    /// Checks that the namespace is there and its Pod Security level admits the probes.
    async fn namespace_admits(
        &self,
        settings: &Settings,
        found: &mut Preflight,
    ) -> Result<(), ClusterError> {
        let namespace = match self
            .get(&format!("/api/v1/namespaces/{}", self.namespace))
            .await
        {
            Ok(namespace) => namespace,
            Err(error) => {
                match status_code(&error) {
                    Some(404) => found.problems.push(format!(
                        "there is no namespace {0}; make it: kubectl create namespace {0}",
                        self.namespace
                    )),
                    Some(403) => found.notes.push(format!(
                        "namespace {} may not be read: its Pod Security level is unknown",
                        self.namespace
                    )),
                    _ => return Err(self.failed("look at the namespace", &error)),
                }
                return Ok(());
            }
        };
        let level = namespace
            .pointer("/metadata/labels")
            .and_then(|labels| labels.get("pod-security.kubernetes.io/enforce"))
            .and_then(Value::as_str);
        if let (true, Some(level @ ("baseline" | "restricted"))) = (settings.host_network, level) {
            found.problems.push(format!(
                "namespace {} enforces the {level} Pod Security Standard, which forbids probes in the nodes' network; \
                 leave the host paths out, or label it pod-security.kubernetes.io/enforce=privileged",
                self.namespace
            ));
        }
        Ok(())
    }

    /// Checks that quotas leave room, as far as they may be read.
    async fn quota_admits(&self, wanted: usize, found: &mut Preflight) {
        let path = format!("/api/v1/namespaces/{}/resourcequotas", self.namespace);
        let Ok(quotas) = self.list(&path, "").await else {
            found
                .notes
                .push("resource quotas may not be read".to_owned());
            return;
        };
        for quota in quotas {
            let Ok(quota) = serde_json::from_value::<ResourceQuota>(quota) else {
                continue;
            };
            let name = quota.metadata.name.unwrap_or_default();
            let (Some(hard), Some(used)) = (
                quota.spec.and_then(|spec| spec.hard),
                quota.status.and_then(|status| status.used),
            ) else {
                continue;
            };
            let count = |key: &str| {
                let of = |list: &std::collections::BTreeMap<String, _>| {
                    let quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity =
                        list.get(key)?;
                    quantity.0.parse::<usize>().ok()
                };
                Some((of(&hard)?, of(&used)?))
            };
            for key in ["pods", "count/pods"] {
                if let Some((hard, used)) =
                    count(key).filter(|(hard, used)| hard.saturating_sub(*used) < wanted)
                {
                    found.problems.push(format!(
                        "quota {name} leaves room for {} more pods, a run needs {wanted}; raise it, or choose another namespace",
                        hard.saturating_sub(used)
                    ));
                }
            }
            if hard.contains_key("limits.cpu") {
                found.problems.push(format!(
                    "quota {name} wants a CPU limit of every pod, which would throttle the probes; choose another namespace"
                ));
            }
        }
    }

    /// Checks that there are two nodes to measure between, as far as they may be seen.
    async fn nodes_suffice(&self, settings: &Settings, found: &mut Preflight) {
        let Ok(nodes) = self.list("/api/v1/nodes", "").await else {
            found
                .notes
                .push("nodes may not be read: whether there are two isn't known".to_owned());
            return;
        };
        let nodes: Vec<Node> = nodes
            .into_iter()
            .filter_map(|node| serde_json::from_value(node).ok())
            .collect();
        let able: Vec<&Node> = nodes.iter().filter(|node| unable(node).is_none()).collect();
        let named = |name: &str| {
            able.iter()
                .any(|node| node.metadata.name.as_deref() == Some(name))
        };
        if settings.nodes.is_none() && able.len() < 2 {
            found.problems.push(format!(
                "{} of {} nodes are ready and take pods; paths between nodes need two",
                able.len(),
                nodes.len()
            ));
        }
        for name in settings.chosen().into_iter().filter(|name| !named(name)) {
            found.problems.push(format!(
                "node {name} isn't there, isn't ready, or takes no pods; `kubectl get nodes` lists them"
            ));
        }
        let images = |node: &&Node| {
            let images = node
                .status
                .as_ref()
                .and_then(|status| status.images.as_ref());
            let mut listed = images
                .into_iter()
                .flatten()
                .flat_map(|image| image.names.iter().flatten());
            listed.any(|name| {
                name == &settings.image || name.ends_with(&format!("/{}", settings.image))
            })
        };
        let without = able.iter().filter(|node| !images(node)).count();
        if without > 0 {
            found.notes.push(format!(
                "{without} nodes don't have the image {} yet: it is pulled, or has to be imported there",
                settings.image
            ));
        }
    }

    /// Checks that no other run stands in the namespace.
    async fn nobody_else(&self, found: &mut Preflight) -> Result<(), ClusterError> {
        let runs = match self.runs().await {
            Ok(runs) => runs,
            // Said among the rights already.
            Err(error) if status_code(&error) == Some(403) => return Ok(()),
            Err(error) => return Err(self.failed("look for other runs", &error)),
        };
        if let Some(run) = runs.first() {
            found.problems.push(format!(
                "run {run} stands in namespace {} ({OWNER}); wait for its end, remove it with `tollgate cluster clean`, \
                 or choose another namespace",
                self.namespace
            ));
            found.occupied = Some(run.clone());
            return Ok(());
        }
        // A run without an owner is over; what of it is still going has the names that the next one wants.
        let left = self.pods_of_runs(None).await;
        let left = Cleaned {
            runs: Vec::new(),
            left: left.unwrap_or_default(),
        };
        if let Some(left) = left.still_going() {
            found
                .problems
                .push(format!("pods of an earlier run are {left}"));
        }
        Ok(())
    }
}
