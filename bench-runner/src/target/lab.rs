//! The lab as a target: namespaces of this machine.

use std::path::PathBuf;
use std::slice;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tokio::net::UnixStream;
use tollgate_lab::{DeployedArm, Lab, NewArm, Role};
use tollgate_results::arm::{Arm, Name};
use tollgate_results::change::Command;
use tollgate_results::evidence::{DatapathCounters, Translation};
use tollgate_results::outcome::Flow;

use super::{Deployment, End, Endpoints, Site, Target, change};

mod clock;
mod commands;
mod mtu;
mod programs;

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
        let mut stood = self.deploy_all(slice::from_ref(arm), &mut |_| ()).await;
        stood.pop().context("the lab said nothing of the arm")?
    }

    async fn deploy_all(
        &mut self,
        arms: &[Arm],
        told: &mut dyn FnMut(usize),
    ) -> Vec<anyhow::Result<LabDeployment>> {
        (0..arms.len()).for_each(told);
        let wanted = arms.iter();
        let wanted: Vec<_> = wanted
            .map(|arm| (arm.name.clone(), arm.datapath.clone()))
            .collect();
        let seed = self.seed;
        let stood = blocking(&self.lab, move |lab| lab.deploy_all(&wanted, seed)).await;
        let stood = match stood {
            Ok(stood) => stood,
            Err(error) => {
                let why = format!("{error:#}");
                return arms.iter().map(|_| Err(anyhow!(why.clone()))).collect();
            }
        };
        let mut all = Vec::with_capacity(arms.len());
        // A user's own commands have the machine to themselves, as has each search for a path's MTU.
        for (arm, stood) in arms.iter().zip(stood) {
            all.push(match stood {
                Ok(new) => self.complete(arm, new).await,
                Err(error) => Err(error.into()),
            });
        }
        all
    }

    async fn clear(&mut self) -> anyhow::Result<()> {
        let arms = blocking(&self.lab, Lab::arms).await?;
        self.remove(arms.into_iter().map(|arm| arm.name).collect())
            .await
    }
}

impl LabTarget {
    /// Applies the user's change to an arm that was just deployed, and looks for the MTU of its path.
    async fn complete(&self, arm: &Arm, new: NewArm) -> anyhow::Result<LabDeployment> {
        let NewArm {
            deployed: DeployedArm { endpoints, .. },
            mut facts,
        } = new;
        let run = async |command: &Command, within| {
            commands::run(&self.lab, &arm.name, command, within).await
        };
        match change::apply(&arm.change, run).await {
            Ok(applied) => facts.applied = applied,
            Err(error) => {
                self.remove(vec![arm.name.clone()]).await?;
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
                clients: 1,
                shares_kernel: true,
                // The namespaces of an arm are its own: nobody else reaches the responder.
                key: None,
            },
        })
    }

    async fn remove(&self, arms: Vec<Name>) -> anyhow::Result<()> {
        blocking(&self.lab, move |lab| lab.remove_all(&arms)).await
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
        End::Client(_) => Role::Client,
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
