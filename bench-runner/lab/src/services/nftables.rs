//! Rules as kube-proxy writes them in nftables mode, for `nft -f`: the names, chains and priorities of its
//! 2026 releases (1.36), which differ from those of 1.32. kube-proxy also flushes each chain that it adds; here
//! none stands yet.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use tollgate_results::arm::{Family, Services};

use super::{ServicePort, ServiceSet, layout, naming, protocol_name};
use crate::address;

/// Length of the rules of one service with one endpoint, for reserving memory.
const SERVICE_BYTES: usize = 900;
/// Length of the rules of one endpoint, for reserving memory.
const ENDPOINT_BYTES: usize = 480;

/// Base chains: name, type, hook, priority.
const BASE_CHAINS: [(&str, &str, &str, i32); 8] = [
    ("filter-prerouting-pre-dnat", "filter", "prerouting", -110),
    ("filter-output-pre-dnat", "filter", "output", -110),
    ("filter-forward", "filter", "forward", 0),
    ("filter-input", "filter", "input", 0),
    ("filter-output", "filter", "output", 0),
    ("nat-output", "nat", "output", -100),
    ("nat-postrouting", "nat", "postrouting", 100),
    ("nat-prerouting", "nat", "prerouting", -100),
];

/// Chains that base chains jump to. One more, `reject-chain`, has a comment.
const CHAINS: [&str; 7] = [
    "cluster-ips-check",
    "firewall-check",
    "mark-for-masquerade",
    "masquerading",
    "nodeport-endpoints-check",
    "services",
    "service-endpoints-check",
];

/// Rules that are the same in both families: chain and rule.
const COMMON_RULES: [(&str, &str); 16] = [
    (
        "filter-prerouting-pre-dnat",
        "ct state new jump firewall-check",
    ),
    (
        "filter-forward",
        "ct state new jump service-endpoints-check",
    ),
    ("filter-forward", "ct state new jump cluster-ips-check"),
    ("filter-input", "ct state new jump nodeport-endpoints-check"),
    ("filter-input", "ct state new jump service-endpoints-check"),
    ("filter-output", "ct state new jump service-endpoints-check"),
    ("filter-output-pre-dnat", "ct state new jump firewall-check"),
    ("filter-output", "ct state new jump cluster-ips-check"),
    ("mark-for-masquerade", "mark set mark or 0x4000"),
    ("masquerading", "mark and 0x4000 == 0 return"),
    ("masquerading", "mark set mark xor 0x4000"),
    ("masquerading", "masquerade fully-random"),
    ("nat-output", "jump services"),
    ("nat-postrouting", "jump masquerading"),
    ("nat-prerouting", "jump services"),
    ("reject-chain", "reject"),
];

/// Writes the rules of `services` on the node with the address `node`: one or more inputs for `nft -f`, to be
/// loaded in this order, each of about `transaction_bytes`. `usize::MAX` makes it one, as kube-proxy has it.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "a String takes all text")]
pub fn nftables(services: &ServiceSet, node: IpAddr, transaction_bytes: usize) -> Vec<String> {
    let ports = services.ports().len();
    let size = ports * SERVICE_BYTES + services.endpoints().saturating_sub(ports) * ENDPOINT_BYTES;
    let mut writer = Writer {
        family: services.family(),
        table: match services.family() {
            Family::Ipv4 => "ip kube-proxy",
            Family::Ipv6 => "ip6 kube-proxy",
        },
        transaction_bytes,
        done: Vec::new(),
        text: String::with_capacity(size.min(transaction_bytes) + 16_384),
    };
    writer.base(node).expect("a String takes all text");
    for port in services.ports() {
        writer.service(port).expect("a String takes all text");
    }
    writer.done.push(writer.text);
    writer.done
}

struct Writer {
    family: Family,
    table: &'static str,
    transaction_bytes: usize,
    /// Transactions that are long enough.
    done: Vec<String>,
    text: String,
}

