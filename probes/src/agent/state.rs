//! The job and the responder of an agent, and what may be done with them when.
//!
//! Free → arming → armed → running → over → arming …; `DELETE` leads back to free from anywhere. A job that
//! is over keeps its threads, so that their counters can be read after the window, until the next is armed.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tollgate_results::agent::{Armed, Job, Log, Logged, Serve, Serving, Turns};
use tollgate_results::counters::Counters;
use tollgate_results::outcome::JobReport;

use crate::counters;
use crate::error::ProbeError;
use crate::job::{self, Aborter, ArmedJob};
use crate::responder::Responder;

use super::refusal::Refused;

/// How long the end of an agent waits for threads to end.
const END: Duration = Duration::from_millis(100);

/// What all connections of an agent share.
#[derive(Debug, Default)]
pub(super) struct State(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    ended: bool,
    last_id: u64,
    slot: Slot,
    responder: Option<Responder>,
}

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Free,
    Arming(u64, Aborter),
    Armed(u64, ArmedJob),
    Running(Running),
    Over(u64, ArmedJob),
}

#[derive(Debug)]
struct Running {
    id: u64,
    threads: Vec<i32>,
    aborter: Aborter,
    /// Set once nobody wants the report: it would be one of a shorter window.
    unwanted: bool,
    /// Closed when the job has ended.
    over: watch::Receiver<()>,
}

/// A job that is being ended.
enum Going {
    /// Ends when dropped.
    Now(Slot),
    /// Has ended when this closes.
    Soon(watch::Receiver<()>),
}

/// Aborts a job that is being armed, or runs, when the connection that asked for it goes away.
struct AbortOnDrop<'a> {
    state: &'a State,
    id: u64,
}

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        self.state.lock().slot.abort(self.id);
    }
}

impl State {
    /// Connects and warms up; what was over before is dropped first. When this future is dropped, the job is
    /// aborted.
    pub(super) async fn arm(self: &Arc<Self>, job: Job) -> Result<Armed, Refused> {
        let aborter = Aborter::default();
        let (id, earlier) = self.reserve(&aborter)?;
        let state = Arc::clone(self);
        let _abort = AbortOnDrop { state: self, id };
        let (reply, armed) = oneshot::channel();
        spawn_blocking(move || {
            drop(earlier);
            state.settle(id, job::arm_abortable(&job, &aborter), reply);
        });
        match armed.await {
            Ok(Ok(())) => Ok(Armed { id }),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => {
                self.forget(id);
                Err(Refused::broken("the job fell over while it was armed"))
            }
        }
    }

    /// Runs an armed job. When this future is dropped, the job is aborted.
    pub(super) async fn run(self: &Arc<Self>, id: u64) -> Result<JobReport, Refused> {
        self.run_by(id, ArmedJob::run).await
    }

    /// Does the same, and keeps the time of each exchange.
    pub(super) async fn run_logged(self: &Arc<Self>, id: u64, log: Log) -> Result<Logged, Refused> {
        self.run_by(id, move |job| job.run_logged(log.most)).await
    }

