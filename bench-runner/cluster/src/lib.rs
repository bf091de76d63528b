//! Kubernetes: what a cluster's network is, the objects of a run, and who meets whom in a mesh.
//!
//! Pure functions over the API's objects, typed by `k8s-openapi`, and in [`api`] the way to a server.
//!
//! - [`snapshot`]: objects as the API or `kubectl` gives them
//! - [`mod@inspect`]: from a snapshot to findings with their evidence
//! - [`api`]: rights, server-side apply, waiting for probes, port-forward, cleaning up
//! - [`paths`]: between which probes and to which address is measured
//! - [`objects`]: the objects of a run, built from types
//! - [`manifests`]: the same as files for kustomize
//! - [`mesh`]: all pairs of nodes by a round-robin tournament

pub mod api;
#[cfg(feature = "test-support")]
pub mod double;
pub mod inspect;
pub mod manifests;
pub mod mesh;
pub mod objects;
pub mod paths;
pub mod snapshot;

pub use inspect::inspect;