impl Writer {
    fn base(&mut self, node: IpAddr) -> fmt::Result {
        let Self { table, .. } = *self;
        writeln!(
            self.text,
            "add table {table} {{ comment \"rules for kube-proxy\" ; }}"
        )?;
        self.sets()?;
        for (chain, kind, hook, priority) in BASE_CHAINS {
            writeln!(
                self.text,
                "add chain {table} {chain} {{ type {kind} hook {hook} priority {priority} ; }}"
            )?;
        }
        for chain in CHAINS {
            writeln!(self.text, "add chain {table} {chain}")?;
        }
        writeln!(
            self.text,
            "add chain {table} reject-chain {{ comment \"helper for @no-endpoint-services / \
             @no-endpoint-nodeports\" ; }}"
        )?;
        for (chain, rule) in COMMON_RULES {
            self.rule(chain, format_args!("{rule}"))?;
        }
        self.checks()?;
        writeln!(self.text, "add element {table} nodeport-ips {{ {node} }}")
    }

    fn sets(&mut self) -> fmt::Result {
        let Self { table, .. } = *self;
        let address = self.address();
        for (name, comment) in [
            ("cluster-ips", "Active ClusterIPs"),
            ("nodeport-ips", "IPs that accept NodePort traffic"),
        ] {
            writeln!(
                self.text,
                "add set {table} {name} {{ type {address} ; comment \"{comment}\" ; }}"
            )?;
        }
        let by_address = format!("{address} . inet_proto . inet_service");
        let by_port = "inet_proto . inet_service";
        for (name, key, comment) in [
            (
                "firewall-ips",
                &*by_address,
                "destinations that are subject to LoadBalancerSourceRanges",
            ),
            (
                "no-endpoint-nodeports",
                by_port,
                "vmap to drop or reject packets to service nodeports with no endpoints",
            ),
            (
                "no-endpoint-services",
                &by_address,
                "vmap to drop or reject packets to services with no endpoints",
            ),
            (
                "service-ips",
                &by_address,
                "ClusterIP, ExternalIP and LoadBalancer IP traffic",
            ),
            ("service-nodeports", by_port, "NodePort traffic"),
        ] {
            writeln!(
                self.text,
                "add map {table} {name} {{ type {key} : verdict ; comment \"{comment}\" ; }}"
            )?;
        }
        Ok(())
    }

    fn checks(&mut self) -> fmt::Result {
        let ip = self.ip();
        let cidr = layout::service_cidr(self.family);
        let by_address = format!("{ip} daddr . meta l4proto . th dport vmap");
        let by_port = format!("{ip} daddr @nodeport-ips meta l4proto . th dport vmap");
        self.rule(
            "cluster-ips-check",
            format_args!(
                "{ip} daddr @cluster-ips reject \
                 comment \"Reject traffic to invalid ports of ClusterIPs\""
            ),
        )?;
        self.rule(
            "cluster-ips-check",
            format_args!(
                "{ip} daddr {{ {cidr} }} drop comment \"Drop traffic to unallocated ClusterIPs\""
            ),
        )?;
        self.rule("firewall-check", format_args!("{by_address} @firewall-ips"))?;
        self.rule(
            "nodeport-endpoints-check",
            format_args!("{by_port} @no-endpoint-nodeports"),
        )?;
        self.rule("services", format_args!("{by_address} @service-ips"))?;
        self.rule("services", format_args!("{by_port} @service-nodeports"))?;
        self.rule(
            "service-endpoints-check",
            format_args!("{by_address} @no-endpoint-services"),
        )
    }

