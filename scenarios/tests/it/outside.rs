//! Clients outside the cluster: what cannot stand beside them.

use crate::{SMALL, refused};

#[test]
fn a_client_outside_stands_beside_the_plainest_path_only() {
    let lines = refused(&SMALL.replace(
        "wire = \"vxlan\"",
        "outside = \"dsr\"\npods = \"host\"\nfamily = \"ipv6\"",
    ));
    assert_eq!(
        lines,
        [
            "small.toml:11:1: arm.vxlan.pods: outside = \"dsr\" ends at a pod that its node's stack delivers to; write pods = \"bridge\"",
            "small.toml:12:1: arm.vxlan.family: outside = \"dsr\" has no IPv6: there the address would need an extension header; write family = \"ipv4\"",
        ]
    );
    let lines = refused(
        &SMALL
            .replace("wire = \"vxlan\"", "outside = \"snat\"")
            .replace("rr.tcp-rr", "rr.icmp-echo")
            .replace("service = ", "workloads = [\"crr\"]\nservice = "),
    );
    assert_eq!(
        lines,
        [
            "small.toml:9:6: arm.vxlan: `rr` is icmp-echo, which no service answers; leave it out of this arm's `workloads`, or remove the key `outside`"
        ]
    );
}
