//! The anatomy of a packet: what the packet clock saw of it, and the record of an anatomy campaign.
//!
//! The clock is a set of eBPF programs that follow the packets of one arm's exchanges and stamp them at fixed points
//! of the kernel. A [`Trip`] is what it saw of one packet; a *hop* is the time from one event of a trip to the next.

mod record;
mod trip;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::record::{
    AnatomyRecord, AnatomySlice, Clocked, ClockedWay, Hop, HopKey, HopKind, ProgramCost,
    SliceOutcome,
};
pub use self::trip::{Event, Site, SiteDevice, SiteProgram, Trip, TripError, decode};

/// Which of an exchange's two packets.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Client to server.
    Request,
    /// Server to client.
    Reply,
}

impl Way {
    /// Both, in the order in which they happen.
    pub const BOTH: [Self; 2] = [Self::Request, Self::Reply];

    /// Returns the way as records have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Reply => "reply",
        }
    }
}

/// What is followed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Followed {
    /// Request and reply on an open TCP connection.
    TcpRr,
    /// Request and reply by datagrams.
    UdpRr,
    /// The first packets of fresh TCP connections: the SYN, and the SYN-ACK that the far end's kernel answers with.
    /// They pay for what is looked up once for each connection, such as a service's rules.
    TcpConnect,
}

impl Followed {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::TcpRr, Self::UdpRr, Self::TcpConnect];

    /// Returns it as people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TcpRr => "tcp-rr",
            Self::UdpRr => "udp-rr",
            Self::TcpConnect => "tcp-connect",
        }
    }
}

impl fmt::Display for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Followed {
    type Err = String;

    fn from_str(input: &str) -> Result<Self, String> {
        named(input, Self::ALL, Self::as_str)
    }
}

/// A part of netfilter between two stamps of its own: the functions registered between two priorities of a hook.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// PREROUTING, around -200: the look-up in connection tracking.
    Conntrack,
    /// PREROUTING, around -100: translation of the destination.
    Dnat,
    /// FORWARD, around 0: filter rules.
    Forward,
    /// POSTROUTING, around 100: translation of the source.
    Snat,
}

impl Hook {
    /// All, in the order in which a packet meets them.
    pub const ALL: [Self; 4] = [Self::Conntrack, Self::Dnat, Self::Forward, Self::Snat];

    /// Returns it as people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conntrack => "conntrack",
            Self::Dnat => "dnat",
            Self::Forward => "forward",
            Self::Snat => "snat",
        }
    }

    /// Returns the hook's number (as in `<linux/netfilter.h>`) and the priority in its middle.
    #[must_use]
    pub const fn place(self) -> (u32, i32) {
        match self {
            Self::Conntrack => (0, -200),
            Self::Dnat => (0, -100),
            Self::Forward => (2, 0),
            Self::Snat => (4, 100),
        }
    }
}

impl FromStr for Hook {
    type Err = String;

    fn from_str(input: &str) -> Result<Self, String> {
        named(input, Self::ALL, Self::as_str)
    }
}

fn named<T: Copy, const N: usize>(
    input: &str,
    all: [T; N],
    name: fn(T) -> &'static str,
) -> Result<T, String> {
    let found = all.into_iter().find(|one| name(*one) == input);
    found.ok_or_else(|| {
        let names: Vec<_> = all.into_iter().map(name).collect();
        format!("`{input}` is not one of {}", names.join(", "))
    })
}

/// Where in the kernel an event is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Point {
    /// `net_dev_queue`: handed to a device for sending.
    Queue,
    /// `netif_rx`: handed over by a device, put on a CPU's backlog.
    NetifRx,
    /// `netif_receive_skb`: taken from the backlog.
    Receive,
    /// `napi_gro_receive_entry`: handed over by a device that polls.
    Gro,
    /// `sk_data_ready`: in the receiver's socket.
    DataReady,
    /// The first stamp around a part of netfilter.
    Enter(Hook),
    /// The second stamp around a part of netfilter.
    Leave(Hook),
}

impl Point {
    /// Returns the point of a number, as `anatomy.c` numbers them.
    #[must_use]
    pub const fn numbered(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Queue,
            2 => Self::NetifRx,
            3 => Self::Receive,
            4 => Self::Gro,
            5 => Self::DataReady,
            16 => Self::Enter(Hook::Conntrack),
            17 => Self::Leave(Hook::Conntrack),
            18 => Self::Enter(Hook::Dnat),
            19 => Self::Leave(Hook::Dnat),
            20 => Self::Enter(Hook::Forward),
            21 => Self::Leave(Hook::Forward),
            22 => Self::Enter(Hook::Snat),
            23 => Self::Leave(Hook::Snat),
            _ => return None,
        })
    }

    /// Returns the name of the kernel's tracepoint or hook.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "net_dev_queue",
            Self::NetifRx => "netif_rx",
            Self::Receive => "netif_receive_skb",
            Self::Gro => "napi_gro_receive_entry",
            Self::DataReady => "sk_data_ready",
            Self::Enter(hook) | Self::Leave(hook) => hook.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_or_explained() {
        for followed in Followed::ALL {
            assert_eq!(followed.as_str().parse(), Ok(followed));
        }
        for hook in Hook::ALL {
            assert_eq!(hook.as_str().parse(), Ok(hook));
        }
        let said = "input".parse::<Hook>().unwrap_err();
        assert_eq!(said, "`input` is not one of conntrack, dnat, forward, snat");
    }

    #[test]
    fn every_pair_of_stamps_has_two_numbers() {
        for (hook, number) in Hook::ALL.into_iter().zip([16, 18, 20, 22]) {
            assert_eq!(Point::numbered(number), Some(Point::Enter(hook)));
            assert_eq!(Point::numbered(number + 1), Some(Point::Leave(hook)));
        }
        assert_eq!(Point::numbered(0), None);
        assert_eq!(Point::numbered(24), None);
    }
}
