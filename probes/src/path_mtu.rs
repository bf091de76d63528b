//! Finds the largest packet that gets to a host in one piece, and what keeps larger ones away.
//!
//! Probes carry "don't fragment" and ignore what the kernel remembers of the path (`IP_PMTUDISC_PROBE`). The search
//! follows what hops say and tests it; where nobody says a word it halves the distance. A size counts as too big in
//! silence only after several probes of it went unanswered, while smaller ones got through.
//!
//! - `search`: which size is tried next, and what follows from the answers
//! - `attempt`: one probe
//! - `kernel`: devices and socket options

mod attempt;
mod kernel;
mod search;

use std::net::SocketAddr;
use std::time::Duration;

use tollgate_results::path_mtu::{PathMtu, Prober};
use tollgate_results::workload::SocketKind;

use self::attempt::{Attempts, Peer};
use self::search::{Findings, Sizes, search};
use crate::error::ProbeError;
use crate::probe::icmp;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Whom to ask; a port only for [`Prober::Udp`].
    pub target: SocketAddr,
    /// What to send.
    pub by: Prober,
    /// What kind of socket ICMP goes through.
    pub socket: SocketKind,
    /// How long an answer is waited for: 1 ms to 10 s.
    pub timeout: Duration,
    /// Probes of one size without an answer until it counts as lost: 1 to 10.
    pub tries: u32,
}

/// Smallest packet that is tried, in bytes: less is no path at all.
const SMALLEST: u32 = 128;

/// Largest IP packet, in bytes.
const LARGEST: u32 = 65_535;

/// Largest packet that is tried by UDP, in bytes: no responder answers a larger datagram.
const LARGEST_UDP: u32 = 64_000;

/// Finds the path's MTU. It takes a few round trips where hops say what is too big, else some 16 × time-out × tries.
///
/// # Errors
///
/// When the kind of socket isn't allowed, or there is no route.
pub fn find(wanted: &Wanted) -> Result<PathMtu, ProbeError> {
    let target = wanted.target;
    let socket = match wanted.by {
        Prober::IcmpEcho => Some(icmp::choose(target, wanted.socket)?),
        Prober::Udp => None,
    };
    let route = kernel::route(target).map_err(|error| {
        let mend = format!("is there a route? `ip route get {}`", target.ip());
        ProbeError::refused(format!("find a way to {}", target.ip()), error, mend)
    })?;
    let refused = |error| {
        let mend = "is the address family switched on?";
        ProbeError::refused(format!("probe {}", target.ip()), error, mend)
    };
    let peer = Peer::open(target, socket, wanted.timeout).map_err(refused)?;
    let mut attempts = Attempts::new(peer, wanted.timeout, wanted.tries.max(1));
    let first = route.device_mtu.or(route.route_mtu).unwrap_or(LARGEST);
    let largest = match wanted.by {
        Prober::IcmpEcho => LARGEST,
        Prober::Udp => LARGEST_UDP,
    };
    let sizes = Sizes {
        smallest: SMALLEST,
        largest: first.clamp(SMALLEST, largest),
    };
    let Findings { mtu, limit } = search(sizes, |size| attempts.make(size));
    Ok(PathMtu {
        from: route.from,
        to: target.ip(),
        by: wanted.by,
        device: route.device,
        device_mtu: route.device_mtu,
        route_mtu: route.route_mtu,
        mtu,
        limit,
        probes: attempts.made(),
    })
}
