//! A look at a network namespace of the test's own.

use std::process::{Command, Stdio};

use tollgate_probes::inspect;
use tollgate_results::node::{Links, NodeFacts, RulesBy};

use crate::namespace;

/// Runs a command line of blanks and words; returns whether it worked.
fn works(line: &str) -> bool {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn links<'a>(facts: &'a NodeFacts, kind: &str) -> &'a Links {
    let mut links = facts.links.iter();
    let found = links.find(|links| links.kind == kind);
    found.unwrap_or_else(|| panic!("no {kind}: {facts:?}"))
}

fn by(facts: &NodeFacts) -> Vec<(RulesBy, u32)> {
    let rules = facts.rules.iter();
    rules.map(|rules| (rules.by, rules.chains)).collect()
}

#[test]
fn links_of_a_namespace_are_seen_with_what_they_run_over() {
    namespace::inside(
        "inspect",
        "links_of_a_namespace_are_seen_with_what_they_run_over",
        || {
            for line in [
                "ip link add br0 type bridge",
                "ip link set br0 up",
                "ip link add pod0 mtu 1400 type veth peer name pod1 mtu 1400",
                "ip link add flannel.1 mtu 1350 type vxlan id 1 dev br0 dstport 8472",
            ] {
                assert!(works(line), "{line}");
            }
            let facts = inspect::node();
            let pods = links(&facts, "veth");
            assert_eq!((pods.mtu, pods.count, pods.up), (1400, 2, false));
            assert_eq!(pods.over_mtu, None, "the ends of a pair run over nothing");
            let tunnel = links(&facts, "vxlan");
            assert_eq!(
                (tunnel.mtu, tunnel.over_mtu, tunnel.names.as_slice()),
                (1350, Some(1500), &["flannel.1".to_owned()][..])
            );
            assert!(links(&facts, "bridge").up);
            assert!(
                facts
                    .links
                    .iter()
                    .all(|links| !links.names.contains(&"lo".to_owned()))
            );
        },
    );
}

#[test]
fn rules_of_service_proxies_are_told_apart_and_none_is_made_by_looking() {
    namespace::inside(
        "inspect",
        "rules_of_service_proxies_are_told_apart_and_none_is_made_by_looking",
        || {
            assert!(by(&inspect::node()).is_empty());
            let legacy =
                std::fs::read_to_string("/proc/self/net/ip_tables_names").unwrap_or_default();
            assert_eq!(legacy, "", "looking made a table");
            // Rules of other programs, and chains that a kubelet makes, are no proxy.
            assert!(works("nft add table inet filter"));
            assert!(works("iptables-nft -t nat -N KUBE-KUBELET-CANARY"));
            assert!(by(&inspect::node()).is_empty());

            assert!(works("iptables-nft -t nat -N KUBE-SERVICES"));
            assert!(works("iptables-nft -t nat -N KUBE-SVC-1"));
            assert_eq!(by(&inspect::node()), [(RulesBy::IptablesNft, 3)]);
            assert!(works("nft add table ip kube-proxy"));
            assert!(works("nft add chain ip kube-proxy services"));
            let both = [(RulesBy::IptablesNft, 3), (RulesBy::Nftables, 1)];
            assert_eq!(by(&inspect::node()), both);
            // Not every kernel has the older iptables still.
            if works("iptables-legacy -t nat -N KUBE-SERVICES") {
                let facts = inspect::node();
                assert_eq!(by(&facts)[0], (RulesBy::IptablesLegacy, 1), "{facts:?}");
            }
        },
    );
}
