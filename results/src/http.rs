//! HTTP traffic: what is asked for, and what came back.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::histogram::Histogram;
use crate::units::Bytes;

/// HTTP GETs: of `/bytes/N` from the probe's own responder, or of anything from any server.
///
/// In a closed loop each connection has its next request after the response. Redirects are not followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Whether a connection is kept between requests.
    pub connections: Connections,
    /// Size of the response's body: 0 B to 1 MiB. Of any other server's [`Http::resource`] it isn't known.
    pub response: Bytes,
    /// Connections at a time in a closed loop, 1 to 1,024; new ones, 1 to 128. An open loop has its own number.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub parallel: u32,
    /// Requests under way at a time on each connection, 1 to 128; above 1 with HTTP/2 on kept connections only.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub streams: u32,
    /// Version of the protocol. Another one is never fallen back to.
    #[serde(default, skip_serializing_if = "HttpVersion::is_default")]
    pub version: HttpVersion,
    /// Whom to trust over TLS; `None` is plain text, for HTTP/2 with prior knowledge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Trust>,
    /// What to ask for; `None` asks the probe's own responder for [`Http::response`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource>,
    /// Whether latency is kept for each backend by its name; only of HTTP/1.1, one request at a time. It costs two
    /// readings of the clock a request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_backend: bool,
}

impl Http {
    /// Range of [`Http::parallel`].
    pub const PARALLEL: (u32, u32) = (1, 1_024);
    /// Largest value of [`Http::parallel`] on new connections: each has a thread.
    pub const MOST_NEW: u32 = 128;
    /// Range of [`Http::streams`].
    pub const STREAMS: (u32, u32) = (1, 128);

    /// Returns HTTP/1.1 in plain text, one connection at a time, from the probe's own responder.
    #[must_use]
    pub const fn new(connections: Connections, response: Bytes) -> Self {
        Self {
            connections,
            response,
            parallel: 1,
            streams: 1,
            version: HttpVersion::Http1,
            tls: None,
            resource: None,
            by_backend: false,
        }
    }

    /// Returns whether it can be sent on a schedule: HTTP/1.1 in plain text on kept connections.
    #[must_use]
    pub const fn may_be_open(&self) -> bool {
        matches!(self.connections, Connections::Kept)
            && matches!(self.version, HttpVersion::Http1)
            && self.tls.is_none()
    }
}

/// Whether an HTTP client keeps its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Connections {
    /// One connection for all requests.
    Kept,
    /// A new connection for each request.
    New,
}

/// Version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum HttpVersion {
    /// HTTP/1.1: one request at a time on a connection.
    #[default]
    #[serde(rename = "1.1")]
    Http1,
    /// HTTP/2: by prior knowledge in plain text, by ALPN over TLS.
    #[serde(rename = "2")]
    Http2,
}

impl HttpVersion {
    /// Returns the version as people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "1.1",
            Self::Http2 => "2",
        }
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Which certificates are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Any: the handshake is proven by its key, the key by nothing. For the probe's own responder, which makes
    /// its certificate itself.
    Any,
    /// Those that this machine's list of authorities vouches for.
    System,
    /// Those that these authorities vouch for: certificates in PEM.
    Authorities(String),
}

/// What to GET.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resource {
    /// Host, with its port where that isn't the usual one: `Host` of the request. Over TLS the certificate must be
    /// for it. At most 255 bytes.
    pub authority: String,
    /// Path and query, from `/`. At most 4 KiB.
    pub path: String,
}

/// What came back over HTTP, beside replies and failures. A response with an error status (4xx, 5xx) is a failure,
/// any other one a reply.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct HttpOutcome {
    /// Whole responses by status.
    #[serde(deserialize_with = "by_status")]
    pub statuses: BTreeMap<u16, u64>,
    /// Replies by the name that the server gave itself in `x-tollgate-backend`: how a service splits its
    /// load. Replies without a name count nowhere.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub backends: BTreeMap<String, u64>,
    /// Replies under further names, when there are [`HttpOutcome::MOST_BACKENDS`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub other_backends: u64,
    /// The same for each of several kept connections: requests of one connection may stay with a backend, and then they say no
    /// more than one does. At most [`HttpOutcome::MOST_CONNECTIONS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_connection: Vec<BTreeMap<String, u64>>,
    /// Latency of the replies of each backend, where it was asked for ([`Http::by_backend`]): from the request to the end
    /// of the response, on a connection that stands. Of the first [`HttpOutcome::MOST_TIMED`] names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub latencies: BTreeMap<String, Packed>,
    /// Why the first request that failed for a reason of its own did so: a certificate, a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl HttpOutcome {
    /// Most names of backends that are told apart.
    pub const MOST_BACKENDS: usize = 64;
    /// Longest name of a backend, in bytes; what is longer is cut.
    pub const LONGEST_BACKEND: usize = 64;
    /// Most connections whose backends are told apart: as many as a closed loop has.
    pub const MOST_CONNECTIONS: usize = Http::PARALLEL.1 as usize;
    /// Most backends whose latency is kept.
    pub const MOST_TIMED: usize = 8;

    /// Adds what another thread counted.
    pub fn merge(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (name, count) in other.backends {
            let room = self.backends.len() < Self::MOST_BACKENDS;
            match self.backends.get_mut(&name) {
                Some(sum) => *sum += count,
                None if room => drop(self.backends.insert(name, count)),
                None => self.other_backends += count,
            }
        }
        for (name, packed) in other.latencies {
            let room = self.latencies.len() < Self::MOST_TIMED;
            match self.latencies.get_mut(&name) {
                Some(sum) => sum.merge(&packed),
                None if room => drop(self.latencies.insert(name, packed)),
                None => {}
            }
        }
        self.by_connection.extend(other.by_connection);
        self.by_connection.truncate(Self::MOST_CONNECTIONS);
        self.other_backends += other.other_backends;
        self.fault = self.fault.take().or(other.fault);
    }
}

