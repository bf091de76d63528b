//! The few rules that kube-proxy writes in IPVS mode, whatever the number of services. It keeps addresses in sets (`ipset`)
//! which grow with the services and cost one look-up each; here the ranges that all of them lie in stand in their place.

use std::fmt::Write as _;

use tollgate_results::arm::Family;

use super::{MARK, layout};
use crate::address;

/// Writes the rules as input for iptables-restore or ip6tables-restore.
pub(crate) fn ipvs(family: Family) -> String {
    let (pods, services) = (address::cluster_cidr(family), layout::service_cidr(family));
    let mut text = String::from("*nat\n");
    for chain in [
        "KUBE-SERVICES",
        "KUBE-POSTROUTING",
        "KUBE-NODE-PORT",
        "KUBE-MARK-MASQ",
    ] {
        writeln!(text, ":{chain} - [0:0]").expect("a String takes all text");
    }
    for protocol in ["tcp", "udp"] {
        writeln!(
            text,
            "-A KUBE-NODE-PORT -p {protocol} -m comment --comment \"Kubernetes nodeport {} port for masquerade purpose\" \
             -m {protocol} --dport 30000:32767 -j KUBE-MARK-MASQ",
            protocol.to_uppercase()
        )
        .expect("a String takes all text");
    }
    write!(
        text,
        "-I OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
         -I PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
         -I POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING\n\
         -A KUBE-SERVICES ! -s {pods} -d {services} \
         -m comment --comment \"Kubernetes service cluster ip + port for masquerade purpose\" -j KUBE-MARK-MASQ\n\
         -A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT\n\
         -A KUBE-SERVICES -d {services} -j ACCEPT\n\
         -A KUBE-POSTROUTING -m mark ! --mark {MARK}/{MARK} -j RETURN\n\
         -A KUBE-POSTROUTING -j MARK --xor-mark {MARK}\n\
         -A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\" \
         -j MASQUERADE --random-fully\n\
         -A KUBE-MARK-MASQ -j MARK --or-mark {MARK}\n\
         COMMIT\n\
         *filter\n\
         :KUBE-FORWARD - [0:0]\n\
         -I FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD\n\
         -A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" -m mark --mark {MARK}/{MARK} -j ACCEPT\n\
         -A KUBE-FORWARD -m comment --comment \"kubernetes forwarding conntrack rule\" \
         -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
         COMMIT\n"
    )
    .expect("a String takes all text");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_as_many_for_any_number_of_services() {
        insta::assert_snapshot!(ipvs(Family::Ipv4));
        assert!(ipvs(Family::Ipv6).contains("! -s fd00:10:244::/48 -d fd00:10:96::/108"));
    }
}