    fn service(&mut self, port: &ServicePort) -> fmt::Result {
        let Self { table, .. } = *self;
        let ip = self.ip();
        let protocol = protocol_name(port.protocol);
        let (address, number) = (port.address.ip(), port.address.port());
        let pods = address::cluster_cidr(self.family);
        let service = format!("service-{}", naming::nft_service(port));
        let names = port.endpoints.iter();
        let names: Vec<String> = names
            .map(|endpoint| naming::nft_endpoint(port, *endpoint))
            .collect();
        let endpoints: Vec<String> = names
            .iter()
            .map(|name| format!("endpoint-{name}"))
            .collect();
        let clients: Vec<String> = names
            .iter()
            .filter(|_| port.affinity)
            .map(|name| format!("affinity-{name}"))
            .collect();

        for chain in endpoints.iter().chain([&service]) {
            self.make_room();
            writeln!(self.text, "add chain {table} {chain}")?;
        }
        writeln!(self.text, "add element {table} cluster-ips {{ {address} }}")?;
        writeln!(
            self.text,
            "add element {table} service-ips {{ {address} . {protocol} . {number} : goto {service} }}"
        )?;
        self.rule(
            &service,
            format_args!("{ip} daddr {address} {ip} saddr != {pods} jump mark-for-masquerade"),
        )?;
        if let Some(node_port) = port.node_port {
            self.external(port, node_port, &service)?;
        }
        for (clients, endpoint) in clients.iter().zip(&endpoints) {
            self.clients(clients)?;
            self.rule(
                &service,
                format_args!("{ip} saddr @{clients} goto {endpoint}"),
            )?;
        }
        self.balance(&service, &endpoints)?;
        let clients = clients.iter().map(Some).chain(std::iter::repeat(None));
        let ends = endpoints.iter().zip(&port.endpoints).zip(clients);
        for ((chain, endpoint), clients) in ends {
            self.make_room();
            let own = endpoint.ip();
            self.rule(
                chain,
                format_args!("{ip} saddr {own} jump mark-for-masquerade"),
            )?;
            if let Some(clients) = clients {
                self.rule(chain, format_args!("update @{clients} {{ {ip} saddr }}"))?;
            }
            self.rule(
                chain,
                format_args!("meta l4proto {protocol} dnat to {endpoint}"),
            )?;
        }
        Ok(())
    }

    /// The service's port of the nodes: what comes there may leave by another node, so it is masqueraded.
    fn external(&mut self, port: &ServicePort, node_port: u16, service: &str) -> fmt::Result {
        let table = self.table;
        let protocol = protocol_name(port.protocol);
        let chain = format!("external-{}", naming::nft_service(port));
        writeln!(self.text, "add chain {table} {chain}")?;
        self.rule(&chain, format_args!("jump mark-for-masquerade"))?;
        self.rule(&chain, format_args!("goto {service}"))?;
        writeln!(
            self.text,
            "add element {table} service-nodeports {{ {protocol} . {node_port} : goto {chain} }}"
        )
    }

    /// The clients of an endpoint, which stay there for so long after they asked last.
    fn clients(&mut self, set: &str) -> fmt::Result {
        let table = self.table;
        let address = self.address();
        let seconds = Services::AFFINITY_SECONDS;
        writeln!(
            self.text,
            "add set {table} {set} {{ type {address} ; flags dynamic,timeout ; timeout {seconds}s ; }}"
        )
    }

    /// One look-up draws the endpoint, however many there are.
    fn balance(&mut self, service: &str, endpoints: &[String]) -> fmt::Result {
        let count = endpoints.len();
        let table = self.table;
        write!(
            self.text,
            "add rule {table} {service} numgen random mod {count} vmap {{"
        )?;
        for (number, endpoint) in endpoints.iter().enumerate() {
            let comma = if number == 0 { "" } else { " ," };
            write!(self.text, "{comma} {number} : goto {endpoint}")?;
        }
        self.text.push_str(" }\n");
        Ok(())
    }

    fn rule(&mut self, chain: &str, rule: fmt::Arguments<'_>) -> fmt::Result {
        writeln!(self.text, "add rule {} {chain} {rule}", self.table)
    }

    /// Begins another transaction if this one is long enough.
    fn make_room(&mut self) {
        if self.text.len() > self.transaction_bytes {
            let next = String::with_capacity(self.text.capacity());
            self.done.push(std::mem::replace(&mut self.text, next));
        }
    }

    const fn address(&self) -> &'static str {
        match self.family {
            Family::Ipv4 => "ipv4_addr",
            Family::Ipv6 => "ipv6_addr",
        }
    }

    const fn ip(&self) -> &'static str {
        match self.family {
            Family::Ipv4 => "ip",
            Family::Ipv6 => "ip6",
        }
    }
}
