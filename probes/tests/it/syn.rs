//! TCP-SYN ping over loopback, in a network namespace of the test's own: open ports and closed ones.

use std::net::{SocketAddr, TcpListener};

use tollgate_results::agent::Job;
use tollgate_results::outcome::{Failure, Protocol};
use tollgate_results::units::Nanoseconds;
use tollgate_results::workload::{SocketKind, Traffic};

use crate::namespace;
use crate::traffic::{MILLISECOND, measure};

fn job(target: SocketAddr, socket: SocketKind) -> Job {
    let timeout = Nanoseconds(200 * MILLISECOND);
    crate::traffic::job(Traffic::TcpSyn { timeout, socket }, target)
}

#[test]
fn open_and_closed_ports_both_answer() {
    namespace::inside("syn", "open_and_closed_ports_both_answer", || {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            // It never accepts: nothing comes to it.
            let listener = TcpListener::bind(host).unwrap();
            let open = listener.local_addr().unwrap();
            let outcome = measure(&job(open, SocketKind::Auto)).outcome;
            let context = format!("{open}: {outcome:?}");
            assert!(outcome.replied > 100, "{context}");
            assert_eq!((outcome.lost, outcome.resets), (0, Some(0)), "{context}");
            assert_eq!((outcome.stray, outcome.duplicated), (0, 0), "{context}");
            assert_eq!(outcome.socket, Some(SocketKind::Raw), "{context}");
            let flow = outcome.flow.unwrap();
            assert_eq!((flow.protocol, flow.remote), (Protocol::Tcp, open));
            assert!(flow.local.port() > 0, "{context}");
            listener.set_nonblocking(true).unwrap();
            assert!(listener.accept().is_err(), "no connection came of it");

            drop(listener);
            let outcome = measure(&job(open, SocketKind::Raw)).outcome;
            let context = format!("closed {open}: {outcome:?}");
            assert!(outcome.replied > 100, "{context}");
            assert_eq!(outcome.resets, Some(outcome.replied), "{context}");
            assert_eq!(outcome.lost, 0, "{context}");
        }
    });
}

#[test]
fn without_privilege_the_kernel_connects() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = listener.local_addr().unwrap();
    let outcome = measure(&job(open, SocketKind::Unprivileged)).outcome;
    assert!(outcome.replied > 0, "{outcome:?}");
    assert_eq!(outcome.socket, Some(SocketKind::Unprivileged));
    drop(listener);
    let outcome = measure(&job(open, SocketKind::Unprivileged)).outcome;
    assert_eq!(outcome.replied, 0, "{outcome:?}");
    assert_eq!(outcome.failures[&Failure::Refused], outcome.lost);
}
