//! Sends HTTP requests in a closed loop.

use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tollgate_results::agent::Job;
use tollgate_results::outcome::Timed;
use tollgate_results::workload::{Close, Connections, Http, HttpVersion};

use super::Life;
use crate::clock::Monotonic;
use crate::error::ProbeError;
use crate::probe::fresh::Fresh;
use crate::probe::http::Ask;
use crate::probe::http::crowd::Crowd;
use crate::probe::http::get::Get;
use crate::probe::http::tally::Tally;
use crate::probe::http::two::Two;
use crate::probe::http::two::link::Linker;
use crate::probe::kept::Kept;
use crate::probe::secure::{SecureDial, Setup};
use crate::probe::socket::{Begin, TcpDial};
use crate::probe::wake::TURN;
use crate::tls;

/// Returns what is timed.
pub(super) const fn times(http: &Http) -> &'static [Timed] {
    match (http.connections, &http.tls) {
        (Connections::Kept, _) => &[Timed::Latency, Timed::FirstByte, Timed::LastByte],
        (Connections::New, None) => &[
            Timed::Latency,
            Timed::Connect,
            Timed::FirstByte,
            Timed::LastByte,
        ],
        (Connections::New, Some(_)) => &[
            Timed::Latency,
            Timed::Connect,
            Timed::Tls,
            Timed::FirstByte,
            Timed::LastByte,
        ],
    }
}

/// Returns how many threads send: one, but that new connections of HTTP/1.1 have one each.
pub(super) const fn threads(http: &Http) -> u32 {
    match (http.connections, http.version) {
        (Connections::New, HttpVersion::Http1) => http.parallel,
        _ => 1,
    }
}

/// Sets TLS up, where the job wants it.
///
/// # Errors
///
/// When there is nobody to trust, or the authority is no name that a certificate can be for.
pub(super) fn setup(job: &Job, http: &Http) -> Result<Option<Setup>, ProbeError> {
    let Some(trust) = &http.tls else {
        return Ok(None);
    };
    let protocol = match http.version {
        HttpVersion::Http1 => tls::HTTP1,
        HttpVersion::Http2 => tls::HTTP2,
    };
    let config = Arc::new(tls::client(trust, protocol)?);
    let host = match &http.resource {
        Some(resource) => host(&resource.authority).to_owned(),
        None => job.target.ip().to_string(),
    };
    let name = ServerName::try_from(host.clone()).map_err(|_| {
        let fault = format!("`{host}` is no host name");
        ProbeError::invalid("speak TLS to the target", vec![fault])
    })?;
    Ok(Some(Setup { config, name }))
}

/// Returns the host of an authority, without port and brackets.
fn host(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.split(':').next().unwrap_or(authority),
    }
}

/// Sends the job's traffic until the job is dropped.
pub(super) fn live(job: &Job, http: &Http, setup: Option<Setup>, life: &mut Life) {
    let tally = Rc::new(Tally::default());
    let close = match http.connections {
        Connections::Kept => Close::Fin,
        // A FIN would fill the table of local ports with TIME_WAIT within seconds.
        Connections::New => Close::Rst,
    };
    let mut dial = TcpDial::new(job.target, close);
    // Many connections of a thread are waited for all at once, those of HTTP/2 by its runtime.
    let waits_for_one = http.connections == Connections::New || http.parallel == 1;
    if http.version == HttpVersion::Http1 && waits_for_one {
        dial = dial.woken(life.wake(TURN));
    }
    match (http.version, setup) {
        (HttpVersion::Http2, setup) => {
            let streams = match http.connections {
                Connections::Kept => Some(http.streams),
                Connections::New => None,
            };
            let ask = Ask::new(job.target, http);
            let linker = Linker::new(job.target, setup);
            let two = Two::new(linker, ask, http.parallel, streams, Rc::clone(&tally));
            life.drive_http(two, &tally);
        }
        (HttpVersion::Http1, None) => one(job, http, dial, &tally, life),
        (HttpVersion::Http1, Some(setup)) => {
            let dial = SecureDial::new(dial, setup, Rc::clone(&tally));
            one(job, http, dial, &tally, life);
        }
    }
}

/// Sends requests of HTTP/1.1.
fn one<D: Begin>(job: &Job, http: &Http, dial: D, tally: &Rc<Tally>, life: &mut Life) {
    let ask = Ask::new(job.target, http);
    let shared = Rc::clone(tally);
    match http.connections {
        Connections::Kept if http.parallel > 1 => {
            let crowd = Crowd::new((dial, Monotonic), ask, http.parallel, shared);
            life.drive_http(crowd, tally);
        }
        Connections::Kept => {
            let get = Get::new(ask, true, shared).by_backend(http.by_backend);
            life.drive_http(Kept::new(dial, get, Monotonic), tally);
        }
        Connections::New => {
            let get = Get::new(ask, false, shared).by_backend(http.by_backend);
            life.drive_http(Fresh::new(dial, get, Monotonic), tally);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_authority_has_neither_port_nor_brackets() {
        for (authority, expected) in [
            ("a.example", "a.example"),
            ("a.example:443", "a.example"),
            ("192.0.2.1:8", "192.0.2.1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
        ] {
            assert_eq!(host(authority), expected);
        }
    }
}
