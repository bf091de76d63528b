//! Which request does what.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tollgate_results::agent::{Hello, Job, Log, PROTOCOL, Serve};

use super::refusal::Refused;
use super::state::State;
use super::{limits, names};
use crate::host;

/// Largest body of a request; a job is some hundred bytes.
const BODY_BYTES: usize = 64 * 1024;

/// How long a body may take to arrive once its head is there.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// What the paths name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    Hello,
    Responder,
    Turns,
    Jobs,
    Job(u64),
    Run(u64),
    Log(u64),
    Counters,
    Facts,
    Path(IpAddr),
    Name(String),
    Devices,
}

/// Answers one request; a failure is an answer too.
pub(super) async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(dispatch(&state, request)
        .await
        .unwrap_or_else(Refused::into_response))
}

async fn dispatch(
    state: &Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Refused> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let route = Route::parse(path).ok_or_else(|| unknown(path))?;
    match (route, head.method) {
        (Route::Hello, Method::GET) => json(&hello()),
        (Route::Responder, Method::POST) => {
            let serve: Serve = read("responder", body).await?;
            limits::check_serve(&serve)?;
            json(&state.start_responder(serve).await?)
        }
        (Route::Responder, Method::DELETE) => {
            state.stop_responder().await;
            Ok(nothing())
        }
        (Route::Turns, Method::POST) => {
            let log: Log = read("log", body).await?;
            limits::check_log(log)?;
            state.keep_turns(log)?;
            json(&log)
        }
        (Route::Turns, Method::GET) => json(&state.take_turns()?),
        (Route::Jobs, Method::POST) => {
            let job: Job = read("job", body).await?;
            limits::check_job(&job)?;
            json(&state.arm(job).await?)
        }
        (Route::Run(id), Method::POST) => json(&state.run(id).await?),
        (Route::Log(id), Method::POST) => {
            let log: Log = read("log", body).await?;
            limits::check_log(log)?;
            json(&state.run_logged(id, log).await?)
        }
        (Route::Job(id), Method::DELETE) => {
            state.delete(id).await?;
            Ok(nothing())
        }
        (Route::Counters, Method::GET) => json(&state.counters()),
        (Route::Facts, Method::GET) => {
            // It asks other programs for their versions.
            let facts = tokio::task::spawn_blocking(host::facts).await;
            json(&facts.map_err(|_| Refused::broken("reading the facts fell over"))?)
        }
        (Route::Path(to), Method::GET) => json(&host::path(to)),
        (Route::Name(name), Method::GET) => json(&names::look_up(&name).await?),
        (Route::Devices, Method::GET) => json(&host::devices()),
        (route, _) => Err(Refused::method(route.methods())),
    }
}

impl Route {
    fn parse(path: &str) -> Option<Self> {
        let (first, rest) = match path.strip_prefix("/v1/")?.split_once('/') {
            Some((first, rest)) => (first, Some(rest)),
            None => (path.strip_prefix("/v1/")?, None),
        };
        match (first, rest) {
            ("hello", None) => Some(Self::Hello),
            ("responder", None) => Some(Self::Responder),
            ("responder", Some("turns")) => Some(Self::Turns),
            ("counters", None) => Some(Self::Counters),
            ("facts", None) => Some(Self::Facts),
            ("devices", None) => Some(Self::Devices),
            ("path", Some(to)) => to.parse().ok().map(Self::Path),
            ("name", Some(name)) => names::is_name(name).then(|| Self::Name(name.to_owned())),
            ("jobs", None) => Some(Self::Jobs),
            ("jobs", Some(rest)) => match rest.split_once('/') {
                Some((id, "run")) => number(id).map(Self::Run),
                Some((id, "log")) => number(id).map(Self::Log),
                Some(_) => None,
                None => number(rest).map(Self::Job),
            },
            _ => None,
        }
    }

