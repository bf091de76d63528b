//! Sends the traffic of an open loop.

use std::rc::Rc;

use tollgate_results::agent::Job;
use tollgate_results::outcome::Timed;
use tollgate_results::workload::{OpenLoad, Traffic};

use super::{Life, kept, size};
use crate::clock::Monotonic;
use crate::probe::http::Ask;
use crate::probe::http::tally::Tally;
use crate::probe::icmp::{Echoes, IcmpDial};
use crate::probe::open::fleet::Sockets;
use crate::probe::open::gets::Gets;
use crate::probe::open::talk::{Datagrams, Pipeline, Talk};
use crate::probe::open::{OpenLoop, Waits};
use crate::probe::socket::{Begin, UdpDial};
use crate::probe::wake::Wake;

/// Everything that is timed.
pub(super) const TIMES: &[Timed] = &[Timed::FromPlan, Timed::FromSend, Timed::Lateness];

/// Sends the job's traffic until the job is dropped.
pub(super) fn live(job: &Job, load: &OpenLoad, life: &mut Life) {
    match job.traffic {
        Traffic::TcpRr { payload } => {
            let talk = Pipeline::new(size(payload), job.seed);
            let most = load.in_flight;
            let parts = (kept(job.target), talk);
            life.drive(open(parts, (job, load), Waits::TCP, most));
        }
        Traffic::UdpRr { payload, timeout } => {
            let talk = Datagrams::new(size(payload) as usize, job.seed);
            let dial = UdpDial::new(job.target, Wake::within(timeout.duration()));
            let waits = Waits::datagrams(timeout.0);
            life.drive(open((dial, talk), (job, load), waits, load.in_flight));
        }
        Traffic::IcmpEcho {
            payload,
            timeout,
            socket,
        } => {
            let dial = IcmpDial::new(job.target, socket, Wake::within(timeout.duration()));
            let talk = Echoes::new(dial.form(), size(payload) as usize, job.seed);
            let waits = Waits::datagrams(timeout.0);
            life.drive(open((dial, talk), (job, load), waits, load.in_flight));
        }
        Traffic::Http(ref http) => {
            let tally = Rc::new(Tally::default());
            let talk = Gets::new(Ask::new(job.target, http), Rc::clone(&tally));
            // Servers answer pipelined requests one by one, and many not at all.
            let parts = (kept(job.target), talk);
            life.drive_http(open(parts, (job, load), Waits::TCP, 1), &tally);
        }
        Traffic::TcpCrr { .. }
        | Traffic::TcpStream { .. }
        | Traffic::UdpStream(_)
        | Traffic::TcpSyn { .. } => {
            unreachable!("`check` refuses an open loop of other traffic")
        }
    }
}

fn open<D: Begin, T: Talk>(
    (dial, talk): (D, T),
    (job, load): (&Job, &OpenLoad),
    waits: Waits,
    most_per_lane: u32,
) -> OpenLoop<Sockets<D>, T, Monotonic> {
    let fleet = Sockets::new(dial, load.connections as usize);
    let parts = (fleet, talk, Monotonic);
    OpenLoop::new(parts, *load, job.seed, waits, most_per_lane)
}
