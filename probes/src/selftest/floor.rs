//! What this machine costs where nothing is measured: no figure of a measurement can be below it.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc;

use serde::Serialize;
use tollgate_results::agent::{Job, Serve};
use tollgate_results::histogram::Histogram;
use tollgate_results::outcome::Timed;
use tollgate_results::units::{Bytes, Nanoseconds};
use tollgate_results::workload::{Load, Traffic};

use crate::clock::{Clock as _, Monotonic};
use crate::error::ProbeError;
use crate::job;
use crate::responder::Responder;
use crate::thread;

/// Readings of the clock that are timed together: enough to hide the cost of timing them.
const READINGS: u64 = 1_000;

/// Times that they are; the median counts.
const BATCHES: usize = 101;

/// Length of each sleep whose lateness is measured: that of a pacer at 1,000/s.
const SLEEP_NS: u64 = 1_000_000;

/// Number of sleeps.
const SLEEPS: u64 = 500;

/// What this machine costs where nothing is measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Floor {
    /// Cost of one reading of the clock, in nanoseconds.
    pub clock_read_ns: u64,
    /// How late sleeps of 1 ms end.
    pub sleep: Lateness,
    /// Round trip of 64 bytes over loopback by tcp-rr, both ends on one CPU.
    pub tcp_rr: RoundTrip,
    /// The same by udp-rr.
    pub udp_rr: RoundTrip,
}

/// How late sleeps end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lateness {
    /// Length of each sleep, in nanoseconds.
    pub asked_ns: u64,
    /// Median lateness, in nanoseconds.
    pub late_p50_ns: u64,
    /// 99th percentile of the lateness, in nanoseconds.
    pub late_p99_ns: u64,
}

/// Percentiles of a round trip; `None` where the reply was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RoundTrip {
    /// Median, in nanoseconds.
    pub p50_ns: Option<u64>,
    /// 99th percentile, in nanoseconds.
    pub p99_ns: Option<u64>,
}

impl RoundTrip {
    /// Returns whether most requests had a reply.
    pub(super) const fn is_answered(&self) -> bool {
        self.p50_ns.is_some()
    }
}

/// Measures all of it on one CPU, in about 1.5 s.
pub(super) fn measure(cpu: u32) -> Result<Floor, ProbeError> {
    let (report, reported) = mpsc::sync_channel(1);
    let started = thread::spawn("tg-floor", Some(cpu), move || {
        // It is waited for below.
        let _ = report.send((clock_read_ns(), sleep_lateness()));
    })?;
    let measured = reported.recv();
    started.join();
    let (clock_read_ns, sleep) = measured.expect("the thread ends with its report");
    let payload = Bytes(64);
    let timeout = Nanoseconds(1_000_000_000);
    Ok(Floor {
        clock_read_ns,
        sleep,
        tcp_rr: round_trip(cpu, Traffic::TcpRr { payload })?,
        udp_rr: round_trip(cpu, Traffic::UdpRr { payload, timeout })?,
    })
}

fn clock_read_ns() -> u64 {
    let mut batches = [0; BATCHES];
    for batch in &mut batches {
        let start = Monotonic.now();
        for _ in 0..READINGS {
            black_box(Monotonic.now());
        }
        *batch = Monotonic.now().since(start) / READINGS;
    }
    batches.sort_unstable();
    batches[BATCHES / 2]
}

fn sleep_lateness() -> Lateness {
    let mut late = Histogram::new();
    for _ in 0..SLEEPS {
        let deadline = Monotonic.now().plus(SLEEP_NS);
        Monotonic.wait_until(deadline);
        late.record(Monotonic.now().since(deadline));
    }
    let percentile = |quantile| late.quantile_of_sent(quantile, 0).unwrap_or_default();
    Lateness {
        asked_ns: SLEEP_NS,
        late_p50_ns: percentile(0.5),
        late_p99_ns: percentile(0.99),
    }
}

/// Measures the real responder over loopback.
fn round_trip(cpu: u32, traffic: Traffic) -> Result<RoundTrip, ProbeError> {
    let bind = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let serve = Serve {
        bind,
        port: 0,
        cpu: Some(cpu),
        name: None,
        planted: None,
        key: None,
    };
    let responder = Responder::start(&serve)?;
    let mut armed = job::arm(&Job {
        traffic,
        load: Load::Closed,
        timestamps: false,
        ports: None,
        beside: None,
        target: SocketAddr::new(bind, responder.port()),
        warmup: Nanoseconds(50_000_000),
        duration: Nanoseconds(300_000_000),
        cpu: Some(cpu),
        seed: 1,
        key: None,
    })?;
    let report = armed.run();
    let latency = report.histograms.get(&Timed::Latency);
    let percentile = |quantile| latency?.quantile_of_sent(quantile, report.outcome.lost);
    Ok(RoundTrip {
        p50_ns: percentile(0.5),
        p99_ns: percentile(0.99),
    })
}
