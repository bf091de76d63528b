//! Bad input on the control stream: each is refused in one line, and nothing else suffers.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::io::duplex;
use tollgate_probes::agent::{self, Agent};
use tollgate_results::agent::Hello;
use tollgate_results::outcome::JobReport;
use tollgate_results::units::Bytes;
use tollgate_results::workload::Traffic;

use super::client::{Answer, Client, job};
use super::{connect, soon};

/// A good job as JSON, to be spoilt; nobody listens on the port, so that none is ever run.
fn good() -> Value {
    json!({
        "traffic": { "tcp-rr": { "payload": "64B" } },
        "target": "127.0.0.1:9",
        "warmup": "0s",
        "duration": "1s",
        "cpu": null,
        "seed": 7,
    })
}

/// Posts a body to `/v1/jobs` on a connection of its own.
async fn post(agent: &Agent, body: impl AsRef<[u8]>) -> Answer {
    let (mut client, _) = connect(agent);
    soon(client.ask("POST", "/v1/jobs", body)).await
}

#[tokio::test]
async fn every_field_refuses_every_wrong_type() {
    let agent = Agent::default();
    let wrong = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5),
        json!(1e308),
        json!(u64::MAX),
        json!(""),
        json!("x"),
        json!("-1s"),
        json!([]),
        json!({}),
        json!([[["1s"]]]),
    ];
    for key in ["traffic", "target", "warmup", "duration", "cpu", "seed"] {
        for value in &wrong {
            let fine = (key == "cpu" && value.is_null()) || (key == "seed" && value.is_u64());
            if fine {
                continue;
            }
            let mut body = good();
            body[key] = value.clone();
            let answer = post(&agent, body.to_string()).await;
            let line = answer.refusal();
            assert!(
                [400, 422].contains(&answer.status),
                "{key} = {value}: {line}"
            );
        }
        let mut missing = good();
        missing.as_object_mut().unwrap().remove(key);
        let answer = post(&agent, missing.to_string()).await;
        if key != "cpu" {
            assert_eq!(answer.status, 400, "{key} missing");
            assert!(answer.refusal().contains(key), "{key} missing");
        }
    }
    for payload in [
        "0B",
        "-1B",
        "64",
        "1e308 B",
        "NaN B",
        "99999999999999999999 B",
    ] {
        let mut body = good();
        body["traffic"]["tcp-rr"]["payload"] = json!(payload);
        let answer = post(&agent, body.to_string()).await;
        assert!([400, 422].contains(&answer.status), "{payload}");
        answer.refusal();
    }
}

#[tokio::test]
async fn broken_json_is_refused_with_its_place() {
    let agent = Agent::default();
    let text = good().to_string();
    let deep = |open: &str, times| open.repeat(times);
    let repeated = text.replacen('{', "{\"seed\":1,", 1);
    let unknown = text.replacen('{', "{\"speed\":1,", 1);
    let bodies: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "EOF"),
        (b"{".to_vec(), "EOF"),
        (text.as_bytes()[..text.len() - 1].to_vec(), "EOF"),
        (text.as_bytes()[..40].to_vec(), "EOF"),
        (format!("{text}{text}").into_bytes(), "trailing"),
        (deep("[", 60_000).into_bytes(), "line 1 column"),
        (deep("{\"traffic\":", 5_000).into_bytes(), "line 1 column"),
        (repeated.into_bytes(), "duplicate field `seed`"),
        (unknown.into_bytes(), "unknown field `speed`"),
        (text.replace("1s", "\\ud800").into_bytes(), "line 1 column"),
        (text.replace("1s", "\\x41").into_bytes(), "invalid escape"),
        (text.replace("1s", "\\u12").into_bytes(), "line 1 column"),
        (
            text.replace("1s", "\u{0}").into_bytes(),
            "control character",
        ),
        (b"\xff\xfe{\x00}\x00".to_vec(), "line 1 column"),
        (text.replace('7', "1e999").into_bytes(), "out of range"),
        (
            text.replace('7', "18446744073709551616").into_bytes(),
            "line 1 column",
        ),
        (text.replace('7', "NaN").into_bytes(), "line 1 column"),
    ];
    for (body, expected) in bodies {
        let answer = post(&agent, &body).await;
        let line = answer.refusal();
        assert_eq!(answer.status, 400, "{line}");
        assert!(line.contains(expected), "`{expected}` is not in: {line}");
        assert!(line.chars().count() < 1_100, "{line}");
    }
}

