//! HTTP/2 in a closed loop: each connection carries a number of requests at a time, on one thread.
//!
//! The protocol is the `h2` crate's, on tokio's runtime of this thread alone. It allocates, and costs more CPU than
//! the loops of HTTP/1.1 do: figures of the two versions are compared as versions, not as paths.

pub(crate) mod link;

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::client::SendRequest;
use http::{Request, Version};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::task::LocalSet;
use tokio::time::timeout;
use tollgate_results::outcome::{Failure, Flow};

use self::link::{Linked, Linker};
use super::response::Response;
use super::tally::Tally;
use super::{Ask, BACKEND};
use crate::clock::{Clock, Moment, Monotonic};
use crate::probe::Probe;
use crate::probe::echo::FirstByte;
use crate::probe::window::{GRACE_NS, REPLY_TIMEOUT_NS, Window};
use crate::recorder::Recorder;

/// How often an abort is looked for.
const TURN: Duration = Duration::from_millis(20);

/// Pause after a failure: a target that refuses sees 100 attempts a second from each connection.
const PAUSE: Duration = Duration::from_millis(10);

/// Requests over HTTP/2.
pub(crate) struct Two {
    /// `None` where the system has no room for one: every request then fails.
    runtime: Option<Runtime>,
    /// Drives the connections; ends before the runtime.
    drivers: LocalSet,
    ask: Ask,
    request: Request<()>,
    linker: Linker,
    tally: Rc<Tally>,
    /// Whether connections are kept, and how many requests each carries at a time.
    streams: Option<u32>,
    lanes: Vec<Lane>,
}

/// One connection, if it stands.
struct Lane {
    /// Its place among the others.
    index: usize,
    standing: Mutex<Standing>,
}

impl Lane {
    fn new(index: usize) -> Self {
        Self {
            index,
            standing: Mutex::default(),
        }
    }
}

#[derive(Default)]
struct Standing {
    sender: Option<SendRequest<Bytes>>,
    /// Counts connections, so that a broken one is given up once.
    number: u64,
}

/// What the workers of a window share.
struct Run<'a> {
    window: &'a Window<'a>,
    recorder: RefCell<&'a mut Recorder>,
    flow: RefCell<Option<Flow>>,
}

/// How long the parts of an exchange took.
struct Parts {
    asked: Moment,
    first: Moment,
    done: Moment,
    connect_ns: u64,
    tls_ns: Option<u64>,
}

impl Two {
    /// Prepares so many connections at a time; `streams` requests at a time on each that is kept, `None` for a new
    /// one for each request.
    pub(crate) fn new(
        linker: Linker,
        ask: Ask,
        parallel: u32,
        streams: Option<u32>,
        tally: Rc<Tally>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        if streams.is_some() {
            tally.tell_apart(parallel as usize);
        }
        Self {
            runtime: runtime.ok(),
            drivers: LocalSet::new(),
            request: request(&ask, linker.is_secure()),
            ask,
            linker,
            tally,
            streams,
            lanes: (0..parallel as usize).map(Lane::new).collect(),
        }
    }

    /// Sends requests one after the other until the window closes.
    async fn work(&self, run: &Run<'_>, lane: &Lane) {
        loop {
            let now = Monotonic.now();
            if !run.window.is_open(now) {
                return;
            }
            let deadline = now
                .plus(REPLY_TIMEOUT_NS)
                .min(run.window.end.plus(GRACE_NS));
            let wait = Duration::from_nanos(deadline.since(now));
            let result = if let Ok(result) = timeout(wait, self.exchange(run, lane, now)).await {
                result
            } else {
                self.give_up(lane, None).await;
                Err(Failure::TimedOut)
            };
            if let Err(failure) = result {
                run.recorder.borrow_mut().failed(failure);
                if failure != Failure::Status {
                    let left = Duration::from_nanos(run.window.end.since(Monotonic.now()));
                    tokio::time::sleep(PAUSE.min(left)).await;
                }
            }
        }
    }

    /// Makes one exchange, and records it when it is a reply.
    async fn exchange(&self, run: &Run<'_>, lane: &Lane, now: Moment) -> Result<(), Failure> {
        let (sender, number, linked) = if self.streams.is_some() {
            self.kept(run, lane).await?
        } else {
            let linked = self.linker.link(true, &self.tally).await?;
            *run.flow.borrow_mut() = linked.flow;
            (linked.sender.clone(), 0, Some(linked))
        };
        let asked = if linked.is_some() {
            Monotonic.now()
        } else {
            now
        };
        let received = self.receive(sender).await;
        let (response, first) = match received {
            Ok(received) => received,
            Err(error) => {
                let failure = self.sort(&error);
                let of_stream = error.is_reset() && !error.is_io() && !error.is_go_away();
                if !of_stream {
                    self.give_up(lane, Some(number)).await;
                }
                return Err(failure);
            }
        };
        let done = Monotonic.now();
        self.tally.responded(response.status);
        self.ask.judge(&response)?;
        if self.streams.is_some() {
            self.tally.replied_on(lane.index, &response);
        } else {
            self.tally.replied(&response);
        }
        let fresh = linked.as_ref().filter(|_| self.streams.is_none());
        let parts = Parts {
            // A kept connection that had to be opened again isn't part of the request.
            asked,
            first,
            done,
            connect_ns: fresh.map_or(0, |linked| linked.connect_ns),
            tls_ns: fresh.and_then(|linked| linked.tls_ns),
        };
        let started = if fresh.is_some() { now } else { asked };
        run.record(started, &parts, fresh.is_some(), response.body);
        Ok(())
    }

