//! The largest packet that gets from one address to another in one piece.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What probes that must not be fragmented found out about one direction of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathMtu {
    /// Where probes left from.
    pub from: IpAddr,
    /// Where they went.
    pub to: IpAddr,
    /// What the probes were.
    pub by: Prober,
    /// The device that they left through; `None` where it isn't known, as on the way to one's own address.
    pub device: Option<String>,
    /// That device's MTU.
    pub device_mtu: Option<u32>,
    /// What the kernel assumed of the route before: the device's MTU, the route's, or what it was told of late.
    pub route_mtu: Option<u32>,
    /// Largest packet that got through, IP header included, in bytes; `None` where none did.
    pub mtu: Option<u32>,
    /// What keeps larger ones away.
    pub limit: MtuLimit,
    /// How many probes were sent.
    pub probes: u32,
}

/// What was sent to find a path's MTU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Prober {
    /// ICMP echo requests, whose replies may be fragmented: one direction alone.
    IcmpEcho,
    /// Datagrams to a responder, whose replies have the same size: the narrower of both directions.
    Udp,
}

/// What keeps larger packets away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MtuLimit {
    /// The sending device: nothing on the path is smaller.
    Device,
    /// A hop that says so.
    Told {
        /// Who says so; `None` for this machine, of a device further on or from memory.
        by: Option<IpAddr>,
        /// The MTU that it names.
        mtu: u32,
    },
    /// A black hole: packets from this size on vanish, and nobody says a word. Their senders stall.
    BlackHole {
        /// The smallest that vanished each time.
        from: u32,
    },
    /// Not even small packets get through, so that nothing is known.
    NoReply,
}

/// What was found between the ends of an arm.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ArmMtus {
    /// From the client to the server, as the traffic goes. `None` where it couldn't be found out.
    pub there: Option<PathMtu>,
    /// From the server to the client.
    pub back: Option<PathMtu>,
    /// From the client's node to the server's, without encapsulation.
    pub node_there: Option<PathMtu>,
    /// From the server's node to the client's.
    pub node_back: Option<PathMtu>,
}

impl ArmMtus {
    /// Returns how many bytes of each packet the pods' path takes that the nodes' path has: an overlay's headers.
    /// `None` where not both are known.
    #[must_use]
    pub fn overhead(&self) -> Option<u32> {
        let pods = self.there.as_ref()?.mtu?;
        self.node_there.as_ref()?.mtu?.checked_sub(pods)
    }
}
