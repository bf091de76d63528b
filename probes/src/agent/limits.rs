//! What an agent accepts: any job that can be armed at all, but shorter than by hand.

use tollgate_results::agent::{Job, Log, Serve};
use tollgate_results::change::MOST_PLANTED;
use tollgate_results::units::Nanoseconds;

use crate::error::ProbeError;
use crate::job;

const SECOND: u64 = 1_000_000_000;

/// A slice is seconds long; this leaves room for a soak, and bounds what one request can start.
const LONGEST: Nanoseconds = Nanoseconds(600 * SECOND);

/// A warm-up is a fraction of a slice.
const LONGEST_WARMUP: Nanoseconds = Nanoseconds(60 * SECOND);

/// The kernel's CPU sets have this many CPUs as the C library declares them.
const CPUS: u32 = 1024;

/// Checks every field of a job.
///
/// # Errors
///
/// Names every field that is out of bounds, and its bounds.
pub(super) fn check_job(job: &Job) -> Result<(), ProbeError> {
    let mut faults = job::faults(job);
    let times = [
        ("warmup", job.warmup, LONGEST_WARMUP),
        ("duration", job.duration, LONGEST),
    ];
    for (name, value, most) in times {
        if value > most {
            faults.push(format!("{name} is {value} (an agent takes up to {most})"));
        }
    }
    check_cpu(&mut faults, job.cpu);
    accept("accept the job", faults)
}

/// Checks what a responder's address and port don't show when they are bound.
///
/// # Errors
///
/// Names every field that is out of bounds, and its bounds.
pub(super) fn check_serve(serve: &Serve) -> Result<(), ProbeError> {
    let mut faults = Vec::new();
    let bind = serve.bind;
    if bind.is_multicast() {
        faults.push(format!(
            "bind is {bind}, a multicast address (allowed: one of this host)"
        ));
    }
    check_cpu(&mut faults, serve.cpu);
    if let Some(toll) = serve.planted.filter(|toll| *toll > MOST_PLANTED) {
        faults.push(format!(
            "planted is {toll} (an agent takes up to {MOST_PLANTED})"
        ));
    }
    accept("accept the responder", faults)
}

/// Checks how much is to be kept.
///
/// # Errors
///
/// Names the bounds.
pub(super) fn check_log(log: Log) -> Result<(), ProbeError> {
    let mut faults = Vec::new();
    if !(1..=Log::MOST).contains(&log.most) {
        let most = Log::MOST;
        faults.push(format!("most is {} (allowed: 1 to {most})", log.most));
    }
    accept("keep the times", faults)
}

fn check_cpu(faults: &mut Vec<String>, cpu: Option<u32>) {
    if let Some(cpu) = cpu.filter(|&cpu| cpu >= CPUS) {
        faults.push(format!("cpu is {cpu} (allowed: 0 to {})", CPUS - 1));
    }
}

fn accept(context: &str, faults: Vec<String>) -> Result<(), ProbeError> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(ProbeError::invalid(context, faults))
    }
}

#[cfg(test)]
mod tests {
    use tollgate_results::stream::{TcpOptions, UdpStream};
    use tollgate_results::units::Bytes;
    use tollgate_results::workload::{Close, Connections, Http, Load, Traffic};

    use super::*;

    fn job(traffic: Traffic) -> Job {
        Job {
            traffic,
            load: Load::Closed,
            timestamps: false,
            ports: None,
            beside: None,
            target: "127.0.0.1:8080".parse().unwrap(),
            warmup: LONGEST_WARMUP,
            duration: LONGEST,
            cpu: Some(CPUS - 1),
            seed: 0,
            key: None,
        }
    }

    fn every_traffic(payload: u64) -> [Traffic; 6] {
        let payload = Bytes(payload);
        let timeout = Nanoseconds(SECOND);
        [
            Traffic::TcpRr { payload },
            Traffic::TcpCrr {
                payload,
                close: Close::Rst,
            },
            Traffic::TcpStream {
                flows: 1,
                payload,
                options: TcpOptions::default(),
            },
            Traffic::UdpStream(UdpStream {
                payload,
                ..UdpStream::default()
            }),
            Traffic::UdpRr { payload, timeout },
            Traffic::Http(Http::new(Connections::Kept, payload)),
        ]
    }

    #[test]
    fn every_payload_has_a_bound() {
        for traffic in every_traffic(64) {
            assert!(check_job(&job(traffic)).is_ok());
        }
        for traffic in every_traffic((1 << 20) + 1) {
            let line = check_job(&job(traffic)).unwrap_err().line();
            assert!(line.contains("1048577 B (allowed"), "{line}");
        }
    }

    #[test]
    fn all_faults_are_named_at_once() {
        let bad = Job {
            target: "224.0.0.1:0".parse().unwrap(),
            warmup: Nanoseconds(LONGEST_WARMUP.0 + 1),
            duration: Nanoseconds(LONGEST.0 + 1),
            cpu: Some(CPUS),
            ..job(Traffic::UdpRr {
                payload: Bytes(0),
                timeout: Nanoseconds(0),
            })
        };
        let line = check_job(&bad).unwrap_err().line();
        let parts = ["payload", "timeout", "port", "target", "warmup", "duration"];
        for part in parts.iter().chain(&["cpu is 1024"]) {
            assert!(line.contains(part), "{part} in {line}");
        }
    }

    #[test]
    fn a_log_has_a_bound() {
        for most in [0, Log::MOST + 1] {
            let line = check_log(Log { most }).unwrap_err().line();
            assert!(line.contains("allowed: 1 to 200000"), "{line}");
        }
        assert!(check_log(Log { most: Log::MOST }).is_ok());
    }

    #[test]
    fn a_responder_is_checked_too() {
        let serve = Serve {
            bind: "ff02::1".parse().unwrap(),
            port: 0,
            cpu: Some(u32::MAX),
            name: None,
            planted: Some(Nanoseconds(MOST_PLANTED.0 + 1)),
            key: None,
        };
        let line = check_serve(&serve).unwrap_err().line();
        assert!(line.contains("bind is ff02::1") && line.contains("cpu is 4294967295"));
        assert!(
            line.contains("planted is 100000001ns (an agent takes up to 100ms)"),
            "{line}"
        );
        let good = Serve {
            bind: "::".parse().unwrap(),
            port: 0,
            cpu: None,
            name: None,
            planted: None,
            key: None,
        };
        assert!(check_serve(&good).is_ok());
    }
}
