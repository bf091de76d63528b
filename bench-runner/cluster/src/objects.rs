//! The objects of a run, built from types: what `tollgate` applies and what `k8s-manifests/base` holds are the
//! same, by construction.
//!
//! - `pods`: the probes
//! - `seats`: which of them there are
//! - `mesh`: a probe on each node
//! - `network`: services, and the policy that admits probes only
//! - `rights`: what the runner may do, and nothing else
//! - `route`: a weighted split through the Gateway API
//! - `runner`: the runner itself, as a Job
//! - `inspector`: a look at each node, as a daemon set

pub mod inspector;
pub mod mesh;
pub mod network;
pub mod pods;
pub mod rights;
pub mod route;
pub mod runner;
pub mod seats;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::{ClusterResourceScope, Metadata, NamespaceResourceScope, Resource};
use serde::Serialize;
use serde_json::Value;

use self::seats::Pair;

/// The label that every object of Tollgate carries.
pub const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "tollgate");

/// The label that says which probe a pod is.
pub const ROLE: &str = "tollgate.io/role";

/// The label that says which run an object belongs to.
pub const RUN: &str = "tollgate.io/run";

/// The object that owns all others of a run: when it goes, they go.
pub const OWNER: &str = "tollgate-run";

/// The secret that holds the run's token.
pub const TOKEN: &str = "tollgate-token";

/// Who applies the objects of a run.
pub const FIELD_MANAGER: &str = "tollgate";

/// What a run's objects differ in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The namespace that they stand in.
    pub namespace: String,
    /// The probes' image.
    pub image: String,
    /// Secrets with which the image is pulled.
    pub pull_secrets: Vec<String>,
    /// When the probes end by themselves, in seconds after their start.
    pub deadline_seconds: i64,
    /// The run that they belong to; `None` for manifests.
    pub run: Option<Run>,
    /// The nodes that client and server are put on; the scheduler chooses where they are not given.
    pub nodes: Option<(String, String)>,
    /// Nodes between which some arms lead: they have probes of their own.
    pub pairs: Vec<Pair>,
    /// Client pods of the usual paths, 1 or more.
    pub clients: u8,
    /// Addresses of nodes: traffic to a node port may come from one of them.
    pub node_addresses: Vec<String>,
    /// Whether probes in the nodes' own network stand beside the others.
    pub host_network: bool,
    /// Whether a probe stands in another zone than the client.
    pub other_zone: bool,
    /// Whether a load balancer of the cluster's leads to the probe on the other node.
    pub load_balancer: bool,
}

impl Default for Settings {
    /// As the manifests of the base are.
    fn default() -> Self {
        Self {
            namespace: "tollgate".to_owned(),
            image: format!("tollgate-probe:{}", env!("CARGO_PKG_VERSION")),
            pull_secrets: Vec::new(),
            // Long enough for a day's work by hand, short enough to be gone the next morning.
            deadline_seconds: 8 * 3_600,
            run: None,
            nodes: None,
            pairs: Vec::new(),
            clients: 1,
            node_addresses: Vec::new(),
            host_network: false,
            other_zone: false,
            load_balancer: false,
        }
    }
}

/// A run, as its objects know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its name: lower-case letters, digits and `-`.
    pub name: String,
    /// Uid of the object that owns the others; `None` before the server has made it.
    pub owner: Option<String>,
}

/// An object with what the API needs to find its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Group and version, such as `apps/v1`; `v1` for the core.
    pub api_version: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// The kind in paths and rights, such as `pods`.
    pub plural: &'static str,
    /// Whether it stands in a namespace.
    pub namespaced: bool,
    /// The object itself.
    pub value: Value,
}

impl Object {
    /// Returns the object's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.value
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// Returns the objects that the manifests' base holds: what somebody who may do so sets up once, and the probes.
#[must_use]
pub fn base(settings: &Settings) -> Vec<Object> {
    let mut objects = vec![cluster_wide(namespace(settings))];
    objects.extend(rights::of_runner(settings));
    objects.extend(of_run(settings));
    objects
}

/// Returns the objects of one run, in the order in which they are applied. The owner and the token aren't among
/// them: see [`owner`] and [`token`].
#[must_use]
pub fn of_run(settings: &Settings) -> Vec<Object> {
    let mut objects = vec![namespaced(rights::probe_account(settings))];
    objects.push(policy(settings));
    objects.extend(network::services(settings).into_iter().map(namespaced));
    objects.extend(pods::probes(settings).into_iter().map(namespaced));
    objects
}

/// Returns the policy that admits probes only.
#[must_use]
pub fn policy(settings: &Settings) -> Object {
    namespaced(network::policy(settings))
}

/// Returns the service behind a load balancer.
#[must_use]
pub fn load_balancer(settings: &Settings) -> Object {
    namespaced(network::balanced(settings))
}

/// Returns the namespace, which asks for the `restricted` standard by warnings.
fn namespace(settings: &Settings) -> Namespace {
    let mut metadata = ObjectMeta {
        name: Some(settings.namespace.clone()),
        ..ObjectMeta::default()
    };
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(PART_OF.0.to_owned(), PART_OF.1.to_owned());
    labels.insert(
        "pod-security.kubernetes.io/warn".to_owned(),
        "restricted".to_owned(),
    );
    Namespace {
        metadata,
        ..Namespace::default()
    }
}

/// Returns the object that owns all others of a run.
#[must_use]
pub fn owner(settings: &Settings) -> Object {
    let mut metadata = metadata(settings, OWNER);
    metadata.owner_references = None;
    namespaced(ConfigMap {
        metadata,
        ..ConfigMap::default()
    })
}

/// Returns the secret with the run's token, in hexadecimal digits.
#[must_use]
pub fn token(settings: &Settings, token: &str) -> Object {
    let data = BTreeMap::from([("token".to_owned(), token.to_owned())]);
    namespaced(k8s_openapi::api::core::v1::Secret {
        metadata: metadata(settings, TOKEN),
        string_data: Some(data),
        ..Default::default()
    })
}

/// Returns what every object of a run says of itself.
fn metadata(settings: &Settings, name: &str) -> ObjectMeta {
    let mut labels = BTreeMap::from([(PART_OF.0.to_owned(), PART_OF.1.to_owned())]);
    let mut owner_references = None;
    if let Some(run) = &settings.run {
        labels.insert(RUN.to_owned(), run.name.clone());
        owner_references = run.owner.as_ref().map(|uid| {
            vec![OwnerReference {
                api_version: ConfigMap::API_VERSION.to_owned(),
                kind: ConfigMap::KIND.to_owned(),
                name: OWNER.to_owned(),
                uid: uid.clone(),
                ..OwnerReference::default()
            }]
        });
    }
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(settings.namespace.clone()),
        labels: Some(labels),
        owner_references,
        ..ObjectMeta::default()
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "objects are made to be given away"
)]
fn namespaced<T>(object: T) -> Object
where
    T: Resource<Scope = NamespaceResourceScope> + Metadata + Serialize,
{
    typed(&object, true)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "objects are made to be given away"
)]
fn cluster_wide<T>(object: T) -> Object
where
    T: Resource<Scope = ClusterResourceScope> + Metadata + Serialize,
{
    typed(&object, false)
}

fn typed<T: Resource + Serialize>(object: &T, namespaced: bool) -> Object {
    Object {
        api_version: T::API_VERSION,
        kind: T::KIND,
        plural: T::URL_PATH_SEGMENT,
        namespaced,
        value: serde_json::to_value(object).expect("texts and numbers serialise"),
    }
}
