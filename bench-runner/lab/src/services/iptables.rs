//! Rules as kube-proxy 1.33 writes them in iptables mode, for `iptables-restore --noflush --counters`.
//!
//! kube-proxy makes the jumps from the base chains with commands of their own; here they never stand yet, so they are
//! part of the same input.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use tollgate_results::arm::{Family, Services};

use super::{MARK, ServicePort, ServiceSet, naming, protocol_name};
use crate::address;

/// Endpoints above which kube-proxy leaves out the comments of service and endpoint chains.
const LARGE_CLUSTER: usize = 1000;
/// Length of the rules of one service with one endpoint, comments included, for reserving memory.
const SERVICE_BYTES: usize = 640;
/// Length of the rules of one endpoint, comments included, for reserving memory.
const ENDPOINT_BYTES: usize = 400;

/// Jumps from base chains: table, base chain, what follows. Each is put in front of the earlier ones.
const JUMPS: [(Table, &str, &str); 14] = {
    use Table::{Filter, Nat};
    const EXTERNAL: &str = "-m conntrack --ctstate NEW -m comment --comment \
        \"kubernetes externally-visible service portals\" -j KUBE-EXTERNAL-SERVICES";
    const PORTALS: &str = "-m conntrack --ctstate NEW -m comment --comment \
        \"kubernetes service portals\" -j KUBE-SERVICES";
    const FIREWALL: &str = "-m conntrack --ctstate NEW -m comment --comment \
        \"kubernetes load balancer firewall\" -j KUBE-PROXY-FIREWALL";
    const NAT_PORTALS: &str =
        "-m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES";
    [
        (Filter, "INPUT", EXTERNAL),
        (Filter, "FORWARD", EXTERNAL),
        (
            Filter,
            "INPUT",
            "-m comment --comment \"kubernetes health check service ports\" -j KUBE-NODEPORTS",
        ),
        (Filter, "FORWARD", PORTALS),
        (Filter, "OUTPUT", PORTALS),
        (
            Filter,
            "FORWARD",
            "-m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD",
        ),
        (Filter, "INPUT", FIREWALL),
        (Filter, "OUTPUT", FIREWALL),
        (Filter, "FORWARD", FIREWALL),
        (Filter, "INPUT", "-j KUBE-FIREWALL"),
        (Filter, "OUTPUT", "-j KUBE-FIREWALL"),
        (Nat, "OUTPUT", NAT_PORTALS),
        (Nat, "PREROUTING", NAT_PORTALS),
        (
            Nat,
            "POSTROUTING",
            "-m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING",
        ),
    ]
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    Filter,
    Nat,
}

/// Writes the rules of `services` as input for iptables-restore or ip6tables-restore.
///
/// The nat table comes in transactions of about `transaction_bytes` of text; `usize::MAX` makes it one, as
/// kube-proxy has it.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "a String takes all text")]
pub fn iptables(services: &ServiceSet, transaction_bytes: usize) -> String {
    let ports = services.ports().len();
    let size = ports * SERVICE_BYTES + services.endpoints().saturating_sub(ports) * ENDPOINT_BYTES;
    let mut text = String::with_capacity(size + 4096);
    filter(&mut text, services.family()).expect("a String takes all text");
    nat(&mut text, services, transaction_bytes).expect("a String takes all text");
    text.push_str("*mangle\n:KUBE-PROXY-CANARY - [0:0]\nCOMMIT\n");
    text
}

fn filter(text: &mut String, family: Family) -> fmt::Result {
    text.push_str("*filter\n");
    for chain in [
        "KUBE-SERVICES",
        "KUBE-EXTERNAL-SERVICES",
        "KUBE-FIREWALL",
        "KUBE-FORWARD",
        "KUBE-NODEPORTS",
        "KUBE-PROXY-FIREWALL",
        "KUBE-PROXY-CANARY",
    ] {
        declare(text, chain)?;
    }
    jumps(text, Table::Filter)?;
    if family == Family::Ipv4 {
        // IPv6 has no route_localnet, so nothing to block.
        text.push_str(
            "-A KUBE-FIREWALL -m comment --comment \"block incoming localnet connections\" \
             -d 127.0.0.0/8 ! -s 127.0.0.0/8 \
             -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP\n",
        );
    }
    write!(
        text,
        "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP\n\
         -A KUBE-FORWARD -m comment --comment \"kubernetes forwarding rules\" \
         -m mark --mark {MARK}/{MARK} -j ACCEPT\n\
         -A KUBE-FORWARD -m comment --comment \"kubernetes forwarding conntrack rule\" \
         -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
         COMMIT\n"
    )
}

