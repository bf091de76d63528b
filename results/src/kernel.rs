//! What an arm's kernel is told that the base leaves alone: sysctls, congestion control, queueing, steering, MTU.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of an arm's kernel beyond the base. By default none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kernel {
    /// Sysctls by their names with dots, set in every namespace of the arm, nodes and pods: at most [`Self::MOST_SYSCTLS`].
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// Congestion control of all TCP connections, by the kernel's name; `None` for the base's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub congestion: Option<String>,
    /// Queueing discipline of the devices between the nodes, with its default parameters; `None` leaves the kernel's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qdisc: Option<String>,
    /// Whether the devices between the nodes spread received packets over all CPUs (receive packet steering).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rps: bool,
    /// MTU between the nodes, 576 to 65,535; that of pods follows. `None` for 1,500.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// How full the connection-tracking table of the client's node is.
    #[serde(skip_serializing_if = "ConntrackTable::is_free")]
    pub conntrack: ConntrackTable,
}

/// How full a node's connection-tracking table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConntrackTable {
    /// As its traffic leaves it.
    #[default]
    Free,
    /// At the machine's limit with connections of others: in turns of 10 ms there is room for a few more, and none.
    Full,
}

impl ConntrackTable {
    /// Returns whether it is left alone.
    #[must_use]
    pub const fn is_free(&self) -> bool {
        matches!(self, Self::Free)
    }
}

impl Kernel {
    /// Most sysctls of an arm.
    pub const MOST_SYSCTLS: usize = 64;
    /// Longest name and longest value of a sysctl, in bytes.
    pub const LONGEST: usize = 200;
    /// Range of [`Self::mtu`]: what every IPv4 host takes, to the most of an IP packet.
    pub const MTUS: (u32, u32) = (576, 65_535);

    /// Returns whether nothing is set.
    #[must_use]
    pub fn is_base(&self) -> bool {
        *self == Self::default()
    }

    /// Returns what is wrong with a sysctl as it is written; `None` where a kernel may have it.
    #[must_use]
    pub fn sysctl_fault(name: &str, value: &str) -> Option<String> {
        let part = |part: &str| {
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            !part.is_empty() && part.chars().all(good)
        };
        if name.len() > Self::LONGEST || !name.contains('.') || !name.split('.').all(part) {
            return Some(format!(
                "`{}` is not the name of a sysctl; write it with dots, for example \"net.ipv4.tcp_rmem\"",
                name.escape_debug()
            ));
        }
        let printable =
            !value.is_empty() && value.chars().all(|c| c == ' ' || c.is_ascii_graphic());
        (!printable || value.len() > Self::LONGEST).then(|| {
            format!(
                "the value of `{name}` is to be one line of 1 to {} plain characters",
                Self::LONGEST
            )
        })
    }

    /// Returns what is wrong with the name of a queueing discipline; `None` where it may be one.
    #[must_use]
    pub fn qdisc_fault(name: &str) -> Option<String> {
        let good = (1..=15).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
        (!good).then(|| {
            "is not the name of a queueing discipline (1 to 15 of a-z, 0-9, _, -), for example \"fq\""
                .to_owned()
        })
    }
}

impl fmt::Display for Kernel {
    /// Says the settings in a few words: `bbr, qdisc fq, net.ipv4.tcp_ecn=1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.congestion.iter().cloned().collect();
        parts.extend(self.qdisc.iter().map(|qdisc| format!("qdisc {qdisc}")));
        parts.extend(self.rps.then(|| "RPS".to_owned()));
        parts.extend(self.mtu.map(|mtu| format!("MTU {mtu}")));
        let full = self.conntrack == ConntrackTable::Full;
        parts.extend(full.then(|| "a full conntrack table".to_owned()));
        let sysctls = self.sysctls.iter();
        parts.extend(sysctls.map(|(name, value)| format!("{name}={value}")));
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_say_what_they_are() {
        let kernel = Kernel {
            sysctls: [("net.ipv4.tcp_rmem", "1 2 3"), ("net.ipv4.tcp_ecn", "1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            congestion: Some("bbr".to_owned()),
            qdisc: Some("fq".to_owned()),
            rps: true,
            mtu: Some(1450),
            conntrack: ConntrackTable::Full,
        };
        assert_eq!(
            kernel.to_string(),
            "bbr, qdisc fq, RPS, MTU 1450, a full conntrack table, net.ipv4.tcp_ecn=1, net.ipv4.tcp_rmem=1 2 3"
        );
        assert_eq!(serde_json::to_string(&Kernel::default()).unwrap(), "{}");
    }

    #[test]
    fn a_sysctl_has_a_plain_name_and_a_plain_value() {
        assert_eq!(Kernel::sysctl_fault("net.ipv4.tcp_rmem", "1 2 3"), None);
        for (name, value) in [
            ("net/ipv4/tcp_rmem", "1"),
            ("net", "1"),
            ("net..tcp", "1"),
            ("../x.y", "1"),
            ("net.ipv4.x", ""),
            ("net.ipv4.x", "1\n2"),
        ] {
            assert!(
                Kernel::sysctl_fault(name, value).is_some(),
                "{name} {value}"
            );
        }
        assert!(Kernel::qdisc_fault("fq_codel").is_none());
        assert!(Kernel::qdisc_fault("fq; reboot").is_some());
    }
}
