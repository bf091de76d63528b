//! Which probes sweep over source ports.

use tollgate_results::agent::Job;
use tollgate_results::workload::Traffic;

use super::{Life, kept, size};
use crate::clock::Monotonic;
use crate::probe::datagrams::DatagramRr;
use crate::probe::echo::Echo;
use crate::probe::kept::Kept;
use crate::probe::open::talk::Datagrams;
use crate::probe::socket::UdpDial;
use crate::probe::sweep::Sweep;
use crate::probe::wake::TURN;

/// Sends the job's traffic from so many ports in turn until the job is dropped.
pub(super) fn live(job: &Job, ports: u32, life: &mut Life) {
    let (target, seed) = (job.target, job.seed);
    match job.traffic {
        Traffic::TcpRr { payload } => {
            let echo = || Echo::new(size(payload), seed);
            let wake = life.wake(TURN);
            let probe = |_| Kept::new(kept(target).woken(wake), echo(), Monotonic);
            let probes = (0..ports).map(probe);
            life.drive(Sweep::new(probes.collect(), Monotonic, seed));
        }
        Traffic::UdpRr { payload, timeout } => {
            let wake = life.wake(timeout.duration());
            let probe = |_| {
                let dial = UdpDial::new(target, wake);
                let talk = Datagrams::new(size(payload) as usize, seed);
                DatagramRr::new(dial, talk, Monotonic, timeout.0)
            };
            let probes = (0..ports).map(probe);
            life.drive(Sweep::new(probes.collect(), Monotonic, seed));
        }
        _ => unreachable!("`check` refuses a sweep of other traffic"),
    }
}
