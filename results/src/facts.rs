//! What the machine and the arms are. The fingerprint of the machine decides what may be compared.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::change::Applied;
use crate::cluster::ClusterFacts;
use crate::line::LineFacts;
use crate::path_mtu::ArmMtus;

/// Facts of the machine on which a campaign ran.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Facts {
    /// Kernel release.
    pub kernel: String,
    /// CPU model as the kernel names it.
    pub cpu_model: String,
    /// Online CPUs.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Clock source in force.
    pub clocksource: Option<String>,
    /// Hypervisor, where the CPU says that there is one.
    pub hypervisor: Option<String>,
    /// Whether the campaign ran as root or inside a user namespace.
    pub privilege: Privilege,
    /// Whether softirq and irq time is exact; false where it is sampled at each tick, `None` if unknown.
    pub exact_irq_time: Option<bool>,
    /// Resolution of CPU times in `/proc/stat`.
    pub cpu_time_resolution_ns: u64,
    /// Frequency governor of CPU 0; `None` where the machine shows none.
    pub governor: Option<String>,
    /// Sysctls of the base that a user may have changed.
    pub sysctls: BTreeMap<String, String>,
    /// Versions of the programs that the lab uses (`iptables`, `nft`).
    pub tools: BTreeMap<String, String>,
    /// CPUs that the runner may use, as `0-1,4`, where they are not all. Not part of the fingerprint: the machine is the
    /// same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<String>,
}

/// With which rights a campaign ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Privilege {
    /// As root.
    #[default]
    Root,
    /// As an ordinary user, inside a user namespace.
    Rootless,
}

impl Facts {
    /// Returns 12 hexadecimal digits that are equal for machines whose figures may be compared.
    ///
    /// # Panics
    ///
    /// Never: facts always serialise.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let machine = Self {
            affinity: None,
            ..self.clone()
        };
        let text = serde_json::to_string(&machine).expect("plain strings and numbers serialise");
        short_digest(&text)
    }
}

/// Returns the first 12 hexadecimal digits of the SHA-256 of a text.
pub(crate) fn short_digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let head = digest
        .iter()
        .take(6)
        .fold(0_u64, |head, &byte| head << 8 | u64::from(byte));
    format!("{head:012x}")
}

/// What one datagram and its answer tell of the way between a client from outside and the server, by the TTL they arrive
/// with. Found once, when the arm is deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hops {
    /// Routers from client to server.
    pub there: u8,
    /// Routers from server to client.
    pub back: u8,
    /// The client's address as the server's socket sees it.
    pub client_as: IpAddr,
}

/// Where the name of a service without an address of its own led the client, when its arm was deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NameFacts {
    /// The name as the client asked for it.
    pub name: String,
    /// Where it led, by the resolver of the client's pod: addresses of the arm's family.
    pub addresses: Vec<IpAddr>,
    /// The address of the server's pod, as the API has it.
    pub pod: IpAddr,
    /// How long the look-up took, in nanoseconds. No measured figure has it in it.
    pub took_ns: u64,
}

impl NameFacts {
    /// Returns whether the name led to the server's pod and to nobody else.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.addresses.is_empty() && self.addresses.iter().all(|address| *address == self.pod)
    }
}

/// Facts of one deployed arm.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ArmFacts {
    /// MTU of the client pod's device.
    pub pod_mtu: Option<u32>,
    /// MTU of the device between the nodes.
    pub wire_mtu: Option<u32>,
    /// What gets through in one piece between its ends; `None` where that wasn't looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_mtu: Option<ArmMtus>,
    /// Routers on the way of a client from outside; `None` where the client is inside or no probe packet came through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hops: Option<Hops>,
    /// Time to set the arm up, services excluded.
    pub deploy_ns: u64,
    /// Time to program the services; `None` where the arm has none.
    pub programming_ns: Option<u64>,
    /// Rules, map entries or elements programmed for services.
    pub programmed: Option<u64>,
    /// What a reader should know (a driver without offloads, an option that the tool lacks), one line each.
    pub notes: Vec<String>,
    /// Settings of its kernel beyond the base, as they were read back: what was set, and what the kernel then showed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kernel: BTreeMap<String, String>,
    /// The error of the line between its nodes; `None` without a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<LineFacts>,
    /// The user's commands that were run on it, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub applied: Vec<Applied>,
    /// What the network of its cluster was found to be when it was deployed; `None` in a lab and between hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<ClusterFacts>,
    /// Where the name led that its client goes by; `None` where it goes by an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<NameFacts>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_the_same_whatever_cpus_the_runner_may_use() {
        let whole = Facts {
            cpus: 2,
            ..Facts::default()
        };
        let pinned = Facts {
            affinity: Some("1".to_owned()),
            ..whole.clone()
        };
        assert_eq!(pinned.fingerprint(), whole.fingerprint());
        let smaller = Facts {
            cpus: 1,
            ..whole.clone()
        };
        assert_ne!(smaller.fingerprint(), whole.fingerprint());
    }
}
