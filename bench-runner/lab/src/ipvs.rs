//! kube-proxy's IPVS mode: virtual servers in the kernel's own balancer, set through its generic netlink family as
//! kube-proxy sets them, so that no `ipvsadm` is needed; their addresses on the device `kube-ipvs0`; and a few rules.
//!
//! All of it works on the network namespace of the calling thread.

mod message;

use std::collections::BTreeSet;
use std::net::IpAddr;

use nix::errno::Errno;
use tollgate_results::outcome::Protocol;

use self::message::Writer;
use crate::address::Side;
use crate::base;
use crate::error::{Doing as _, LabError};
use crate::netlink::generic::Generic;
use crate::netlink::plain;
use crate::rules::{self, Backend};
use crate::services::{self, ServiceSet};

/// Device that has all services' addresses, so that the node takes their packets in.
pub(crate) const DEVICE: &str = "kube-ipvs0";

/// What kube-proxy sets beside: connection tracking sees the translation, and what a vanished endpoint leaves behind is
/// forgotten at once.
const SYSCTLS: [&str; 3] = [
    "net/ipv4/vs/conntrack",
    "net/ipv4/vs/expire_nodest_conn",
    "net/ipv4/vs/expire_quiescent_template",
];

/// Requests that are sent at once, some 6 kB.
const AT_ONCE: usize = 64;

/// Asks the kernel for its balancer.
///
/// # Errors
/// One line that says that it has none, and how to mend it.
pub(crate) fn available() -> Result<(), String> {
    let found = Generic::open(message::NAME);
    found.map(drop).map_err(|errno| {
        format!(
            "this kernel has no IPVS ({}): it needs CONFIG_IP_VS; run `modprobe ip_vs ip_vs_rr` as root",
            errno.desc()
        )
    })
}

/// Returns the addresses of all services, which [`DEVICE`] has to have.
pub(crate) fn addresses(services: &ServiceSet) -> BTreeSet<IpAddr> {
    let ports = services.ports().iter();
    ports.map(|port| port.address.ip()).collect()
}

/// Sets up the virtual servers of `services` and the rules on the node of a side.
///
/// # Errors
/// The kernel has no IPVS, or refuses one of them.
pub(crate) fn program(services: &ServiceSet, side: Side) -> Result<(), LabError> {
    for name in SYSCTLS {
        base::set(name, "1")?;
    }
    let family = services.family();
    rules::load_iptables(Backend::Nft, family, &services::ipvs(family))?;
    let generic = Generic::open(message::NAME).doing(|| "find IPVS")?;
    let ipvs = Writer(generic.family());
    let mut requests: Vec<(Vec<u8>, String)> = Vec::new();
    for port in services.ports() {
        for asked in [
            Some(port.address),
            port.node_port.map(|_| port.asked_on(side)),
        ] {
            let Some(asked) = asked else { continue };
            requests.push((
                ipvs.add_server(port, asked),
                format!("{} at {asked}", port.name),
            ));
            requests.extend(port.endpoints.iter().map(|endpoint| {
                let line = format!("{} at {asked} to {endpoint}", port.name);
                (ipvs.add_endpoint(port, asked, *endpoint), line)
            }));
        }
    }
    for some in requests.chunks_mut(AT_ONCE) {
        let line = format!("add virtual servers from {} on", some[0].1);
        if let Some((last, _)) = some.last_mut() {
            message::acknowledge(last);
        }
        let bytes: Vec<u8> = some
            .iter()
            .flat_map(|(request, _)| request.iter().copied())
            .collect();
        let answer = generic.ask(&bytes).doing(|| line.clone())?;
        plain::read(&answer).map(drop).doing(|| line)?;
    }
    Ok(())
}

/// Returns how many connections the service under test has had, TCP and UDP, asked for on the node of a side.
///
/// # Errors
/// The service is not there, or the kernel has no IPVS.
pub(crate) fn connections(services: &ServiceSet, side: Side) -> Result<u64, LabError> {
    let ask = || {
        let generic = Generic::open(message::NAME)?;
        let ipvs = Writer(generic.family());
        let mut all = 0_u64;
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let port = services.under_test(protocol);
            let answer = generic.ask(&ipvs.ask_server(port, port.asked_on(side)))?;
            all = all.saturating_add(message::connections(&answer)?);
        }
        Ok::<u64, Errno>(all)
    };
    ask().doing(|| "count the connections of IPVS")
}
