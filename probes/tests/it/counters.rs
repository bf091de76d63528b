//! Counters of the machine that runs the tests.

use std::net::{TcpListener, TcpStream};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;
use tollgate_probes::counters;

/// Keeps this thread on a CPU for a while that its scheduler statistics must show.
fn work() {
    let text = std::fs::read_to_string("/proc/self/status").expect("own status");
    let mut lines = 0;
    for _ in 0..20_000 {
        lines += std::hint::black_box(&text).lines().count();
    }
    assert!(lines > 0);
}

#[test]
fn a_reading_of_this_machine_has_what_every_kernel_shows() {
    let read = counters::read(&[gettid().as_raw()]);
    assert!(read.at_ns > 0);
    assert!(!read.cpus.is_empty());
    for cpu in &read.cpus {
        assert!(cpu.user_ns.is_some() && cpu.steal_ns.is_some(), "{cpu:?}");
        assert!(cpu.idle_ns.is_some() && cpu.softirq_ns.is_some(), "{cpu:?}");
        assert!(cpu.net_rx.is_some() && cpu.net_tx.is_some(), "{cpu:?}");
        assert!(cpu.softnet_processed.is_some(), "{cpu:?}");
    }
    assert!(read.context_switches > Some(0));
    assert!(read.time_wait.is_some());
    for name in [
        "Tcp.RetransSegs",
        "TcpExt.ListenDrops",
        "Udp.RcvbufErrors",
        "Ip.ForwDatagrams",
    ] {
        assert!(read.protocols.contains_key(name), "{name}");
    }
}

#[test]
fn counters_move_with_what_they_count() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let threads = [gettid().as_raw()];
    let before = counters::read(&threads);
    for _ in 0..5 {
        drop(TcpStream::connect(address).expect("loopback connects"));
        drop(listener.accept().expect("the connection waits"));
    }
    work();
    let difference = counters::read(&threads).since(&before);
    assert!(difference.at_ns > 0);
    assert!(difference.protocols["Tcp.ActiveOpens"] >= 5);
    assert!(difference.protocols["Tcp.PassiveOpens"] >= 5);
    assert!(difference.cpus.iter().any(|cpu| cpu.net_rx > Some(0)));
    let threads = difference
        .threads
        .expect("this kernel shows thread statistics");
    assert_eq!(threads.threads, 1);
    assert!(threads.cpu_ns > 0);
}

#[test]
fn threads_that_are_gone_or_never_were_are_unknown_not_zero() {
    let gone = std::thread::spawn(|| gettid().as_raw())
        .join()
        .expect("ran");
    assert_eq!(counters::read(&[gone]).threads, None);
    assert_eq!(counters::read(&[]).threads, None);
    assert_eq!(counters::read(&[-1]).threads, None);
}

/// The counters are those of the calling thread's namespace, not of the process's first thread.
#[test]
fn protocols_are_those_of_the_callers_network_namespace() {
    let busy = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = busy.local_addr().expect("bound");
    drop(TcpStream::connect(address).expect("loopback connects"));
    let outside = counters::read(&[]);
    assert!(outside.protocols["Tcp.ActiveOpens"] > 0);

    let inside = std::thread::spawn(|| match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => Some(counters::read(&[])),
        Err(errno) => {
            eprintln!("skipped: a network namespace needs root here ({errno})");
            None
        }
    });
    if let Some(inside) = inside.join().expect("the thread ends") {
        assert_eq!(inside.protocols["Tcp.ActiveOpens"], 0);
        assert_eq!(inside.time_wait, Some(0));
        assert_eq!(inside.cpus.len(), outside.cpus.len());
    }
}
