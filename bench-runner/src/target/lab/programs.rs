//! The eBPF programs of an arm.

use tollgate_lab::bpf::ProgramRuns;

use super::{LabDeployment, blocking};

impl LabDeployment {
    /// Lists the arm's programs with their runs, as far as the kernel counted them.
    ///
    /// # Errors
    ///
    /// When the lab has ended, or the kernel refuses.
    pub(crate) async fn programs(&self) -> anyhow::Result<Vec<ProgramRuns>> {
        let name = self.name.clone();
        blocking(&self.lab, move |lab| lab.programs(&name)).await
    }
}