#[tokio::test]
async fn all_faults_of_a_job_come_at_once() {
    let agent = Agent::default();
    let body = json!({
        "traffic": { "tcp-stream": { "flows": 4_294_967_295_u32, "payload": "1GiB" } },
        "target": "0.0.0.0:0",
        "warmup": "2m",
        "duration": "0s",
        "cpu": 4_294_967_295_u32,
        "seed": 0,
    });
    let answer = post(&agent, body.to_string()).await;
    assert_eq!(answer.status, 422);
    let line = answer.refusal();
    for key in [
        "flows", "payload", "port", "target", "warmup", "duration", "cpu",
    ] {
        assert!(line.contains(key), "{key} in {line}");
    }
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_say_what_there_is() {
    let agent = Agent::default();
    let (mut client, _) = connect(&agent);
    for path in [
        "/",
        "/v1",
        "/v1/jobs/x/run",
        "/v2/hello",
        "/v1/jobs/99999999999999999999",
        "*",
    ] {
        let answer = client.ask("GET", path, "").await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.refusal().contains("/v1/jobs"));
    }
    for (method, path, allow) in [
        ("POST", "/v1/hello", "GET"),
        ("GET", "/v1/responder", "POST, DELETE"),
        ("DELETE", "/v1/jobs", "POST"),
        ("GET", "/v1/jobs/1", "DELETE"),
        ("DELETE", "/v1/jobs/1/run", "POST"),
        ("BREW", "/v1/counters", "GET"),
    ] {
        let answer = client.ask(method, path, "").await;
        assert_eq!(answer.status, 405, "{method} {path}");
        let header = format!("allow: {allow}\r\n");
        assert!(
            answer
                .head
                .to_ascii_lowercase()
                .contains(&header.to_ascii_lowercase())
        );
        assert!(answer.refusal().contains(allow));
    }
    let answer = client.run(1).await;
    assert_eq!(answer.status, 404);
    assert!(answer.refusal().contains("no job 1"));
}

