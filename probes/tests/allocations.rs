//! The sending loops, and the answering ones, don't allocate: a longer window allocates no more.
#![expect(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use tollgate_probes::job;
use tollgate_probes::responder::Responder;
use tollgate_results::agent::{Job, Serve};
use tollgate_results::stream::{Direction, TcpOptions, UdpStream};
use tollgate_results::units::{Bytes, Nanoseconds, Rate};
use tollgate_results::workload::{Connections, Http, Load, OpenLoad, Traffic};

/// Allocations of the whole process so far.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Every kind of stream.
fn streams(payload: Bytes) -> [Traffic; 4] {
    let tcp = |direction| Traffic::TcpStream {
        flows: 1,
        payload,
        options: TcpOptions {
            direction,
            ..TcpOptions::default()
        },
    };
    let udp = |rate| {
        Traffic::UdpStream(UdpStream {
            payload,
            direction: Direction::Both,
            rate,
            ..UdpStream::default()
        })
    };
    [
        tcp(Direction::Up),
        tcp(Direction::Down),
        udp(None),
        udp(Some(Rate(5_000))),
    ]
}

#[test]
fn a_longer_window_allocates_no_more() {
    let bind = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let serve = Serve {
        bind,
        port: 0,
        cpu: None,
        name: None,
        planted: None,
        key: None,
    };
    let responder = Responder::start(&serve).unwrap();
    let payload = Bytes(64);
    let timeout = Nanoseconds(1_000_000_000);
    let response = payload;
    let connections = Connections::Kept;
    let open = Load::Open(OpenLoad {
        connections: 3,
        ..OpenLoad::new(Rate(5_000))
    });
    let closed = Load::Closed;
    let [up, down, flood, paced] = streams(payload);
    for (traffic, load, timestamps) in [
        (Traffic::TcpRr { payload }, closed, false),
        (Traffic::TcpRr { payload }, open, false),
        (Traffic::TcpRr { payload }, closed, true),
        (up, closed, false),
        (down, closed, false),
        (flood, closed, false),
        (paced, closed, false),
        (Traffic::UdpRr { payload, timeout }, closed, false),
        (Traffic::UdpRr { payload, timeout }, open, false),
        (Traffic::UdpRr { payload, timeout }, closed, true),
        (
            Traffic::Http(Http::new(connections, response)),
            closed,
            false,
        ),
        (
            Traffic::Http(Http {
                parallel: 16,
                ..Http::new(connections, response)
            }),
            closed,
            false,
        ),
        (Traffic::Http(Http::new(connections, response)), open, false),
    ] {
        let window = |milliseconds: u64| {
            let mut armed = job::arm(&Job {
                traffic: traffic.clone(),
                load,
                timestamps,
                ports: None,
                beside: None,
                target: SocketAddr::new(bind, responder.port()),
                warmup: Nanoseconds(10_000_000),
                duration: Nanoseconds(milliseconds * 1_000_000),
                cpu: None,
                seed: 1,
                key: None,
            })
            .unwrap();
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            let replied = armed.run().outcome.replied;
            (ALLOCATIONS.load(Ordering::Relaxed) - before, replied)
        };
        let (few, short) = window(20);
        let (more, long) = window(200);
        assert!(long > short, "{traffic:?}: {short} and {long} replies");
        // The test's own harness may allocate a little meanwhile.
        assert!(more <= few + 8, "{traffic:?}: {few} and {more} allocations");
    }
}
