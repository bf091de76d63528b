//! The client of a probe agent: HTTP/1.1 and JSON over any byte stream.

pub mod door;

use std::net::IpAddr;

use anyhow::{Context as _, bail, ensure};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tollgate_results::agent::{
    Armed, Hello, HostFacts, Job, Log, Logged, Named, PROTOCOL, PathFacts, Refusal, Serve, Serving,
    Turns,
};
use tollgate_results::counters::Counters;
use tollgate_results::evidence::DeviceCounters;
use tollgate_results::outcome::JobReport;

/// Largest answer that is read: a report with a few full histograms has some 100 KiB.
const LARGEST_ANSWER: usize = 16 << 20;

/// A connection to one agent.
#[derive(Debug)]
pub struct Agent {
    sender: SendRequest<Full<Bytes>>,
    /// What the agent answers with now, so that it is replaced only for another.
    serving: Option<Serve>,
}

impl Agent {
    /// Connects over a stream and checks that both ends speak the same protocol.
    ///
    /// # Errors
    ///
    /// When the agent doesn't answer, or is of another version.
    pub async fn connect<S>(stream: S) -> anyhow::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .context("failed to reach the probe agent")?;
        // The driver ends with the stream; its error shows at the next request.
        tokio::spawn(connection);
        let mut agent = Self {
            sender,
            serving: None,
        };
        let hello: Hello = agent.request(Method::GET, "/v1/hello", None::<&()>).await?;
        ensure!(
            hello.protocol == PROTOCOL,
            "the probe agent {} speaks protocol {}, this tollgate {PROTOCOL}; install the same version of both",
            hello.version,
            hello.protocol,
        );
        Ok(agent)
    }

    /// Lets the agent answer traffic; keeps a responder that already does just that.
    ///
    /// # Errors
    ///
    /// When the agent cannot bind the address, or does not answer.
    pub async fn serve(&mut self, serve: &Serve) -> anyhow::Result<()> {
        if self.serving.as_ref() != Some(serve) {
            self.serving = None;
            let _: Serving = self
                .request(Method::POST, "/v1/responder", Some(serve))
                .await?;
            self.serving = Some(serve.clone());
        }
        Ok(())
    }

    /// Connects and warms a job up.
    ///
    /// # Errors
    ///
    /// When the job is refused, or the agent does not answer.
    pub async fn arm(&mut self, job: &Job) -> anyhow::Result<Armed> {
        self.request(Method::POST, "/v1/jobs", Some(job)).await
    }

    /// Runs an armed job for its window.
    ///
    /// # Errors
    ///
    /// When the agent does not answer, or has no such job.
    pub async fn run(&mut self, job: &Armed) -> anyhow::Result<JobReport> {
        self.request(
            Method::POST,
            &format!("/v1/jobs/{}/run", job.id),
            None::<&()>,
        )
        .await
    }

    /// Runs an armed job for its window, and keeps the time of each exchange.
    ///
    /// # Errors
    ///
    /// When the agent does not answer, or has no such job.
    pub async fn run_logged(&mut self, job: &Armed, log: Log) -> anyhow::Result<Logged> {
        let path = format!("/v1/jobs/{}/log", job.id);
        self.request(Method::POST, &path, Some(&log)).await
    }

    /// Lets the agent's responder keep the time of each reply.
    ///
    /// # Errors
    ///
    /// When the agent does not answer traffic, or does not answer at all.
    pub async fn keep_turns(&mut self, log: Log) -> anyhow::Result<()> {
        let path = "/v1/responder/turns";
        let _: Log = self.request(Method::POST, path, Some(&log)).await?;
        Ok(())
    }

    /// Takes the times that the agent's responder kept.
    ///
    /// # Errors
    ///
    /// When the agent does not answer traffic, or does not answer at all.
    pub async fn take_turns(&mut self) -> anyhow::Result<Turns> {
        let path = "/v1/responder/turns";
        self.request(Method::GET, path, None::<&()>).await
    }

    /// Reads the counters at the agent's end.
    ///
    /// # Errors
    ///
    /// When the agent does not answer.
    pub async fn counters(&mut self) -> anyhow::Result<Counters> {
        self.request(Method::GET, "/v1/counters", None::<&()>).await
    }

    /// Asks what the agent's machine is.
    ///
    /// # Errors
    ///
    /// When the agent does not answer.
    pub async fn facts(&mut self) -> anyhow::Result<HostFacts> {
        self.request(Method::GET, "/v1/facts", None::<&()>).await
    }

    /// Asks how packets from the agent's machine to an address would leave.
    ///
    /// # Errors
    ///
    /// When the agent does not answer.
    pub async fn path(&mut self, to: IpAddr) -> anyhow::Result<PathFacts> {
        self.request(Method::GET, &format!("/v1/path/{to}"), None::<&()>)
            .await
    }

    /// Asks where a name leads, by the resolver of the agent's machine.
    ///
    /// # Errors
    ///
    /// When it leads nowhere, or the agent does not answer.
    pub async fn look_up(&mut self, name: &str) -> anyhow::Result<Named> {
        self.request(Method::GET, &format!("/v1/name/{name}"), None::<&()>)
            .await
    }

    /// Reads the packets over the devices of the agent's machine.
    ///
    /// # Errors
    ///
    /// When the agent does not answer.
    pub async fn devices(&mut self) -> anyhow::Result<Vec<DeviceCounters>> {
        self.request(Method::GET, "/v1/devices", None::<&()>).await
    }

    /// Returns whether the connection stood when it was last looked at.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.sender.is_closed()
    }

    async fn request<A: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<A> {
        let what = format!("{method} {path}");
        self.exchange(method, path, body)
            .await
            .with_context(|| format!("probe agent, {what}"))
    }

    async fn exchange<A: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> anyhow::Result<A> {
        let body = body
            .map(serde_json::to_vec)
            .transpose()?
            .unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "agent")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let response = self
            .sender
            .send_request(request)
            .await
            .context("the agent has gone")?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), LARGEST_ANSWER)
            .collect()
            .await;
        let answer = match answer {
            Ok(answer) => answer.to_bytes(),
            Err(error) => bail!("the agent's answer broke off: {error}"),
        };
        if status.is_success() {
            return serde_json::from_slice(&answer)
                .context("the agent's answer is not what was asked for");
        }
        match serde_json::from_slice::<Refusal>(&answer) {
            Ok(refusal) => bail!("{}", refusal.error),
            Err(_) => bail!("the agent answered with status {status}"),
        }
    }
}
