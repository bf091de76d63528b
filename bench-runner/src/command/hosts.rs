//! Two machines for `tollgate run --target hosts`, and `tollgate join`, which makes one known.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs as _};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use tollgate_results::arm::{Arm, Datapath, Family, Name, Pods};
use tollgate_results::change::Change;
use tollgate_results::door::Invitation;
use tollgate_results::run::Hosts;
use tollgate_results::workload::Cpu;
use tollgate_scenarios::Scenario;

use super::measure;
use crate::agent::Agent;
use crate::cli::{HostPath, HostsArgs, JoinArgs};
use crate::exit::{EnvironmentError, Exit};
use crate::output;
use crate::placement::Placement;
use crate::target::hosts::{Host, HostsTarget, Pair, dial, invitations};

/// The name of the machine on which the runner runs.
const LOCAL: &str = "local";

/// The longest invitation is some 400 characters; more is a mistake.
const MOST_INPUT: u64 = 64 * 1024;

/// Reads an invitation, tries it, and keeps it under a name.
pub(super) fn join(args: &JoinArgs) -> anyhow::Result<Exit> {
    ensure!(
        args.name.as_str() != LOCAL,
        "`{LOCAL}` is this machine; choose another name"
    );
    let mut text = String::new();
    io::stdin()
        .take(MOST_INPUT)
        .read_to_string(&mut text)
        .context("failed to read the invitation from standard input")?;
    let invitation: Invitation = text.parse()?;
    let runtime = runtime()?;
    let facts = runtime.block_on(async {
        let stream = dial(&invitation, [0; 16]).await?;
        Agent::connect(stream).await?.facts().await
    });
    let facts = facts.map_err(|error| environment(&error))?.facts;
    let file = invitations::keep(&args.name, &invitation)?;
    output::note(&format!(
        "Joined {name}: Linux {}, {} CPUs ({}).\nKept in {}\nTry: tollgate run quickstart --target hosts --server {name}",
        facts.kernel,
        facts.cpus,
        facts.cpu_model,
        file.display(),
        name = args.name,
    ));
    Ok(Exit::Done)
}

/// Starts a runtime that campaigns and questions share.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")
}

/// A pair of machines that was reached, and what the record says of it.
pub(super) struct Reached {
    pub(super) target: HostsTarget,
    pub(super) pair: Pair,
    pub(super) hosts: Hosts,
}

impl Reached {
    /// Returns the CPUs of both machines.
    pub(super) fn placement(&self) -> Placement {
        Placement::between(self.pair.client.cpus.clone(), self.pair.server.cpus.clone())
    }
}

/// Reaches both machines of a new campaign.
pub(super) fn reach(
    args: &HostsArgs,
    paths: BTreeMap<Name, IpAddr>,
    probe: Option<&Path>,
) -> anyhow::Result<Reached> {
    let server = args.server.clone();
    let hosts = Hosts {
        client: args.client.clone(),
        server: server
            .context("name the other machine with --server; `tollgate join` makes it known")?,
        paths,
        port: args.port,
        server_facts: tollgate_results::facts::Facts::default(),
    };
    reach_again(hosts, probe)
}

/// Reaches the machines of a campaign that goes on; their facts may be others by now.
pub(super) fn reach_again(mut hosts: Hosts, probe: Option<&Path>) -> anyhow::Result<Reached> {
    let host = |name: &str| match name {
        LOCAL => Ok(Host::Local {
            probe: measure::probe(probe)?,
        }),
        name => anyhow::Ok(Host::Joined(Box::new(invitations::find(name)?))),
    };
    let (client, server) = (host(&hosts.client)?, host(&hosts.server)?);
    let mut target = HostsTarget::new(client, server, hosts.paths.clone(), hosts.port)?;
    let pair = runtime()?
        .block_on(target.meet())
        .map_err(|error| environment(&error))?;
    hosts.server_facts = pair.server.facts.clone();
    Ok(Reached {
        target,
        pair,
        hosts,
    })
}

/// Makes an error the environment's fault.
pub(super) fn environment(error: &anyhow::Error) -> anyhow::Error {
    anyhow::Error::new(EnvironmentError(format!("{error:#}")))
}

/// Returns the paths that are told, or the one to the server's own address.
pub(super) fn paths(args: &HostsArgs) -> anyhow::Result<Vec<HostPath>> {
    let mut paths = args.paths.clone();
    if paths.is_empty() {
        let address = match args.server.as_deref() {
            None | Some(LOCAL) => Ipv4Addr::LOCALHOST.into(),
            Some(server) => resolve(&invitations::find(server)?.address)?,
        };
        let name = "path".parse()?;
        paths.push(HostPath { name, address });
    }
    for (index, path) in paths.iter().enumerate() {
        let earlier = &paths[..index];
        ensure!(
            earlier.iter().all(|other| other.name != path.name),
            "--path: `{}` is there twice; give each path a name of its own",
            path.name
        );
    }
    Ok(paths)
}

