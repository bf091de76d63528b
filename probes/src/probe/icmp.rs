//! ICMP echo, IPv4 and IPv6: messages, and the sockets that carry them.
//!
//! A request carries the job's token and its number after the ICMP header, since the sequence number has 16 bits
//! only and the identifier is any program's to use.
//!
//! | | raw socket | ping socket |
//! |---|---|---|
//! | allowed by | `CAP_NET_RAW` | `net.ipv4.ping_group_range` of the network namespace |
//! | identifier | the probe's, another for each socket | the kernel's |
//! | checksum, IPv4 | the probe's | the kernel's |
//! | who picks replies by identifier | a filter in the kernel | the kernel |
//! | IP header, IPv4 | comes with each message | doesn't |

mod message;
mod socket;

#[cfg(any(test, fuzzing))]
pub(crate) use self::message::hear_anything;
pub(crate) use self::message::{Echoes, HEADER_LEN, MARK_LEN};
pub(crate) use self::socket::{IcmpDial, IcmpLink, choose};

/// How messages are made and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) is_ipv6: bool,
    /// Whether they go through raw sockets.
    pub(crate) is_raw: bool,
}
