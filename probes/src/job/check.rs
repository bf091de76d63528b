//! Which jobs are possible.

mod http;

use std::fmt::Display;
use std::net::Ipv4Addr;

use tollgate_results::agent::Job;
use tollgate_results::stream::{TcpOptions, UdpStream};
use tollgate_results::sweep::FlowSweep;
use tollgate_results::units::{Bytes, Nanoseconds, Rate};
use tollgate_results::workload::{Beside, Load, OpenLoad, Traffic};

use crate::error::ProbeError;
use crate::probe::icmp::MARK_LEN;
use crate::wire::{HEADER_LEN, MAX_DATAGRAM, MAX_TCP_PAYLOAD};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;
const HOUR: u64 = 3_600 * SECOND;

/// Most requests of an open loop: what was planned but not sent is counted one by one, within seconds.
const MOST_PLANNED: u128 = 1_000_000_000;

/// Refuses a job that has faults, naming all of them.
pub(super) fn check(job: &Job) -> Result<(), ProbeError> {
    let faults = faults(job);
    if faults.is_empty() {
        Ok(())
    } else {
        let context = format!("arm the {} job", job.traffic.kind());
        Err(ProbeError::invalid(context, faults))
    }
}

/// Returns every fault of a job, each as a part of a sentence.
pub(crate) fn faults(job: &Job) -> Vec<String> {
    let tcp = (Bytes(1), Bytes(u64::from(MAX_TCP_PAYLOAD)));
    let timeouts = (Nanoseconds(MILLISECOND), Nanoseconds(10 * SECOND));
    let mut faults = Vec::new();
    match &job.traffic {
        Traffic::TcpRr { payload } | Traffic::TcpCrr { payload, .. } => {
            number(&mut faults, "payload", *payload, tcp);
        }
        Traffic::TcpStream {
            flows,
            payload,
            options,
        } => {
            number(&mut faults, "payload", *payload, tcp);
            number(&mut faults, "flows", *flows, (1, 128));
            tcp_options(&mut faults, options);
        }
        Traffic::UdpStream(stream) => {
            stream_faults(&mut faults, stream);
            if let Some(rate) = stream.rate {
                planned(&mut faults, rate, job.duration);
            }
        }
        Traffic::UdpRr { payload, timeout } => {
            let udp = (Bytes(HEADER_LEN as u64), Bytes(MAX_DATAGRAM as u64));
            number(&mut faults, "payload", *payload, udp);
            number(&mut faults, "timeout", *timeout, timeouts);
        }
        Traffic::IcmpEcho {
            payload, timeout, ..
        } => {
            let icmp = (Bytes(MARK_LEN as u64), Bytes(MAX_DATAGRAM as u64));
            number(&mut faults, "payload", *payload, icmp);
            number(&mut faults, "timeout", *timeout, timeouts);
        }
        Traffic::TcpSyn { timeout, .. } => {
            number(&mut faults, "timeout", *timeout, timeouts);
        }
        Traffic::Http(traffic) => http::faults(&mut faults, traffic),
    }
    if let Some(open) = job.load.open() {
        open_load(&mut faults, job, open);
    }
    if let Some(beside) = job.beside {
        number(&mut faults, "flows beside", beside.flows, Beside::FLOWS);
        if !job.traffic.may_have_beside() {
            let kind = job.traffic.kind();
            faults.push(format!("bulk data beside {kind}, which times no requests"));
        }
    }
    timestamps(&mut faults, job);
    sweep(&mut faults, job);
    let hour = (Nanoseconds(0), Nanoseconds(HOUR));
    number(&mut faults, "warmup", job.warmup, hour);
    let day = (Nanoseconds(MILLISECOND), Nanoseconds(24 * HOUR));
    number(&mut faults, "duration", job.duration, day);
    target(&mut faults, job);
    faults
}

fn tcp_options(faults: &mut Vec<String>, options: &TcpOptions) {
    if let Some(name) = &options.congestion
        && let Some(fault) = TcpOptions::congestion_fault(name)
    {
        faults.push(format!("congestion {name:?} {fault}"));
    }
    if let Some(pacing) = options.pacing {
        number(faults, "pacing", pacing, TcpOptions::PACING);
    }
}

