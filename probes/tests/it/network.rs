//! An agent on the network: who gets in, and that strangers keep nobody out.

use std::net::{Ipv4Addr, SocketAddr};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tollgate_probes::agent::{Listen, NetworkAgent};
use tollgate_results::agent::{Hello, PROTOCOL};
use tollgate_results::door::{ANSWER_LEN, Answer, AnswerHead, Knock, Secret};

use crate::agent::client::Client;
use crate::agent::soon;

/// More strangers than an agent has places for.
const MANY: usize = 300;

fn listening(plain: bool, dir: &TempDir) -> NetworkAgent {
    let listen = Listen {
        address: (Ipv4Addr::LOCALHOST, 0).into(),
        plain,
        state_dir: dir.path().join("state"),
        token_file: None,
    };
    NetworkAgent::listen(&listen).unwrap()
}

/// Starts an agent without TLS; returns where it is, and its token.
fn start(dir: &TempDir) -> (SocketAddr, Secret) {
    let agent = listening(true, dir);
    let invitation = agent.invitation().clone();
    tokio::spawn(agent.serve());
    (invitation.address.parse().unwrap(), invitation.token)
}

async fn stranger(address: SocketAddr) -> TcpStream {
    soon(TcpStream::connect(address)).await.unwrap()
}

/// Knocks and returns the answer; `None` where the connection is closed without one.
async fn knock(stream: &mut TcpStream, knock: &Knock) -> Option<Answer> {
    stream.write_all(&knock.encode()).await.ok()?;
    let mut head = [0; ANSWER_LEN];
    soon(stream.read_exact(&mut head)).await.ok()?;
    let head = AnswerHead::decode(&head)?;
    let mut reason = vec![0; usize::from(head.reason_len)];
    soon(stream.read_exact(&mut reason)).await.ok()?;
    Some(head.with_reason(&reason))
}

/// Gets in, and has a request answered.
async fn is_served(address: SocketAddr, token: &Secret, runner: u8) -> bool {
    let mut stream = stranger(address).await;
    let answer = knock(&mut stream, &Knock::new([runner; 16], token.clone())).await;
    if answer != Some(Answer::Welcome) {
        return false;
    }
    let hello: Hello = soon(Client::new(stream).get("/v1/hello")).await;
    hello.protocol == PROTOCOL
}

/// Returns whether the agent closes a connection on which it says nothing.
async fn is_closed(mut stream: TcpStream) -> bool {
    let mut said = Vec::new();
    let read = soon(stream.read_to_end(&mut said)).await;
    said.is_empty() || read.is_err()
}

#[tokio::test]
async fn only_the_token_lets_a_runner_in() {
    let dir = tempfile::tempdir().unwrap();
    let (address, token) = start(&dir);
    assert!(is_served(address, &token, 1).await);
    for wrong in [[0; 32], [255; 32]] {
        let wrong = Knock::new([1; 16], Secret::new(wrong));
        let mut stream = stranger(address).await;
        assert_eq!(knock(&mut stream, &wrong).await, Some(Answer::WrongToken));
        assert!(is_closed(stream).await);
    }
    let mut close = *token.bytes();
    close[31] ^= 1;
    let almost = Knock::new([1; 16], Secret::new(close));
    assert_eq!(
        knock(&mut stranger(address).await, &almost).await,
        Some(Answer::WrongToken)
    );
}

#[tokio::test]
async fn another_version_is_told_so_whatever_its_token() {
    let dir = tempfile::tempdir().unwrap();
    let (address, token) = start(&dir);
    for protocol in [0, PROTOCOL + 1, u32::MAX] {
        let other = Knock {
            protocol,
            ..Knock::new([1; 16], token.clone())
        };
        let answer = knock(&mut stranger(address).await, &other).await;
        assert!(matches!(answer, Some(Answer::Version(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn garbage_is_closed_without_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let (address, token) = start(&dir);
    let good = Knock::new([1; 16], token.clone()).encode();
    for bytes in [
        b"GET /v1/hello HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer 1234567890\r\n\r\n".to_vec(),
        vec![0; 56],
        vec![255; 10_000],
        [&[0x16, 3, 1][..], &good].concat(),
        [b"TLGT", &good[4..]].concat(),
    ] {
        let mut stream = stranger(address).await;
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        assert!(is_closed(stream).await, "{bytes:?}");
    }
    // A knock cut short, and then the end.
    for length in [0, 1, 8, 24, 55] {
        let mut stream = stranger(address).await;
        stream.write_all(&good[..length]).await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(is_closed(stream).await, "{length}");
    }
    assert!(is_served(address, &token, 1).await);
}

#[tokio::test]
async fn a_second_runner_is_told_who_is_in_and_waits_its_turn() {
    let dir = tempfile::tempdir().unwrap();
    let (address, token) = start(&dir);
    let mut first = stranger(address).await;
    let one = Knock::new([1; 16], token.clone());
    assert_eq!(knock(&mut first, &one).await, Some(Answer::Welcome));
    assert!(
        is_served(address, &token, 1).await,
        "another connection of the first"
    );
    let two = Knock::new([2; 16], token.clone());
    let answer = knock(&mut stranger(address).await, &two).await;
    let Some(Answer::Busy(reason)) = answer else {
        panic!("{answer:?}");
    };
    assert!(reason.contains("127.0.0.1"), "{reason}");
    drop(first);
    let served = async { while !is_served(address, &token, 2).await {} };
    soon(served).await;
}

#[tokio::test]
async fn half_open_and_slow_strangers_keep_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let (address, token) = start(&dir);
    let good = Knock::new([9; 16], token.clone()).encode();
    let mut strangers = Vec::new();
    for number in 0..MANY {
        let mut stream = stranger(address).await;
        if number % 2 == 0 {
            // A slow-loris: a byte of a valid knock now, and the next never.
            stream.write_all(&good[..1]).await.unwrap();
        }
        strangers.push(stream);
    }
    assert!(is_served(address, &token, 1).await);
    let longest = strangers.swap_remove(0);
    assert!(
        is_closed(longest).await,
        "the longest-held place was given to another"
    );
    assert!(is_served(address, &token, 1).await);
}

#[tokio::test]
async fn what_is_no_tls_ends_at_the_door() {
    let dir = tempfile::tempdir().unwrap();
    let agent = listening(false, &dir);
    let address = agent.invitation().address.parse().unwrap();
    let token = agent.invitation().token.clone();
    tokio::spawn(agent.serve());
    let knock = Knock::new([1; 16], token).encode();
    for bytes in [
        &knock[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 0xff, 0xff, 0],
    ] {
        let mut stream = stranger(address).await;
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut said = Vec::new();
        let _ = soon(stream.read_to_end(&mut said)).await;
        // A TLS alert at most: never a welcome.
        assert!(said.len() < 16 && !said.starts_with(b"TLGA"), "{said:?}");
    }
}

#[test]
fn without_tls_an_agent_listens_on_loopback_only() {
    let dir = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "192.0.2.1:7788", "[::]:0"] {
        let listen = Listen {
            address: address.parse().unwrap(),
            plain: true,
            state_dir: dir.path().into(),
            token_file: None,
        };
        let line = NetworkAgent::listen(&listen).unwrap_err().line();
        assert!(
            line.contains("loopback only") && line.contains("--plain"),
            "{line}"
        );
    }
}
