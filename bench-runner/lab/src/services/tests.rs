use std::collections::HashSet;

use insta::assert_snapshot;
use tollgate_results::arm::{Access, Family, Position, Services};
use tollgate_results::outcome::Protocol;

use super::*;
use crate::testing;

fn set(count: u32, endpoints: u32, position: Position, seed: u64) -> ServiceSet {
    let server = "10.244.1.2:8080".parse().unwrap();
    ServiceSet::new(
        &Services {
            count,
            endpoints,
            position,
            ..Services::default()
        },
        Family::Ipv4,
        &[server],
        seed,
    )
}

#[test]
fn kube_proxys_iptables_rules_for_two_services() {
    for family in [Family::Ipv4, Family::Ipv6] {
        let text = iptables(&testing::services(2, Position::First, family), usize::MAX);
        assert_snapshot!(format!("iptables-{family}"), text);
    }
}

#[test]
fn kube_proxys_nftables_rules_for_two_services() {
    for family in [Family::Ipv4, Family::Ipv6] {
        let set = testing::services(2, Position::First, family);
        let node = address::node(Side::A, family);
        let texts = nftables(&set, node, usize::MAX);
        assert_eq!(texts.len(), 1);
        assert_snapshot!(format!("nftables-{family}"), texts[0]);
    }
}

#[test]
fn affinity_and_node_ports_are_kube_proxys() {
    let services = Services {
        endpoints: 2,
        affinity: true,
        access: Access::NodePort,
        ..Services::default()
    };
    let servers = testing::servers(Family::Ipv4, 2);
    let set = ServiceSet::new(&services, Family::Ipv4, &servers, 1);
    let node = address::node(Side::A, Family::Ipv4);
    let changed = |text: &str, plain: &str| -> String {
        let plain: HashSet<&str> = plain.lines().collect();
        let lines = text.lines().filter(|line| !plain.contains(line));
        lines.flat_map(|line| [line, "\n"]).collect()
    };
    let plain = Services {
        affinity: false,
        access: Access::ClusterIp,
        ..services
    };
    let plain = ServiceSet::new(&plain, Family::Ipv4, &servers, 1);
    let rules = iptables(&set, usize::MAX);
    assert_snapshot!(
        "iptables-affinity-node-port",
        changed(&rules, &iptables(&plain, usize::MAX))
    );
    let rules = nftables(&set, node, usize::MAX);
    assert_snapshot!(
        "nftables-affinity-node-port",
        changed(&rules[0], &nftables(&plain, node, usize::MAX)[0])
    );
    let frontends: Vec<_> = set.under_test(Protocol::Tcp).frontends().collect();
    let all = ["10.96.0.10:80", "192.168.77.1:30000", "192.168.77.2:30000"];
    assert_eq!(frontends, all.map(|one| one.parse().unwrap()));
}

#[test]
fn every_service_has_a_node_port_of_its_own() {
    let services = Services {
        count: Services::MOST_NODE_PORTS,
        access: Access::NodePort,
        ..Services::default()
    };
    let servers = testing::servers(Family::Ipv4, 1);
    let set = ServiceSet::new(&services, Family::Ipv4, &servers, 1);
    let tcp = set
        .ports()
        .iter()
        .filter(|port| port.protocol == Protocol::Tcp);
    let ports: HashSet<u16> = tcp.filter_map(|port| port.node_port).collect();
    assert_eq!(ports.len(), 2_768);
    assert!(ports.iter().all(|port| (30_000..=32_767).contains(port)));
}

#[test]
fn the_service_under_test_stands_where_it_should() {
    for (position, tcp, udp) in [
        (Position::First, 0, 1),
        (Position::Median, 50, 51),
        (Position::Last, 101, 100),
    ] {
        let set = set(101, 1, position, 7);
        assert_eq!(set.place_under_test(Protocol::Tcp), tcp, "{position}");
        assert_eq!(set.place_under_test(Protocol::Udp), udp, "{position}");
        assert_eq!(set.under_test(Protocol::Tcp).name, "tollgate/server:p80");
        assert_eq!(set.under_test(Protocol::Udp).protocol, Protocol::Udp);
    }
    let places: HashSet<usize> = (0..20)
        .map(|seed| set(101, 1, Position::Random, seed).place_under_test(Protocol::Tcp))
        .collect();
    assert!(places.len() > 10, "{places:?}");
}

#[test]
fn one_service_stands_alone() {
    for position in Position::ALL {
        assert_eq!(set(1, 1, *position, 3).ports().len(), 2);
    }
}

#[test]
fn the_seed_decides_the_order() {
    let of = |seed| set(1000, 2, Position::Random, seed);
    assert_eq!(of(5), of(5));
    assert_ne!(of(5), of(6));
}

#[test]
fn services_and_endpoints_are_distinct_and_lie_in_their_ranges() {
    let set = set(50_000, 3, Position::Median, 1);
    let addresses: HashSet<_> = set.ports().iter().map(|port| port.address.ip()).collect();
    assert_eq!(addresses.len(), 50_000);
    let endpoints: HashSet<_> = set
        .ports()
        .iter()
        .flat_map(|port| &port.endpoints)
        .collect();
    assert_eq!(endpoints.len(), 49_999 * 3 + 1);
    assert!(
        addresses
            .iter()
            .all(|ip| matches!(ip, std::net::IpAddr::V4(ip)
        if ip.octets()[0] == 10 && (96..112).contains(&ip.octets()[1])))
    );
    assert!(
        endpoints
            .iter()
            .all(|end| end.ip().to_string().starts_with("10.244."))
    );
}

#[test]
fn a_large_cluster_keeps_only_the_comments_that_kube_proxy_keeps() {
    let text = iptables(&set(1000, 2, Position::Last, 1), usize::MAX);
    assert!(!text.contains(" -> 10.244."));
    assert!(!text.contains("--comment ns-1/svc-1:p80"));
    assert_eq!(text.matches("cluster IP\"").count(), 2 * 1001);
    let probabilities = text.matches("--probability 0.5000000000").count();
    assert_eq!(probabilities, 999);
}

#[test]
fn the_rules_are_the_same_in_several_transactions() {
    let set = set(20, 40, Position::Median, 1);
    let sorted = |text: &str| {
        let lines = text
            .lines()
            .filter(|line| !matches!(*line, "COMMIT" | "*nat"));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    let (one, several) = (iptables(&set, usize::MAX), iptables(&set, 10_000));
    assert_eq!(one.matches("*nat").count(), 1);
    assert!(
        several.matches("*nat").count() > 20,
        "even one service is split"
    );
    assert_eq!(sorted(&one), sorted(&several));

    let node = "192.168.77.1".parse().unwrap();
    let (one, several) = (
        nftables(&set, node, usize::MAX),
        nftables(&set, node, 10_000),
    );
    assert_eq!(one.len(), 1);
    assert!(several.len() > 20);
    assert_eq!(one.concat(), several.concat());
}

#[test]
fn every_rule_is_written() {
    let set = set(100, 3, Position::Random, 1);
    let text = iptables(&set, usize::MAX);
    let rules = |prefix: &str| text.lines().filter(|line| line.starts_with(prefix)).count();
    let (ports, endpoints) = (set.ports().len(), set.endpoints());
    assert_eq!(rules("-A KUBE-SERVICES"), ports + 1);
    assert_eq!(rules("-A KUBE-SVC-"), ports + endpoints);
    assert_eq!(rules("-A KUBE-SEP-"), 2 * endpoints);
    assert_eq!(
        rules(":KUBE-S"),
        2 + ports + endpoints,
        "and KUBE-SERVICES of two tables"
    );
}
