//! What may be done with a job and a responder, and when they end.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tollgate_probes::agent::Agent;
use tollgate_results::agent::Job;
use tollgate_results::outcome::JobReport;
use tollgate_results::units::{Bytes, Nanoseconds};
use tollgate_results::workload::Traffic;

use super::client::{Client, job};
use super::{connect, soon};

/// Far longer than any test may take.
const ENDLESS_MS: u64 = 300_000;

fn rr(target: SocketAddr, milliseconds: u64) -> Job {
    job(Traffic::TcpRr { payload: Bytes(64) }, target, milliseconds)
}

#[tokio::test]
async fn an_agent_has_one_job_at_a_time() {
    let agent = Agent::default();
    let (mut client, _) = connect(&agent);
    let target = client.serve().await;
    let first = client.arm(&rr(target, 50)).await;

    let body = serde_json::to_vec(&rr(target, 50)).unwrap();
    let busy = client.ask("POST", "/v1/jobs", &body).await;
    assert_eq!(busy.status, 409);
    assert!(
        busy.refusal()
            .contains(&format!("job {first} stands armed"))
    );

    assert_eq!(client.run(first).await.status, 200);
    let again = client.run(first).await;
    assert_eq!(again.status, 409);
    assert!(again.refusal().contains("has run already"));

    let second = client.arm(&rr(target, 50)).await;
    assert_ne!(second, first, "a job that is over makes room");
    assert_eq!(client.run(first).await.status, 404);
    assert_eq!(client.delete(first).await, 404);
    assert_eq!(client.delete(second).await, 204);
    assert_eq!(client.run(second).await.status, 404);
}

#[tokio::test]
async fn another_connection_ends_a_job_that_runs() {
    let agent = Agent::default();
    let (mut client, _) = connect(&agent);
    let (mut other, _) = connect(&agent);
    let target = client.serve().await;
    let id = client.arm(&rr(target, ENDLESS_MS)).await;
    let running = tokio::spawn(async move { (client.run(id).await, client) });
    soon(starts(&mut other, &rr(target, 50))).await;
    let busy = other.run(id).await;
    assert_eq!(busy.status, 409);
    assert!(busy.refusal().contains("is running already"));
    assert!(other.counters().await.threads.is_some());
    assert_eq!(soon(other.delete(id)).await, 204);
    let (ended, mut client) = soon(running).await.unwrap();
    assert_eq!(
        ended.status, 410,
        "a part of a window never passes for a whole one"
    );
    assert!(ended.refusal().contains("ended before its window was over"));
    let next = client.arm(&rr(target, 50)).await;
    let report: JobReport = client.run(next).await.json();
    assert!(report.outcome.replied > 0);
}

/// Waits until the agent's job runs, by asking for another.
async fn starts<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Client<S>, job: &Job) {
    let body = serde_json::to_vec(job).expect("plain data");
    loop {
        let line = client.ask("POST", "/v1/jobs", &body).await.refusal();
        if line.contains("is running") {
            return;
        }
    }
}

#[tokio::test]
async fn the_end_of_the_stream_ends_a_running_job_and_the_responder() {
    for behind in ["", "GET /v1/hello HTTP/1.1\r\nHost: agent\r\n\r\n"] {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let served = tokio::spawn(tollgate_probes::agent::serve(theirs));
        let mut client = Client::new(ours);
        let target = client.serve().await;
        let id = client.arm(&rr(target, ENDLESS_MS)).await;
        let run = format!("POST /v1/jobs/{id}/run HTTP/1.1\r\nHost: agent\r\n\r\n{behind}");
        client.send(run.as_bytes()).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(TcpStream::connect(target).is_ok());
        drop(client);
        soon(served).await.unwrap().unwrap();
        soon(refuses(target)).await;
    }
}

/// Waits until nobody listens on `target`.
async fn refuses(target: SocketAddr) {
    while TcpStream::connect(target).is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_connection_that_goes_away_takes_its_running_job_along_and_nothing_else() {
    let agent = Agent::default();
    let (mut client, served) = connect(&agent);
    let (mut other, _) = connect(&agent);
    let target = client.serve().await;
    let id = client.arm(&rr(target, ENDLESS_MS)).await;
    let run = format!("POST /v1/jobs/{id}/run HTTP/1.1\r\nHost: agent\r\n\r\n");
    client.send(run.as_bytes()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(client);
    soon(served).await.unwrap().unwrap();
    let body = serde_json::to_vec(&rr(target, 50)).unwrap();
    let next = loop {
        let answer = other.ask("POST", "/v1/jobs", &body).await;
        if answer.status != 409 {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(next.status, 200);
}

#[tokio::test]
async fn an_armed_job_outlives_an_idle_connection() {
    let agent = Agent::default();
    let (mut client, _) = connect(&agent);
    let (mut other, served) = connect(&agent);
    let target = client.serve().await;
    let id = other.arm(&rr(target, 50)).await;
    drop(other);
    soon(served).await.unwrap().unwrap();
    assert_eq!(client.run(id).await.status, 200);
}

#[tokio::test]
async fn an_agent_that_has_ended_refuses() {
    let agent = Agent::default();
    let (mut client, _) = connect(&agent);
    let target = client.serve().await;
    agent.end().await;
    let body = serde_json::to_vec(&rr(target, 50)).unwrap();
    let refused = client.ask("POST", "/v1/jobs", &body).await;
    assert_eq!(refused.status, 503);
    assert!(refused.refusal().contains("has ended"));
}

#[tokio::test]
async fn a_responder_is_replaced_and_stopped() {
    let agent = Agent::default();
    let (mut client, _) = connect(&agent);
    let first = client.serve().await;
    assert!(TcpStream::connect(first).is_ok());
    let again = format!(
        "{{\"bind\":\"127.0.0.1\",\"port\":{},\"cpu\":null}}",
        first.port()
    );
    let same = client.ask("POST", "/v1/responder", again).await;
    assert_eq!(
        same.status,
        200,
        "the old one makes room: {}",
        String::from_utf8_lossy(&same.body)
    );
    assert!(TcpStream::connect(first).is_ok());
    for _ in 0..2 {
        assert_eq!(client.ask("DELETE", "/v1/responder", "").await.status, 204);
    }
    assert!(TcpStream::connect(first).is_err());
}

#[tokio::test]
async fn a_port_in_use_is_refused_with_its_number() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let agent = Agent::default();
    let (mut client, _) = connect(&agent);
    let body = format!("{{\"bind\":\"127.0.0.1\",\"port\":{port},\"cpu\":null}}");
    let refused = client.ask("POST", "/v1/responder", body).await;
    assert_eq!(refused.status, 500);
    let line = refused.refusal();
    assert!(line.contains(&port.to_string()), "{line}");
}

#[tokio::test]
async fn a_peer_that_goes_away_is_data() {
    let agent = Agent::default();
    let (mut client, _) = connect(&agent);
    let (mut other, _) = connect(&agent);
    let target = client.serve().await;
    let id = client
        .arm(&Job {
            warmup: Nanoseconds(0),
            ..rr(target, 400)
        })
        .await;
    let running = tokio::spawn(async move { client.run(id).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(other.ask("DELETE", "/v1/responder", "").await.status, 204);
    let report: JobReport = soon(running).await.unwrap().json();
    let outcome = &report.outcome;
    assert!(outcome.replied > 0 && outcome.lost > 0, "{outcome:?}");
    assert_eq!(outcome.replied + outcome.lost, outcome.sent);
}
