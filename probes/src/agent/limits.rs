//! What an agent accepts: every field of a job has a bound.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use tollgate_results::agent::{Job, Serve};
use tollgate_results::units::{Bytes, Nanoseconds};
use tollgate_results::workload::Traffic;

use crate::error::ProbeError;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;

/// Bounds of the fields, as documented in [`tollgate_results::workload`].
const PAYLOAD: RangeInclusive<Bytes> = Bytes(1)..=Bytes(1 << 20);
const DATAGRAM: RangeInclusive<Bytes> = Bytes(32)..=Bytes(64_000);
const BODY: RangeInclusive<Bytes> = Bytes(0)..=Bytes(1 << 20);
const FLOWS: RangeInclusive<u32> = 1..=128;
const TIMEOUT: RangeInclusive<Nanoseconds> = Nanoseconds(MILLISECOND)..=Nanoseconds(10 * SECOND);

/// A slice is seconds long; ten minutes leave room for a soak, and bound what one request can start.
const DURATION: RangeInclusive<Nanoseconds> = Nanoseconds(MILLISECOND)..=Nanoseconds(600 * SECOND);
const WARMUP: RangeInclusive<Nanoseconds> = Nanoseconds(0)..=Nanoseconds(60 * SECOND);

/// The kernel's CPU sets hold this many as the C library declares them.
const CPU: RangeInclusive<u32> = 0..=1023;

/// Checks every field of a job.
///
/// # Errors
///
/// Names every field that is out of bounds, and its bounds.
pub(super) fn check_job(job: &Job) -> Result<(), ProbeError> {
    let mut faults = Faults::default();
    let kind = job.traffic.kind();
    match &job.traffic {
        Traffic::TcpRr { payload } | Traffic::TcpCrr { payload, .. } => {
            faults.range(&format!("traffic.{kind}.payload"), payload, &PAYLOAD);
        }
        Traffic::TcpStream { flows, payload } => {
            faults.range("traffic.tcp-stream.flows", flows, &FLOWS);
            faults.range("traffic.tcp-stream.payload", payload, &PAYLOAD);
        }
        Traffic::UdpRr { payload, timeout } => {
            faults.range("traffic.udp-rr.payload", payload, &DATAGRAM);
            faults.range("traffic.udp-rr.timeout", timeout, &TIMEOUT);
        }
        Traffic::Http { response, .. } => {
            faults.range("traffic.http.response", response, &BODY);
        }
    }
    faults.target(job.target);
    faults.range("warmup", &job.warmup, &WARMUP);
    faults.range("duration", &job.duration, &DURATION);
    faults.cpu(job.cpu);
    faults.into_result("accept the job")
}

/// Checks every field of a responder.
///
/// # Errors
///
/// Names every field that is out of bounds, and its bounds.
pub(super) fn check_serve(serve: &Serve) -> Result<(), ProbeError> {
    let mut faults = Faults::default();
    if serve.bind.is_multicast() {
        let bind = serve.bind;
        faults.0.push(format!(
            "bind: {bind} is a multicast address; give one of this host's own"
        ));
    }
    faults.cpu(serve.cpu);
    faults.into_result("accept the responder")
}

#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn range<T: PartialOrd + Display>(&mut self, key: &str, value: &T, bounds: &RangeInclusive<T>) {
        if !bounds.contains(value) {
            let (least, most) = (bounds.start(), bounds.end());
            self.0.push(format!(
                "{key}: {value} is out of bounds; give {least} to {most}"
            ));
        }
    }

    fn cpu(&mut self, cpu: Option<u32>) {
        if let Some(cpu) = cpu {
            self.range("cpu", &cpu, &CPU);
        }
    }

    fn target(&mut self, target: SocketAddr) {
        if target.port() == 0 {
            self.0.push(format!(
                "target: {target} has no port; give one from 1 to 65535"
            ));
        }
        let several = match target.ip().to_canonical() {
            IpAddr::V4(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast(),
            IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
        };
        if several {
            let ip = target.ip();
            self.0.push(format!(
                "target: {ip} is not the address of one host; give the responder's own"
            ));
        }
    }

    fn into_result(self, context: &str) -> Result<(), ProbeError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(ProbeError::invalid(context, self.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_results::workload::{Close, Connections};

    use super::*;

    fn job(traffic: Traffic) -> Job {
        Job {
            traffic,
            target: "127.0.0.1:8080".parse().unwrap(),
            warmup: Nanoseconds(0),
            duration: Nanoseconds(SECOND),
            cpu: None,
            seed: 0,
        }
    }

    fn traffic(payload: u64) -> [Traffic; 5] {
        let payload = Bytes(payload);
        [
            Traffic::TcpRr { payload },
            Traffic::TcpCrr {
                payload,
                close: Close::Rst,
            },
            Traffic::TcpStream { flows: 1, payload },
            Traffic::UdpRr {
                payload,
                timeout: Nanoseconds(SECOND),
            },
            Traffic::Http {
                connections: Connections::Kept,
                response: payload,
            },
        ]
    }

    #[test]
    fn what_is_within_bounds_is_accepted() {
        for traffic in traffic(64) {
            assert!(check_job(&job(traffic)).is_ok());
        }
        let least = Job {
            duration: Nanoseconds(MILLISECOND),
            cpu: Some(1023),
            ..job(Traffic::TcpRr { payload: Bytes(1) })
        };
        assert!(check_job(&least).is_ok());
    }

    #[test]
    fn every_traffic_has_a_largest_payload() {
        for traffic in traffic((1 << 20) + 1) {
            let line = check_job(&job(traffic)).unwrap_err().line();
            assert!(
                line.contains("1048577B is out of bounds")
                    || line.contains("1048577 B is out of bounds"),
                "{line}"
            );
        }
    }

    #[test]
    fn all_faults_are_named_at_once() {
        let bad = Job {
            traffic: Traffic::UdpRr {
                payload: Bytes(0),
                timeout: Nanoseconds(0),
            },
            target: "224.0.0.1:0".parse().unwrap(),
            warmup: Nanoseconds(u64::MAX),
            duration: Nanoseconds(0),
            cpu: Some(1024),
            seed: u64::MAX,
        };
        let line = check_job(&bad).unwrap_err().line();
        for key in [
            "udp-rr.payload:",
            "udp-rr.timeout:",
            "no port",
            "not the address of one host",
            "warmup:",
            "duration:",
            "cpu:",
        ] {
            assert!(line.contains(key), "{key} in {line}");
        }
        let flows = Traffic::TcpStream {
            flows: 129,
            payload: Bytes(0),
        };
        let line = check_job(&job(flows)).unwrap_err().line();
        assert!(
            line.contains("flows: 129") && line.contains("payload:"),
            "{line}"
        );
    }

    #[test]
    fn a_target_is_one_host() {
        for target in [
            "0.0.0.0:1",
            "[::]:1",
            "255.255.255.255:1",
            "[ff02::1]:1",
            "[::ffff:0.0.0.0]:1",
        ] {
            let bad = Job {
                target: target.parse().unwrap(),
                ..job(Traffic::TcpRr { payload: Bytes(1) })
            };
            assert!(check_job(&bad).is_err(), "{target}");
        }
    }
}
