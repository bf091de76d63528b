//! The agent on an inherited descriptor, as the runner starts it.

use std::os::fd::IntoRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use tollgate_probes::agent::run_on_fd;
use tollgate_results::units::Bytes;
use tollgate_results::workload::Traffic;

use super::client::{Client, job};
use super::{PATIENCE, soon};

/// Starts an agent on one end of a socket pair; the receiver hears when it returns.
fn start() -> (Client<tokio::net::UnixStream>, mpsc::Receiver<bool>) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    ours.set_nonblocking(true).expect("a socket");
    let ours = tokio::net::UnixStream::from_std(ours).expect("non-blocking");
    let (report, reported) = mpsc::channel();
    std::thread::spawn(move || report.send(run_on_fd(theirs.into_raw_fd()).is_ok()));
    (Client::new(ours), reported)
}

#[tokio::test]
async fn it_serves_until_the_far_end_closes() {
    let (mut client, ended) = start();
    let target = client.serve().await;
    let traffic = Traffic::TcpRr { payload: Bytes(64) };
    let id = client.arm(&job(traffic, target, 300_000)).await;
    assert!(
        ended.recv_timeout(Duration::from_millis(50)).is_err(),
        "it waits"
    );
    let run = format!("POST /v1/jobs/{id}/run HTTP/1.1\r\nHost: agent\r\n\r\n");
    client.send(run.as_bytes()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(client);
    assert_eq!(ended.recv_timeout(PATIENCE), Ok(true));
}

#[tokio::test]
async fn what_is_not_http_is_an_error() {
    let (mut client, ended) = start();
    client
        .send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        .await;
    let answer = soon(client.answer()).await.expect("an answer");
    assert_eq!(answer.status, 400);
    assert_eq!(ended.recv_timeout(PATIENCE), Ok(false));
}

#[test]
fn a_number_that_is_no_socket_is_refused() {
    let line = run_on_fd(i32::MAX).unwrap_err().line();
    assert!(line.contains("descriptor 2147483647"), "{line}");
}
