//! Time per tcp-rr request over loopback: the probe, and a minimal blocking write/read loop with the same
//! payload, clock and CPU. Each pair of lines has the same server; the ratio of their times is the cost of the
//! probe at that end.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use tollgate_probes::clock::{Clock as _, Monotonic};
use tollgate_probes::job;
use tollgate_probes::responder::Responder;
use tollgate_probes::wire::{Mode, PREAMBLE_LEN, Preamble};
use tollgate_results::agent::{Job, Serve};
use tollgate_results::units::{Bytes, Nanoseconds};
use tollgate_results::workload::{Load, Traffic};

const PAYLOAD: usize = 64;
const SIZE: u32 = 64;
const WINDOW_NS: u64 = 50_000_000;
const BIND: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn round_trips(criterion: &mut Criterion) {
    pin();
    let serve = Serve {
        bind: BIND,
        port: 0,
        cpu: Some(0),
        name: None,
        planted: None,
        key: None,
    };
    let responder = Responder::start(&serve).expect("a free port");
    let responder_at = SocketAddr::new(BIND, responder.port());
    let minimal_at = minimal_server();
    let mut group = criterion.benchmark_group("tcp-rr 64 B, one CPU");
    for (name, target) in [("minimal server", minimal_at), ("responder", responder_at)] {
        group.bench_function(format!("minimal client, {name}"), |bencher| {
            let mut client = MinimalClient::connect(target);
            bencher.iter_custom(|iterations| scale(client.window(), iterations));
        });
        group.bench_function(format!("probe, {name}"), |bencher| {
            let mut armed = job::arm(&Job {
                traffic: Traffic::TcpRr {
                    payload: Bytes(SIZE.into()),
                },
                load: Load::Closed,
                timestamps: false,
                ports: None,
                beside: None,
                target,
                warmup: Nanoseconds(WINDOW_NS),
                duration: Nanoseconds(WINDOW_NS),
                cpu: Some(0),
                seed: 1,
                key: None,
            })
            .expect("the job is possible");
            bencher.iter_custom(|iterations| {
                let outcome = armed.run().outcome;
                assert_eq!(outcome.lost, 0);
                scale((outcome.window_ns, outcome.replied), iterations)
            });
        });
    }
    group.finish();
}

/// A window has a length in time, criterion wants one in iterations.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times of a bench"
)]
fn scale((window_ns, replies): (u64, u64), iterations: u64) -> Duration {
    let each = window_ns as f64 / replies as f64;
    Duration::from_nanos((each * iterations as f64) as u64)
}

fn pin() {
    let mut set = CpuSet::new();
    set.set(0).expect("CPU 0 exists");
    sched_setaffinity(Pid::from_raw(0), &set).expect("CPU 0 may be used");
}

/// Takes the preamble off, then echoes.
fn minimal_server() -> SocketAddr {
    let listener = TcpListener::bind((BIND, 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                stream.set_nodelay(true)?;
                stream.read_exact(&mut [0; PREAMBLE_LEN])?;
                let mut buffer = [0; PAYLOAD];
                loop {
                    stream.read_exact(&mut buffer)?;
                    stream.write_all(&buffer)?;
                }
                #[expect(unreachable_code, reason = "tells the type of the closure")]
                std::io::Result::Ok(())
            });
        }
    });
    address
}

struct MinimalClient(TcpStream);

impl MinimalClient {
    fn connect(target: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(target).expect("somebody listens");
        stream.set_nodelay(true).expect("it is TCP");
        let mode = Mode::RequestResponse;
        let preamble = Preamble { mode, size: SIZE }.encode();
        stream.write_all(&preamble).expect("it is open");
        Self(stream)
    }

    /// Returns the length of a window and the round trips in it.
    fn window(&mut self) -> (u64, u64) {
        let mut buffer = [0; PAYLOAD];
        let start = Monotonic.now();
        let mut now = start;
        let mut replies = 0;
        while now.since(start) < WINDOW_NS {
            self.0.write_all(&buffer).expect("it is open");
            self.0.read_exact(&mut buffer).expect("it is open");
            now = Monotonic.now();
            replies += 1;
        }
        (now.since(start), replies)
    }
}

criterion_group!(benches, round_trips);
criterion_main!(benches);
