//! Whole slices: a responder on one agent, a job on another, counters of both around the window.

use tokio::io::{AsyncRead, AsyncWrite, duplex};
use tokio::net::UnixStream;
use tollgate_probes::agent;
use tollgate_results::agent::{Hello, PROTOCOL};
use tollgate_results::counters::Counters;
use tollgate_results::outcome::{JobReport, Timed};
use tollgate_results::stream::{Direction, TcpOptions, UdpStream};
use tollgate_results::units::{Bytes, Nanoseconds};
use tollgate_results::workload::{Close, Connections, Http, Traffic};

use super::client::{Client, job};
use super::soon;

fn every_traffic() -> [Traffic; 8] {
    let payload = Bytes(64);
    [
        Traffic::TcpRr { payload },
        Traffic::TcpCrr {
            payload,
            close: Close::Rst,
        },
        Traffic::TcpCrr {
            payload,
            close: Close::Fin,
        },
        Traffic::UdpRr {
            payload,
            timeout: Nanoseconds(500_000_000),
        },
        Traffic::Http(Http::new(Connections::Kept, Bytes(100))),
        Traffic::Http(Http::new(Connections::New, Bytes(0))),
        Traffic::TcpStream {
            flows: 2,
            payload: Bytes(16_384),
            options: TcpOptions::default(),
        },
        Traffic::UdpStream(UdpStream {
            direction: Direction::Both,
            ..UdpStream::default()
        }),
    ]
}

/// Runs one slice of each traffic, and checks what must hold on any machine.
async fn slices<S: AsyncRead + AsyncWrite + Unpin>(mut client: Client<S>, mut server: Client<S>) {
    let hello: Hello = client.get("/v1/hello").await;
    assert_eq!(hello.protocol, PROTOCOL);
    let target = server.serve().await;
    for traffic in every_traffic() {
        let kind = traffic.kind();
        let id = client.arm(&job(traffic, target, 150)).await;
        let before = [client.counters().await, server.counters().await];
        let report: JobReport = client.run(id).await.json();
        let after = [client.counters().await, server.counters().await];
        check_report(kind, &report);
        for (before, after) in before.iter().zip(&after) {
            check_counters(kind, &after.since(before));
        }
    }
}

fn check_report(kind: &str, report: &JobReport) {
    let outcome = &report.outcome;
    assert!(outcome.window_ns >= 100_000_000, "{kind}: {outcome:?}");
    assert!(outcome.bytes_sent > 0, "{kind}: {outcome:?}");
    let Some(flow) = outcome.flow else {
        panic!("{kind}: no flow in {outcome:?}")
    };
    let remote = flow.remote;
    assert!(remote.ip().is_loopback(), "{kind}: {remote}");
    if kind.ends_with("-stream") {
        return;
    }
    assert!(outcome.replied > 0, "{kind}: {outcome:?}");
    assert_eq!(outcome.replied + outcome.lost, outcome.sent, "{kind}");
    assert!(report.histograms.contains_key(&Timed::Latency), "{kind}");
}

fn check_counters(kind: &str, difference: &Counters) {
    assert!(difference.at_ns >= 150_000_000, "{kind}");
    let threads = difference.threads.as_ref().expect("thread statistics");
    assert!(threads.threads > 0, "{kind}");
    assert!(threads.cpu_ns > 0, "{kind}");
    assert!(difference.context_switches > Some(0), "{kind}");
}

#[tokio::test]
async fn slices_over_memory_pipes() {
    let (client, client_agent) = duplex(4096);
    let (server, server_agent) = duplex(4096);
    let agents = tokio::spawn(async {
        tokio::join!(agent::serve(client_agent), agent::serve(server_agent))
    });
    soon(slices(Client::new(client), Client::new(server))).await;
    let (client, server) = soon(agents).await.expect("agents don't panic");
    assert!(client.is_ok() && server.is_ok(), "{client:?} {server:?}");
}

#[tokio::test]
async fn slices_over_unix_sockets() {
    let (client, client_agent) = UnixStream::pair().expect("a pair");
    let (server, server_agent) = UnixStream::pair().expect("a pair");
    let agents = tokio::spawn(async {
        tokio::join!(agent::serve(client_agent), agent::serve(server_agent))
    });
    soon(slices(Client::new(client), Client::new(server))).await;
    let (client, server) = soon(agents).await.expect("agents don't panic");
    assert!(client.is_ok() && server.is_ok(), "{client:?} {server:?}");
}