#[tokio::test]
async fn bodies_are_bounded_whatever_length_they_announce() {
    let agent = Agent::default();
    // 65,536 bytes are read and refused for what they say; one more is refused unread.
    let padded = |length: usize| " ".repeat(length);
    assert_eq!(post(&agent, padded(65_535)).await.status, 400);
    assert_eq!(post(&agent, padded(65_536)).await.status, 400);
    assert_eq!(post(&agent, padded(65_537)).await.status, 413);
    assert_eq!(post(&agent, padded(10_000_000)).await.status, 413);
    for announced in ["18446744073709551615", "9223372036854775807", "4294967296"] {
        let (mut client, _) = connect(&agent);
        let head =
            format!("POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: {announced}\r\n\r\n{{}}");
        client.send(head.as_bytes()).await;
        let status = soon(client.answer()).await.map(|answer| answer.status);
        assert!(
            matches!(status, Some(400 | 413 | 431)),
            "{announced}: {status:?}"
        );
    }
    for announced in ["-1", "x", "18446744073709551616", "1, 2"] {
        let (mut client, served) = connect(&agent);
        let head =
            format!("POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: {announced}\r\n\r\n{{}}");
        client.send(head.as_bytes()).await;
        let status = soon(client.answer()).await.map(|answer| answer.status);
        assert_eq!(status, Some(400), "{announced}");
        assert!(soon(served).await.unwrap().is_err());
    }
    let (mut client, _) = connect(&agent);
    client
        .send(b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    for _ in 0..70 {
        client
            .send(format!("400\r\n{}\r\n", padded(0x400)).as_bytes())
            .await;
    }
    let answer = soon(client.answer()).await.expect("an answer");
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn a_length_that_differs_from_the_body_hurts_only_that_connection() {
    let agent = Agent::default();
    let (mut longer, served) = connect(&agent);
    longer
        .send(b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{}")
        .await;
    longer.finish().await;
    let _ = soon(served).await.unwrap();

    let (mut shorter, served) = connect(&agent);
    shorter
        .send(b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}\0garbage\r\n\r\n")
        .await;
    assert_eq!(
        soon(shorter.answer()).await.expect("to the job").status,
        400
    );
    assert_eq!(
        soon(shorter.answer()).await.expect("to the garbage").status,
        400
    );
    assert!(soon(served).await.unwrap().is_err());

    let (mut client, _) = connect(&agent);
    let _: Hello = client.get("/v1/hello").await;
}

#[tokio::test]
async fn heads_are_bounded() {
    let agent = Agent::default();
    let (mut long, served) = connect(&agent);
    long.send(b"GET /v1/hello HTTP/1.1\r\nX: ").await;
    for _ in 0..64 {
        long.send(&[b'x'; 1024]).await;
    }
    let status = soon(long.answer()).await.map(|answer| answer.status);
    assert!(matches!(status, Some(400 | 431)), "{status:?}");
    assert!(soon(served).await.unwrap().is_err());

    let (mut many, _) = connect(&agent);
    let headers = "X: 1\r\n".repeat(100);
    many.send(format!("GET /v1/hello HTTP/1.1\r\n{headers}\r\n").as_bytes())
        .await;
    let status = soon(many.answer()).await.map(|answer| answer.status);
    assert!(matches!(status, Some(400 | 431)), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up() {
    let agent = Agent::default();
    let (mut client, _) = connect(&agent);
    client
        .send(b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        .await;
    let answer = client.answer().await.expect("an answer");
    assert_eq!(answer.status, 408);
    assert!(answer.refusal().contains("did not arrive"));
}

#[tokio::test]
async fn a_slow_client_hurts_nobody_else() {
    let agent = Agent::default();
    let (mut client, _) = connect(&agent);
    let target = client.serve().await;
    let id = client
        .arm(&job(Traffic::TcpRr { payload: Bytes(64) }, target, 300))
        .await;
    let (mut slow, _) = connect(&agent);
    let trickle = tokio::spawn(async move {
        for byte in b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{"
            .iter()
            .cycle()
        {
            slow.send(&[*byte]).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let (mut silent, _) = connect(&agent);
    silent.send(b"GET").await;
    let report: JobReport = soon(client.run(id)).await.json();
    assert!(report.outcome.replied > 0);
    assert!(report.outcome.window_ns < 10_000_000_000);
    trickle.abort();
}

#[tokio::test]
async fn a_client_that_never_reads_is_let_go_when_it_leaves() {
    let agent = Agent::default();
    let (ours, theirs) = duplex(64);
    let served = tokio::spawn(async move { agent.connection(theirs).await });
    let mut client = Client::new(ours);
    client
        .send(b"GET /v1/counters HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(client);
    soon(served).await.unwrap().unwrap();
}

/// Bytes of any kind: pure noise, noise behind good heads, and good requests with something broken.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    let head = prop::sample::select(vec![
        "POST /v1/jobs HTTP/1.1\r\nHost: a\r\n",
        "POST /v1/responder HTTP/1.1\r\nHost: a\r\n",
        "POST /v1/jobs/1/run HTTP/1.1\r\nHost: a\r\n",
        "DELETE /v1/jobs/1 HTTP/1.1\r\nHost: a\r\n",
        "GET /v1/hello HTTP/1.1\r\n",
    ]);
    let framing = prop_oneof![
        (0_usize..400).prop_map(|length| format!("Content-Length: {length}\r\n\r\n")),
        Just("Transfer-Encoding: chunked\r\n\r\n".to_owned()),
        Just("\r\n".to_owned()),
        "[ -~]{0,40}\r\n\r\n",
    ];
    let spoilt = (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(place, byte)| {
        let mut body = good().to_string().into_bytes();
        let place = place.index(body.len());
        body[place] = byte;
        body
    });
    let behind = (head, framing, prop_oneof![bytes.clone(), spoilt])
        .prop_map(|(head, framing, body)| [head.as_bytes(), framing.as_bytes(), &body].concat());
    prop_oneof![bytes, behind]
}

#[test]
fn no_bytes_make_an_agent_panic_or_hang() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config::with_cases(256));
    let result = runner.run(&noise(), |bytes| {
        let served = runtime.block_on(soon(async {
            let (ours, theirs) = duplex(64);
            let served = tokio::spawn(agent::serve(theirs));
            let mut client = Client::new(ours);
            let talk = async {
                client.send(&bytes).await;
                // Whatever it answers comes before it is left alone.
                let _ = tokio::time::timeout(Duration::from_millis(5), client.drain()).await;
            };
            talk.await;
            drop(client);
            served.await
        }));
        prop_assert!(served.is_ok(), "the agent panicked");
        Ok(())
    });
    result.unwrap();
}
