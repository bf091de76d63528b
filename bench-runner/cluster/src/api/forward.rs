//! A byte stream to a port on a pod's loopback, through the API server.

use futures_util::FutureExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::DuplexStream;

use super::{Cluster, ClusterError, ClusterErrorKind};

/// A forwarded port. The way stays open for as long as the stream does.
pub struct Forward {
    /// The bytes.
    pub stream: DuplexStream,
    /// What the node says, where nobody listens on the port. Once it is known, waiting for it again never ends.
    pub refusal: std::pin::Pin<Box<dyn Future<Output = Option<String>> + Send>>,
}

impl std::fmt::Debug for Forward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Forward")
    }
}

impl Cluster {
    /// Opens a way to a port on a pod's loopback.
    ///
    /// # Errors
    ///
    /// When the server refuses, or there is no such pod.
    pub async fn forward(&self, pod: &str, port: u16) -> Result<Forward, ClusterError> {
        let action = format!("forward to port {port} of pod {pod}");
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let forwarder = pods.portforward(pod, &[port]).await;
        let mut forwarder = forwarder.map_err(|error| self.failed(action.as_str(), &error))?;
        let taken = (forwarder.take_stream(port), forwarder.take_error(port));
        let (Some(stream), Some(refusal)) = taken else {
            let why = "the port was not forwarded".to_owned();
            return Err(ClusterError::new(action, ClusterErrorKind::Answer(why)));
        };
        Ok(Forward {
            stream,
            refusal: Box::pin(refusal.fuse()),
        })
    }
}
