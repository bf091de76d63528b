//! Turns the arguments of a kind of traffic into a job.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{SocketAddr, ToSocketAddrs as _};

use tollgate_probes::error::ProbeError;
use tollgate_results::agent::Job;
use tollgate_results::workload;

use super::args::{Arrivals, Close, Common, Connections, OpenArgs, SocketKind, Traffic};
use super::web;

/// What the user wants to measure and see.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) job: Job,
    pub(crate) json: bool,
}

impl Wanted {
    /// Finds the target's address and completes the job.
    pub(crate) fn new(traffic: &Traffic) -> Result<Self, ProbeError> {
        let timestamps = match traffic {
            Traffic::TcpRr { timestamps, .. }
            | Traffic::UdpRr { timestamps, .. }
            | Traffic::IcmpEcho { timestamps, .. } => *timestamps,
            _ => false,
        };
        let ports = match traffic {
            Traffic::TcpRr { ports, .. } | Traffic::UdpRr { ports, .. } => *ports,
            _ => None,
        };
        let (load, seed) = load(traffic);
        let place = match traffic {
            Traffic::Http { common, .. } => Some(web::host_and_port(&common.target)?),
            _ => None,
        };
        let (common, traffic) = split(traffic)?;
        let target = if traffic.has_no_port() {
            resolve_host(&common.target)?
        } else {
            resolve(place.as_ref().unwrap_or(&common.target))?
        };
        let job = Job {
            traffic,
            load,
            timestamps,
            ports,
            beside: None,
            target,
            warmup: common.warmup,
            duration: common.duration,
            cpu: common.cpu,
            // By hand there is no record to repeat: only payload and schedule hang on it.
            seed: seed.unwrap_or_else(|| RandomState::new().hash_one(0)),
            key: super::key(common.token_file.as_deref())?,
        };
        Ok(Self {
            job,
            json: common.json,
        })
    }
}

/// Returns when to send, and the seed that was asked for.
fn load(traffic: &Traffic) -> (workload::Load, Option<u64>) {
    let (open, connections) = match traffic {
        Traffic::TcpRr {
            open, connections, ..
        }
        | Traffic::UdpRr {
            open, connections, ..
        }
        | Traffic::IcmpEcho {
            open, connections, ..
        } => (open, *connections),
        Traffic::Http { open, http, .. } => match http.connections {
            Connections::Kept(number) => (open, number),
            Connections::New(_) => (open, 1),
        },
        Traffic::TcpCrr { .. }
        | Traffic::TcpStream(_)
        | Traffic::UdpStream(_)
        | Traffic::TcpSyn { .. } => {
            return (workload::Load::Closed, None);
        }
    };
    let OpenArgs {
        rate,
        arrivals,
        in_flight,
        seed,
    } = *open;
    let arrivals = match arrivals {
        Arrivals::Constant => workload::Arrivals::Constant,
        Arrivals::Poisson => workload::Arrivals::Poisson,
    };
    let load = rate.map_or(workload::Load::Closed, |rate| {
        workload::Load::Open(workload::OpenLoad {
            rate,
            arrivals,
            connections,
            in_flight,
        })
    });
    (load, seed)
}