    /// Returns the connection of a lane; opens it if it doesn't stand, and then returns what that took, too.
    async fn kept(
        &self,
        run: &Run<'_>,
        lane: &Lane,
    ) -> Result<(SendRequest<Bytes>, u64, Option<Linked>), Failure> {
        let mut standing = lane.standing.lock().await;
        if let Some(sender) = &standing.sender {
            return Ok((sender.clone(), standing.number, None));
        }
        let linked = self.linker.link(false, &self.tally).await?;
        *run.flow.borrow_mut() = linked.flow;
        standing.number += 1;
        standing.sender = Some(linked.sender.clone());
        Ok((linked.sender.clone(), standing.number, Some(linked)))
    }

    /// Forgets a connection that broke, unless another one took its place.
    async fn give_up(&self, lane: &Lane, number: Option<u64>) {
        let mut standing = lane.standing.lock().await;
        if number.is_none_or(|number| number == standing.number) {
            standing.sender = None;
        }
    }

    /// Sends a request and receives its whole response; returns it with the time of its first byte.
    async fn receive(&self, sender: SendRequest<Bytes>) -> Result<(Response, Moment), h2::Error> {
        let mut sender = sender.ready().await?;
        let (response, _) = sender.send_request(self.request.clone(), true)?;
        let (head, mut body) = response.await?.into_parts();
        let first = Monotonic.now();
        let mut len = 0;
        while let Some(data) = body.data().await {
            let data = data?;
            len += data.len() as u64;
            body.flow_control().release_capacity(data.len())?;
        }
        let backend = head.headers.get(BACKEND);
        let response = Response {
            status: head.status.as_u16(),
            body: len,
            stays: true,
            backend: backend.map(|name| self.tally.backend(name.as_bytes())),
        };
        Ok((response, first))
    }

    /// Sorts an error of HTTP/2.
    fn sort(&self, error: &h2::Error) -> Failure {
        if let Some(error) = error.get_io() {
            return self.linker.cause(error, &self.tally);
        }
        if error.is_go_away() || error.is_reset() {
            return self.linker.version(&self.tally).unwrap_or(
                if error.reason() == Some(h2::Reason::PROTOCOL_ERROR) && !error.is_remote() {
                    Failure::Malformed
                } else {
                    Failure::Reset
                },
            );
        }
        self.linker
            .version(&self.tally)
            .unwrap_or(Failure::Malformed)
    }

    fn drive(&self, future: impl Future<Output = ()>) {
        if let Some(runtime) = &self.runtime {
            runtime.block_on(self.drivers.run_until(future));
        }
    }
}

impl Run<'_> {
    fn record(&self, started: Moment, parts: &Parts, fresh: bool, body: u64) {
        let mut recorder = self.recorder.borrow_mut();
        recorder.replied(parts.done.since(started));
        if fresh {
            recorder.connected(parts.connect_ns);
            if let Some(tls_ns) = parts.tls_ns {
                recorder.secured(tls_ns);
            }
        }
        recorder.phases(parts.asked, FirstByte::At(parts.first), parts.done);
        recorder.counts_mut().bytes_received += body;
    }
}

/// Writes the request.
fn request(ask: &Ask, secure: bool) -> Request<()> {
    let scheme = if secure { "https" } else { "http" };
    let Ask {
        authority, path, ..
    } = ask;
    let agent = concat!("tollgate-probe/", env!("CARGO_PKG_VERSION"));
    let request = Request::get(format!("{scheme}://{authority}{path}"))
        .version(Version::HTTP_2)
        .header("user-agent", agent)
        .header("accept", "*/*")
        .body(());
    // What can't stand in a URI was refused before; then `/` is as good.
    request.unwrap_or_default()
}

impl Probe for Two {
    fn open(&mut self, window: &Window<'_>) {
        if self.streams.is_none() {
            return;
        }
        let patience = Duration::from_nanos(REPLY_TIMEOUT_NS);
        let this = &*self;
        this.drive(async {
            let all = async {
                for lane in &this.lanes {
                    // The first failure ends the patience with the others: they open in the window.
                    let Ok(linked) = this.linker.link(false, &this.tally).await else {
                        return;
                    };
                    lane.standing.lock().await.sender = Some(linked.sender);
                }
            };
            tokio::select! {
                () = all => {}
                () = tokio::time::sleep(patience) => {}
                () = aborted(window) => {}
            }
        });
    }

    fn run(&mut self, window: &Window<'_>, recorder: &mut Recorder) {
        recorder.counts_mut().started = Some(window.start);
        let run = Run {
            window,
            recorder: RefCell::new(recorder),
            flow: RefCell::new(None),
        };
        let this = &*self;
        let per_lane = this.streams.unwrap_or(1) as usize;
        this.drive(async {
            let lanes = this.lanes.iter();
            let workers = lanes.flat_map(|lane| std::iter::repeat_n(lane, per_lane));
            tokio::select! {
                _ = join_all(workers.map(|lane| this.work(&run, lane))) => {}
                // What an abort cuts off doesn't count.
                () = aborted(window) => {}
            }
        });
        let Run { recorder, flow, .. } = run;
        let recorder = recorder.into_inner();
        let counts = recorder.counts_mut();
        counts.finished = Some(Monotonic.now());
        counts.flow = flow.into_inner().or_else(|| self.linker.flow());
    }
}

/// Returns when the job is aborted.
async fn aborted(window: &Window<'_>) {
    while !window.is_aborted() {
        tokio::time::sleep(TURN).await;
    }
}
