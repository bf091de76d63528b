//! HTTP: what is asked, how the response is judged, and who asks.
//!
//! - [`get`]: HTTP/1.1 over one connection at a time, by blocking calls
//! - [`crowd`]: HTTP/1.1 over many kept connections, by epoll on one thread
//! - [`two`]: HTTP/2, by the `h2` crate
//! - [`response`]: reads the responses of HTTP/1.1
//! - [`tally`]: counts statuses and backends

pub(crate) mod crowd;
pub(crate) mod get;
pub(crate) mod response;
pub(crate) mod tally;
pub(crate) mod two;

use std::net::SocketAddr;

use tollgate_results::outcome::Failure;
use tollgate_results::workload::Http;

use self::response::Response;

/// The header in which a server says its name, in lower case.
pub(crate) const BACKEND: &str = "x-tollgate-backend";

/// What is asked for, and what must come back.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) authority: String,
    pub(crate) path: String,
    /// Length of the body, where it is known.
    pub(crate) expected: Option<u64>,
}

impl Ask {
    /// Asks for what the job wants.
    pub(crate) fn new(target: SocketAddr, http: &Http) -> Self {
        match &http.resource {
            Some(resource) => Self {
                authority: resource.authority.clone(),
                path: resource.path.clone(),
                expected: None,
            },
            None => Self {
                authority: target.to_string(),
                path: format!("/bytes/{}", http.response.0),
                expected: Some(http.response.0),
            },
        }
    }

    /// Writes the request of HTTP/1.1; `kept` says whether the connection is.
    pub(crate) fn request(&self, kept: bool) -> Vec<u8> {
        let Self {
            authority, path, ..
        } = self;
        let version = env!("CARGO_PKG_VERSION");
        let connection = if kept { "" } else { "Connection: close\r\n" };
        let text = format!(
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: tollgate-probe/{version}\r\n\
             Accept: */*\r\n{connection}\r\n"
        );
        text.into_bytes()
    }

    /// Judges a whole response: an error status is a failure, anything but what was asked for is no reply.
    #[inline]
    pub(crate) fn judge(&self, response: &Response) -> Result<(), Failure> {
        match (response.status, self.expected) {
            (400.., _) => Err(Failure::Status),
            (200, Some(expected)) if expected == response.body => Ok(()),
            (_, Some(_)) => Err(Failure::Malformed),
            (_, None) => Ok(()),
        }
    }
}