fn split(traffic: &Traffic) -> Result<(&Common, workload::Traffic), ProbeError> {
    Ok(match *traffic {
        Traffic::TcpRr {
            ref common,
            payload,
            ..
        } => (common, workload::Traffic::TcpRr { payload }),
        Traffic::TcpCrr {
            ref common,
            payload,
            close,
        } => {
            let close = match close {
                Close::Rst => workload::Close::Rst,
                Close::Fin => workload::Close::Fin,
            };
            (common, workload::Traffic::TcpCrr { payload, close })
        }
        Traffic::TcpStream(ref args) => {
            let stream = workload::Traffic::TcpStream {
                flows: args.flows,
                payload: args.payload,
                options: args.options(),
            };
            (&args.common, stream)
        }
        Traffic::UdpStream(ref args) => (&args.common, workload::Traffic::UdpStream(args.stream())),
        Traffic::UdpRr {
            ref common,
            payload,
            timeout,
            ..
        } => (common, workload::Traffic::UdpRr { payload, timeout }),
        Traffic::TcpSyn {
            ref common,
            timeout,
            socket,
        } => {
            let socket = socket.into();
            (common, workload::Traffic::TcpSyn { timeout, socket })
        }
        Traffic::IcmpEcho {
            ref common,
            payload,
            timeout,
            socket,
            ..
        } => {
            let echo = workload::Traffic::IcmpEcho {
                payload,
                timeout,
                socket: socket.into(),
            };
            (common, echo)
        }
        Traffic::Http {
            ref common,
            ref open,
            ref http,
        } => {
            let http = web::traffic(&common.target, open, http)?;
            (common, workload::Traffic::Http(http))
        }
    })
}

impl From<SocketKind> for workload::SocketKind {
    fn from(kind: SocketKind) -> Self {
        match kind {
            SocketKind::Auto => Self::Auto,
            SocketKind::Raw => Self::Raw,
            SocketKind::Unprivileged => Self::Unprivileged,
        }
    }
}

/// Finds the first address of a `HOST:PORT`.
pub(super) fn resolve(target: &str) -> Result<SocketAddr, ProbeError> {
    let context = || format!("find the target `{target}`");
    let port = target.rsplit_once(':').map(|(_, port)| port);
    if port.is_none_or(|port| port.parse::<u16>().is_err()) {
        let fault =
            "write HOST:PORT, for example 192.0.2.2:8080, [2001:db8::2]:8080 or server:8080";
        return Err(ProbeError::invalid(context(), vec![fault.to_owned()]));
    }
    let unknown = |error: std::io::Error| {
        ProbeError::refused(context(), error, "check the name, or write an address")
    };
    let first = target.to_socket_addrs().map_err(unknown)?.next();
    first.ok_or_else(|| unknown(std::io::ErrorKind::NotFound.into()))
}

/// Finds the first address of a `HOST`.
pub(super) fn resolve_host(host: &str) -> Result<SocketAddr, ProbeError> {
    let context = || format!("find the target `{host}`");
    let unknown = |error: std::io::Error| {
        let mend = "check the name, or write an address without a port";
        ProbeError::refused(context(), error, mend)
    };
    // `[::1]` is what an address with a port would begin with.
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let bare = bare.unwrap_or(host);
    if bare.parse::<SocketAddr>().is_ok() {
        let fault = "ICMP has no ports: leave the port out".to_owned();
        return Err(ProbeError::invalid(context(), vec![fault]));
    }
    let first = (bare, 0).to_socket_addrs().map_err(unknown)?.next();
    first.ok_or_else(|| unknown(std::io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_both_families_are_read() {
        for target in ["127.0.0.1:80", "[::1]:80"] {
            assert_eq!(resolve(target).unwrap().to_string(), target);
        }
    }

    #[test]
    fn hosts_of_both_families_are_read() {
        for (host, address) in [
            ("127.0.0.1", "127.0.0.1:0"),
            ("::1", "[::1]:0"),
            ("[::1]", "[::1]:0"),
        ] {
            assert_eq!(resolve_host(host).unwrap().to_string(), address);
        }
        for host in ["127.0.0.1:80", "[::1]:80"] {
            let line = resolve_host(host).unwrap_err().line();
            assert!(line.contains("no ports"), "{line}");
        }
        let line = resolve_host("no host").unwrap_err().line();
        assert!(line.contains("check the name"), "{line}");
    }

    #[test]
    fn a_target_without_port_is_refused_with_an_example() {
        for target in ["127.0.0.1", "host", "", "::1", "host:http", "host:99999"] {
            let line = resolve(target).unwrap_err().line();
            // `::1` reads as port 1 of the host `:`, which doesn't exist.
            assert!(
                line.contains("HOST:PORT") || line.contains("check the name"),
                "{target}: {line}"
            );
        }
    }
}