    const fn methods(&self) -> &'static str {
        match self {
            Self::Hello
            | Self::Counters
            | Self::Facts
            | Self::Path(_)
            | Self::Name(_)
            | Self::Devices => "GET",
            Self::Responder => "POST, DELETE",
            Self::Turns => "GET, POST",
            Self::Jobs | Self::Run(_) | Self::Log(_) => "POST",
            Self::Job(_) => "DELETE",
        }
    }
}

/// Parses a job's number as the agent writes it: digits alone.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn unknown(path: &str) -> Refused {
    let line = format!(
        "`{path}` is not a path of this agent; protocol {PROTOCOL} has /v1/hello, /v1/responder, \
         /v1/responder/turns, /v1/jobs, /v1/jobs/ID, /v1/jobs/ID/run, /v1/jobs/ID/log, /v1/counters, /v1/facts, /v1/path/ADDRESS, \
         /v1/name/NAME and /v1/devices"
    );
    Refused::new(StatusCode::NOT_FOUND, line)
}

fn hello() -> Hello {
    Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Reads a whole body as JSON.
async fn read<T: DeserializeOwned>(what: &str, body: Incoming) -> Result<T, Refused> {
    let too_large = || {
        let line = format!("the {what} is larger than {BODY_BYTES} bytes; send less");
        Refused::new(StatusCode::PAYLOAD_TOO_LARGE, line)
    };
    let announced = usize::try_from(body.size_hint().lower());
    if announced.is_err() || announced.is_ok_and(|bytes| bytes > BODY_BYTES) {
        return Err(too_large());
    }
    let body = timeout(BODY_DEADLINE, Limited::new(body, BODY_BYTES).collect());
    let bytes = match body.await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large()),
        Ok(Err(error)) => {
            let line = format!("failed to receive the {what}: {error}; send the whole body");
            return Err(Refused::new(StatusCode::BAD_REQUEST, line));
        }
        Err(_) => {
            let seconds = BODY_DEADLINE.as_secs();
            let line = format!("the {what} did not arrive in {seconds} s; send it at once");
            return Err(Refused::new(StatusCode::REQUEST_TIMEOUT, line));
        }
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        let line = format!("failed to read the {what}: {error}; send JSON of protocol {PROTOCOL}");
        Refused::new(StatusCode::BAD_REQUEST, line)
    })
}

fn json<T: Serialize>(value: &T) -> Result<Response<Full<Bytes>>, Refused> {
    let body = serde_json::to_vec(value)
        .map_err(|error| Refused::broken(&format!("failed to write the answer: {error}")))?;
    let mut response = Response::new(Full::from(body));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

fn nothing() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_exact() {
        for (path, route) in [
            ("/v1/hello", Some(Route::Hello)),
            ("/v1/jobs", Some(Route::Jobs)),
            ("/v1/jobs/7", Some(Route::Job(7))),
            ("/v1/jobs/7/run", Some(Route::Run(7))),
            ("/v1/jobs/7/log", Some(Route::Log(7))),
            ("/v1/jobs/7/log/run", None),
            ("/v1/responder/turns", Some(Route::Turns)),
            ("/v1/responder/turn", None),
            ("/v1/jobs/18446744073709551616", None),
            ("/v1/jobs/", None),
            ("/v1/jobs//run", None),
            ("/v1/jobs/-1", None),
            ("/v1/jobs/+1", None),
            ("/v1/jobs/7/run/", None),
            ("/v1/jobs/7/runs", None),
            ("/v1/hello/", None),
            ("/v1/responder/x", None),
            ("/v1/", None),
            ("/v2/hello", None),
            ("/v1/facts", Some(Route::Facts)),
            ("/v1/path/10.0.0.1", Some(Route::Path([10, 0, 0, 1].into()))),
            ("/v1/path/10.0.0.1/", None),
            ("/v1/path/localhost", None),
            ("/v1/name/far.ns", Some(Route::Name("far.ns".to_owned()))),
            ("/v1/name/far/ns", None),
            ("/v1/name/", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(Route::parse(path), route, "{path}");
        }
    }
}