/// Adds the faults of a stream of datagrams; the far end looks for them, too.
pub(crate) fn stream_faults(faults: &mut Vec<String>, stream: &UdpStream) {
    let before = faults.len();
    number(faults, "payload", stream.payload, UdpStream::PAYLOADS);
    if let Some(rate) = stream.rate {
        number(faults, "rate", rate, UdpStream::RATES);
    }
    number(faults, "batch", stream.batch, UdpStream::BATCHES);
    number(faults, "gso", stream.gso, UdpStream::SEGMENTS);
    if faults.len() == before {
        faults.extend(stream.buffer_fault());
    }
}

fn number<T: PartialOrd + Display + Copy>(
    faults: &mut Vec<String>,
    name: &str,
    value: T,
    (least, most): (T, T),
) {
    if value < least || value > most {
        faults.push(format!("{name} is {value} (allowed: {least} to {most})"));
    }
}

fn open_load(faults: &mut Vec<String>, job: &Job, open: &OpenLoad) {
    if !job.traffic.may_be_open() {
        let kind = job.traffic.kind();
        let fault = format!(
            "{kind} has no open loop here: tcp-rr, udp-rr, icmp-echo and http have, the last as version 1.1 without TLS on kept connections"
        );
        faults.push(fault);
    }
    let OpenLoad {
        rate,
        connections,
        in_flight,
        ..
    } = *open;
    let (least, most) = OpenLoad::RATES;
    if !(least..=most).contains(&rate) {
        faults.push(format!("rate is {rate} (allowed: {least} to {most})"));
    }
    let (least, most) = OpenLoad::CONNECTIONS;
    if !(least..=most).contains(&connections) {
        faults.push(format!(
            "connections is {connections} (allowed: {least} to {most})"
        ));
    }
    let (least, most) = (connections, OpenLoad::MOST_IN_FLIGHT);
    if !(least..=most).contains(&in_flight) {
        faults.push(format!(
            "in-flight is {in_flight} (allowed: {least} to {most})"
        ));
    }
    planned(faults, rate, job.duration);
}

fn planned(faults: &mut Vec<String>, rate: Rate, duration: Nanoseconds) {
    let planned = u128::from(rate.0) * u128::from(duration.0) / u128::from(SECOND);
    if planned > MOST_PLANNED {
        faults.push(format!(
            "{rate} for {duration} is {planned} requests (allowed: {MOST_PLANNED}); make it slower or shorter"
        ));
    }
}

fn timestamps(faults: &mut Vec<String>, job: &Job) {
    if job.timestamps && !(job.traffic.may_be_split() && job.load == Load::Closed) {
        faults.push("timestamps are for tcp-rr, udp-rr and icmp-echo in a closed loop".to_owned());
    }
}

fn sweep(faults: &mut Vec<String>, job: &Job) {
    let Some(ports) = job.ports else {
        return;
    };
    let rr = matches!(job.traffic, Traffic::TcpRr { .. } | Traffic::UdpRr { .. });
    if !rr || job.load != Load::Closed || job.timestamps {
        let fault = "several ports are for tcp-rr and udp-rr in a closed loop without timestamps";
        faults.push(fault.to_owned());
    }
    number(faults, "ports", ports, FlowSweep::PORTS);
    let shortest = Nanoseconds(FlowSweep::shortest_ns(ports));
    if job.duration < shortest {
        let duration = job.duration;
        faults.push(format!(
            "duration is {duration}, too short for {ports} ports (at least {shortest})"
        ));
    }
}

fn target(faults: &mut Vec<String>, job: &Job) {
    let target = job.target;
    if target.port() == 0 && !job.traffic.has_no_port() {
        faults.push("the target's port is 0 (allowed: 1 to 65535)".to_owned());
    }
    let ip = target.ip();
    if ip.is_unspecified() || ip.is_multicast() || ip == Ipv4Addr::BROADCAST {
        faults.push(format!("the target {ip} is not the address of one host"));
    }
}

#[cfg(test)]
mod tests {
    use tollgate_results::units::BitRate;
    use tollgate_results::workload::OpenLoad;

    use super::*;

    fn job(traffic: Traffic) -> Job {
        Job {
            traffic,
            load: Load::Closed,
            timestamps: false,
            ports: None,
            beside: None,
            target: "127.0.0.1:9".parse().unwrap(),
            warmup: Nanoseconds(0),
            duration: Nanoseconds(SECOND),
            cpu: None,
            seed: 0,
            key: None,
        }
    }

