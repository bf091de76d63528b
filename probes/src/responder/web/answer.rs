//! What HTTP/2 and HTTP over TLS are answered: the same as plain HTTP/1.1.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::rc::Rc;

use http_body_util::Full;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode};

use crate::probe::http::BACKEND;
use crate::responder::Limits;
use crate::responder::http::{Refused, asked};
use crate::responder::toll::Toll;

/// A response whose body is there.
type Whole = Response<Full<Bytes>>;

/// An answer that needs no wait.
type Answered = Ready<Result<Whole, Infallible>>;

/// Answers by the name of the responder.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    name: HeaderValue,
    /// As long as the largest response.
    body: Bytes,
    /// What is planted before each reply.
    toll: Toll,
}

impl Answers {
    pub(super) fn new(name: &str, limits: &Limits) -> Self {
        Self {
            // A name was checked before.
            name: HeaderValue::from_str(name).unwrap_or_else(|_| HeaderValue::from_static("?")),
            body: Bytes::from(vec![b'.'; limits.max_response as usize]),
            toll: limits.toll,
        }
    }

    /// Returns a service that counts its requests.
    pub(super) fn service(
        &self,
        served: Rc<Cell<u64>>,
    ) -> impl Service<Request<Incoming>, Response = Whole, Error = Infallible, Future = Answered> + use<>
    {
        let answers = self.clone();
        service_fn(move |request: Request<Incoming>| {
            served.set(served.get() + 1);
            answers.toll.exact();
            ready(Ok(answers.answer(&request)))
        })
    }

    fn answer(&self, request: &Request<Incoming>) -> Whole {
        let max = u32::try_from(self.body.len()).unwrap_or(u32::MAX);
        let asked = if request.body().is_end_stream() {
            asked(request.method().as_str(), request.uri().path(), max)
        } else {
            Err(Refused::Body)
        };
        let (status, kind, body) = match asked {
            Ok(count) => {
                let body = self.body.slice(..count as usize);
                (StatusCode::OK, "application/octet-stream", body)
            }
            Err(refused) => {
                let status = StatusCode::from_u16(refused.status()).unwrap_or_default();
                (
                    status,
                    "text/plain",
                    Bytes::from_static(refused.reason().as_bytes()),
                )
            }
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(BACKEND, self.name.clone());
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET"));
        }
        response
    }
}