pub(super) fn resolve(address: &str) -> anyhow::Result<IpAddr> {
    let found = address.to_socket_addrs();
    let found = found
        .with_context(|| format!("failed to resolve `{address}`"))?
        .next();
    Ok(found
        .with_context(|| format!("`{address}` has no address"))?
        .ip())
}

/// Puts the paths in the place of a scenario's arms. A path that is alone is compared with itself, which shows
/// how well the pair repeats.
pub(super) fn over(
    mut scenario: Scenario,
    args: &HostsArgs,
) -> anyhow::Result<(Scenario, BTreeMap<Name, IpAddr>)> {
    let mut paths = paths(args)?;
    if let [only] = paths.as_slice() {
        let again = HostPath {
            name: format!("{}-again", only.name).parse()?,
            ..only.clone()
        };
        paths.push(again);
    }
    let reference = match (&args.reference, paths.first()) {
        (Some(reference), _) => reference.clone(),
        (None, Some(first)) => first.name.clone(),
        (None, None) => bail!("name a path with --path NAME=ADDRESS"),
    };
    ensure!(
        paths.iter().any(|path| path.name == reference),
        "--reference: no path is named `{reference}`; there are {}",
        paths
            .iter()
            .map(|path| path.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    );
    let workloads: Vec<Name> = scenario
        .workloads
        .iter()
        .map(|workload| workload.name.clone())
        .collect();
    scenario.arms = paths
        .iter()
        .map(|path| arm(path, &reference, &workloads))
        .collect();
    for workload in &mut scenario.workloads {
        // Two machines share no CPU.
        if workload.cpu == Cpu::Shared {
            workload.cpu = Cpu::Split;
        }
    }
    // What the scenario is about are its own arms.
    scenario.about = match paths.len() {
        1 => "What the path between two machines carries".to_owned(),
        _ => format!("What the paths between two machines cost against {reference}"),
    };
    scenario.reference = reference;
    let paths = paths.into_iter().map(|path| (path.name, path.address));
    Ok((scenario, paths.collect()))
}

/// Makes the arm of a path. Of the lab's dimensions it has only the family: nothing is built.
fn arm(path: &HostPath, reference: &Name, workloads: &[Name]) -> Arm {
    Arm {
        name: path.name.clone(),
        reference: (path.name != *reference).then(|| reference.clone()),
        datapath: Datapath {
            pods: Pods::Host,
            family: if path.address.is_ipv4() {
                Family::Ipv4
            } else {
                Family::Ipv6
            },
            ..Datapath::default()
        },
        change: Change::default(),
        workloads: workloads.to_vec(),
        sweep: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(paths: &[&str], reference: Option<&str>) -> HostsArgs {
        HostsArgs {
            client: LOCAL.to_owned(),
            server: Some(LOCAL.to_owned()),
            paths: paths.iter().map(|path| path.parse().unwrap()).collect(),
            reference: reference.map(|name| name.parse().unwrap()),
            port: 7789,
        }
    }

    fn arms(args: &HostsArgs) -> anyhow::Result<Vec<(String, Option<String>)>> {
        let (scenario, paths) = over(Scenario::load("quickstart")?, args)?;
        assert_eq!(paths.len(), scenario.arms.len());
        assert!(
            scenario
                .workloads
                .iter()
                .all(|workload| workload.cpu != Cpu::Shared)
        );
        let arms = scenario.arms.into_iter();
        Ok(arms
            .map(|arm| {
                (
                    arm.name.to_string(),
                    arm.reference.map(|name| name.to_string()),
                )
            })
            .collect())
    }

    #[test]
    fn a_path_alone_is_compared_with_itself() {
        let again = ("path-again".to_owned(), Some("path".to_owned()));
        assert_eq!(
            arms(&args(&[], None)).unwrap(),
            [("path".to_owned(), None), again]
        );
    }

    #[test]
    fn paths_are_compared_with_the_reference() {
        let two = ["private=10.0.0.2", "public=203.0.113.9"];
        let with =
            |arm: &str, reference: Option<&str>| (arm.to_owned(), reference.map(str::to_owned));
        assert_eq!(
            arms(&args(&two, Some("public"))).unwrap(),
            [with("private", Some("public")), with("public", None)]
        );
        assert_eq!(
            arms(&args(&two, None)).unwrap(),
            [with("private", None), with("public", Some("private"))]
        );
        let error = arms(&args(&two, Some("pubic"))).unwrap_err().to_string();
        assert!(error.contains("private, public"), "{error}");
        let error = arms(&args(&["a=10.0.0.2", "a=10.0.0.3"], None))
            .unwrap_err()
            .to_string();
        assert!(error.contains("twice"), "{error}");
    }

    #[test]
    fn a_path_is_a_name_and_an_address() {
        for bad in [
            "",
            "a",
            "a=",
            "=10.0.0.1",
            "a=host",
            "a=10.0.0.1:80",
            "A=10.0.0.1",
            "a=0.0.0.0",
            "a=224.0.0.1",
        ] {
            assert!(bad.parse::<HostPath>().is_err(), "{bad}");
        }
        assert!("a=fd00::1".parse::<HostPath>().is_ok());
    }
}