    async fn run_by<T: Send + 'static>(
        self: &Arc<Self>,
        id: u64,
        run: impl FnOnce(&mut ArmedJob) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let (mut job, over) = self.start(id)?;
        let state = Arc::clone(self);
        let _abort = AbortOnDrop { state: self, id };
        let report = spawn_blocking(move || {
            let report = run(&mut job);
            let whole = state.finish(id, job);
            drop(over);
            whole.then_some(report)
        });
        match report.await {
            Ok(Some(report)) => Ok(report),
            Ok(None) => {
                let line = format!("job {id} was ended before its window was over; arm it anew");
                Err(Refused::new(StatusCode::GONE, line))
            }
            Err(_) => {
                self.forget(id);
                Err(Refused::broken("the job fell over while it ran"))
            }
        }
    }

    /// Ends a job, and returns when it has ended.
    pub(super) async fn delete(&self, id: u64) -> Result<(), Refused> {
        match self.let_go(id)? {
            Going::Now(slot) => discard(slot).await,
            Going::Soon(mut over) => {
                while over.changed().await.is_ok() {}
                Ok(())
            }
        }
    }

    /// Starts a responder in the place of the one that stands.
    pub(super) async fn start_responder(
        self: &Arc<Self>,
        serve: Serve,
    ) -> Result<Serving, Refused> {
        let state = Arc::clone(self);
        let started = spawn_blocking(move || {
            // The old one may hold the very port that is wanted.
            let earlier = {
                let mut inner = state.lock();
                inner.open()?;
                inner.responder.take()
            };
            drop(earlier);
            let responder = Responder::start(&serve)?;
            let port = responder.port();
            let unused = state.lock().keep(responder);
            drop(unused);
            Ok::<_, Refused>(Serving { port })
        });
        match started.await {
            Ok(result) => result,
            Err(_) => Err(Refused::broken("the responder fell over while it started")),
        }
    }

    /// Keeps the time of each reply from now on.
    pub(super) fn keep_turns(&self, log: Log) -> Result<(), Refused> {
        let inner = self.lock();
        let responder = inner.responder.as_ref().ok_or_else(no_responder)?;
        responder.keep_turns(log.most);
        Ok(())
    }

    /// Returns the times that were kept.
    pub(super) fn take_turns(&self) -> Result<Turns, Refused> {
        let inner = self.lock();
        let responder = inner.responder.as_ref().ok_or_else(no_responder)?;
        Ok(responder.take_turns())
    }

    /// Stops the responder, if there is one.
    pub(super) async fn stop_responder(&self) {
        let responder = self.lock().responder.take();
        // A responder that fell over while it stopped has stopped.
        let _ = discard(responder).await;
    }

    /// Reads every counter.
    pub(super) fn counters(&self) -> Counters {
        let answered = self.lock().responder.as_ref().map(Responder::answered);
        Counters {
            answered: answered.unwrap_or_default(),
            ..counters::read(&self.threads())
        }
    }

    /// Returns the OS thread ids of the current job and the responder.
    fn threads(&self) -> Vec<i32> {
        let inner = self.lock();
        let mut threads = match &inner.slot {
            Slot::Free | Slot::Arming(..) => Vec::new(),
            Slot::Armed(_, job) | Slot::Over(_, job) => job.threads(),
            Slot::Running(running) => running.threads.clone(),
        };
        if let Some(responder) = &inner.responder {
            threads.append(&mut responder.thread_ids());
        }
        threads
    }

    /// Ends everything for good; waits for it, but not longer than 100 ms.
    pub(super) async fn end(&self) {
        let rest = {
            let mut inner = self.lock();
            inner.ended = true;
            let slot = match &mut inner.slot {
                Slot::Arming(id, _) | Slot::Running(Running { id, .. }) => {
                    let id = *id;
                    inner.slot.abort(id);
                    Slot::Free
                }
                slot => mem::take(slot),
            };
            (slot, inner.responder.take())
        };
        let _ = timeout(END, discard(rest)).await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the slot for a new job, and gives back what was in it.
    fn reserve(&self, aborter: &Aborter) -> Result<(u64, Slot), Refused> {
        let mut inner = self.lock();
        inner.open()?;
        let busy = match &inner.slot {
            Slot::Free | Slot::Over(..) => None,
            Slot::Arming(id, _) => Some((*id, "is being armed; wait for it")),
            Slot::Armed(id, _) => Some((*id, "stands armed; run or delete it first")),
            Slot::Running(running) => Some((running.id, "is running; wait for it or delete it")),
        };
        if let Some((id, state)) = busy {
            let line = format!("an agent has one job at a time, and job {id} {state}");
            return Err(Refused::new(StatusCode::CONFLICT, line));
        }
        inner.last_id += 1;
        let id = inner.last_id;
        Ok((
            id,
            mem::replace(&mut inner.slot, Slot::Arming(id, aborter.clone())),
        ))
    }

    /// Keeps a job that is armed now, if somebody still waits for it.
    fn settle(
        &self,
        id: u64,
        armed: Result<ArmedJob, ProbeError>,
        reply: oneshot::Sender<Result<(), ProbeError>>,
    ) {
        let job = match armed {
            Ok(job) => job,
            Err(error) => {
                self.forget(id);
                // Nobody to tell: then the slot is free, and that is all.
                let _ = reply.send(Err(error));
                return;
            }
        };
        let mut inner = self.lock();
        if !inner.ended && reply.send(Ok(())).is_ok() {
            inner.slot = Slot::Armed(id, job);
            return;
        }
        drop(inner);
        drop(job);
        self.forget(id);
    }

    /// Marks an armed job as running; the job has ended when what is returned with it is dropped.
    fn start(&self, id: u64) -> Result<(ArmedJob, watch::Sender<()>), Refused> {
        let mut inner = self.lock();
        match mem::take(&mut inner.slot) {
            Slot::Armed(this, job) if this == id => {
                let (ended, over) = watch::channel(());
                inner.slot = Slot::Running(Running {
                    id,
                    threads: job.threads(),
                    aborter: job.aborter(),
                    unwanted: false,
                    over,
                });
                Ok((job, ended))
            }
            other => {
                let refused = other.not_armed(id);
                inner.slot = other;
                Err(refused)
            }
        }
    }

    /// Takes a job that doesn't run out of the slot; aborts one that runs.
    fn let_go(&self, id: u64) -> Result<Going, Refused> {
        let mut inner = self.lock();
        match &inner.slot {
            Slot::Armed(this, _) | Slot::Over(this, _) if *this == id => {
                Ok(Going::Now(mem::take(&mut inner.slot)))
            }
            Slot::Running(running) if running.id == id => {
                let over = running.over.clone();
                inner.slot.abort(id);
                Ok(Going::Soon(over))
            }
            _ => Err(unknown(id)),
        }
    }

    /// Keeps a job whose window is over, and returns true, unless it was ended before.
    fn finish(&self, id: u64, job: ArmedJob) -> bool {
        let mut inner = self.lock();
        let unwanted = match &inner.slot {
            Slot::Running(running) if running.id == id => running.unwanted,
            _ => true,
        };
        if !unwanted {
            inner.slot = Slot::Over(id, job);
            return true;
        }
        drop(inner);
        drop(job);
        self.forget(id);
        false
    }

    /// Frees the slot from a job that is no more.
    fn forget(&self, id: u64) {
        let mut inner = self.lock();
        let this = match &inner.slot {
            Slot::Arming(this, _) => *this == id,
            Slot::Running(running) => running.id == id,
            Slot::Free | Slot::Armed(..) | Slot::Over(..) => false,
        };
        if this {
            inner.slot = Slot::Free;
        }
    }
}

