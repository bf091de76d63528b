//! What stands on a node beside the path under test: rules that no packet matches and connections that no packet belongs
//! to.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tollgate_results::arm::Family;
use tollgate_results::standing::Standing;

use crate::conntrack::table::Entries;
use crate::error::LabError;
use crate::netns::NetNs;
use crate::{conntrack, rules};

/// Rules of one transaction: some 100 kB of text, which an ordinary user's netlink socket takes.
const RULES_AT_ONCE: u32 = 500;

/// Entries below the kernel's limit that are left to traffic: a second of new connections.
const ROOM_FOR_TRAFFIC: u64 = 16_384;

/// Puts rules and connections on a node.
///
/// # Errors
/// The rules are refused, or there is no room for the connections.
pub(crate) fn load(standing: Standing, family: Family, node: &NetNs) -> Result<(), LabError> {
    node.enter(|| {
        policies(standing.policies, family)
            .iter()
            .try_for_each(|text| {
                rules::load_iptables(rules::Backend::Nft, family, text)
                    .map_err(|error| LabError::said("load policy rules", error.cause()))
            })
    })?;
    let wanted = standing.connections;
    if wanted == 0 {
        return Ok(());
    }
    node.enter(|| room_for(wanted))?;
    let added = Entries::open(node)?.add(wanted)?;
    if added == wanted {
        return Ok(());
    }
    Err(LabError::said(
        format!("add {wanted} standing connections"),
        format!("the node's table took {added} and is full; write fewer"),
    ))
}

/// Says to a reader what the connections stand in, where there are any.
pub(crate) fn note(standing: Standing) -> Option<String> {
    (standing.connections > 0).then(|| {
        "the standing connections are the nodes' own, but the kernel keeps those of all namespaces in one hash table: \
         the other arms' look-ups pass them, too"
            .to_owned()
    })
}

/// Fails where a namespace may not have so many entries. The limit is the machine's, and stays as it is.
fn room_for(connections: u32) -> Result<(), LabError> {
    const LIMIT: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
    let limit = std::fs::read_to_string(LIMIT);
    let limit: Option<u64> = limit.ok().and_then(|text| text.trim().parse().ok());
    let there = conntrack::entries()?;
    let wanted = u64::from(connections) + there + ROOM_FOR_TRAFFIC;
    match limit {
        Some(limit) if wanted > limit => {
            let most = limit.saturating_sub(there + ROOM_FOR_TRAFFIC);
            Err(LabError::said(
                format!("add {connections} standing connections"),
                format!(
                    "this machine allows a namespace {limit} (net.netfilter.nf_conntrack_max), and traffic needs some: \
                     write at most {most}"
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// Writes the rules for iptables-restore, in transactions: a chain at the head of FORWARD, as controllers of network
/// policies have it. Packets of a known connection leave it at once; the first of each is held against every rule.
fn policies(count: u32, family: Family) -> Vec<String> {
    let mut texts = Vec::new();
    let mut first = 0;
    while first < count {
        let mut text = String::from("*filter\n");
        if first == 0 {
            text.push_str(
                ":POD-POLICIES - [0:0]\n\
                 -I FORWARD -m comment --comment \"network policies\" -j POD-POLICIES\n\
                 -A POD-POLICIES -m comment --comment \"known connections\" \
                 -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN\n",
            );
        }
        let next = count.min(first + RULES_AT_ONCE);
        for number in first..next {
            let (from, to) = (nobody(number, family), nobody(number + 1, family));
            writeln!(
                text,
                "-A POD-POLICIES -s {from} -d {to} -p tcp -m tcp --dport 443 \
                 -m comment --comment \"policy ns-{number}/allow-web\" -j ACCEPT"
            )
            .expect("a String takes all text");
        }
        text.push_str("COMMIT\n");
        texts.push(text);
        first = next;
    }
    texts
}

/// Returns address `number` (0 to 131,071) of the ranges that are kept for benchmarks, `198.18.0.0/15` (RFC 2544) and
/// `2001:2::/48` (RFC 5180), where no packet of the lab comes from or goes to.
fn nobody(number: u32, family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => {
            Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + (number & 0x1_ffff)).into()
        }
        Family::Ipv6 => {
            let base = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0).to_bits();
            Ipv6Addr::from_bits(base + u128::from(number)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn rules_are_a_controllers() {
        let texts = policies(2, Family::Ipv4);
        assert_eq!(texts.len(), 1);
        assert_snapshot!(texts[0], @r#"
        *filter
        :POD-POLICIES - [0:0]
        -I FORWARD -m comment --comment "network policies" -j POD-POLICIES
        -A POD-POLICIES -m comment --comment "known connections" -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
        -A POD-POLICIES -s 198.18.0.0 -d 198.18.0.1 -p tcp -m tcp --dport 443 -m comment --comment "policy ns-0/allow-web" -j ACCEPT
        -A POD-POLICIES -s 198.18.0.1 -d 198.18.0.2 -p tcp -m tcp --dport 443 -m comment --comment "policy ns-1/allow-web" -j ACCEPT
        COMMIT
        "#);
        assert!(policies(0, Family::Ipv4).is_empty());
        let rules = policies(1_201, Family::Ipv6);
        assert_eq!(rules.len(), 3);
        let rules = rules.concat();
        assert_eq!(rules.matches("allow-web").count(), 1_201);
        assert_eq!(rules.matches(":POD-POLICIES").count(), 1);
    }

    #[test]
    fn what_is_asked_for_stands() {
        let Ok(netns) = NetNs::new() else {
            eprintln!("SKIPPED, NOTHING WAS TESTED: no namespace");
            return;
        };
        let policies = Standing {
            policies: 700,
            connections: 0,
        };
        load(policies, Family::Ipv6, &netns).unwrap();
        let both = Standing {
            connections: 1_500,
            ..policies
        };
        load(both, Family::Ipv4, &netns).unwrap();
        assert_eq!(netns.enter(conntrack::entries).unwrap(), 1_500);
        let too_many = netns.enter(|| room_for(u32::MAX)).unwrap_err().chain();
        assert!(too_many.contains("write at most"), "{too_many}");
    }
}
