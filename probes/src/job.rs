//! One measurement: checked, armed, run, and ended at any time.

mod check;
mod sender;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tollgate_results::agent::{Job, Logged};
use tollgate_results::outcome::JobReport;
use tollgate_results::stream::BesideTotals;
use tollgate_results::workload::{Load, SocketKind, Traffic};

pub(crate) use self::check::{faults, stream_faults};
use self::sender::{Asked, Sender};
use crate::error::ProbeError;
use crate::probe::{icmp, syn};
use crate::recorder::Recorder;
use crate::session;

/// A job that stands ready: connected and warm, its threads blocked. Ends when dropped.
#[derive(Debug)]
pub struct ArmedJob {
    senders: Vec<Sender>,
    /// Bulk data beside them. Its threads are not those whose CPU time the requests cost.
    beside: Vec<Sender>,
    aborter: Aborter,
    duration_ns: u64,
    /// Where there was a choice.
    socket: Option<SocketKind>,
    /// Whether replies may be a RST: of a raw socket alone.
    counts_resets: bool,
}

/// Ends a job from another thread within 100 ms: its arming, or its running.
#[derive(Debug, Clone, Default)]
pub struct Aborter(Arc<AtomicBool>);

impl Aborter {
    /// Ends the job. What was measured so far is kept; a request under way doesn't count.
    pub fn abort(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether the job was ended.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn flag(&self) -> &AtomicBool {
        &self.0
    }
}

/// Connects, runs the warm-up and leaves the job ready to run.
///
/// Returns soon after the warm-up whatever the target does: at most 7 s later, for datagrams their time-out. A
/// target that doesn't answer is no error here: its requests will be lost.
///
/// # Errors
///
/// When the job is impossible (all faults are named), its kind of socket is not allowed here, an end of a stream
/// refuses what was asked for, or a thread cannot be started or pinned.
pub fn arm(job: &Job) -> Result<ArmedJob, ProbeError> {
    arm_abortable(job, &Aborter::default())
}

/// Does the same, and returns early when aborted; such a job then runs for no time.
///
/// # Errors
///
/// See [`arm`].
pub fn arm_abortable(job: &Job, aborter: &Aborter) -> Result<ArmedJob, ProbeError> {
    check::check(job)?;
    let (job, socket) = choose_socket(job)?;
    if let Some(key) = job
        .key
        .as_ref()
        .filter(|_| !matches!(job.traffic, Traffic::IcmpEcho { .. }))
    {
        session::enter(job.target, key, || aborter.is_aborted())?;
    }
    let lanes = sender::lanes(&job.traffic);
    let senders = (0..lanes).map(|flow| Sender::start(&job, flow, aborter));
    let senders: Vec<Sender> = senders.collect::<Result<_, _>>()?;
    let beside = start_beside(&job, aborter)?;
    let mut refusals: Vec<String> = senders
        .iter()
        .chain(&beside)
        .filter_map(|sender| sender.collect().err())
        .collect();
    refusals.dedup();
    if !refusals.is_empty() {
        let context = format!("arm the {} job", job.traffic.kind());
        return Err(ProbeError::invalid(context, refusals));
    }
    Ok(ArmedJob {
        senders,
        beside,
        aborter: aborter.clone(),
        duration_ns: job.duration.0,
        socket,
        counts_resets: matches!(job.traffic, Traffic::TcpSyn { .. })
            && socket == Some(SocketKind::Raw),
    })
}

/// Starts the bulk data beside a job, which warms up with it.
fn start_beside(job: &Job, aborter: &Aborter) -> Result<Vec<Sender>, ProbeError> {
    let Some(beside) = job.beside else {
        return Ok(Vec::new());
    };
    let bulk = Job {
        traffic: beside.traffic(),
        load: Load::Closed,
        timestamps: false,
        ports: None,
        beside: None,
        ..job.clone()
    };
    let lanes = sender::lanes(&bulk.traffic);
    let senders = (0..lanes).map(|flow| Sender::start(&bulk, flow, aborter));
    senders.collect()
}

/// Returns what bulk data beside a job gave in a window.
fn totals(recorders: &[Recorder]) -> BesideTotals {
    let outcome = Recorder::report(recorders).outcome;
    BesideTotals {
        window_ns: outcome.window_ns,
        bytes: outcome.bytes_received,
        failures: outcome.failures.values().sum(),
    }
}

/// Settles which kind of socket a job uses, where there is a choice.
fn choose_socket(job: &Job) -> Result<(Job, Option<SocketKind>), ProbeError> {
    let mut job = job.clone();
    let target = job.target;
    let socket = match &mut job.traffic {
        Traffic::IcmpEcho { socket, .. } => {
            *socket = icmp::choose(target, *socket)?;
            Some(*socket)
        }
        Traffic::TcpSyn { socket, .. } => {
            *socket = syn::choose(target, *socket)?;
            Some(*socket)
        }
        _ => None,
    };
    Ok((job, socket))
}

impl ArmedJob {
    /// Returns the OS ids of the sending threads. They live as long as the job does.
    #[must_use]
    pub fn threads(&self) -> Vec<i32> {
        self.senders.iter().filter_map(Sender::tid).collect()
    }

    /// Returns a handle that ends the job from another thread.
    #[must_use]
    pub fn aborter(&self) -> Aborter {
        self.aborter.clone()
    }

    /// Runs one measured window and waits for what is under way at its end: at most for the reply's
    /// time-out. The threads then block again.
    pub fn run(&mut self) -> JobReport {
        let (requests, beside) = self.window(None);
        self.report(&requests, &beside)
    }

    /// Does the same, and keeps the time of up to `most` exchanges: of tcp-rr, udp-rr and icmp-echo in a closed loop
    /// each round trip, of tcp-crr each `connect`.
    pub fn run_logged(&mut self, most: u32) -> Logged {
        let (requests, beside) = self.window(Some(most));
        Logged {
            report: self.report(&requests, &beside),
            exchanges: Recorder::exchanges(&requests),
        }
    }

    /// Runs a window; returns what was recorded of the requests, and of the bulk data beside them.
    fn window(&self, log: Option<u32>) -> (Vec<Recorder>, Vec<Recorder>) {
        let duration_ns = self.duration_ns;
        let bulk = Asked {
            duration_ns,
            log: None,
        };
        self.beside.iter().for_each(|sender| sender.release(bulk));
        let asked = Asked { duration_ns, log };
        self.senders.iter().for_each(|sender| sender.release(asked));
        // An end refuses as the job is armed, or never.
        let collected = |senders: &[Sender]| -> Vec<Recorder> {
            let recorders = senders.iter().map(Sender::collect);
            recorders.filter_map(Result::ok).collect()
        };
        (collected(&self.senders), collected(&self.beside))
    }

    fn report(&self, recorders: &[Recorder], beside: &[Recorder]) -> JobReport {
        let mut report = Recorder::report(recorders);
        if self.counts_resets {
            let resets = recorders.iter().map(|recorder| recorder.counts().resets);
            report.outcome.resets = Some(resets.sum());
        }
        report.outcome.socket = self.socket;
        report.outcome.beside = (!beside.is_empty()).then(|| totals(beside));
        report
    }
}
