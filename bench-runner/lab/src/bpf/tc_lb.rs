//! The packet load balancer: programs at the client's veth pair that translate each packet to a service and each answer,
//! with a connection table of their own, as Cilium does where sockets are not translated.

use std::net::{IpAddr, SocketAddr};

use libbpf_rs::{MapCore as _, MapFlags};
use tollgate_results::arm::Family;
use tollgate_results::evidence::PacketTranslations;
use tollgate_results::outcome::Flow;

use super::entries::{self, Entries};
use super::{BPF, Code, Loaded, NET_ADMIN, Needs, ProgramRuns, objects, resize, to_netkit};
use crate::error::{Doing as _, LabError};
use crate::netns::NetNs;
use crate::services::ServiceSet;

/// Entries of the connection table, two for each connection: an eighth of what Cilium has for TCP alone, some 10 MB.
const CONNECTIONS: u32 = 131_072;
/// Clients that are kept at their endpoints: the lab has one for each of its services.
const CLIENTS: u32 = 1_024;
/// Entries that are read at once.
const BATCH: u32 = 4_096;

static CODE: Code = Code {
    what: "the packet load balancer",
    objects: objects!("tc_lb"),
    needs: Needs {
        capabilities: &[BPF, NET_ADMIN],
        kernel: "CONFIG_NET_XGRESS, version 6.6 or newer",
    },
    redirects: false,
};

/// A packet load balancer.
#[derive(Debug)]
pub(crate) struct TcLb {
    loaded: Loaded,
}

/// The pair that joins the client's pod to its node: each end by its namespace and its index there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair<'a> {
    /// The host's end, where packets are translated on their way from the pod.
    pub(crate) host: (&'a NetNs, u32),
    /// The pod's end.
    pub(crate) pod: (&'a NetNs, u32),
    /// Whether answers are handed to the pod's end without passing the host's: then they are translated there.
    pub(crate) skips_host: bool,
    /// Whether it is a pair of netkit devices, at which the host sees what the pod sends before it has left the pod.
    pub(crate) netkit: bool,
}

/// Tries to load the programs, with empty maps.
///
/// # Errors
/// One line that says why they cannot run here and how to mend it.
pub(crate) fn available() -> Result<(), String> {
    let loaded = load(Family::Ipv4, &Entries::default(), CONNECTIONS, false);
    loaded.map(drop).map_err(|error| error.cause())
}

fn load(
    family: Family,
    entries: &Entries,
    connections: u32,
    netkit: bool,
) -> Result<Loaded, LabError> {
    let loaded = Loaded::load(&CODE, family, |object| {
        if netkit {
            to_netkit(object, "from_pod");
        }
        let sizes = [
            ("services", entries.services.count),
            ("backends", entries.backends.count),
            ("affinity", CLIENTS),
            ("connections", connections),
        ];
        resize(object, &sizes)
    })?;
    loaded.fill("services", &entries.services)?;
    loaded.fill("backends", &entries.backends)?;
    Ok(loaded)
}

impl TcLb {
    /// Loads the programs of the set's address family, fills their maps, and attaches them. They run before the programs
    /// that are attached to these devices already.
    ///
    /// # Errors
    /// The kernel refuses: see [`available`].
    pub(crate) fn load(services: &ServiceSet, pair: Pair<'_>) -> Result<Self, LabError> {
        Self::load_sized(services, pair, CONNECTIONS)
    }

    /// Does the same with a connection table of another size.
    pub(crate) fn load_sized(
        services: &ServiceSet,
        pair: Pair<'_>,
        connections: u32,
    ) -> Result<Self, LabError> {
        let mut loaded = load(
            services.family(),
            &Entries::of(services),
            connections,
            pair.netkit,
        )?;
        let (node, device) = pair.host;
        loaded.attach("from_pod", node, device)?;
        let (back, (netns, device)) = if pair.skips_host {
            ("in_pod", pair.pod)
        } else {
            ("to_pod", pair.host)
        };
        loaded.attach(back, netns, device)?;
        Ok(Self { loaded })
    }

    /// Returns what was translated so far.
    ///
    /// # Errors
    /// The kernel refuses to read its own maps.
    pub(crate) fn counters(&self) -> Result<PacketTranslations, LabError> {
        let counts = self.loaded.counts("counts", 0)?;
        let [forward, back, connections, added, forgotten] = counts[..] else {
            return Err(LabError::said(
                "read the counts of the packet load balancer",
                "there are not as many as there should be",
            ));
        };
        Ok(PacketTranslations {
            forward,
            back,
            connections,
            displaced: self.displaced(added)?,
            forgotten,
        })
    }

    /// Returns how many of the entries that were `added` have given way. The table is looked through only once it may have been
    /// full: none gives way before.
    fn displaced(&self, added: u64) -> Result<u64, LabError> {
        let map = self.loaded.map("connections")?;
        if added <= u64::from(map.max_entries() / 2) {
            return Ok(0);
        }
        let any = MapFlags::ANY;
        let entries = map.lookup_batch(BATCH.min(map.max_entries()), any, any);
        let there = entries
            .doing(|| "count the entries of the connection table")?
            .count() as u64;
        Ok(added.saturating_sub(there))
    }

    /// Lists the programs with their runs.
    pub(crate) fn runs(&self) -> Result<Vec<ProgramRuns>, LabError> {
        self.loaded.runs("client")
    }

    /// Returns the endpoint to which packets of a connection go that its client asked for; `None` where there is none.
    ///
    /// # Errors
    /// The kernel refuses to read its own map.
    pub(crate) fn endpoint(&self, flow: &Flow) -> Result<Option<SocketAddr>, LabError> {
        let map = self.loaded.map("connections")?;
        let value = map.lookup(&key(flow), MapFlags::ANY);
        let value = value.doing(|| "look a connection up in the connection table")?;
        Ok(value.and_then(|value| endpoint(&value, flow.remote.is_ipv4())))
    }
}

/// Writes `struct flow` as the client sees it.
fn key(flow: &Flow) -> Vec<u8> {
    let mut key = Vec::new();
    for end in [flow.local, flow.remote] {
        entries::put_address(&mut key, end);
        key.extend([0; 2]);
    }
    key.extend([entries::protocol_number(flow.protocol), 0, 0, 0]);
    key
}

/// Reads the end of `struct connection`.
fn endpoint(value: &[u8], is_ipv4: bool) -> Option<SocketAddr> {
    let (address, rest): (IpAddr, _) = if is_ipv4 {
        let (address, rest) = value.split_first_chunk::<4>()?;
        ((*address).into(), rest)
    } else {
        let (address, rest) = value.split_first_chunk::<16>()?;
        ((*address).into(), rest)
    };
    Some(SocketAddr::new(
        address,
        u16::from_be_bytes(*rest.first_chunk()?),
    ))
}

#[cfg(test)]
mod tests;
