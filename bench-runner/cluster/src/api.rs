//! A cluster through its API server: what is asked of it, and what is put into it.
//!
//! - `gather`: the objects that tell what its network is
//! - `gateway`: a gateway of the Gateway API, until it has an address
//! - `nodes`: what the node inspector has seen
//! - `preflight`: everything that stands against a run, at once
//! - `apply`: server-side apply of a run's objects, and their end
//! - `ready`: waiting for the probes, with the reason where one doesn't come up
//! - `again`: whether they still stand
//! - `balancer`: what a load balancer gave a service
//! - `survey`: which nodes there are, and which of them take probes
//! - `forward`: a byte stream to a probe's agent

mod again;
mod apply;
mod balancer;
mod forward;
mod gateway;
mod gather;
mod nodes;
mod preflight;
mod ready;
mod survey;

use kube::config::KubeConfigOptions;
use kube::{Client, Config};

pub use self::apply::{Cleaned, Made};
pub use self::forward::Forward;
pub use self::gateway::GatewayClass;
pub use self::gather::Gathered;
pub use self::preflight::Preflight;
pub use self::ready::{Placed, Settled};
pub use self::survey::Surveyed;

/// A cluster, and the namespace in it that a run stands in.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    config: Config,
    server: String,
    namespace: String,
}

/// Something that a cluster can't or won't do.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action}")]
pub struct ClusterError {
    action: String,
    #[source]
    kind: ClusterErrorKind,
}

/// Why, and how to mend it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterErrorKind {
    /// No way to a cluster is known.
    #[error("{0}; set KUBECONFIG, or name a context that `kubectl config get-contexts` lists")]
    Config(String),
    /// The server refuses.
    #[error("the API server says: {0}")]
    Refused(String),
    /// The server can't be reached.
    #[error("{0}; is the API server up, and reachable from here?")]
    Unreachable(String),
    /// The server answers with what it shouldn't.
    #[error("{0}")]
    Answer(String),
    /// Another run stands there.
    #[error("{0}")]
    Occupied(String),
    /// Probes don't come up.
    #[error("{}", .0.join("; "))]
    Probes(Vec<String>),
    /// It took too long.
    #[error("{0}")]
    Late(String),
}

impl Cluster {
    /// Finds the way to a cluster: the context that is named, else the current one, else that of the pod in which this
    /// runs. Nothing is asked yet.
    ///
    /// # Errors
    ///
    /// When there is no such context, or none at all.
    pub async fn connect(
        context: Option<&str>,
        namespace: Option<&str>,
    ) -> Result<Self, ClusterError> {
        let failed =
            |why: String| ClusterError::new("find a cluster", ClusterErrorKind::Config(why));
        let config = match context {
            Some(context) => {
                let options = KubeConfigOptions {
                    context: Some(context.to_owned()),
                    ..KubeConfigOptions::default()
                };
                let found = Config::from_kubeconfig(&options).await;
                found.map_err(|error| failed(one_line(&error)))?
            }
            None => Config::infer()
                .await
                .map_err(|error| failed(one_line(&error)))?,
        };
        Self::of(config, namespace)
    }

    /// Takes a way to a cluster that is known.
    ///
    /// # Errors
    ///
    /// When its certificates can't be used.
    pub fn of(config: Config, namespace: Option<&str>) -> Result<Self, ClusterError> {
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config.clone()).map_err(|error| {
            ClusterError::new(
                "use the cluster's credentials",
                ClusterErrorKind::Config(one_line(&error)),
            )
        })?;
        Ok(Self {
            client,
            config,
            server,
            namespace: namespace.unwrap_or("tollgate").to_owned(),
        })
    }

    /// Connects anew: a connection belongs to the runtime in which it was made.
    ///
    /// # Errors
    ///
    /// As [`Self::of`].
    pub fn again(&self) -> Result<Self, ClusterError> {
        Self::of(self.config.clone(), Some(&self.namespace))
    }

    /// Returns the server's address.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Returns the namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    fn failed(&self, action: impl Into<String>, error: &kube::Error) -> ClusterError {
        let kind = match error {
            kube::Error::Api(status) => ClusterErrorKind::Refused(status.message.clone()),
            kube::Error::HyperError(_) | kube::Error::Service(_) => {
                ClusterErrorKind::Unreachable(format!("{}: {}", self.server, causes(error)))
            }
            kube::Error::Auth(error) => ClusterErrorKind::Config(one_line(error)),
            other => ClusterErrorKind::Answer(one_line(other)),
        };
        ClusterError::new(action, kind)
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("server", &self.server)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl ClusterError {
    fn new(action: impl Into<String>, kind: ClusterErrorKind) -> Self {
        Self {
            action: action.into(),
            kind,
        }
    }

    /// Returns why it failed.
    #[must_use]
    pub const fn kind(&self) -> &ClusterErrorKind {
        &self.kind
    }
}

/// Returns the innermost cause: what is wrong, without who passed it on.
fn causes(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    one_line(innermost)
}

fn one_line(error: &(impl std::fmt::Display + ?Sized)) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn status_code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}
