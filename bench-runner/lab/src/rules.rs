//! Loading rules as kube-proxy does, with the system's own programs, and reading the counters of the service
//! under test. All of it works on the network namespace of the calling thread.

mod count;
mod generation;
mod legacy;
mod program;

use std::fmt;
use std::net::IpAddr;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, getsockopt, setsockopt, socket, sockopt,
};
use tollgate_results::arm::{Family, Service};
use tollgate_results::outcome::Protocol;

pub(crate) use self::count::tables;
pub(crate) use self::generation::generation;
pub(crate) use self::legacy::legacy_bytes;
use crate::error::{Doing as _, LabError, LabErrorKind};
use crate::services::{self, ENDPOINT_CHAIN, ServiceSet};

/// Seconds to wait for the lock that all iptables programs of a mount namespace share.
const LOCK_WAIT: &str = "30";

/// Text of one transaction where nothing bounds it: some 500 services of nftables, 1,000 of iptables.
///
/// Chosen by measurement on Linux 6.18 with 10,000 services of one endpoint. `nft -f`: 10 s in steps of 300 to
/// 2,500 services, 26 s in one transaction. `iptables-nft-restore`: 1.9 s in steps of 500 or 1,000, 2.3 s in steps
/// of 200, 12 s in one. Both walk what the transaction holds already for each chain or map that is added.
const TRANSACTION_BYTES: usize = 512 << 10;
/// Netlink bytes per byte of `nft` input: 2.6 was seen (nft 1.0.6, one endpoint), the rest is margin.
const NFT_EXPANSION: usize = 4;
/// Netlink bytes per byte of `iptables-nft-restore` input: 5.8 was seen (iptables 1.8.9).
const IPTABLES_NFT_EXPANSION: usize = 8;

/// Which kernel path an iptables program programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// The old tables, scanned in a loop.
    Legacy,
    /// `nf_tables`, with matches and targets of the old kind.
    Nft,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Legacy => "legacy",
            Self::Nft => "nft",
        })
    }
}

/// Writes and loads the rules of `services` on the node with the address `node`; nothing where `service` is not
/// made of rules.
///
/// The rules are kube-proxy's; the transactions are not quite. kube-proxy loads all rules in one, which takes
/// `nf_tables` up to six times as long once there are thousands of services. So the time that this takes is a
/// lower bound of kube-proxy's for `iptables-nft` and `nftables` from some hundred services on.
///
/// # Errors
/// The program is missing or refuses its input; the error quotes what it said, and the line.
pub fn program(service: Service, services: &ServiceSet, node: IpAddr) -> Result<(), LabError> {
    let family = services.family();
    match service {
        Service::None | Service::SocketLb | Service::TcLb | Service::Ipvs => Ok(()),
        Service::IptablesLegacy => {
            let text = services::iptables(services, usize::MAX);
            load_iptables(Backend::Legacy, family, &text)
        }
        Service::IptablesNft => {
            let text = services::iptables(services, transaction_bytes(IPTABLES_NFT_EXPANSION)?);
            load_iptables(Backend::Nft, family, &text)
        }
        Service::Nftables => services::nftables(services, node, transaction_bytes(NFT_EXPANSION)?)
            .iter()
            .try_for_each(|text| load_nftables(text)),
    }
}

/// Loads iptables-restore input, with kube-proxy's flags.
///
/// # Errors
/// See [`program`](fn@program).
pub fn load_iptables(backend: Backend, family: Family, text: &str) -> Result<(), LabError> {
    let restore = format!("{}-{backend}-restore", iptables_name(family));
    let arguments = ["--noflush", "--counters", "-w", LOCK_WAIT];
    program::run(&restore, &arguments, text)
        .map(drop)
        .doing(|| "load iptables rules")
}

/// Loads nft input as one transaction.
///
/// # Errors
/// See [`program`](fn@program).
pub fn load_nftables(text: &str) -> Result<(), LabError> {
    program::run("nft", &["-f", "-"], text)
        .map(drop)
        .doing(|| "load nftables rules")
}

/// Returns how many packets the rules of the service under test have translated, TCP and UDP: the first of each
/// connection. `None` where the service has no counted rules: kube-proxy's nftables mode counts nothing.
///
/// # Errors
/// The chains are not there, or the program is missing.
pub fn service_packets(service: Service, services: &ServiceSet) -> Result<Option<u64>, LabError> {
    let backend = match service {
        Service::None | Service::SocketLb | Service::TcLb | Service::Ipvs | Service::Nftables => {
            return Ok(None);
        }
        Service::IptablesLegacy => Backend::Legacy,
        Service::IptablesNft => Backend::Nft,
    };
    let mut packets = 0_u64;
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let chain = services::service_chain(services.under_test(protocol));
        let rules = services.under_test(protocol);
        // With affinity each endpoint has a rule for the clients that it knows already.
        let expected = rules.endpoints.len() * if rules.affinity { 2 } else { 1 };
        let count = chain_packets(backend, services.family(), &chain, expected);
        packets = packets.saturating_add(count.doing(|| format!("count packets in {chain}"))?);
    }
    Ok(Some(packets))
}

/// Sums what went on from a service's chain to its endpoints, by so many rules.
fn chain_packets(
    backend: Backend,
    family: Family,
    chain: &str,
    expected: usize,
) -> Result<u64, LabErrorKind> {
    let program = format!("{}-{backend}", iptables_name(family));
    let arguments = ["-w", LOCK_WAIT, "-t", "nat", "-n", "-v", "-x", "-L", chain];
    let listing = program::run(&program, &arguments, "")?;
    let counts: Vec<u64> = listing.lines().filter_map(endpoint_packets).collect();
    if counts.len() != expected {
        return Err(LabErrorKind::Impossible(format!(
            "{} of its {expected} rules are there: somebody flushed or changed them",
            counts.len()
        )));
    }
    Ok(counts.iter().sum())
}

/// Reads the packets of a listed rule that leads to an endpoint.
fn endpoint_packets(line: &str) -> Option<u64> {
    let mut columns = line.split_whitespace();
    let packets = columns.next()?.parse().ok()?;
    let target = columns.nth(1)?;
    target.starts_with(ENDPOINT_CHAIN).then_some(packets)
}

const fn iptables_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "iptables",
        Family::Ipv6 => "ip6tables",
    }
}

/// Returns how much text a transaction may have whose netlink messages are `expansion` times as long.
///
/// Both programs raise their socket's send buffer to what they need, but only with `SO_SNDBUFFORCE`. Inside a user
/// namespace that is forbidden, and the default size bounds a transaction ("Message too long").
fn transaction_bytes(expansion: usize) -> Result<usize, LabError> {
    let probe = || {
        let flags = SockFlag::SOCK_CLOEXEC;
        let netfilter = SockProtocol::NetlinkNetFilter;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, netfilter)?;
        let size = getsockopt(&socket, sockopt::SndBuf)?;
        let forced = setsockopt(&socket, sockopt::SndBufForce, &size);
        let bound = if forced.is_ok() {
            usize::MAX
        } else {
            size / expansion
        };
        Ok::<_, nix::Error>(bound.min(TRANSACTION_BYTES))
    };
    probe().doing(|| "ask for the size of a netlink socket")
}

#[cfg(test)]
mod tests;
