//! The least that a slice's traffic must have left behind.

use tollgate_results::outcome::Outcome;
use tollgate_results::stream::Direction;
use tollgate_results::workload::{Connections, Http, Traffic, Workload};

/// Most payload that the kernel hands over a device as one packet, without BIG TCP.
const LARGEST_PACKET: u64 = 65_536;

/// Packets over an unused tunnel or wire that neighbour discovery and its like may cause.
pub(super) const STRAY_PACKETS: u64 = 20;

/// The least that a slice's traffic must have left behind, for each direction.
#[derive(Clone, Copy)]
pub(super) struct Expected {
    pub(super) packets: u64,
    pub(super) connections: u64,
}

impl Expected {
    /// One request is outstanding at a time, so that each answered one is at least one packet there and one back.
    /// A stream's writes may travel together; so may the requests of an open loop on one TCP connection.
    pub(super) fn of(workload: &Workload, outcome: &Outcome) -> Self {
        let open = workload.load.open().is_some();
        let (packets, connections) = match &workload.traffic {
            Traffic::TcpRr { .. } if open && outcome.replied > 0 => {
                ((outcome.bytes_received / LARGEST_PACKET).max(1), 1)
            }
            // Several responses may travel in one packet.
            Traffic::Http(http) if http.streams > 1 && outcome.replied > 0 => {
                ((outcome.bytes_received / LARGEST_PACKET).max(1), 1)
            }
            Traffic::UdpStream(stream) => {
                let received = outcome.datagrams.as_ref().and_then(|both| both.up);
                let received = received.map_or(0, |up| up.received);
                let packets = received.saturating_mul(stream.payload.0) / LARGEST_PACKET;
                // The connection that agrees on it goes up whatever the datagrams do.
                (packets.max(outcome.replied.min(1)), outcome.replied.min(1))
            }
            Traffic::TcpStream { options, .. } if options.direction != Direction::Up => {
                // Data that goes down has acknowledgements that go up, of which nothing says how many.
                let some = outcome.bytes_received.min(1);
                (some, some)
            }
            Traffic::TcpStream { flows, .. } => {
                let packets = outcome.bytes_received / LARGEST_PACKET;
                (packets, u64::from(*flows).min(packets))
            }
            Traffic::TcpCrr { .. }
            | Traffic::TcpSyn { .. }
            | Traffic::Http(Http {
                connections: Connections::New,
                ..
            }) => (outcome.replied, outcome.replied),
            Traffic::TcpRr { .. }
            | Traffic::UdpRr { .. }
            | Traffic::IcmpEcho { .. }
            | Traffic::Http(Http {
                connections: Connections::Kept,
                ..
            }) => (outcome.replied, outcome.replied.min(1)),
        };
        Self {
            packets,
            connections,
        }
    }

    /// The most packets that may turn up where none of the traffic belongs.
    pub(super) fn stray(self) -> u64 {
        STRAY_PACKETS.max(self.packets / 100)
    }
}
