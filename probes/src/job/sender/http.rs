//! Sends HTTP requests.

use tollgate_results::agent::Job;
use tollgate_results::outcome::Timed;
use tollgate_results::workload::{Close, Connections, Http};

use super::{Life, kept};
use crate::clock::Monotonic;
use crate::probe::fresh::Fresh;
use crate::probe::http::Get;
use crate::probe::kept::Kept;
use crate::probe::socket::TcpDial;

/// Returns what is timed.
pub(super) const fn times(http: &Http) -> &'static [Timed] {
    match http.connections {
        Connections::Kept => &[Timed::Latency],
        Connections::New => &[Timed::Latency, Timed::Connect],
    }
}

/// Sends the job's traffic until the job is dropped.
pub(super) fn live(job: &Job, http: &Http, life: &Life) {
    let target = job.target;
    match http.connections {
        Connections::Kept => {
            let get = Get::new(target, http.response.0, true);
            life.drive(Kept::new(kept(target), get, Monotonic));
        }
        Connections::New => {
            // A FIN would fill the table of local ports with TIME_WAIT within seconds.
            let dial = TcpDial::new(target, Close::Rst);
            let get = Get::new(target, http.response.0, false);
            life.drive(Fresh::new(dial, get, Monotonic));
        }
    }
}
