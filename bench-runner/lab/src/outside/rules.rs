//! kube-proxy's iptables rules for a service with an address outside the cluster, under `externalTrafficPolicy: Cluster`.

use std::fmt::Write as _;
use std::net::SocketAddr;

use tollgate_results::arm::{Family, Services};
use tollgate_results::outcome::Protocol;

use crate::services::{self, ServiceSet, service_chain};

/// Returns the one service, TCP and UDP, with the server as its endpoint.
pub(super) fn services(endpoint: SocketAddr) -> ServiceSet {
    // With one service nothing is left to chance.
    ServiceSet::new(&Services::default(), Family::Ipv4, &[endpoint], 0)
}

/// Writes the rules of the service and, in front of them, those of the address that a load balancer gave it: all that comes
/// to it is marked for masquerading, since its replies must come back through this node.
pub(super) fn text(services: &ServiceSet, address: SocketAddr) -> String {
    let mut text = services::iptables(services, usize::MAX);
    text.push_str("*nat\n");
    let mut rules = String::new();
    for (protocol, name) in [(Protocol::Tcp, "tcp"), (Protocol::Udp, "udp")] {
        let port = services.under_test(protocol);
        let chain = service_chain(port);
        let outside = chain.replacen("KUBE-SVC-", "KUBE-EXT-", 1);
        let service = &port.name;
        let _ = writeln!(text, ":{outside} - [0:0]");
        let _ = write!(
            rules,
            "-I KUBE-SERVICES -m comment --comment \"{service} loadbalancer IP\" -m {name} -p {name} \
             -d {ip} --dport {number} -j {outside}\n\
             -A {outside} -m comment --comment \"masquerade traffic for {service} external destinations\" \
             -j KUBE-MARK-MASQ\n\
             -A {outside} -j {chain}\n",
            ip = address.ip(),
            number = address.port(),
        );
    }
    text.push_str(&rules);
    text.push_str("COMMIT\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_marked_and_goes_to_the_service() {
        let services = services("10.244.1.2:8080".parse().unwrap());
        let text = text(&services, "192.168.77.240:80".parse().unwrap());
        let chain = service_chain(services.under_test(Protocol::Tcp));
        let outside = chain.replace("KUBE-SVC-", "KUBE-EXT-");
        let place = |line: &str| {
            let found = text.lines().position(|l| l.contains(line));
            found.unwrap_or_else(|| panic!("`{line}` is not in\n{text}"))
        };
        assert!(place(&format!("-p tcp -d 192.168.77.240 --dport 80 -j {outside}")) > 0);
        let marked = place(&format!("-A {outside} -m comment"));
        assert!(marked < place(&format!("-A {outside} -j {chain}")));
        assert_eq!(text.matches("-j KUBE-MARK-MASQ").count(), 6, "{text}");
        assert!(text.contains("-p udp -d 192.168.77.240 --dport 80 -j KUBE-EXT-"));
    }
}
