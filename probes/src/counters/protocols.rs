//! Parses the TCP, UDP and IP counters of a network namespace.
//!
//! Of the kernel's some 300 counters those are kept that tell why a path was slow or lost something, and
//! those that say how many packets took it. Levels (`Tcp.CurrEstab`) and settings (`Tcp.RtoMin`) are left out:
//! their difference would mean nothing.

use std::collections::BTreeMap;

/// What is kept, by the kernel's group; IPv6 counters have no such groups in the kernel's own names, so
/// `Ip6InDiscards` is kept as `Ip6.InDiscards`.
#[rustfmt::skip]
const KEPT: [(&str, &[&str]); 7] = [
    ("Ip", &[
        "InReceives", "InDelivers", "OutRequests", "ForwDatagrams", "InHdrErrors", "InAddrErrors",
        "InDiscards", "OutDiscards", "OutNoRoutes", "ReasmFails", "FragFails", "FragCreates",
    ]),
    ("Ip6", &[
        "InReceives", "InDelivers", "OutRequests", "OutForwDatagrams", "InHdrErrors", "InAddrErrors",
        "InTooBigErrors", "InNoRoutes", "InDiscards", "OutDiscards", "OutNoRoutes", "ReasmFails",
        "FragFails", "FragCreates",
    ]),
    ("IpExt", &["InNoRoutes", "InTruncatedPkts", "InCsumErrors", "InCEPkts", "InOctets", "OutOctets"]),
    ("Tcp", &[
        "ActiveOpens", "PassiveOpens", "AttemptFails", "EstabResets", "InSegs", "OutSegs",
        "RetransSegs", "InErrs", "InCsumErrors", "OutRsts",
    ]),
    ("TcpExt", &[
        "ListenOverflows", "ListenDrops", "TCPReqQFullDrop", "TCPReqQFullDoCookies", "TCPTimeouts",
        "TCPLossProbes", "TCPSynRetrans", "TCPFastRetrans", "TCPSlowStartRetrans",
        "TCPLostRetransmit", "TCPRetransFail", "TCPSpuriousRTOs", "TCPSACKReorder", "TCPDSACKRecv",
        "TCPOFOQueue", "TCPOFODrop", "TCPBacklogDrop", "TCPRcvQDrop", "TCPZeroWindowDrop",
        "TCPToZeroWindowAdv", "PruneCalled", "RcvPruned", "TCPMemoryPressures", "TCPAbortOnData",
        "TCPAbortOnTimeout", "TCPAbortOnMemory", "TCPTimeWaitOverflow", "TCPChallengeACK", "TW",
        "TWRecycled", "TWKilled", "DelayedACKs", "TCPDelivered", "TCPDeliveredCE",
        "TCPOrigDataSent",
    ]),
    ("Udp", &[
        "InDatagrams", "OutDatagrams", "NoPorts", "InErrors", "RcvbufErrors", "SndbufErrors",
        "InCsumErrors", "MemErrors",
    ]),
    ("Udp6", &[
        "InDatagrams", "OutDatagrams", "NoPorts", "InErrors", "RcvbufErrors", "SndbufErrors",
        "InCsumErrors", "MemErrors",
    ]),
];

/// Parses `snmp` and `netstat`: for each group a line of names, then a line of values.
pub(super) fn paired_lines(text: &str) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (Some((group, names)), Some((again, values))) =
            (names.split_once(':'), values.split_once(':'))
        else {
            continue;
        };
        // A line too many or too few would shift every value to a wrong name.
        if group != again {
            break;
        }
        let names = names.split_ascii_whitespace();
        for (name, value) in names.zip(values.split_ascii_whitespace()) {
            keep(&mut found, group, name, value);
        }
    }
    found
}

/// Parses `snmp6`: one name and value on each line, the name with its group before it.
pub(super) fn flat_lines(text: &str) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(name), Some(value)) = (words.next(), words.next()) else {
            continue;
        };
        for group in ["Ip6", "Udp6"] {
            if let Some(name) = name.strip_prefix(group) {
                keep(&mut found, group, name, value);
            }
        }
    }
    found
}

/// Returns the sockets in TIME_WAIT from `sockstat`.
///
/// The kernel counts IPv4 and IPv6 together there, per namespace; `sockstat6` has no such figure.
pub(super) fn time_wait(sockstat: &str) -> Option<u64> {
    let mut words = sockstat
        .lines()
        .find_map(|line| line.strip_prefix("TCP:"))?
        .split_ascii_whitespace();
    words.find(|word| *word == "tw")?;
    words.next()?.parse().ok()
}

