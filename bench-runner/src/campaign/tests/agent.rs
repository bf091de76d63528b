//! A probe agent in memory: the real protocol, modelled latencies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use tokio::io::DuplexStream;
use tollgate_results::agent::{Armed, Hello, Job, PROTOCOL, Serving};
use tollgate_results::arm::{Datapath, Wire};
use tollgate_results::counters::{Counters, Pressure, ThreadCounters};
use tollgate_results::evidence::{ConntrackEntries, DatapathCounters, DeviceCounters};
use tollgate_results::histogram::Histogram;
use tollgate_results::outcome::{Flow, Histograms, JobReport, Outcome, Protocol, Timed};

/// Requests of every modelled slice.
pub(super) const REQUESTS: u64 = 40_000;

/// What the agent makes up.
#[derive(Clone)]
pub(super) struct Model {
    /// Median latency.
    pub(super) base_ns: f64,
    /// Whether it goes away at its first job.
    pub(super) dies: bool,
    /// Rounds in which some task stalls for memory.
    pub(super) disturbed: fn(u32) -> bool,
}

struct State {
    model: Model,
    seed: AtomicU64,
    readings: AtomicU64,
    stalled_us: AtomicU64,
}

pub(super) async fn serve(stream: DuplexStream, model: Model) {
    let state = Arc::new(State {
        model,
        seed: AtomicU64::new(0),
        readings: AtomicU64::new(0),
        stalled_us: AtomicU64::new(0),
    });
    let service = service_fn(move |request| answer(Arc::clone(&state), request));
    // An agent that "dies" ends its connection with an error, which the runner sees.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

#[derive(Debug)]
struct Died;

impl std::fmt::Display for Died {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("died")
    }
}

impl std::error::Error for Died {}

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Died> {
    let path = request.uri().path().to_owned();
    let body = request
        .into_body()
        .collect()
        .await
        .map_err(|_| Died)?
        .to_bytes();
    Ok(match path.as_str() {
        "/v1/hello" => json(&Hello {
            protocol: PROTOCOL,
            version: "0.0.0".to_owned(),
        }),
        "/v1/responder" => json(&Serving { port: 8080 }),
        "/v1/counters" => json(&counters(
            state.readings.fetch_add(1, Ordering::Relaxed),
            state.stalled_us.load(Ordering::Relaxed),
        )),
        "/v1/jobs" if state.model.dies => return Err(Died),
        "/v1/jobs" => {
            let job: Job = serde_json::from_slice(&body).map_err(|_| Died)?;
            state.seed.store(job.seed, Ordering::Relaxed);
            json(&Armed { id: 1 })
        }
        _ => {
            let seed = state.seed.load(Ordering::Relaxed);
            // The runner puts the round into the upper half of a job's seed.
            let round = u32::try_from(seed >> 32).unwrap();
            if (state.model.disturbed)(round) {
                state.stalled_us.fetch_add(500_000, Ordering::Relaxed);
            }
            json(&report(seed, state.model.base_ns))
        }
    })
}

fn json(value: &impl serde::Serialize) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from(
        serde_json::to_string(value).unwrap(),
    )))
}

/// A round's own level (the seed names the round) with 1 % spread between requests.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a modelled latency"
)]
fn report(seed: u64, base_ns: f64) -> JobReport {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    let level = base_ns * random.random_range(0.95..1.05);
    let mut latency = Histogram::new();
    for _ in 0..REQUESTS {
        latency.record((level * random.random_range(0.99..1.01)) as u64);
    }
    let local = SocketAddr::from(([10, 244, 0, 2], 40_000));
    let remote = SocketAddr::from(([10, 244, 1, 2], 8080));
    JobReport {
        outcome: Outcome {
            window_ns: 1_000_000_000,
            sent: REQUESTS,
            replied: REQUESTS,
            bytes_sent: REQUESTS * 64,
            bytes_received: REQUESTS * 64,
            flow: Some(Flow {
                protocol: Protocol::Tcp,
                local,
                remote,
                incoming_cpu: None,
            }),
            ..Outcome::default()
        },
        histograms: Histograms::from([(Timed::Latency, latency)]),
        started_ns: Some(seed >> 32),
    }
}

fn counters(reading: u64, stalled_us: u64) -> Counters {
    Counters {
        at_ns: reading * 1_000_000_000,
        pressure: Some(Pressure {
            memory_some_us: Some(stalled_us),
            ..Pressure::default()
        }),
        threads: Some(ThreadCounters {
            threads: 1,
            cpu_ns: reading * 400_000_000,
            run_queue_wait_ns: reading * 500_000_000,
            voluntary_switches: Some(reading * REQUESTS),
            involuntary_switches: Some(reading * 10),
        }),
        ..Counters::default()
    }
}

/// What the nodes count after a number of packets.
pub(super) fn path(real: &Datapath, packets: u64) -> DatapathCounters {
    let device = |node: &str, device: &str, kind: &str| DeviceCounters {
        node: node.to_owned(),
        device: device.to_owned(),
        kind: kind.to_owned(),
        rx_packets: packets,
        tx_packets: packets,
        dropped: 0,
    };
    let mut devices = Vec::new();
    for node in ["a", "b"] {
        devices.push(device(node, "eth0", "veth"));
        devices.push(device(node, "cni0", "bridge"));
        if real.wire == Wire::Vxlan {
            devices.push(device(node, "flannel.1", "vxlan"));
        }
    }
    DatapathCounters {
        devices,
        conntrack_entries: vec![ConntrackEntries {
            node: "a".to_owned(),
            entries: 2,
        }],
        ..DatapathCounters::default()
    }
}
