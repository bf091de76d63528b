use std::net::SocketAddr;

use libbpf_rs::ProgramInput;
use tollgate_results::arm::{Family, Position, Services};
use tollgate_results::outcome::Protocol;

use self::packet::{ACK, FIN, Packet, SYN};
use super::*;
use crate::testing;

mod packet;

/// `TCX_NEXT` as a program returns it.
const NEXT: u32 = u32::MAX;
const ETHERNET: usize = 14;

fn skipped() -> bool {
    if let Err(reason) = available() {
        eprintln!("SKIPPED, NOTHING WAS TESTED: {reason}");
        return true;
    }
    false
}

/// Loads the balancer of three endpoints without attaching it anywhere.
fn balancer(family: Family, affinity: bool, connections: u32) -> (TcLb, ServiceSet) {
    let services = Services {
        count: 20,
        endpoints: 3,
        position: Position::Random,
        affinity,
        ..Services::default()
    };
    let services = ServiceSet::new(&services, family, &testing::servers(family, 3), 1);
    let loaded = load(family, &Entries::of(&services), connections, false).unwrap();
    (TcLb { loaded }, services)
}

/// Runs a program on one packet; returns what becomes of it.
fn run(lb: &TcLb, program: &str, packet: &[u8]) -> Vec<u8> {
    let mut out = vec![0; packet.len() + 64];
    let input = ProgramInput {
        data_in: Some(packet),
        data_out: Some(&mut out),
        ..ProgramInput::default()
    };
    let output = lb.loaded.program(program).unwrap().test_run(input).unwrap();
    assert_eq!(output.return_value, NEXT, "every packet goes on");
    let length = output.data.map_or(0, |data| data.len());
    out.truncate(length);
    out
}

fn client(family: Family, port: u16) -> SocketAddr {
    SocketAddr::new(testing::client(family), port)
}

fn flow(protocol: Protocol, local: SocketAddr, remote: SocketAddr) -> Flow {
    Flow {
        protocol,
        local,
        remote,
        incoming_cpu: None,
    }
}

#[test]
fn packets_and_their_answers_are_translated_with_right_checksums() {
    if skipped() {
        return;
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        let (lb, services) = balancer(family, false, CONNECTIONS);
        for (number, (protocol, summed)) in [
            (Protocol::Tcp, true),
            (Protocol::Udp, true),
            (Protocol::Udp, false),
        ]
        .into_iter()
        .enumerate()
        {
            if !summed && family == Family::Ipv6 {
                continue; // IPv6 has no datagrams without a checksum.
            }
            let service = services.under_test(protocol).address;
            let from = client(family, 40_000 + u16::try_from(number).unwrap());
            let there = Packet::new(protocol, from, service).summed(summed);
            let before = lb.counters().unwrap();
            let mut endpoints = Vec::new();
            for flags in [SYN, ACK, ACK] {
                let out = packet::read(&run(&lb, "from_pod", &there.flags(flags).bytes()));
                assert_eq!((out.from, out.payload), (from, there.payload));
                assert_eq!(out.is_sound, summed, "{protocol:?}, {family}");
                endpoints.push(out.to);
            }
            assert!(
                endpoints.iter().all(|one| *one == endpoints[0]),
                "{endpoints:?}"
            );
            assert!(
                services
                    .under_test(protocol)
                    .endpoints
                    .contains(&endpoints[0])
            );
            let found = lb.endpoint(&flow(protocol, from, service)).unwrap();
            assert_eq!(found, Some(endpoints[0]));

            let back = Packet::new(protocol, endpoints[0], from)
                .summed(summed)
                .flags(ACK);
            for program in ["to_pod", "in_pod"] {
                let out = packet::read(&run(&lb, program, &back.bytes()));
                assert_eq!((out.from, out.to), (service, from));
                assert_eq!(out.is_sound, summed);
            }
            let after = lb.counters().unwrap();
            assert_eq!(after.forward - before.forward, 3);
            assert_eq!(after.back - before.back, 2);
            assert_eq!(after.connections - before.connections, 1);
            assert_eq!((after.displaced, after.forgotten), (0, 0));
        }
    }
}