fn nat(text: &mut String, services: &ServiceSet, transaction_bytes: usize) -> fmt::Result {
    let mut nat = Nat {
        text,
        transaction_bytes,
        chains: String::new(),
        rules: String::new(),
        pods: address::cluster_cidr(services.family()),
        large: services.endpoints() > LARGE_CLUSTER,
    };
    nat.constant_rules()?;
    for port in services.ports() {
        nat.service(port)?;
    }
    nat.node_ports(services.family())?;
    nat.commit();
    Ok(())
}

/// The nat table, written one transaction after the other.
struct Nat<'a> {
    text: &'a mut String,
    transaction_bytes: usize,
    /// Chains that this transaction declares. None is declared twice: that would empty it.
    chains: String,
    rules: String,
    /// Where pods are.
    pods: &'static str,
    /// Whether service and endpoint chains go without comments.
    large: bool,
}

impl Nat<'_> {
    fn constant_rules(&mut self) -> fmt::Result {
        for chain in [
            "KUBE-SERVICES",
            "KUBE-NODEPORTS",
            "KUBE-POSTROUTING",
            "KUBE-MARK-MASQ",
            "KUBE-PROXY-CANARY",
        ] {
            declare(&mut self.chains, chain)?;
        }
        jumps(&mut self.rules, Table::Nat)?;
        write!(
            self.rules,
            "-A KUBE-POSTROUTING -m mark ! --mark {MARK}/{MARK} -j RETURN\n\
             -A KUBE-POSTROUTING -j MARK --xor-mark {MARK}\n\
             -A KUBE-POSTROUTING -m comment --comment \
             \"kubernetes service traffic requiring SNAT\" -j MASQUERADE --random-fully\n\
             -A KUBE-MARK-MASQ -j MARK --or-mark {MARK}\n"
        )
    }

    fn service(&mut self, port: &ServicePort) -> fmt::Result {
        let ServicePort { name, address, .. } = port;
        let protocol = protocol_name(port.protocol);
        let chain = naming::service_chain(port);
        let (ip, number, pods) = (address.ip(), address.port(), self.pods);
        self.make_room();
        declare(&mut self.chains, &chain)?;
        write!(
            self.rules,
            "-A KUBE-SERVICES -m comment --comment \"{name} cluster IP\" \
             -m {protocol} -p {protocol} -d {ip} --dport {number} -j {chain}\n\
             -A {chain} -m comment --comment \"{name} cluster IP\" \
             -m {protocol} -p {protocol} -d {ip} --dport {number} ! -s {pods} -j KUBE-MARK-MASQ\n"
        )?;
        let endpoint_chains: Vec<String> = port
            .endpoints
            .iter()
            .map(|endpoint| naming::endpoint_chain(port, *endpoint))
            .collect();
        if let Some(node_port) = port.node_port {
            self.external(port, node_port, &chain)?;
        }
        for target in &endpoint_chains {
            declare(&mut self.chains, target)?;
        }
        if port.affinity {
            self.affinity(port, &chain, &endpoint_chains)?;
        }
        self.balance(port, &chain, &endpoint_chains)?;
        self.endpoints(port, &endpoint_chains)
    }

    /// The service's port of the nodes: what comes there may leave by another node, so it is masqueraded.
    fn external(&mut self, port: &ServicePort, node_port: u16, service: &str) -> fmt::Result {
        let name = &port.name;
        let protocol = protocol_name(port.protocol);
        let chain = naming::external_chain(port);
        declare(&mut self.chains, &chain)?;
        write!(
            self.rules,
            "-A KUBE-NODEPORTS -m comment --comment {name} -m {protocol} -p {protocol} \
             --dport {node_port} -j {chain}\n\
             -A {chain} -m comment --comment \"masquerade traffic for {name} external destinations\" \
             -j KUBE-MARK-MASQ\n\
             -A {chain} -j {service}\n"
        )
    }

    /// A client that was at an endpoint before stays there. Each endpoint has a list of its clients.
    fn affinity(&mut self, port: &ServicePort, chain: &str, targets: &[String]) -> fmt::Result {
        let seconds = Services::AFFINITY_SECONDS;
        for (endpoint, target) in port.endpoints.iter().zip(targets) {
            write!(self.rules, "-A {chain}")?;
            self.comment_endpoint(port, *endpoint)?;
            writeln!(
                self.rules,
                " -m recent --name {target} --rcheck --seconds {seconds} --reap -j {target}"
            )?;
        }
        Ok(())
    }

    fn comment_endpoint(&mut self, port: &ServicePort, endpoint: SocketAddr) -> fmt::Result {
        if self.large {
            return Ok(());
        }
        let name = &port.name;
        write!(self.rules, " -m comment --comment \"{name} -> {endpoint}\"")
    }

    /// The service's chain: each endpoint is drawn with its share of what the earlier ones left.
    fn balance(&mut self, port: &ServicePort, chain: &str, targets: &[String]) -> fmt::Result {
        for (number, (endpoint, target)) in port.endpoints.iter().zip(targets).enumerate() {
            self.make_room();
            write!(self.rules, "-A {chain}")?;
            self.comment_endpoint(port, *endpoint)?;
            let left = port.endpoints.len() - number;
            if left > 1 {
                let share = probability(left);
                write!(
                    self.rules,
                    " -m statistic --mode random --probability {share}"
                )?;
            }
            writeln!(self.rules, " -j {target}")?;
        }
        Ok(())
    }

    /// The endpoints' chains: a pod that reaches itself is masqueraded, and all is translated.
    fn endpoints(&mut self, port: &ServicePort, chains: &[String]) -> fmt::Result {
        let protocol = protocol_name(port.protocol);
        let comment = if self.large {
            String::new()
        } else {
            format!(" -m comment --comment {}", port.name)
        };
        for (endpoint, chain) in port.endpoints.iter().zip(chains) {
            self.make_room();
            let remember = if port.affinity {
                format!(" -m recent --name {chain} --set")
            } else {
                String::new()
            };
            write!(
                self.rules,
                "-A {chain}{comment} -s {} -j KUBE-MARK-MASQ\n\
                 -A {chain}{comment}{remember} -m {protocol} -p {protocol} \
                 -j DNAT --to-destination {endpoint}\n",
                endpoint.ip()
            )?;
        }
        Ok(())
    }

    fn node_ports(&mut self, family: Family) -> fmt::Result {
        let local = match family {
            Family::Ipv4 => "",
            Family::Ipv6 => " ! -d ::1/128",
        };
        writeln!(
            self.rules,
            "-A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports; NOTE: this must \
             be the last rule in this chain\" -m addrtype --dst-type LOCAL{local} \
             -j KUBE-NODEPORTS"
        )
    }

    /// Begins another transaction if this one is long enough.
    fn make_room(&mut self) {
        if self.chains.len() + self.rules.len() > self.transaction_bytes {
            self.commit();
        }
    }

    fn commit(&mut self) {
        self.text.push_str("*nat\n");
        self.text.push_str(&self.chains);
        self.text.push_str(&self.rules);
        self.text.push_str("COMMIT\n");
        self.chains.clear();
        self.rules.clear();
    }
}

fn declare(text: &mut String, chain: &str) -> fmt::Result {
    writeln!(text, ":{chain} - [0:0]")
}

fn jumps(text: &mut String, table: Table) -> fmt::Result {
    for (_, chain, jump) in JUMPS.iter().filter(|(of, ..)| *of == table) {
        writeln!(text, "-I {chain} {jump}")?;
    }
    Ok(())
}

/// Returns the chance of one of `left` endpoints, with kube-proxy's ten decimals.
#[expect(
    clippy::cast_precision_loss,
    reason = "a service has at most 100 endpoints"
)]
fn probability(left: usize) -> String {
    format!("{:.10}", 1.0 / left as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// kube-proxy's own test values.
    #[test]
    fn probabilities_have_ten_decimals() {
        for (left, expected) in [
            (1, "1.0000000000"),
            (2, "0.5000000000"),
            (3, "0.3333333333"),
            (10, "0.1000000000"),
            (100, "0.0100000000"),
            (100_001, "0.0000099999"),
        ] {
            assert_eq!(probability(left), expected);
        }
    }
}
