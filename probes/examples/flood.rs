//! What strangers cost a client: the p50 of tcp-rr and udp-rr while others flood the responder with garbage, hold
//! 1,000 connections half open, or send a byte a second. Prints CSV for `tollgate compare --pairs`: a round
//! has every arm once, in rotating order. `scripts/flood.sh` builds, runs and compares.
//!
//! Client and responder share the last CPU, strangers have the first: what they cost the responder shows,
//! what they cost the machine doesn't.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use tollgate_probes::clock::{Clock as _, Monotonic};
use tollgate_probes::job;
use tollgate_probes::responder::Responder;
use tollgate_results::agent::{Job, Serve};
use tollgate_results::outcome::Timed;
use tollgate_results::units::{Bytes, Nanoseconds};
use tollgate_results::workload::{Load, Traffic};

const MILLISECOND: u64 = 1_000_000;

/// Datagrams and connections of garbage per second: a hundredth of what the responder can take.
const GARBAGE_PER_SECOND: u64 = 2_000;

/// Peers that hold a connection and say nothing, or a byte a second.
const PEERS: usize = 1_000;

/// Strangers of one kind, until they are dropped.
struct Strangers {
    ending: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Strangers {
    fn start(kind: &'static str, target: SocketAddr, made: &Arc<AtomicU64>) -> Self {
        let ending = Arc::new(AtomicBool::new(false));
        let (own, made) = (Arc::clone(&ending), Arc::clone(made));
        let thread = thread::spawn(move || {
            pin(0);
            match kind {
                "garbage" => garbage(target, &own, &made),
                "half-open" => peers(target, &own, &made, b""),
                "slow-loris" => peers(target, &own, &made, b"G"),
                _ => {}
            }
        });
        Self {
            ending,
            thread: Some(thread),
        }
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("strangers don't panic");
        }
    }
}

fn garbage(target: SocketAddr, ending: &AtomicBool, made: &AtomicU64) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let mut next = Monotonic.now();
    while !ending.load(Ordering::Relaxed) {
        let _ = socket.send_to(b"TLGU but not really a datagram of this protocol", target);
        if let Ok(mut stream) = TcpStream::connect(target) {
            let _ = stream.write_all(b"\x16\x03\x01 no protocol that is known here");
        }
        made.fetch_add(1, Ordering::Relaxed);
        next = next.plus(1_000 * MILLISECOND / GARBAGE_PER_SECOND);
        Monotonic.wait_until(next);
    }
}

/// Holds connections, and says a byte on each every second if there is one to say; the responder closes them
/// after 5 s, and they come back.
fn peers(target: SocketAddr, ending: &AtomicBool, made: &AtomicU64, say: &[u8]) {
    let mut held: Vec<TcpStream> = Vec::new();
    while !ending.load(Ordering::Relaxed) {
        held.retain_mut(|stream| {
            stream.write_all(say).is_ok() && stream.take_error().is_ok_and(|error| error.is_none())
        });
        while held.len() < PEERS && !ending.load(Ordering::Relaxed) {
            let Ok(stream) = TcpStream::connect(target) else {
                break;
            };
            let _ = stream.set_nonblocking(true);
            held.push(stream);
            made.store(held.len() as u64, Ordering::Relaxed);
        }
        Monotonic.wait_until(Monotonic.now().plus(200 * MILLISECOND));
    }
}

fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu).expect("a small number");
    // On a machine of one CPU everybody shares it.
    let _ = sched_setaffinity(Pid::from_raw(0), &set);
}

/// Returns the median round trip of a slice, in nanoseconds.
fn p50(traffic: &Traffic, target: SocketAddr, cpu: u32) -> u64 {
    let job = Job {
        traffic: traffic.clone(),
        load: Load::Closed,
        timestamps: false,
        ports: None,
        beside: None,
        target,
        warmup: Nanoseconds(50 * MILLISECOND),
        duration: Nanoseconds(250 * MILLISECOND),
        cpu: Some(cpu),
        seed: 1,
        key: None,
    };
    let report = job::arm(&job).expect("a possible job").run();
    let lost = report.outcome.lost;
    let latency = &report.histograms[&Timed::Latency];
    latency
        .quantile_of_sent(0.5, lost)
        .expect("most requests were answered")
}

fn main() {
    let rounds: usize = std::env::args()
        .nth(1)
        .map_or(20, |rounds| rounds.parse().expect("a number of rounds"));
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let cpu = u32::try_from(cpus - 1).expect("a small number");
    let serve = Serve {
        bind: Ipv4Addr::LOCALHOST.into(),
        port: 0,
        cpu: Some(cpu),
        name: None,
        planted: None,
        key: None,
    };
    let responder = Responder::start(&serve).expect("a free port");
    let target = SocketAddr::new(serve.bind, responder.port());
    let kinds = ["quiet", "garbage", "half-open", "slow-loris"];
    let payload = Bytes(64);
    let timeout = Nanoseconds(1_000 * MILLISECOND);
    let traffics = [
        Traffic::TcpRr { payload },
        Traffic::UdpRr { payload, timeout },
    ];
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "workload,round,arm,value");
    for round in 0..rounds {
        for turn in 0..kinds.len() {
            let kind = kinds[(turn + round) % kinds.len()];
            let made = Arc::new(AtomicU64::new(0));
            let strangers = Strangers::start(kind, target, &made);
            let least = if kind == "quiet" {
                0
            } else if kind == "garbage" {
                1
            } else {
                PEERS as u64
            };
            while made.load(Ordering::Relaxed) < least {
                Monotonic.wait_until(Monotonic.now().plus(10 * MILLISECOND));
            }
            for traffic in &traffics {
                let _ = writeln!(
                    out,
                    "{},{round},{kind},{}",
                    traffic.kind(),
                    p50(traffic, target, cpu)
                );
            }
            drop(strangers);
            // The responder notices that they have gone.
            Monotonic.wait_until(Monotonic.now().plus(100 * MILLISECOND));
        }
    }
}
