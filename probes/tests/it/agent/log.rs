//! The time of each exchange, at the sender and at the responder.

use tollgate_probes::agent::Agent;
use tollgate_results::agent::{Log, Logged, Turns};
use tollgate_results::outcome::{JobReport, Timed};
use tollgate_results::units::{Bytes, Nanoseconds};
use tollgate_results::workload::{Close, Traffic};

use super::client::job;
use super::{connect, soon};

fn body(most: u32) -> Vec<u8> {
    serde_json::to_vec(&Log { most }).expect("plain data has a JSON form")
}

#[tokio::test]
async fn each_exchange_has_its_turn() {
    let payload = Bytes(64);
    let rr = Traffic::TcpRr { payload };
    let datagrams = Traffic::UdpRr {
        payload,
        timeout: Nanoseconds(1_000_000_000),
    };
    let large = Traffic::TcpRr {
        payload: Bytes(1 << 20),
    };
    let agent = Agent::default();
    let (mut client, _served) = connect(&agent);
    let target = client.serve().await;
    for traffic in [rr, datagrams, large] {
        let kind = traffic.kind();
        let id = client.arm(&job(traffic, target, 50)).await;
        let asked = client
            .ask("POST", "/v1/responder/turns", body(Log::MOST))
            .await;
        let _: Log = asked.json();
        let path = format!("/v1/jobs/{id}/log");
        let answer = soon(client.ask("POST", &path, body(Log::MOST))).await;
        let Logged { report, exchanges } = answer.json();
        let turns: Turns = client.get("/v1/responder/turns").await;
        let count = exchanges.started_ns.len();
        assert_eq!(
            count as u64 + exchanges.missed,
            report.outcome.replied,
            "{kind}"
        );
        assert_eq!(exchanges.ended_ns.len(), count);
        assert_eq!((turns.at_ns.len(), turns.missed), (count, 0), "{kind}");
        let ends = exchanges.started_ns.iter().zip(&exchanges.ended_ns);
        for ((start, end), turn) in ends.zip(&turns.at_ns) {
            assert!(start < turn && turn < end, "{kind}: {start} {turn} {end}");
        }
        // Kept for one window alone.
        let turns: Turns = client.get("/v1/responder/turns").await;
        assert_eq!(turns, Turns::default());
    }
}

#[tokio::test]
async fn of_a_new_connection_the_connect_is_kept() {
    let agent = Agent::default();
    let (mut client, _served) = connect(&agent);
    let target = client.serve().await;
    let traffic = Traffic::TcpCrr {
        payload: Bytes(64),
        close: Close::Rst,
    };
    let id = client.arm(&job(traffic, target, 50)).await;
    let answer = client
        .ask("POST", &format!("/v1/jobs/{id}/log"), body(5))
        .await;
    let Logged { report, exchanges } = answer.json();
    let JobReport {
        outcome,
        histograms,
        ..
    } = report;
    assert_eq!(exchanges.started_ns.len() as u64, 5.min(outcome.replied));
    assert!(exchanges.missed >= outcome.replied - 5);
    let connect = &histograms[&Timed::Connect];
    let ends = exchanges.started_ns.iter().zip(&exchanges.ended_ns);
    for (start, end) in ends {
        assert!(end - start <= connect.max_ns() + connect.max_ns() / 500);
    }
}

#[tokio::test]
async fn a_log_has_bounds_and_needs_what_it_is_of() {
    let agent = Agent::default();
    let (mut client, _served) = connect(&agent);
    let refused = client.ask("POST", "/v1/responder/turns", body(1)).await;
    assert!(refused.refusal().contains("no responder"), "{refused:?}");
    let refused = client.ask("GET", "/v1/responder/turns", "").await;
    assert!(refused.refusal().contains("no responder"), "{refused:?}");
    let target = client.serve().await;
    let id = client
        .arm(&job(Traffic::TcpRr { payload: Bytes(1) }, target, 10))
        .await;
    for path in [
        "/v1/responder/turns".to_owned(),
        format!("/v1/jobs/{id}/log"),
    ] {
        for most in [0, Log::MOST + 1] {
            let refused = client.ask("POST", &path, body(most)).await;
            assert!(
                refused.refusal().contains("allowed: 1 to 200000"),
                "{refused:?}"
            );
        }
        let refused = client.ask("POST", &path, "{}").await;
        assert!(refused.refusal().contains("most"), "{refused:?}");
        assert_eq!(client.ask("DELETE", &path, "").await.status, 405);
    }
    assert_eq!(client.delete(id).await, 204);
}
