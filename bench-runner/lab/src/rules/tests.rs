use std::net::SocketAddr;

use tollgate_results::arm::{Position, Services};
use tollgate_results::evidence::Translation;
use tollgate_results::outcome::Flow;

use super::*;
use crate::address::{Side, node};
use crate::conntrack;
use crate::testing::{self, in_namespace};

const KINDS: [Service; 3] = [
    Service::IptablesLegacy,
    Service::IptablesNft,
    Service::Nftables,
];
const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

fn listing(program: &str, arguments: &[&str]) -> String {
    program::run(program, arguments, "").unwrap()
}

fn load(service: Service, services: &ServiceSet) {
    let loaded = program(service, services, node(Side::A, services.family()));
    loaded.unwrap_or_else(|error| panic!("{service}: {}", error.chain()));
}

/// Counts the kernel's rules of all services: for services, for their balancing, for endpoints.
fn rules_in_kernel(service: Service, family: Family) -> [usize; 3] {
    let (text, patterns) = if service == Service::Nftables {
        let table = if family == Family::Ipv4 { "ip" } else { "ip6" };
        let text = listing("nft", &["list", "table", table, "kube-proxy"]);
        (text, ["chain service-", "numgen random", " dnat to "])
    } else {
        let backend = if service == Service::IptablesNft {
            Backend::Nft
        } else {
            Backend::Legacy
        };
        let program = format!("{}-{backend}", iptables_name(family));
        let text = listing(&program, &["-t", "nat", "-S"]);
        (text, ["-A KUBE-SERVICES ", "-A KUBE-SVC-", "-A KUBE-SEP-"])
    };
    let count = |pattern: &str| text.lines().filter(|line| line.contains(pattern)).count();
    patterns.map(count)
}

fn expect_all_rules(service: Service, services: &ServiceSet) {
    let (ports, endpoints) = (services.ports().len(), services.endpoints());
    let expected = match service {
        // One more chain, `service-endpoints-check`, begins so.
        Service::Nftables => [ports + 1, ports, endpoints],
        _ => [ports + 1, ports + endpoints, 2 * endpoints],
    };
    assert_eq!(
        rules_in_kernel(service, services.family()),
        expected,
        "{service}"
    );
}

#[test]
fn the_kernel_takes_every_rule() {
    for family in FAMILIES {
        let services = testing::services(50, Position::Median, family);
        for service in KINDS {
            in_namespace("rules::tests::the_kernel_takes_every_rule", family, || {
                load(service, &services);
                expect_all_rules(service, &services);
            });
        }
    }
}

/// The default send buffer does not hold this many services.
#[test]
fn an_ordinary_user_loads_them_in_several_transactions() {
    if !testing::in_user_namespace(
        "rules::tests::an_ordinary_user_loads_them_in_several_transactions",
    ) {
        return;
    }
    for (count, endpoints) in [(300, 1), (5, 100)] {
        let services = Services {
            count,
            endpoints,
            ..Services::default()
        };
        let servers = testing::servers(Family::Ipv6, 100);
        let services = ServiceSet::new(&services, Family::Ipv6, &servers, 1);
        for service in KINDS {
            in_namespace("", Family::Ipv6, || {
                load(service, &services);
                expect_all_rules(service, &services);
            });
        }
    }
}

/// Sends through the service's address, and returns what connection tracking made of both connections.
fn traffic(services: &ServiceSet) -> [Translation; 2] {
    let family = services.family();
    let endpoints = testing::servers(family, 2);
    endpoints.iter().copied().for_each(testing::echo);
    let from = testing::client(family);
    let (_tcp, tcp) = testing::ask_tcp(from, services.under_test(Protocol::Tcp).address);
    let (_udp, udp) = testing::ask_udp(from, services.under_test(Protocol::Udp).address);
    [tcp, udp].map(|flow| conntrack::translation(&flow, &endpoints).unwrap())
}

#[test]
fn connections_to_the_service_reach_an_endpoint_and_are_counted() {
    for family in FAMILIES {
        let services = testing::services(20, Position::Last, family);
        let endpoints = testing::servers(family, 2);
        for service in KINDS {
            let test = "rules::tests::connections_to_the_service_reach_an_endpoint_and_are_counted";
            in_namespace(test, family, || {
                load(service, &services);
                let before = service_packets(service, &services).unwrap();
                for translation in traffic(&services) {
                    let Translation::Rewritten { endpoint } = translation else {
                        panic!("{service} {family}: {translation:?}");
                    };
                    assert!(endpoints.contains(&endpoint), "{endpoint}");
                }
                let after = service_packets(service, &services).unwrap();
                let counted = (service != Service::Nftables).then_some((0, 2));
                assert_eq!(before.zip(after), counted, "{service} {family}");
                assert!(conntrack::entries().unwrap() >= 2);
            });
        }
    }
}

#[test]
fn a_connection_past_the_service_is_untouched() {
    let services = testing::services(2, Position::First, Family::Ipv4);
    in_namespace(
        "rules::tests::a_connection_past_the_service_is_untouched",
        Family::Ipv4,
        || {
            load(Service::IptablesLegacy, &services);
            let [server, ..]: [SocketAddr; 3] =
                testing::servers(Family::Ipv4, 3).try_into().unwrap();
            testing::echo(server);
            let (_stream, flow) = testing::ask_tcp(testing::client(Family::Ipv4), server);
            assert_eq!(
                conntrack::translation(&flow, &[server]).unwrap(),
                Translation::Untouched
            );
            let nobody = Flow {
                local: server,
                ..flow
            };
            assert_eq!(
                conntrack::translation(&nobody, &[server]).unwrap(),
                Translation::Untracked
            );
            assert_eq!(
                service_packets(Service::IptablesLegacy, &services).unwrap(),
                Some(0)
            );
        },
    );
}

#[test]
fn a_refused_rule_is_quoted() {
    in_namespace(
        "rules::tests::a_refused_rule_is_quoted",
        Family::Ipv4,
        || {
            let text = "*nat\n:X - [0:0]\n-A X -j NOWHERE\nCOMMIT\n";
            for backend in [Backend::Legacy, Backend::Nft] {
                let error = load_iptables(backend, Family::Ipv4, text)
                    .unwrap_err()
                    .chain();
                assert!(error.contains("-restore` failed"), "{error}");
                assert!(
                    error.contains("`-A X -j NOWHERE`") || error.contains("`COMMIT`"),
                    "{error}"
                );
                assert!(!error.contains('\n'), "{error}");
            }
            let error = load_nftables("add table ip x\nadd rule ip x none drop\n")
                .unwrap_err()
                .chain();
            assert!(
                error.contains("(line 2: `add rule ip x none drop`)"),
                "{error}"
            );
        },
    );
}

#[test]
fn only_jumps_to_endpoints_are_counted() {
    let listing = "Chain KUBE-SVC-X (1 references)\n\
        \x20   pkts      bytes target     prot opt in out source destination\n\
        \x20      7      420 KUBE-MARK-MASQ  tcp  --  *  *  !10.244.0.0/16  10.96.0.10\n\
        \x20      3      180 KUBE-SEP-A  0  --  *  *  0.0.0.0/0  0.0.0.0/0  /* x */\n\
        \x20      4      240 KUBE-SEP-B  0  --  *  *  0.0.0.0/0  0.0.0.0/0\n";
    assert_eq!(listing.lines().filter_map(endpoint_packets).sum::<u64>(), 7);
}