    #[test]
    fn all_faults_are_named_at_once() {
        let options = TcpOptions {
            congestion: Some("../cubic".to_owned()),
            pacing: Some(BitRate(1)),
            ..TcpOptions::default()
        };
        let mut job = job(Traffic::TcpStream {
            flows: 0,
            payload: Bytes(0),
            options,
        });
        job.duration = Nanoseconds(0);
        job.warmup = Nanoseconds(u64::MAX);
        job.target = "0.0.0.0:0".parse().unwrap();
        let line = check(&job).unwrap_err().line();
        for part in [
            "payload is 0 B",
            "flows is 0",
            "pacing is 1 bit/s",
            "congestion \"../cubic\" is not the name",
            "duration is 0ns",
            "warmup is",
            "port is 0",
        ] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!line.contains('\n'));
    }

    #[test]
    fn timestamps_are_for_request_and_response_in_a_closed_loop() {
        let payload = Bytes(64);
        let timeout = Nanoseconds(SECOND);
        let close = tollgate_results::workload::Close::Rst;
        for (traffic, good) in [
            (Traffic::TcpRr { payload }, true),
            (Traffic::UdpRr { payload, timeout }, true),
            (Traffic::TcpCrr { payload, close }, false),
        ] {
            let mut job = job(traffic);
            job.timestamps = true;
            assert_eq!(check(&job).is_ok(), good, "{job:?}");
            job.load = Load::Open(OpenLoad::new(Rate(1_000)));
            let line = check(&job).unwrap_err().line();
            assert!(line.contains("closed loop"), "{line}");
        }
    }

    #[test]
    fn an_open_loop_has_its_bounds() {
        let payload = Bytes(64);
        let open = |change: fn(&mut OpenLoad)| {
            let mut open = OpenLoad::new(Rate(10_000));
            change(&mut open);
            let mut job = job(Traffic::TcpRr { payload });
            job.load = Load::Open(open);
            check(&job).map_err(|error| error.line())
        };
        assert_eq!(open(|_| ()), Ok(()));
        for (change, told) in [
            (
                (|open| open.rate = Rate(0)) as fn(&mut OpenLoad),
                "rate is 0/s (allowed: 1/s to 1M/s)",
            ),
            (
                |open| open.connections = 2_000,
                "connections is 2000 (allowed: 1 to 1024)",
            ),
            (
                |open| (open.connections, open.in_flight) = (8, 7),
                "in-flight is 7 (allowed: 8 to 65536)",
            ),
        ] {
            let line = open(change).unwrap_err();
            assert!(line.contains(told), "{line}");
        }
        let options = TcpOptions::default();
        let mut job = job(Traffic::TcpStream {
            flows: 1,
            payload,
            options,
        });
        job.load = Load::Open(OpenLoad::new(Rate(1_000_000)));
        job.duration = Nanoseconds(HOUR);
        let line = check(&job).unwrap_err().line();
        assert!(line.contains("tcp-stream has no open loop"), "{line}");
        assert!(line.contains("3600000000 requests"), "{line}");
    }

    #[test]
    fn a_datagram_has_room_for_its_header() {
        let timeout = Nanoseconds(SECOND);
        for (size, good) in [(31, false), (32, true), (64_000, true), (64_001, false)] {
            let payload = Bytes(size);
            let job = job(Traffic::UdpRr { payload, timeout });
            assert_eq!(check(&job).is_ok(), good, "{size}");
        }
    }

    #[test]
    fn a_sweep_has_its_bounds() {
        let told = |ports, payload| {
            let mut job = job(Traffic::TcpRr { payload });
            job.ports = Some(ports);
            faults(&job)
        };
        assert!(told(2, Bytes(1)).is_empty() && told(256, Bytes(1)).is_empty());
        assert_eq!(told(1, Bytes(1)), ["ports is 1 (allowed: 2 to 256)"]);
        assert_eq!(told(257, Bytes(1)), ["ports is 257 (allowed: 2 to 256)"]);
        let (all, none) = (told(u32::MAX, Bytes(1)), Bytes(0));
        assert!(all[1].contains("too short for 4294967295 ports"), "{all:?}");
        let mut job = job(Traffic::TcpCrr {
            payload: none,
            close: tollgate_results::workload::Close::Rst,
        });
        job.ports = Some(4);
        assert!(faults(&job)[1].contains("for tcp-rr and udp-rr"));
    }
}
