//! The packet clock of an arm.

use tollgate_lab::{ClockEnd, ClockSpec};
use tollgate_results::anatomy::{Hook, Site, Trip};

use super::{LabDeployment, LabTarget, blocking};

impl LabTarget {
    /// Says why packets can't be followed here, and how to mend that; `None` if they can.
    ///
    /// # Errors
    ///
    /// When the lab has ended.
    pub(crate) async fn missing_clock(&self, netfilter: &[Hook]) -> anyhow::Result<Option<String>> {
        let netfilter = netfilter.to_vec();
        blocking(&self.lab, move |lab| lab.missing_clock(&netfilter)).await
    }
}

impl LabDeployment {
    /// Starts to follow the arm's packets; returns its namespaces with their devices.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub(crate) async fn start_clock(&self, spec: ClockSpec) -> anyhow::Result<Vec<Site>> {
        let name = self.name.clone();
        blocking(&self.lab, move |lab| lab.start_clock(&name, &spec)).await
    }

    /// Stops to follow them; returns what was seen.
    ///
    /// # Errors
    ///
    /// When nobody did.
    pub(crate) async fn stop_clock(&self) -> anyhow::Result<(ClockEnd, Vec<Trip>)> {
        let name = self.name.clone();
        blocking(&self.lab, move |lab| lab.stop_clock(&name)).await
    }
}
