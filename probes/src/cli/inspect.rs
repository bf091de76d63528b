//! `inspect`: what the network of this node is made of, for people and for machines, once or again and again.

use std::io::{self, Write};
use std::process::ExitCode;

use tollgate_probes::clock::{Clock as _, Monotonic};
use tollgate_probes::error::ProbeError;
use tollgate_probes::inspect;
use tollgate_results::node::NodeFacts;
use tollgate_results::units::Nanoseconds;

use super::args::InspectArgs;
use super::print;

/// How often it may look: a node with 10,000 services has some 20 MiB of rules to read.
const INTERVALS: (Nanoseconds, Nanoseconds) = (
    Nanoseconds(5_000_000_000),
    Nanoseconds(24 * 3_600 * 1_000_000_000),
);

/// Looks and prints; with an interval until it is interrupted.
pub(super) fn run(args: &InspectArgs) -> Result<ExitCode, ProbeError> {
    let (least, most) = INTERVALS;
    if let Some(every) = args.every.filter(|every| !(least..=most).contains(every)) {
        let fault = format!("the interval is {every} (allowed: {least} to {most})");
        return Err(ProbeError::invalid("look at this node", vec![fault]));
    }
    loop {
        let facts = inspect::node();
        if args.json {
            print::json(&facts);
        } else {
            let _ = write(&mut io::stdout().lock(), &facts);
        }
        let Some(every) = args.every else {
            return Ok(ExitCode::SUCCESS);
        };
        // Ctrl-C and SIGTERM end the process as they end any other: there is nothing to put away.
        Monotonic.wait_until(Monotonic.now().plus(every.0));
    }
}

fn write(out: &mut impl Write, facts: &NodeFacts) -> io::Result<()> {
    for links in &facts.links {
        let over = links.over_mtu.map(|mtu| format!(", over {mtu}"));
        writeln!(
            out,
            "link      {} ×{}: MTU {}{}{} ({})",
            links.kind,
            links.count,
            links.mtu,
            over.unwrap_or_default(),
            if links.up { "" } else { ", down" },
            some(&links.names, links.count)
        )?;
    }
    if let Some(table) = &facts.conntrack {
        let number = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |n| n.to_string());
        writeln!(
            out,
            "conntrack {} of {} entries, {} buckets",
            number(table.entries),
            number(table.most),
            number(table.buckets)
        )?;
    }
    for rules in &facts.rules {
        writeln!(
            out,
            "rules     {}: {} chains or services",
            rules.by, rules.chains
        )?;
    }
    for programs in &facts.programs {
        writeln!(
            out,
            "program   {} ×{} at {} ({})",
            programs.name,
            programs.count,
            programs.hook,
            some(&programs.at, programs.count)
        )?;
    }
    for (key, value) in &facts.sysctls {
        writeln!(out, "sysctl    {key} = {value}")?;
    }
    for line in &facts.unread {
        writeln!(out, "unread    {line}")?;
    }
    Ok(())
}

/// Says the names that are known, and that there are more.
fn some(names: &[String], count: u32) -> String {
    let more = usize::try_from(count).is_ok_and(|count| count > names.len());
    let more = if more { " …" } else { "" };
    format!("{}{more}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use tollgate_results::node::{ConntrackTable, Hook, Links, Programs, ProxyRules, RulesBy};

    use super::*;

    #[test]
    fn a_node_is_told_in_lines() {
        let facts = NodeFacts {
            looked_unix_ms: None,
            links: vec![Links {
                kind: "vxlan".to_owned(),
                mtu: 1450,
                up: true,
                over_mtu: Some(1500),
                count: 1,
                names: vec!["flannel.1".to_owned()],
            }],
            conntrack: Some(ConntrackTable {
                entries: Some(7),
                most: Some(262_144),
                buckets: None,
            }),
            rules: vec![ProxyRules {
                by: RulesBy::IptablesNft,
                chains: 3,
            }],
            programs: vec![Programs {
                name: "cil_from_netdev".to_owned(),
                hook: Hook::TcxIngress,
                count: 9,
                at: vec!["eth0".to_owned()],
            }],
            sysctls: [("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into(),
            unread: vec!["tables of iptables-legacy: no".to_owned()],
        };
        let mut out = Vec::new();
        write(&mut out, &facts).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "\
link      vxlan ×1: MTU 1450, over 1500 (flannel.1)
conntrack 7 of 262144 entries, ? buckets
rules     iptables-nft: 3 chains or services
program   cil_from_netdev ×9 at tcx-ingress (eth0 …)
sysctl    net.ipv4.ip_forward = 1
unread    tables of iptables-legacy: no
";
        assert_eq!(text, expected);
    }
}
