//! Jobs one after the other use connections of their own: no slice of a campaign inherits the 5-tuple of another.

use std::collections::BTreeSet;

use tollgate_probes::job;
use tollgate_results::stream::UdpStream;
use tollgate_results::units::Nanoseconds;
use tollgate_results::workload::{Close, Connections, SocketKind, Traffic};

use crate::traffic::{MILLISECOND, http, job, responder, tcp_crr, tcp_rr, tcp_stream, udp_rr};

#[test]
fn every_job_has_a_5_tuple_of_its_own() {
    let (_responder, target) = responder("127.0.0.1");
    let timeout = Nanoseconds(1_000 * MILLISECOND);
    let socket = SocketKind::Unprivileged;
    for traffic in [
        tcp_rr(64),
        tcp_crr(64, Close::Rst),
        tcp_crr(64, Close::Fin),
        tcp_stream(1, 1_000),
        udp_rr(64, 1_000),
        Traffic::UdpStream(UdpStream::default()),
        Traffic::TcpSyn { timeout, socket },
        http(Connections::Kept, 64),
        http(Connections::New, 64),
    ] {
        let mut job = job(traffic.clone(), target);
        job.duration = Nanoseconds(20 * MILLISECOND);
        let locals: BTreeSet<_> = (0..3)
            .map(|_| {
                let outcome = job::arm(&job).unwrap().run().outcome;
                let flow = outcome.flow.expect("there was a connection");
                assert_eq!(flow.remote, target, "{traffic:?}");
                flow.local
            })
            .collect();
        // The kernel may give a free port a second time, but not the same one three times in a row.
        assert!(locals.len() > 1, "{traffic:?}: always {locals:?}");
    }
}

#[test]
fn a_sweep_visits_each_of_its_ports() {
    let (_responder, target) = responder("127.0.0.1");
    for traffic in [tcp_rr(64), udp_rr(64, 1_000)] {
        let mut job = job(traffic, target);
        job.duration = Nanoseconds(200 * MILLISECOND);
        job.ports = Some(8);
        let outcome = job::arm(&job).unwrap().run().outcome;
        assert_eq!(outcome.lost, 0, "{outcome:?}");
        let sweep = outcome.sweep.unwrap();
        let ports: BTreeSet<_> = sweep
            .tuples
            .iter()
            .filter_map(|tuple| tuple.local)
            .collect();
        assert_eq!(ports.len(), 8, "{sweep:?}");
        let blocks = sweep.tuples.iter().map(|tuple| tuple.medians_ns.len());
        assert!(blocks.clone().all(|blocks| blocks == 12), "{sweep:?}");
        let visits = sweep.tuples.iter().flat_map(|tuple| &tuple.medians_ns);
        assert!(visits.flatten().count() > 48, "{sweep:?}");
        assert_eq!(sweep.spread(1).levels.len(), 8);
    }
}