impl Inner {
    /// Refuses whatever is asked of an agent that has ended.
    fn open(&self) -> Result<(), Refused> {
        if self.ended {
            let line = "this agent has ended; start another";
            return Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, line));
        }
        Ok(())
    }

    /// Keeps a responder, and returns the one that must go.
    fn keep(&mut self, responder: Responder) -> Option<Responder> {
        if self.ended {
            Some(responder)
        } else {
            self.responder.replace(responder)
        }
    }
}

impl Slot {
    fn abort(&mut self, id: u64) {
        match self {
            Self::Arming(this, aborter) if *this == id => aborter.abort(),
            Self::Running(running) if running.id == id => {
                running.unwanted = true;
                running.aborter.abort();
            }
            _ => {}
        }
    }

    /// Says why the job of this number can't be run.
    fn not_armed(&self, id: u64) -> Refused {
        let line = match self {
            Self::Running(running) if running.id == id => format!("job {id} is running already"),
            Self::Over(this, _) if *this == id => {
                format!("job {id} has run already; arm another for another window")
            }
            _ => return unknown(id),
        };
        Refused::new(StatusCode::CONFLICT, line)
    }
}

fn no_responder() -> Refused {
    let line = "this agent has no responder; POST one to /v1/responder first";
    Refused::new(StatusCode::CONFLICT, line)
}

fn unknown(id: u64) -> Refused {
    let line = format!("there is no job {id} here; POST it to /v1/jobs first");
    Refused::new(StatusCode::NOT_FOUND, line)
}

/// Drops what joins threads on a thread that may block.
async fn discard<T: Send + 'static>(what: T) -> Result<(), Refused> {
    spawn_blocking(move || drop(what))
        .await
        .map_err(|_| Refused::broken("a thread fell over while it ended"))
}
