//! A small HTTP client that can also send what no HTTP client would.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tollgate_results::agent::{Armed, Job, Refusal, Serve, Serving};
use tollgate_results::counters::Counters;
use tollgate_results::units::Nanoseconds;
use tollgate_results::workload::{Load, Traffic};

pub(crate) struct Client<S>(S);

/// An answer of the agent.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads the body of a success.
    #[track_caller]
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, 200, "{text}");
        serde_json::from_slice(&self.body).expect("the agent writes JSON of its protocol")
    }

    /// Reads the line of a refusal.
    #[track_caller]
    pub(crate) fn refusal(&self) -> String {
        assert!(self.status >= 400, "{self:?}");
        let refusal: Refusal = serde_json::from_slice(&self.body).expect("a refusal");
        assert!(!refusal.error.contains('\n'), "one line");
        refusal.error
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) const fn new(stream: S) -> Self {
        Self(stream)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> T {
        self.ask("GET", path, "").await.json()
    }

    pub(crate) async fn ask(&mut self, method: &str, path: &str, body: impl AsRef<[u8]>) -> Answer {
        let body = body.as_ref();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: agent\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.send(head.as_bytes()).await;
        self.send(body).await;
        self.answer().await.expect("an answer")
    }

    /// Sends bytes; the agent may have gone already.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn finish(&mut self) {
        let _ = self.0.shutdown().await;
    }

    /// Reads one answer; `None` when the agent has closed the connection without one.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).expect("heads are ASCII");
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let wanted = name.eq_ignore_ascii_case("content-length");
            wanted.then(|| value.trim().parse().ok()).flatten()
        });
        let mut body = vec![0; length.unwrap_or(0)];
        self.0.read_exact(&mut body).await.ok()?;
        Some(Answer { status, head, body })
    }

    /// Reads and drops whatever comes until the agent closes the connection.
    pub(crate) async fn drain(&mut self) {
        let _ = tokio::io::copy(&mut self.0, &mut tokio::io::sink()).await;
    }

    /// Starts a responder on a free port of loopback, and returns its address.
    pub(crate) async fn serve(&mut self) -> SocketAddr {
        let bind = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let serve = Serve {
            bind,
            port: 0,
            cpu: None,
            name: None,
            planted: None,
            key: None,
        };
        let body = serde_json::to_vec(&serve).expect("plain data");
        let serving: Serving = self.ask("POST", "/v1/responder", body).await.json();
        SocketAddr::new(bind, serving.port)
    }

    /// Arms a job and returns its number.
    pub(crate) async fn arm(&mut self, job: &Job) -> u64 {
        let body = serde_json::to_vec(job).expect("plain data");
        let armed: Armed = self.ask("POST", "/v1/jobs", body).await.json();
        armed.id
    }

    pub(crate) async fn run(&mut self, id: u64) -> Answer {
        self.ask("POST", &format!("/v1/jobs/{id}/run"), "").await
    }

    pub(crate) async fn delete(&mut self, id: u64) -> u16 {
        self.ask("DELETE", &format!("/v1/jobs/{id}"), "")
            .await
            .status
    }

    pub(crate) async fn counters(&mut self) -> Counters {
        self.get("/v1/counters").await
    }
}

/// A job that any responder on loopback can take.
pub(crate) fn job(traffic: Traffic, target: SocketAddr, milliseconds: u64) -> Job {
    Job {
        traffic,
        load: Load::Closed,
        timestamps: false,
        ports: None,
        beside: None,
        target,
        warmup: Nanoseconds(20_000_000),
        duration: Nanoseconds(milliseconds * 1_000_000),
        cpu: None,
        seed: 1,
        key: None,
    }
}