/// Keeps a counter that is wanted; one that isn't a whole positive number stays unknown.
fn keep(found: &mut BTreeMap<String, u64>, group: &str, name: &str, value: &str) {
    let wanted = KEPT
        .iter()
        .any(|(kept, names)| *kept == group && names.contains(&name));
    if wanted && let Ok(value) = value.parse() {
        found.insert(format!("{group}.{name}"), value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SNMP: &str = "\
Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates OutTransmits
Ip: 2 64 6581 0 0 17 0 3 6581 4304 0 0 0 0 0 0 0 0 0 4304
IcmpMsg: InType3
IcmpMsg: 1
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors
Tcp: 1 200 120000 -1 113 2 0 101 0 6355 4181 7 0 103 0
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
Udp: 225 1 0 226 4 5 0 0 0
";

    const NETSTAT: &str = "\
TcpExt: SyncookiesSent TW ListenOverflows ListenDrops TCPTimeouts TCPLostRetransmit TCPSynRetrans TCPDelivered
TcpExt: 0 10 1 2 3 4 5 1178
IpExt: InNoRoutes InTruncatedPkts InMcastPkts OutMcastPkts InBcastPkts OutBcastPkts InOctets OutOctets
IpExt: 0 0 0 0 0 0 221992496 469109
";

    const SNMP6: &str = "\
Ip6InReceives                   \t1
Ip6OutForwDatagrams             \t12
Icmp6InMsgs                     \t1
Udp6RcvbufErrors                \t3
UdpLite6RcvbufErrors            \t9
";

    #[test]
    fn counters_of_both_versions_are_named_by_group() {
        let snmp = paired_lines(SNMP);
        assert_eq!(snmp["Tcp.RetransSegs"], 7);
        assert_eq!(snmp["Tcp.OutRsts"], 103);
        assert_eq!(snmp["Udp.SndbufErrors"], 5);
        assert_eq!(snmp["Ip.ForwDatagrams"], 17);
        assert_eq!(snmp["Ip.InDiscards"], 3);
        assert!(!snmp.contains_key("Tcp.CurrEstab"), "a level");
        assert!(!snmp.contains_key("Tcp.MaxConn"), "a setting");

        let netstat = paired_lines(NETSTAT);
        assert_eq!(netstat["TcpExt.ListenDrops"], 2);
        assert_eq!(netstat["TcpExt.TCPDelivered"], 1178);
        assert_eq!(netstat["IpExt.OutOctets"], 469_109);

        let snmp6 = flat_lines(SNMP6);
        let expected = [
            ("Ip6.InReceives", 1),
            ("Ip6.OutForwDatagrams", 12),
            ("Udp6.RcvbufErrors", 3),
        ];
        assert_eq!(
            snmp6,
            expected
                .map(|(name, value)| (name.to_owned(), value))
                .into()
        );
    }

    #[test]
    fn what_a_kernel_lacks_is_absent() {
        assert!(!paired_lines(SNMP).contains_key("TcpExt.ListenDrops"));
        assert!(paired_lines("").is_empty());
        assert!(flat_lines("").is_empty());
    }

    #[test]
    fn a_lost_line_shifts_no_value_to_another_name() {
        let (_, rest) = SNMP.split_once('\n').unwrap();
        assert!(paired_lines(rest).is_empty());
    }

    #[test]
    fn time_wait_stands_in_the_tcp_line() {
        let text =
            "sockets: used 16\nTCP: inuse 1 orphan 0 tw 42 alloc 1 mem 215\nUDP: inuse 0 mem 0\n";
        assert_eq!(time_wait(text), Some(42));
        assert_eq!(time_wait("TCP: inuse 1\n"), None);
        assert_eq!(time_wait("TCP: inuse 1 tw\n"), None);
        assert_eq!(time_wait(""), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text: String) {
            paired_lines(&text);
            flat_lines(&text);
            time_wait(&text);
        }

        #[test]
        fn broken_files_invent_nothing(
            place in any::<prop::sample::Index>(),
            with in "[A-Za-z0-9:. \n-]{0,12}",
        ) {
            let mut text = SNMP.to_owned();
            let place = place.index(text.len());
            text.replace_range(place..=place, &with);
            for name in paired_lines(&text).keys() {
                let (group, name) = name.split_once('.').unwrap();
                prop_assert!(KEPT.iter().any(|(kept, names)| *kept == group && names.contains(&name)));
            }
            time_wait(&text);
        }
    }
}
