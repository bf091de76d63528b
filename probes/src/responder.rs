//! The other end of every kind of traffic, on one port, TCP and UDP.

use tollgate_results::agent::Serve;

use crate::error::ProbeError;

/// A running responder; ends when dropped.
#[derive(Debug)]
pub struct Responder {}

impl Responder {
    /// Starts to answer.
    pub fn start(_serve: &Serve) -> Result<Self, ProbeError> {
        Err(ProbeError::invalid("listen", vec![]))
    }

    /// Returns the port, the same for TCP and UDP.
    #[must_use]
    pub fn port(&self) -> u16 {
        0
    }

    /// Returns the OS ids of the responding threads. Threads are added under load; none ends before the responder.
    #[must_use]
    pub fn thread_ids(&self) -> Vec<i32> {
        vec![]
    }
}
