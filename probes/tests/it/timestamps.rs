//! Round trips split by the kernel's timestamps, over loopback, which stamps packets as any device does.

use std::net::SocketAddr;

use tollgate_probes::job;
use tollgate_results::agent::Job;
use tollgate_results::outcome::{Failure, JobReport, Stamps, Timed};
use tollgate_results::units::Nanoseconds;
use tollgate_results::workload::Traffic;

use crate::traffic::{MILLISECOND, measure, responder, tcp_rr, udp_rr};

fn stamped(traffic: Traffic, target: SocketAddr) -> Job {
    Job {
        timestamps: true,
        ports: None,
        beside: None,
        warmup: Nanoseconds(50 * MILLISECOND),
        duration: Nanoseconds(200 * MILLISECOND),
        ..crate::traffic::job(traffic, target)
    }
}

/// Returns how often a part was recorded, and its mean.
fn part(report: &JobReport, timed: Timed) -> (u64, f64) {
    let histogram = report.histograms.get(&timed);
    histogram.map_or((0, 0.0), |histogram| (histogram.len(), histogram.mean_ns()))
}

#[test]
fn the_parts_of_a_round_trip_are_its_whole() {
    for bind in ["127.0.0.1", "::1"] {
        let (_responder, target) = responder(bind);
        for (traffic, far_end) in [
            (udp_rr(64, 1000), true),
            (udp_rr(40, 1000), true),
            (udp_rr(39, 1000), false),
            (udp_rr(9_000, 1000), true),
            (tcp_rr(64), false),
            (tcp_rr(1), false),
            (tcp_rr(100_000), false),
        ] {
            let report = measure(&stamped(traffic.clone(), target));
            let stamps = report.outcome.stamps.unwrap();
            let context = format!("{traffic:?} over {bind}: {stamps:?} {report:?}");
            assert!(report.outcome.replied > 0, "{context}");
            assert_eq!(report.outcome.lost, 0, "{context}");
            assert!(stamps.clock_error_ns.is_some(), "{context}");

            let (split, path) = part(&report, Timed::DriverToDriver);
            assert_eq!(split + stamps.unsplit, report.outcome.replied, "{context}");
            // Right after the stamps were asked for, and after a retransmission, there may be none.
            assert!(stamps.unsplit * 20 <= report.outcome.replied, "{context}");

            let (sent, to_driver) = part(&report, Timed::UserToDriver);
            let (received, to_user) = part(&report, Timed::DriverToUser);
            assert_eq!((sent, received), (split, split), "{context}");
            let (_, whole) = part(&report, Timed::Latency);
            let parts = to_driver + path + to_user;
            // A histogram keeps a thousandth; those that weren't split are in the whole alone.
            if stamps.unsplit == 0 {
                assert!(
                    (parts / whole - 1.0).abs() < 0.01,
                    "{parts} of {whole}: {context}"
                );
            }

            let (queued, in_queue) = part(&report, Timed::InQueue);
            assert!(queued > 0 && in_queue < to_driver, "{context}");
            let (told, at_far_end) = part(&report, Timed::FarEnd);
            assert_eq!(told > 0, far_end, "{context}");
            assert!(at_far_end < path, "{context}");
            assert_eq!(stamps.far_end > 0, far_end, "{context}");

            // As an agent hands it to a runner.
            let text = serde_json::to_string(&report).unwrap();
            let read: JobReport = serde_json::from_str(&text).unwrap();
            assert!(read == report, "{context}");
        }
    }
}

#[test]
fn nothing_is_stamped_unless_asked_for() {
    let (_responder, target) = responder("127.0.0.1");
    for traffic in [udp_rr(64, 1000), tcp_rr(64)] {
        let report = measure(&crate::traffic::job(traffic, target));
        assert_eq!(report.outcome.stamps, None);
        assert_eq!(
            report.histograms.keys().collect::<Vec<_>>(),
            [&Timed::Latency]
        );
    }
}

/// The responder's stamps are of use to those who ask only, and end with them.
#[test]
fn others_are_answered_as_ever_beside_somebody_who_asks() {
    let (_responder, target) = responder("127.0.0.1");
    let mut asking = job::arm(&stamped(udp_rr(64, 1000), target)).unwrap();
    let plain = std::thread::spawn(move || measure(&crate::traffic::job(udp_rr(64, 1000), target)));
    let asked = asking.run();
    let plain = plain.join().unwrap();
    assert_eq!((asked.outcome.lost, plain.outcome.lost), (0, 0));
    assert_eq!((asked.outcome.stray, plain.outcome.stray), (0, 0));
    assert!(asked.outcome.stamps.unwrap().far_end > 0);
    let after = measure(&crate::traffic::job(udp_rr(64, 1000), target));
    assert_eq!((after.outcome.lost, after.outcome.stray), (0, 0));
}

#[test]
fn a_port_without_listener_is_refused_as_ever() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = socket.local_addr().unwrap();
    drop(socket);
    for traffic in [udp_rr(64, 20), tcp_rr(64)] {
        let mut job = stamped(traffic, target);
        job.warmup = Nanoseconds(0);
        let outcome = measure(&job).outcome;
        assert_eq!(outcome.failures[&Failure::Refused], outcome.sent);
        assert!(outcome.sent > 2, "{outcome:?}");
        let stamps = outcome.stamps.unwrap();
        assert_eq!((stamps.sent, stamps.received, stamps.unsplit), (0, 0, 0));
    }
}

/// A far end that is no responder of Tollgate's leaves its time out; requests that are lost don't shift the
/// stamps of later ones.
#[test]
fn losses_and_strangers_do_not_spoil_the_split() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = socket.local_addr().unwrap();
    let idle = std::time::Duration::from_millis(500);
    socket.set_read_timeout(Some(idle)).unwrap();
    let peer = std::thread::spawn(move || {
        let mut buffer = [0; 2_000];
        let mut number = 0_u64;
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            number += 1;
            if !number.is_multiple_of(10) {
                // A reply, as the format has it.
                buffer[8] = 2;
                socket.send_to(&buffer[..len], from).unwrap();
            }
        }
    });
    let mut job = stamped(udp_rr(64, 20), target);
    job.warmup = Nanoseconds(0);
    job.duration = Nanoseconds(400 * MILLISECOND);
    let report = measure(&job);
    let Stamps {
        far_end, unsplit, ..
    } = report.outcome.stamps.unwrap();
    assert!(report.outcome.lost > 2, "{report:?}");
    assert_eq!(far_end, 0);
    assert!(unsplit * 4 <= report.outcome.replied, "{report:?}");
    let (split, path) = part(&report, Timed::DriverToDriver);
    assert!(split > 0);
    // A stamp of a request that was lost would be 20 ms old.
    assert!(
        report.histograms[&Timed::DriverToDriver].max_ns() < 20 * MILLISECOND,
        "{path}"
    );
    peer.join().unwrap();
}