/// A histogram as the text that it is in records: some KiB, where the histogram itself takes 216 KiB of memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Packed(String);

impl Packed {
    /// Packs a histogram.
    #[must_use]
    pub fn of(histogram: &Histogram) -> Self {
        Self(histogram.clone().into())
    }

    /// Returns the histogram; `None` where the text is damaged.
    #[must_use]
    pub fn unpacked(&self) -> Option<Histogram> {
        self.0.clone().try_into().ok()
    }

    /// Adds the latencies of another one; what is damaged adds nothing.
    fn merge(&mut self, other: &Self) {
        match (self.unpacked(), other.unpacked()) {
            (Some(mut sum), Some(more)) => {
                sum.merge(&more);
                *self = Self::of(&sum);
            }
            (None, Some(_)) => *self = other.clone(),
            _ => {}
        }
    }
}

/// Reads numbers that are keys of a JSON object, and so texts. serde turns them into numbers again only where nothing
/// around them is flattened or tagged.
fn by_status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<u16, u64>, D::Error> {
    let texts = BTreeMap::<String, u64>::deserialize(deserializer)?;
    let number = |(text, count): (String, u64)| match text.parse() {
        Ok(status) => Ok((status, count)),
        Err(_) => Err(D::Error::custom(format_args!("`{text}` is no status"))),
    };
    texts.into_iter().map(number).collect()
}

const fn one() -> u32 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_one(number: &u32) -> bool {
    *number == 1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_back_inside_of_what_is_flattened() {
        #[derive(Deserialize)]
        struct Line {
            #[serde(flatten)]
            outcome: HttpOutcome,
        }
        let outcome = HttpOutcome {
            statuses: [(200, 7), (503, 1)].into(),
            ..HttpOutcome::default()
        };
        let text = serde_json::to_string(&outcome).unwrap();
        let line: Line = serde_json::from_str(&text).unwrap();
        assert_eq!(line.outcome, outcome);
        let error = serde_json::from_str::<HttpOutcome>(r#"{"statuses":{"x":1}}"#).unwrap_err();
        assert!(error.to_string().contains("`x` is no status"), "{error}");
    }

    #[test]
    fn what_is_usual_is_not_written() {
        let http = Http::new(Connections::Kept, Bytes(64));
        let text = serde_json::to_string(&http).unwrap();
        assert_eq!(text, r#"{"connections":"kept","response":"64 B"}"#);
        assert_eq!(serde_json::from_str::<Http>(&text).unwrap(), http);
        let other = Http {
            parallel: 64,
            streams: 2,
            version: HttpVersion::Http2,
            tls: Some(Trust::Any),
            resource: Some(Resource {
                authority: "a:1".to_owned(),
                path: "/".to_owned(),
            }),
            ..http
        };
        let text = serde_json::to_string(&other).unwrap();
        assert!(text.contains(r#""version":"2","tls":"any""#), "{text}");
        assert_eq!(serde_json::from_str::<Http>(&text).unwrap(), other);
    }

    #[test]
    fn latencies_of_backends_are_added_and_bounded() {
        let of = |names: std::ops::Range<usize>| {
            let mut histogram = Histogram::new();
            histogram.record(1_000);
            HttpOutcome {
                latencies: names
                    .map(|n| (format!("pod-{n}"), Packed::of(&histogram)))
                    .collect(),
                ..HttpOutcome::default()
            }
        };
        let mut sum = of(0..6);
        sum.merge(of(5..20));
        assert_eq!(sum.latencies.len(), HttpOutcome::MOST_TIMED);
        let count = |name: &str| sum.latencies[name].unpacked().unwrap().len();
        assert_eq!((count("pod-5"), count("pod-0")), (2, 1));
        let text = serde_json::to_string(&sum).unwrap();
        assert_eq!(serde_json::from_str::<HttpOutcome>(&text).unwrap(), sum);
        assert!(Packed("damaged".to_owned()).unpacked().is_none());
    }

    #[test]
    fn names_of_backends_are_bounded_when_threads_are_merged() {
        let of = |range: std::ops::Range<usize>| HttpOutcome {
            statuses: [(200, 1)].into(),
            backends: range.map(|n| (format!("pod-{n}"), 1)).collect(),
            ..HttpOutcome::default()
        };
        let mut sum = of(0..60);
        sum.merge(of(50..70));
        assert_eq!(sum.statuses[&200], 2);
        assert_eq!(sum.backends.len(), HttpOutcome::MOST_BACKENDS);
        assert_eq!(sum.backends["pod-55"], 2);
        assert_eq!(sum.other_backends, 6);
    }
}
