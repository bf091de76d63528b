//! Latencies and counts of a synthetic slice.

use std::collections::BTreeMap;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use tollgate_results::histogram::Histogram;
use tollgate_results::outcome::{Histograms, HttpOutcome, OpenOutcome, Outcome, Timed};
use tollgate_results::workload::{Connections, Traffic, Workload};

use super::{SyntheticArm, flow};
use crate::stats::real64;

/// Length of a slice's window.
const WINDOW_NS: u64 = 1_000_000_000;

/// Latencies drawn for a slice; the histogram is doubled until the window is about full.
const DRAWN: u64 = 2_000;

/// Measures one slice: typical latency of the workload × the arm × the slice's own factor.
pub(super) fn measure(
    rng: &mut ChaCha8Rng,
    workload: &Workload,
    arm: &SyntheticArm,
    factor: f64,
) -> (Histograms, Outcome) {
    let (base_ns, connects) = match workload.traffic {
        Traffic::TcpRr { .. } | Traffic::UdpRr { .. } => (18_000.0, false),
        Traffic::IcmpEcho { .. } | Traffic::TcpSyn { .. } => (9_000.0, false),
        Traffic::TcpCrr { .. } => (75_000.0, true),
        Traffic::Http(ref http) => (40_000.0, http.connections == Connections::New),
        Traffic::TcpStream { payload, .. } => {
            return (Histograms::new(), streamed(arm, factor, payload.0));
        }
        Traffic::UdpStream(stream) => {
            return (Histograms::new(), streamed(arm, factor, stream.payload.0));
        }
    };
    if let Some(open) = workload.load.open() {
        let planned = open.rate.0 * WINDOW_NS / 1_000_000_000;
        return scheduled(rng, base_ns * arm.per_packet * factor, planned);
    }
    let extra = if connects { arm.per_connection_ns } else { 0.0 };
    let typical = (base_ns * arm.per_packet + extra) * factor;
    let latency = filled(rng, typical);
    let replied = latency.len();
    // A closed loop: the window is as long as its requests.
    let window_ns = whole(real64(replied) * latency.mean_ns());
    let mut histograms = BTreeMap::from([(Timed::Latency, latency)]);
    if connects {
        let connect = (base_ns * 0.4 * arm.per_packet + extra) * factor;
        let mut histogram = drawn(rng, connect);
        while histogram.len() < replied {
            let copy = histogram.clone();
            histogram.merge(&copy);
        }
        histograms.insert(Timed::Connect, histogram);
    }
    let http = matches!(workload.traffic, Traffic::Http(_)).then(|| {
        let latency = &histograms[&Timed::Latency];
        // All of a response comes at once.
        let mut last = Histogram::new();
        (0..replied).for_each(|_| last.record(1));
        let first = latency.clone();
        histograms.extend([(Timed::FirstByte, first), (Timed::LastByte, last)]);
        HttpOutcome {
            statuses: [(200, replied)].into(),
            backends: [("pod-1".to_owned(), replied)].into(),
            ..HttpOutcome::default()
        }
    });
    let outcome = Outcome {
        http,
        window_ns,
        sent: replied,
        replied,
        bytes_sent: replied * 64,
        bytes_received: replied * 64,
        flow: Some(flow(40_000)),
        ..Outcome::default()
    };
    (histograms, outcome)
}

/// An open loop on time: latencies from the plan are those of the service and a little lateness.
fn scheduled(rng: &mut ChaCha8Rng, typical_ns: f64, planned: u64) -> (Histograms, Outcome) {
    let mut histograms = Histograms::new();
    for _ in 0..planned {
        let service = latency(rng, typical_ns);
        let lateness = 300.0 * f64::exp(0.3 * normal(rng));
        for (timed, ns) in [
            (Timed::FromPlan, service + lateness),
            (Timed::FromSend, service),
            (Timed::Lateness, lateness),
        ] {
            histograms.entry(timed).or_default().record(whole(ns));
        }
    }
    let outcome = Outcome {
        window_ns: WINDOW_NS,
        sent: planned,
        replied: planned,
        bytes_sent: planned * 64,
        bytes_received: planned * 64,
        flow: Some(flow(40_002)),
        open: Some(OpenOutcome {
            planned_ns: WINDOW_NS,
            planned,
            most_in_flight: 3,
            spin_ns: 20_000,
            ..OpenOutcome::default()
        }),
        ..Outcome::default()
    };
    (histograms, outcome)
}

fn streamed(arm: &SyntheticArm, factor: f64, payload: u64) -> Outcome {
    let writes = whole(20_000.0 / (arm.per_packet * factor));
    Outcome {
        window_ns: WINDOW_NS,
        sent: writes,
        replied: 0,
        bytes_sent: writes * payload,
        bytes_received: writes * payload / 1_000 * 999,
        flow: Some(flow(40_001)),
        ..Outcome::default()
    }
}

/// Draws latencies and doubles them until a closed loop would have filled the window.
fn filled(rng: &mut ChaCha8Rng, typical_ns: f64) -> Histogram {
    let mut histogram = drawn(rng, typical_ns);
    while real64(histogram.len() * 2) * typical_ns < real64(WINDOW_NS) {
        let copy = histogram.clone();
        histogram.merge(&copy);
    }
    histogram
}

fn drawn(rng: &mut ChaCha8Rng, typical_ns: f64) -> Histogram {
    let mut histogram = Histogram::new();
    for _ in 0..DRAWN {
        histogram.record(whole(latency(rng, typical_ns)));
    }
    histogram
}

fn latency(rng: &mut ChaCha8Rng, typical_ns: f64) -> f64 {
    let ns = typical_ns * f64::exp(0.08 * normal(rng));
    if rng.random::<f64>() < 0.01 {
        // A Pareto burst with index 1.6 (statistics §4.2, S1), bounded.
        ns * rng.random::<f64>().max(1e-4).powf(-1.0 / 1.6)
    } else {
        ns
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "made-up figures are positive and far below 2^63"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

/// A standard normal variate by Box and Muller.
pub(super) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}
