//! Which jobs are possible.

use std::net::{Ipv4Addr, SocketAddr};

use tollgate_results::agent::Job;
use tollgate_results::units::{Bytes, Nanoseconds};
use tollgate_results::workload::Traffic;

use crate::error::ProbeError;
use crate::wire::{HEADER_LEN, MAX_DATAGRAM, MAX_TCP_PAYLOAD};

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;
const HOUR: u64 = 3_600 * SECOND;

/// Refuses a job that has faults, naming all of them.
pub(super) fn check(job: &Job) -> Result<(), ProbeError> {
    let faults = faults(job);
    if faults.is_empty() {
        Ok(())
    } else {
        let context = format!("arm a {} job", job.traffic.kind());
        Err(ProbeError::invalid(context, faults))
    }
}

/// Returns every fault of a job, each as a part of a sentence.
pub(crate) fn faults(job: &Job) -> Vec<String> {
    let tcp = (1, u64::from(MAX_TCP_PAYLOAD));
    let mut faults = Vec::new();
    match &job.traffic {
        Traffic::TcpRr { payload } | Traffic::TcpCrr { payload, .. } => {
            bytes(&mut faults, "payload", *payload, tcp);
        }
        Traffic::TcpStream { flows, payload } => {
            bytes(&mut faults, "payload", *payload, tcp);
            if !(1..=128).contains(flows) {
                faults.push(format!("flows is {flows} (allowed: 1 to 128)"));
            }
        }
        Traffic::UdpRr { payload, timeout } => {
            let udp = (HEADER_LEN as u64, MAX_DATAGRAM as u64);
            bytes(&mut faults, "payload", *payload, udp);
            time(&mut faults, "timeout", *timeout, (MILLISECOND, 10 * SECOND));
        }
        Traffic::Http { response, .. } => bytes(&mut faults, "response", *response, (0, tcp.1)),
    }
    time(&mut faults, "warmup", job.warmup, (0, HOUR));
    let day = (MILLISECOND, 24 * HOUR);
    time(&mut faults, "duration", job.duration, day);
    target(&mut faults, job.target);
    faults
}

fn target(faults: &mut Vec<String>, target: SocketAddr) {
    if target.port() == 0 {
        faults.push("the target's port is 0 (allowed: 1 to 65535)".to_owned());
    }
    let ip = target.ip();
    if ip.is_unspecified() || ip.is_multicast() || ip == Ipv4Addr::BROADCAST {
        faults.push(format!("the target {ip} is not the address of one host"));
    }
}

fn bytes(faults: &mut Vec<String>, name: &str, value: Bytes, (least, most): (u64, u64)) {
    if !(least..=most).contains(&value.0) {
        let (least, most) = (Bytes(least), Bytes(most));
        faults.push(format!("{name} is {value} (allowed: {least} to {most})"));
    }
}

fn time(faults: &mut Vec<String>, name: &str, value: Nanoseconds, (least, most): (u64, u64)) {
    if !(least..=most).contains(&value.0) {
        let (least, most) = (Nanoseconds(least), Nanoseconds(most));
        faults.push(format!("{name} is {value} (allowed: {least} to {most})"));
    }
}

#[cfg(test)]
mod tests {
    use tollgate_results::workload::Load;

    use super::*;

    fn job(traffic: Traffic) -> Job {
        Job {
            traffic,
            load: Load::Closed,
            timestamps: false,
            target: "127.0.0.1:9".parse().unwrap(),
            warmup: Nanoseconds(0),
            duration: Nanoseconds(SECOND),
            cpu: None,
            seed: 0,
        }
    }

    #[test]
    fn all_faults_are_named_at_once() {
        let (flows, payload) = (0, Bytes(0));
        let mut job = job(Traffic::TcpStream { flows, payload });
        job.duration = Nanoseconds(0);
        job.warmup = Nanoseconds(u64::MAX);
        job.target = "0.0.0.0:0".parse().unwrap();
        let line = check(&job).unwrap_err().line();
        for part in [
            "payload is 0 B",
            "flows is 0",
            "duration is 0ns",
            "warmup is",
            "port is 0",
        ] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!line.contains('\n'));
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
}
