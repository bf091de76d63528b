//! The lab as a target: namespaces of this machine.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::UnixStream;
use tollgate_lab::{Lab, Role};
use tollgate_results::arm::{Arm, Name};
use tollgate_results::evidence::{DatapathCounters, Translation};
use tollgate_results::outcome::Flow;

use super::{Deployment, End, Endpoints, Site, Target};

mod change;
mod clock;
mod mtu;

/// A lab whose holder lives as long as this value.
#[derive(Debug)]
pub struct LabTarget {
    lab: Arc<Lab>,
    probe: PathBuf,
    seed: u64,
}

impl LabTarget {
    /// Takes over a started lab. `probe` is the probe binary; `seed` decides random positions of services.
    #[must_use]
    pub fn new(lab: Lab, probe: PathBuf, seed: u64) -> Self {
        Self {
            lab: Arc::new(lab),
            probe,
            seed,
        }
    }
}

/// One arm of a lab.
#[derive(Debug)]
pub struct LabDeployment {
    lab: Arc<Lab>,
    probe: PathBuf,
    name: Name,
    site: Site,
}

impl Target for LabTarget {
    type Deployment = LabDeployment;

    async fn deploy(&mut self, arm: &Arm) -> anyhow::Result<LabDeployment> {
        let (name, datapath, seed) = (arm.name.clone(), arm.datapath.clone(), self.seed);
        let (mut facts, endpoints) = blocking(&self.lab, move |lab| {
            let facts = lab.deploy(&name, &datapath, seed)?;
            let endpoints = lab.endpoints(&name)?;
            Ok((facts, endpoints))
        })
        .await?;
        match change::apply(&self.lab, &arm.name, &arm.change).await {
            Ok(applied) => facts.applied = applied,
            Err(error) => {
                self.remove(arm.name.clone()).await?;
                return Err(error);
            }
        }
        // What a change did to the path counts, too.
        if arm
            .datapath
            .line
            .is_none_or(|line| mtu::can_be_found(&line))
        {
            let (name, probe) = (arm.name.clone(), self.probe.clone());
            facts.path_mtu = blocking(&self.lab, move |lab| {
                Ok(mtu::find(lab, &name, &endpoints, &probe))
            })
            .await?;
        }
        Ok(LabDeployment {
            lab: Arc::clone(&self.lab),
            probe: self.probe.clone(),
            name: arm.name.clone(),
            site: Site {
                facts,
                endpoints: Endpoints {
                    bind: endpoints.bind,
                    port: endpoints.port,
                    target: endpoints.target,
                },
                shares_kernel: true,
                // The namespaces of an arm are its own: nobody else reaches the responder.
                key: None,
            },
        })
    }

    async fn clear(&mut self) -> anyhow::Result<()> {
        for arm in blocking(&self.lab, Lab::arms).await? {
            self.remove(arm.name).await?;
        }
        Ok(())
    }
}

impl LabTarget {
    async fn remove(&self, name: Name) -> anyhow::Result<()> {
        blocking(&self.lab, move |lab| lab.remove(&name)).await
    }
}

impl Deployment for LabDeployment {
    type Stream = UnixStream;

    fn site(&self) -> &Site {
        &self.site
    }

    async fn agent(&mut self, end: End) -> anyhow::Result<UnixStream> {
        let role = role(end);
        let (name, probe) = (self.name.clone(), self.probe.clone());
        let stream = blocking(&self.lab, move |lab| lab.agent(&name, role, &probe)).await?;
        stream
            .set_nonblocking(true)
            .context("failed to prepare the agent's stream")?;
        UnixStream::from_std(stream).context("failed to prepare the agent's stream")
    }

    async fn agent_end(&mut self, end: End) -> Option<String> {
        let (name, role) = (self.name.clone(), role(end));
        let asked = blocking(&self.lab, move |lab| lab.agent_end(&name, role)).await;
        asked.ok().flatten()
    }

    async fn counters(&mut self) -> anyhow::Result<DatapathCounters> {
        let name = self.name.clone();
        blocking(&self.lab, move |lab| lab.counters(&name)).await
    }

    async fn translation(&mut self, flow: &Flow) -> Translation {
        let (name, flow) = (self.name.clone(), *flow);
        let found = blocking(&self.lab, move |lab| lab.translation(&name, &flow)).await;
        found.unwrap_or_else(|error| Translation::Unknown {
            reason: format!("{error:#}"),
        })
    }
}

const fn role(end: End) -> Role {
    match end {
        End::Client => Role::Client,
        End::Server => Role::Server,
    }
}

/// Calls the lab, whose calls block, beside the campaign's own loop.
async fn blocking<T: Send + 'static>(
    lab: &Arc<Lab>,
    call: impl FnOnce(&Lab) -> Result<T, tollgate_lab::LabError> + Send + 'static,
) -> anyhow::Result<T> {
    let lab = Arc::clone(lab);
    let result = tokio::task::spawn_blocking(move || call(&lab)).await;
    Ok(result.context("the lab's call broke off")??)
}
