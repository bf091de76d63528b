//! Arms that no machine can stand, or that prove nothing.

use tollgate_scenarios::Scenario;

use crate::{SMALL, expect, refused};

#[test]
fn places_that_cannot_be_are_refused() {
    let arm = |keys: &str| {
        format!(
            "schema = 1\nname = \"small\"\nabout = \"Places\"\nreference = \"native\"\n[arm.native]\n[arm.x]\n{keys}\n\
             [workload.rr.tcp-rr]\n"
        )
    };
    insta::assert_snapshot!(refused(&arm("place = \"hairpin\"")).join("\n"), @r#"small.toml:7:1: arm.x.place: place = "hairpin" is a pod that reaches itself through its own service; write service = "iptables-nft" or another, or place = "same-node""#);
    insta::assert_snapshot!(refused(&arm("place = \"same-node\"\npods = \"host\"")).join("\n"), @r#"small.toml:7:1: arm.x.place: pods = "host" has one address on each node, and same-node would be its loopback device; write place = "other-node", or pods = "bridge""#);
    let several = "place = \"hairpin\"\nservice = \"nftables\"\nservices = { endpoints = 2 }";
    insta::assert_snapshot!(refused(&arm(several)).join("\n"), @r#"small.toml:9:14: arm.x.services.endpoints: with place = "hairpin" the pod is the only endpoint of its service; write endpoints = 1, or place = "same-node""#);
    insta::assert_snapshot!(refused(&arm("place = \"hair-pin\"")).join("\n"), @r#"small.toml:7:9: arm.x.place: `hair-pin` is unknown here; did you mean `hairpin`?"#);
    insta::assert_snapshot!(refused(&arm("pods = \"ebpf\"\nwire = \"ipip\"\n[arm.y]\npods = \"routed\"")).join("\n"), @r#"small.toml:8:1: arm.x.wire: pods = "ebpf" hands frames to the device between the nodes, and `ipip` carries packets without link-layer addresses; write wire = "geneve" or another, or pods = "routed""#);
    insta::assert_snapshot!(refused(&arm("place = \"hairpin\"\nservice = \"tc-lb\"")).join("\n"), @r#"small.toml:8:1: arm.x.service: tc-lb doesn't masquerade a pod that reaches itself, whose replies then go astray; write service = "iptables-nft" or another"#);
    let one = "place = \"hairpin\"\nservice = \"nftables\"";
    assert!(Scenario::parse("small.toml", &arm(one)).is_ok());
}

#[test]
fn impossible_services_are_refused() {
    for (count, told) in [
        ("count = 0", "count: 0 is out of range; write 1 to 50000"),
        (
            "count = [1, 60000]",
            "count: 60000 is out of range; write 1 to 50000",
        ),
        (
            "count = [7]",
            "count: a sweep has at least two levels; write more, or one number without brackets",
        ),
        ("count = [7, 7, 8]", "count: 7 is there twice"),
        (
            "count = 3, endpoints = 101",
            "endpoints: 101 is out of range; write 1 to 100",
        ),
        (
            "count = 50000, endpoints = 3",
            "count: 50000 services with 3 endpoints each are more than 100000 endpoints; lower one of them",
        ),
    ] {
        let lines = refused(&SMALL.replace("count = [1, 100]", count));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].ends_with(&format!("arm.ipt.services.{told}")),
            "{lines:?}"
        );
    }
}

#[test]
fn services_and_standing_load_beyond_their_bounds_are_refused() {
    expect(
        "count = [1, 100]",
        "count = 3000, access = \"node-port\"",
        &[
            "small.toml:14:14: arm.ipt.services.count: 3000 services with a node port each; Kubernetes keeps 30000 to 32767 for them, room for 2768",
        ],
    );
    expect(
        "count = [1, 100]",
        "count = 3, access = \"outside\"",
        &[
            "small.toml:14:34: arm.ipt.services.access: `outside` is unknown here; there are `cluster-ip`, `node-port`",
        ],
    );
    expect(
        "[arm.native]",
        "[arm.native]\nstanding = { policies = 50001, connections = -1 }",
        &[
            "small.toml:8:14: arm.native.standing.policies: 50001 is out of range; write 0 to 50000",
            "small.toml:8:32: arm.native.standing.connections: -1 is out of range; write 0 to 200000",
        ],
    );
    expect(
        "[arm.native]",
        "[arm.floor]\npods = \"host\"\nservice = \"tc-lb\"\n[arm.native]",
        &[
            "small.toml:9:1: arm.floor.service: tc-lb translates at a pod's veth pair, and pods = \"host\" has none; write pods = \"bridge\", or service = \"socket-lb\"",
        ],
    );
}

#[test]
fn ebpf_pods_that_prove_nothing_are_refused() {
    expect(
        "wire = \"vxlan\"",
        "pods = \"ebpf\"",
        &[
            "small.toml:10:1: arm.vxlan.pods: against `native` eBPF would be credited with the bridge that it leaves \
           out, about half of the difference; add an arm with pods = \"routed\", which shows that half",
        ],
    );
    expect(
        "service = \"iptables-legacy\"",
        "service = \"iptables-legacy\"\npods = \"ebpf\"\n[arm.routed]\npods = \"routed\"\n\
         service = \"nftables\"",
        &[
            "small.toml:13:1: arm.ipt.service: pods = \"ebpf\" passes by the node's netfilter, where \
           `iptables-legacy` would translate; write service = \"socket-lb\", or pods = \"routed\"",
        ],
    );
    expect(
        "wire = \"vxlan\"",
        "pods = \"netkit\"\nwire = \"wireguard\"\n[arm.routed]\npods = \"routed\"",
        &[
            "small.toml:11:1: arm.vxlan.wire: pods = \"netkit\" hands frames to the device between the nodes, and \
           `wireguard` carries packets without link-layer addresses; write wire = \"geneve\" or another, or pods = \
           \"routed\"",
        ],
    );
}

#[test]
fn a_line_and_a_kernel_are_checked_number_by_number() {
    let arm = |keys: &str| {
        let text = SMALL.replacen("[arm.vxlan]\n", &format!("[arm.vxlan]\n{keys}\n"), 1);
        assert_ne!(text, SMALL, "nothing to replace");
        text
    };
    let text = arm(
        "line = { delay = \"11s\", queue = \"50ms\", loss = \"60%\", burst = 1 }\n\
         kernel = { congestion = \"BBR\", qdisc = \"f q\", mtu = 500, sysctls = { \"tcp_ecn\" = \"1\", \"net.x\" = \"\" } }",
    );
    insta::assert_snapshot!(refused(&text).join("\n"), @r#"
    small.toml:10:10: arm.vxlan.line.delay: 11s is out of range; write 0ns to 10s
    small.toml:10:25: arm.vxlan.line.queue: a line without a rate has no queue; write a rate, or remove it
    small.toml:10:41: arm.vxlan.line.loss: 60% is out of range; write 0% to 50%
    small.toml:10:55: arm.vxlan.line.burst: 1 is out of range; write 2 to 1000
    small.toml:11:12: arm.vxlan.kernel.congestion: is not the name of a congestion control (1 to 15 of a-z, 0-9, _, -), for example "cubic"
    small.toml:11:32: arm.vxlan.kernel.qdisc: is not the name of a queueing discipline (1 to 15 of a-z, 0-9, _, -), for example "fq"
    small.toml:11:47: arm.vxlan.kernel.mtu: 500 is out of range; write 576 to 65535
    small.toml:11:58: arm.vxlan.kernel.sysctls: the value of `net.x` is to be one line of 1 to 200 plain characters
    small.toml:11:58: arm.vxlan.kernel.sysctls: `tcp_ecn` is not the name of a sysctl; write it with dots, for example "net.ipv4.tcp_rmem"
    "#);
    let text = arm("line = { delay = \"1s\", rate = \"1 Gbit/s\", queue = \"400 ms\" }");
    assert_eq!(
        refused(&text),
        [
            "small.toml:10:1: arm.vxlan.line: holds up to 166.9 MiB in each direction, more than 64 MiB; lower rate, delay or queue"
        ]
    );
    let text = arm(
        "line = { queue = \"50\", burst = 3 }\nkernel = { sysctls = { \"net.ipv4.tcp_ecn\" = 1 } }",
    );
    assert_eq!(
        refused(&text),
        [
            "small.toml:10:18: arm.vxlan.line.queue: `50` is neither an amount of data nor a time; write for example \"256 KiB\" or \"50ms\"",
            "small.toml:11:45: arm.vxlan.kernel.sysctls.\"net.ipv4.tcp_ecn\": expected a string, found integer `1`",
        ]
    );
    let text = arm("line = {}\nplace = \"same-node\"");
    let faults = refused(&text);
    let expected = "small.toml:10:1: arm.vxlan.line: no packet crosses a line between the nodes with place = \"same-node\"; \
                    remove one of the two";
    assert!(faults.iter().any(|fault| fault == expected), "{faults:?}");
    let good = arm(
        "line = { delay = \"20ms\", jitter = \"1ms\", rate = \"100 Mbit/s\", loss = \"1%\", burst = 4, seed = 7 }",
    );
    let scenario = Scenario::parse("small.toml", &good).unwrap();
    let line = scenario.arms.iter().find_map(|arm| arm.datapath.line);
    assert_eq!(
        line.map(|line| line.to_string()).as_deref(),
        Some("line of 20 ms + 1 ms, 100 Mbit/s with a queue of 50 ms, 1 % lost in bursts of 4")
    );
}
