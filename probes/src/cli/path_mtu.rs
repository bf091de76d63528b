//! `path-mtu`: what gets to a host in one piece, for people and for machines.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use tollgate_probes::error::ProbeError;
use tollgate_probes::path_mtu::{self, Wanted};
use tollgate_results::path_mtu::{MtuLimit, PathMtu, Prober};
use tollgate_results::units::Nanoseconds;

use super::args::PathMtuArgs;
use super::print;
use super::traffic::{resolve, resolve_host};

/// Shortest and longest time that an answer is waited for.
const TIMEOUTS: (Nanoseconds, Nanoseconds) = (Nanoseconds(1_000_000), Nanoseconds(10_000_000_000));

/// Finds the path's MTU and prints it. That nothing gets through is a finding, too.
pub(super) fn run(args: &PathMtuArgs) -> Result<ExitCode, ProbeError> {
    let (least, most) = TIMEOUTS;
    if !(least..=most).contains(&args.timeout) {
        let fault = format!("timeout is {} (allowed: {least} to {most})", args.timeout);
        return Err(ProbeError::invalid("find a path's MTU", vec![fault]));
    }
    let (target, by) = target(&args.target)?;
    let found = path_mtu::find(&Wanted {
        target,
        by,
        socket: args.socket.into(),
        timeout: args.timeout.duration(),
        tries: args.tries,
    })?;
    if args.json {
        print::json(&found);
    } else {
        let _ = write(&mut io::stdout().lock(), &found);
    }
    if found.limit == MtuLimit::NoReply {
        print::complain(&format!(
            "no reply: check the address, the route and firewalls to {}; some hosts answer no ICMP: \
             HOST:PORT asks a `tollgate-probe serve` by UDP",
            found.to
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells `HOST:PORT`, whom to ask by UDP, from `HOST`.
fn target(text: &str) -> Result<(SocketAddr, Prober), ProbeError> {
    let ends_in_port = |text: &str| {
        let port = text
            .rsplit_once(':')
            .map(|(host, port)| (host, port.parse::<u16>()));
        // An IPv6 address has a port only after brackets.
        port.is_some_and(|(host, port)| {
            port.is_ok() && (!host.contains(':') || host.ends_with(']'))
        })
    };
    if ends_in_port(text) {
        Ok((resolve(text)?, Prober::Udp))
    } else {
        Ok((resolve_host(text)?, Prober::IcmpEcho))
    }
}

fn write(out: &mut impl Write, found: &PathMtu) -> io::Result<()> {
    let PathMtu {
        from, to, probes, ..
    } = found;
    let bytes = |mtu: Option<u32>| mtu.map_or_else(|| "unknown".to_owned(), |mtu| mtu.to_string());
    match found.mtu {
        Some(mtu) => writeln!(out, "path MTU from {from} to {to}: {mtu} bytes")?,
        None => writeln!(out, "path MTU from {from} to {to}: unknown")?,
    }
    writeln!(out)?;
    let device = found.device.as_deref().unwrap_or("device");
    writeln!(
        out,
        "{:<15} {}",
        format!("MTU of {device}"),
        bytes(found.device_mtu)
    )?;
    writeln!(
        out,
        "{:<15} {}, as the kernel assumed before",
        "of the route",
        bytes(found.route_mtu)
    )?;
    let limit = match &found.limit {
        MtuLimit::Device => "the sending device: nothing on the path is smaller".to_owned(),
        MtuLimit::Told { by: Some(by), mtu } => format!("{by} says that it takes {mtu}"),
        MtuLimit::Told { by: None, mtu } => format!("this machine says that it takes {mtu}"),
        MtuLimit::BlackHole { from } => {
            format!("a black hole: packets of {from} bytes and more vanish without a word")
        }
        MtuLimit::NoReply => "none found: not even small packets are answered".to_owned(),
    };
    writeln!(out, "{:<15} {limit}", "limit")?;
    let (what, plural) = match found.by {
        Prober::IcmpEcho => ("ICMP echo request", "s"),
        Prober::Udp => ("datagram", "s, whose replies are as large"),
    };
    let plural = if *probes == 1 && found.by == Prober::IcmpEcho {
        ""
    } else {
        plural
    };
    writeln!(out, "{:<15} {probes} {what}{plural}", "probes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_asked_by_icmp_and_ports_by_udp() {
        for (text, by) in [
            ("127.0.0.1", Prober::IcmpEcho),
            ("::1", Prober::IcmpEcho),
            ("[::1]", Prober::IcmpEcho),
            ("127.0.0.1:80", Prober::Udp),
            ("[::1]:80", Prober::Udp),
        ] {
            assert_eq!(target(text).unwrap().1, by, "{text}");
        }
        assert!(target("no such host").is_err());
    }

    #[test]
    fn a_black_hole_is_called_one() {
        let found = PathMtu {
            from: [10, 0, 0, 1].into(),
            to: [10, 0, 0, 2].into(),
            by: Prober::IcmpEcho,
            device: Some("eth0".to_owned()),
            device_mtu: Some(1_500),
            route_mtu: Some(1_500),
            mtu: Some(1_450),
            limit: MtuLimit::BlackHole { from: 1_451 },
            probes: 20,
        };
        let mut out = Vec::new();
        write(&mut out, &found).unwrap();
        let expected = "\
path MTU from 10.0.0.1 to 10.0.0.2: 1450 bytes

MTU of eth0     1500
of the route    1500, as the kernel assumed before
limit           a black hole: packets of 1451 bytes and more vanish without a word
probes          20 ICMP echo requests
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
