//! The way of a client outside the cluster to a service: what stands at the entry node, and at the server's.

mod hops;
mod programs;
mod rules;

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tollgate_results::arm::{Family, Outside, Service};
use tollgate_results::evidence::{EntryPackets, Tracker, Translation};
use tollgate_results::facts::Hops;
use tollgate_results::outcome::Flow;

pub(crate) use self::programs::available;
use self::programs::{DirectReturn, Ends, Entry};
use crate::address::{self, Side};
use crate::bpf::ProgramRuns;
use crate::error::LabError;
use crate::netns::NetNs;
use crate::service_path::Programmed;
use crate::services::ServiceSet;
use crate::topology::Port;
use crate::{clock, conntrack};

/// Port of the service that the entry node owns the address of.
const SERVICE_PORT: u16 = 80;

/// The namespaces of a client outside, of the node it enters by, and of the server with its node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machines<'a> {
    pub(crate) client: &'a NetNs,
    pub(crate) entry: &'a NetNs,
    pub(crate) server_node: &'a NetNs,
    pub(crate) server: &'a NetNs,
}

/// What translates the service's address for a client outside.
#[derive(Debug)]
pub(crate) struct OutsidePath {
    service: SocketAddr,
    endpoint: SocketAddr,
    by: By,
    programmed: Programmed,
}

#[derive(Debug)]
enum By {
    /// kube-proxy's rules for this service.
    Rules(ServiceSet),
    Programs {
        entry: Box<Mutex<Entry>>,
        /// At the server's node; `None` where replies go back through the entry node.
        direct: Option<Box<Mutex<DirectReturn>>>,
    },
}

impl OutsidePath {
    /// Programs the entry node, and the server's as far as it takes part. `joints` are the devices of the two that join
    /// them, `endpoint` is the server.
    pub(crate) fn program(
        outside: Outside,
        machines: Machines<'_>,
        joints: [Port; 2],
        endpoint: SocketAddr,
    ) -> Result<Self, LabError> {
        let family = Family::Ipv4;
        let service = SocketAddr::new(address::entry_service(family), SERVICE_PORT);
        let start = clock::now();
        let (by, count) = match outside {
            Outside::Snat => by_rules(machines, service, endpoint)?,
            Outside::SnatEbpf | Outside::Dsr => {
                let ends = Ends {
                    service,
                    endpoint,
                    entry: address::node(Side::A, family),
                    server_node: address::node(Side::B, family),
                };
                let direct = outside == Outside::Dsr;
                let entry = Entry::load(machines.entry, joints[0], &ends, direct)?;
                let direct = direct.then(|| {
                    let loaded = DirectReturn::load(machines.server_node, joints[1]);
                    loaded.map(|loaded| Box::new(Mutex::new(loaded)))
                });
                let by = By::Programs {
                    entry: Box::new(Mutex::new(entry)),
                    direct: direct.transpose()?,
                };
                // One service with one endpoint.
                (by, 1)
            }
        };
        Ok(Self {
            service,
            endpoint,
            by,
            programmed: Programmed {
                time_ns: clock::since_ns(start),
                count,
            },
        })
    }

    /// Returns what was programmed.
    pub(crate) fn programmed(&self) -> Programmed {
        self.programmed
    }

    /// Returns the address that the client asks for.
    pub(crate) fn service(&self) -> SocketAddr {
        self.service
    }

    /// Counts the routers on the way by the TTL of a datagram and of its answer.
    pub(crate) fn hops(&self, machines: Machines<'_>) -> Result<Hops, LabError> {
        hops::count(machines, self.service, self.endpoint)
    }

    /// Returns what the entry node's programs have met; `None` where it has none.
    pub(crate) fn packets(&self) -> Result<Option<EntryPackets>, LabError> {
        match &self.by {
            By::Rules(_) => Ok(None),
            By::Programs { entry, .. } => locked(entry).packets().map(Some),
        }
    }

    /// Lists the programs with their runs.
    pub(crate) fn runs(&self) -> Result<Vec<ProgramRuns>, LabError> {
        let By::Programs { entry, direct } = &self.by else {
            return Ok(Vec::new());
        };
        let mut runs = locked(entry).runs()?;
        if let Some(direct) = direct {
            runs.extend(locked(direct).runs()?);
        }
        Ok(runs)
    }

    /// Returns the packets that met the service's rules at the entry node; `None` where it has none.
    pub(crate) fn rule_packets(&self, entry: &NetNs) -> Result<Option<u64>, LabError> {
        match &self.by {
            By::Rules(services) => {
                entry.enter(|| crate::rules::service_packets(Service::IptablesNft, services))
            }
            By::Programs { .. } => Ok(None),
        }
    }

    /// Asks the entry node what it makes of a connection, and the server's node as whom it knows the client.
    pub(crate) fn translation(
        &self,
        machines: Machines<'_>,
        flow: &Flow,
    ) -> Result<Translation, LabError> {
        let tracked = machines.entry.enter(|| conntrack::lookup(flow))?;
        let (endpoint, stand_in, by) = match (tracked, &self.by) {
            (Some(found), _) if found.reply.source == flow.remote => {
                return Ok(Translation::Untouched);
            }
            (Some(found), _) => (
                found.reply.source,
                found.reply.destination,
                Tracker::Conntrack,
            ),
            (None, By::Rules(_)) => return Ok(Translation::Untracked),
            (None, By::Programs { entry, .. }) => match locked(entry).client_as(flow)? {
                Some(client) => (self.endpoint, client, Tracker::Programs),
                None => return Ok(Translation::Untracked),
            },
        };
        let known = |client: &SocketAddr| -> Result<bool, LabError> {
            let flow = Flow {
                local: *client,
                remote: endpoint,
                ..*flow
            };
            Ok(conntrack::lookup(&flow)?.is_some())
        };
        let client_as = machines.server_node.enter(|| {
            for client in [flow.local, stand_in] {
                if known(&client)? {
                    return Ok(Some(client));
                }
            }
            Ok(None)
        })?;
        Ok(Translation::AtTheEntry {
            endpoint,
            by,
            client_as,
        })
    }
}

/// Loads kube-proxy's rules on both nodes, as every node of a cluster has them; the way in is the entry node's.
fn by_rules(
    machines: Machines<'_>,
    service: SocketAddr,
    endpoint: SocketAddr,
) -> Result<(By, u64), LabError> {
    let services = rules::services(endpoint);
    let text = rules::text(&services, service);
    for node in [machines.entry, machines.server_node] {
        node.enter(|| {
            crate::rules::load_iptables(crate::rules::Backend::Nft, Family::Ipv4, &text)
        })?;
    }
    let count = text.lines().filter(|line| line.starts_with("-A ")).count();
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    Ok((By::Rules(services), count))
}

fn locked<T>(programs: &Mutex<T>) -> MutexGuard<'_, T> {
    programs.lock().unwrap_or_else(PoisonError::into_inner)
}
