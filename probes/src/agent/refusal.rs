//! What the agent answers when it doesn't do what it was asked.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use tollgate_results::agent::Refusal;

use crate::error::{ProbeError, ProbeErrorKind};

/// Longest line of a refusal in characters; parts of the request may stand in it.
const LINE: usize = 1_000;

/// A status and one line that says what, where and how to mend it.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    line: String,
    allow: Option<&'static str>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, line: impl AsRef<str>) -> Self {
        Self {
            status,
            line: one_line(line.as_ref()),
            allow: None,
        }
    }

    /// A path that has other methods.
    pub(super) fn method(allow: &'static str) -> Self {
        let line = format!("wrong method for this path; use {allow}");
        Self {
            allow: Some(allow),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, line)
        }
    }

    /// A fault of the agent itself.
    pub(super) fn broken(what: &str) -> Self {
        let line = format!("{what}; this is a fault of the probe, please report it");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, line)
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let refusal = Refusal { error: self.line };
        let body = serde_json::to_vec(&refusal).unwrap_or_default();
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

impl From<ProbeError> for Refused {
    fn from(error: ProbeError) -> Self {
        let status = match error.kind() {
            ProbeErrorKind::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ProbeErrorKind::Refused { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.line())
    }
}

/// Makes one bounded line of a text in which parts of a request may stand.
fn one_line(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    let mut line: String = text.chars().take(LINE).map(plain).collect();
    if text.chars().nth(LINE).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_bounded_line() {
        assert_eq!(one_line("a\r\nb\u{1b}[31m"), "a  b [31m");
        let long = one_line(&"x".repeat(70_000));
        assert_eq!(long.chars().count(), LINE + 1);
    }
}