#[test]
fn what_is_not_for_a_service_passes_untouched() {
    if skipped() {
        return;
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        let (lb, services) = balancer(family, false, CONNECTIONS);
        let service = services.under_test(Protocol::Tcp).address;
        let from = client(family, 40_000);
        let other_port = SocketAddr::new(service.ip(), service.port() + 1);
        let to_service = Packet::new(Protocol::Tcp, from, service);
        let mut cut = to_service.bytes();
        let network = if family == Family::Ipv4 { 20 } else { 40 };
        cut.truncate(ETHERNET + network + 2);
        let mut foreign = to_service.bytes();
        foreign[12..14].copy_from_slice(&[0x08, 0x06]);
        for (what, packet) in [
            (
                "pod",
                Packet::new(Protocol::Tcp, from, testing::servers(family, 1)[0]).bytes(),
            ),
            ("port", Packet::new(Protocol::Tcp, from, other_port).bytes()),
            ("icmp", Packet::new(Protocol::Icmp, from, service).bytes()),
            ("fragment", to_service.fragment().bytes()),
            ("cut", cut),
            ("arp", foreign),
        ] {
            assert_eq!(run(&lb, "from_pod", &packet), packet, "{what}, {family}");
            assert_eq!(run(&lb, "to_pod", &packet), packet, "{what}, {family}");
        }
        assert_eq!(lb.counters().unwrap(), PacketTranslations::default());
    }
}

#[test]
fn options_of_the_header_are_passed_over() {
    if skipped() {
        return;
    }
    let (lb, services) = balancer(Family::Ipv4, false, CONNECTIONS);
    let service = services.under_test(Protocol::Tcp).address;
    let packet = Packet::new(Protocol::Tcp, client(Family::Ipv4, 40_000), service).options();
    let out = packet::read(&run(&lb, "from_pod", &packet.bytes()));
    assert!(out.is_sound);
    assert!(
        services
            .under_test(Protocol::Tcp)
            .endpoints
            .contains(&out.to)
    );
}

#[test]
fn ports_that_are_used_again_open_another_connection() {
    if skipped() {
        return;
    }
    let (lb, services) = balancer(Family::Ipv4, false, CONNECTIONS);
    let service = services.under_test(Protocol::Tcp).address;
    let packet = Packet::new(Protocol::Tcp, client(Family::Ipv4, 40_000), service);
    let mut endpoints = std::collections::BTreeSet::new();
    for _ in 0..40 {
        for flags in [SYN, SYN, ACK, FIN | ACK, ACK] {
            let out = packet::read(&run(&lb, "from_pod", &packet.flags(flags).bytes()));
            endpoints.insert(out.to);
        }
    }
    assert_eq!(
        lb.counters().unwrap().connections,
        40,
        "a SYN sent again opens none"
    );
    assert_eq!(
        endpoints.len(),
        3,
        "the chance that one is left out is below 1e-6"
    );
}

#[test]
fn a_client_with_affinity_stays_at_its_endpoint() {
    if skipped() {
        return;
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        let (lb, services) = balancer(family, true, CONNECTIONS);
        let service = services.under_test(Protocol::Tcp).address;
        let to = |from: SocketAddr| {
            let packet = Packet::new(Protocol::Tcp, from, service).flags(SYN);
            packet::read(&run(&lb, "from_pod", &packet.bytes())).to
        };
        let first = to(client(family, 40_000));
        assert!((1..60).all(|port| to(client(family, 40_000 + port)) == first));
        // Others are drawn endpoints of their own.
        let others = testing::servers(family, 60);
        assert!(others.into_iter().any(|other| to(other) != first));
    }
}

#[test]
fn a_full_table_gives_way_and_says_so() {
    if skipped() {
        return;
    }
    let (lb, services) = balancer(Family::Ipv4, false, 512);
    let service = services.under_test(Protocol::Tcp).address;
    let of = |port| Packet::new(Protocol::Tcp, client(Family::Ipv4, port), service);
    for port in 10_000..14_000 {
        let packet = of(port).flags(SYN).bytes();
        assert_ne!(
            run(&lb, "from_pod", &packet),
            packet,
            "each is translated all the same"
        );
    }
    let counters = lb.counters().unwrap();
    assert_eq!(counters.connections, 4_000);
    assert!(
        (8_000 - 512..8_000).contains(&counters.displaced),
        "{counters:?}"
    );
    assert_eq!(counters.forgotten, 0);
    let old = flow(Protocol::Tcp, client(Family::Ipv4, 10_000), service);
    assert_eq!(lb.endpoint(&old).unwrap(), None, "the oldest gave way");
    run(&lb, "from_pod", &of(10_000).flags(ACK).bytes());
    assert_eq!(lb.counters().unwrap().forgotten, 1);
}
