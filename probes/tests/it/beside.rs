//! Bulk data beside timed requests: on connections of its own, counted apart.

use tollgate_probes::job;
use tollgate_results::agent::Job;
use tollgate_results::stream::Direction;
use tollgate_results::workload::{Beside, Close};

use crate::traffic::{MILLISECOND, job, measure, responder, tcp_crr, tcp_rr, tcp_stream, udp_rr};

#[test]
fn bulk_data_goes_beside_every_kind_of_request() {
    let (_responder, target) = responder("127.0.0.1");
    for (traffic, direction) in [
        (tcp_rr(64), Direction::Up),
        (tcp_rr(64), Direction::Both),
        (tcp_crr(64, Close::Rst), Direction::Down),
        (udp_rr(64, 1_000), Direction::Up),
    ] {
        let beside = Some(Beside {
            flows: 2,
            direction,
        });
        let job = Job {
            beside,
            ..job(traffic, target)
        };
        let outcome = measure(&job).outcome;
        assert!(outcome.replied > 0, "{outcome:?}");
        let bulk = outcome.beside.unwrap();
        assert!(bulk.bytes > 0 && bulk.failures == 0, "{bulk:?}");
        assert!(bulk.window_ns >= 100 * MILLISECOND, "{bulk:?}");
        // What the requests carry is counted apart.
        assert!(outcome.stream.is_none() && outcome.bytes_received < bulk.bytes);
    }
    let outcome = measure(&job(tcp_rr(64), target)).outcome;
    assert_eq!(outcome.beside, None);
}

#[test]
fn bulk_data_beside_a_stream_is_refused() {
    let (_responder, target) = responder("127.0.0.1");
    let job = Job {
        beside: Some(Beside {
            flows: 33,
            direction: Direction::Up,
        }),
        ..job(tcp_stream(1, 1), target)
    };
    let error = job::arm(&job).unwrap_err().line();
    assert!(error.contains("beside tcp-stream"), "{error}");
    assert!(error.contains("1 to 32"), "{error}");
}
