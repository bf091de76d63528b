//! How late a line is: datagrams from node to node, timed from the sender's call to the receiver's.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use tollgate_results::arm::Family;
use tollgate_results::line::Line;

use crate::address::{self, Side};
use crate::clock;
use crate::error::{Doing as _, LabError};
use crate::netns::NetNs;

/// Most datagrams in each direction.
const MOST: u32 = 50;
/// Least time between two, so that none waits for another.
const GAP_NS: u64 = 1_000_000;
/// Time that all are to be sent in, however slow the line.
const SENDING_NS: u64 = 200_000_000;
/// How long after it was due a datagram is given up: what comes later still is lost.
const PATIENCE: Duration = Duration::from_millis(50);
/// Payload of a datagram: its number.
const PAYLOAD: usize = 4;
/// Ethernet, UDP and an IPv6 header: what the line counts beside the payload. IPv4's is 20 bytes shorter.
const HEADERS: u64 = 14 + 8 + 40;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    pub(super) sent: u32,
    /// Sorted.
    late_ns: Vec<u64>,
}

impl Lateness {
    pub(super) fn arrived(&self) -> u32 {
        u32::try_from(self.late_ns.len()).unwrap_or(u32::MAX)
    }

    /// Returns the smallest lateness that a share of all datagrams that arrived did not exceed.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most a hundred datagrams, and a share of them"
    )]
    pub(super) fn quantile(&self, share: f64) -> Option<u64> {
        let rank = (self.late_ns.len() as f64 * share).ceil() as usize;
        self.late_ns.get(rank.saturating_sub(1)).copied()
    }
}

/// One end: a socket in a node, with what it sent and when.
struct End {
    socket: UdpSocket,
    sent_ns: Vec<u64>,
}

/// Sends datagrams both ways over a line between two nodes.
pub(super) fn measure(
    line: &Line,
    nodes: [&NetNs; 2],
    family: Family,
) -> Result<Lateness, LabError> {
    let doing = || "calibrate the line between the nodes";
    let end = |side: Side, netns: &NetNs| {
        let socket = netns.enter(|| {
            UdpSocket::bind(SocketAddr::new(address::node(side, family), 0)).doing(doing)
        })?;
        socket.set_nonblocking(true).doing(doing)?;
        Ok::<_, LabError>(End {
            socket,
            sent_ns: Vec::new(),
        })
    };
    let mut ends = [end(Side::A, nodes[0])?, end(Side::B, nodes[1])?];
    let addresses = [
        ends[0].socket.local_addr().doing(doing)?,
        ends[1].socket.local_addr().doing(doing)?,
    ];
    exchange(line, &mut ends, addresses).doing(doing)
}

/// Sends at even gaps and looks for what comes all the while, since a receiver that sleeps would be late itself.
fn exchange(line: &Line, ends: &mut [End; 2], addresses: [SocketAddr; 2]) -> io::Result<Lateness> {
    let headers = HEADERS - if addresses[0].is_ipv4() { 20 } else { 0 };
    let sending_ns = line.sending_ns(headers + PAYLOAD as u64);
    let gap_ns = GAP_NS.max(sending_ns.saturating_mul(2));
    let count = u32::try_from(SENDING_NS / gap_ns)
        .unwrap_or(MOST)
        .clamp(1, MOST);
    let due_ns = line.delay.0.saturating_add(sending_ns);
    let patience_ns = u64::try_from(PATIENCE.as_nanos()).unwrap_or(0);
    let last_ns = (gap_ns * u64::from(count))
        .saturating_add(due_ns)
        .saturating_add(line.jitter.0)
        .saturating_add(patience_ns);
    let start = clock::now();
    let mut found = Lateness::default();
    loop {
        let now_ns = clock::since_ns(start);
        for side in [0, 1] {
            let number = u32::try_from(ends[side].sent_ns.len()).unwrap_or(count);
            if number < count && now_ns >= gap_ns * u64::from(number) {
                ends[side].sent_ns.push(clock::since_ns(start));
                let sent = ends[side]
                    .socket
                    .send_to(&number.to_ne_bytes(), addresses[1 - side]);
                if sent.is_ok() {
                    found.sent += 1;
                }
            }
            let mut bytes = [0; PAYLOAD + 1];
            if let Ok((PAYLOAD, from)) = ends[side].socket.recv_from(&mut bytes)
                && from == addresses[1 - side]
            {
                let number = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                let sent_ns = usize::try_from(number)
                    .ok()
                    .and_then(|n| ends[1 - side].sent_ns.get(n));
                let took_ns =
                    sent_ns.map(|sent_ns| clock::since_ns(start).saturating_sub(*sent_ns));
                found
                    .late_ns
                    .extend(took_ns.map(|took_ns| took_ns.saturating_sub(due_ns)));
            }
        }
        // A long line leaves time to sleep between the last datagram sent and the first that comes.
        let first_ns = ends[0]
            .sent_ns
            .first()
            .map_or(0, |sent_ns| sent_ns.saturating_add(due_ns));
        if found.sent == 2 * count && now_ns.saturating_add(GAP_NS) < first_ns {
            clock::pause(Duration::from_nanos(first_ns - now_ns - GAP_NS));
        }
        let all = found.sent == 2 * count && found.arrived() == found.sent;
        if all || now_ns > last_ns {
            found.late_ns.sort_unstable();
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_found() {
        let lateness = Lateness {
            sent: 5,
            late_ns: vec![1, 2, 3, 40],
        };
        assert_eq!(
            (lateness.quantile(0.5), lateness.quantile(0.95)),
            (Some(2), Some(40))
        );
        assert_eq!(lateness.arrived(), 4);
        assert_eq!(Lateness::default().quantile(0.5), None);
    }
}
