//! A sending thread, driven from outside through channels.

mod http;
mod open;
mod sweep;

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use tollgate_results::agent::Job;
use tollgate_results::outcome::Timed;
use tollgate_results::stream::{Direction, TcpOptions};
use tollgate_results::units::Bytes;
use tollgate_results::workload::{Close, SocketKind, Traffic};

use super::Aborter;
use crate::alarm::Alarm;
use crate::bulk::Sampler;
use crate::clock::{Monotonic, WallClock};
use crate::error::ProbeError;
use crate::probe::Probe;
use crate::probe::datagrams::DatagramRr;
use crate::probe::echo::{Echo, Nothing};
use crate::probe::fetch::Fetch;
use crate::probe::fresh::Fresh;
use crate::probe::http::tally::Tally;
use crate::probe::icmp::{Echoes, IcmpDial};
use crate::probe::kept::Kept;
use crate::probe::open::talk::{Datagrams, Talk};
use crate::probe::secure::Setup;
use crate::probe::socket::{TcpDial, UdpDial};
use crate::probe::stamped::{Numbered, StampedDial};
use crate::probe::stream::Stream;
use crate::probe::syn::{SynDial, Syns};
use crate::probe::transport::Dial;
use crate::probe::tuned::TunedDial;
use crate::probe::udp_stream::UdpStreaming;
use crate::probe::wake::{TURN, Wake};
use crate::probe::window::Window;
use crate::recorder::Recorder;
use crate::thread::{self, Started};

/// A thread that sends in each window that it is given, and blocks between them.
#[derive(Debug)]
pub(super) struct Sender {
    aborter: Aborter,
    /// `None` once the thread is to end.
    windows: Option<mpsc::Sender<Asked>>,
    /// One for the warm-up, then one for each window.
    recorders: Receiver<Result<Recorder, String>>,
    /// `None` only while it is dropped.
    thread: Option<Started>,
}

impl Sender {
    /// Starts the thread, which opens its connection and warms up.
    pub(super) fn start(job: &Job, flow: u32, aborter: &Aborter) -> Result<Self, ProbeError> {
        let (windows, asked) = mpsc::channel();
        let (reports, recorders) = mpsc::channel();
        let (job_of_thread, aborter_of_thread) = (job.clone(), aborter.clone());
        let setup = match &job.traffic {
            Traffic::Http(http) => http::setup(job, http)?,
            _ => None,
        };
        let started = thread::spawn(&format!("tg-send-{flow}"), job.cpu, move || {
            let mut life = Life {
                warmup_ns: job_of_thread.warmup.0,
                times: times(&job_of_thread),
                timestamps: job_of_thread.timestamps,
                aborter: aborter_of_thread,
                asked,
                reports,
                alarm: None,
                refusal: None,
            };
            live(&job_of_thread, setup, flow, &mut life);
        })?;
        Ok(Self {
            aborter: aborter.clone(),
            windows: Some(windows),
            recorders,
            thread: Some(started),
        })
    }

    pub(super) fn tid(&self) -> Option<i32> {
        self.thread.as_ref().map(|thread| thread.tid)
    }

    /// Starts a window, which lasts from the moment when the thread wakes up.
    pub(super) fn release(&self, asked: Asked) {
        if let Some(windows) = &self.windows {
            // A thread that is gone shows in `collect`.
            let _ = windows.send(asked);
        }
    }

    /// Waits for the end of the warm-up, or of a window; returns what was recorded.
    ///
    /// # Errors
    ///
    /// After the warm-up, where an end refuses what was asked for: the reason.
    pub(super) fn collect(&self) -> Result<Recorder, String> {
        let recorder = self.recorders.recv();
        recorder.expect("a sending thread lives until its job is dropped")
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.aborter.abort();
        self.windows = None;
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

/// What a window is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// Its length.
    pub(super) duration_ns: u64,
    /// Of how many exchanges the time is kept; `None` of none.
    pub(super) log: Option<u32>,
}

/// The thread's end of the channels.
struct Life {
    warmup_ns: u64,
    times: &'static [Timed],
    timestamps: bool,
    aborter: Aborter,
    asked: Receiver<Asked>,
    reports: mpsc::Sender<Result<Recorder, String>>,
    /// Rings in the windows, where sockets rely on it.
    alarm: Option<Alarm>,
    /// Why nothing can be sent from this thread.
    refusal: Option<String>,
}

impl Life {
    /// Returns what ends the waits of sockets for replies that are lost after `timeout`: an alarm, where it needn't ring
    /// often.
    fn wake(&mut self, timeout: Duration) -> Wake {
        if timeout < TURN {
            return Wake::within(timeout);
        }
        match Alarm::new(TURN) {
            Ok(alarm) => self.alarm = Some(alarm),
            // Waits that end in another way take another time: their figures would be no others' like.
            Err(errno) => {
                self.refusal = Some(format!(
                    "no timer for the sending thread: {errno}; raise the limit on pending signals (ulimit -i)"
                ));
            }
        }
        Wake::Alarm
    }

    /// Does what [`Life::drive`] does, and keeps what came back over HTTP.
    fn drive_http(&mut self, probe: impl Probe, tally: &Tally) {
        self.drive_noting(probe, |recorder| recorder.keep_http(tally.take()));
    }

    fn drive(&mut self, probe: impl Probe) {
        self.drive_noting(probe, |_| ());
    }

    fn drive_noting(&mut self, mut probe: impl Probe, note: impl Fn(&mut Recorder)) {
        let window = |duration_ns| Window::open(&Monotonic, duration_ns, self.aborter.flag());
        let mut recorder = Recorder::new(self.times);
        if self.refusal.is_none() {
            let _ringing = self.alarm.as_mut().map(Alarm::ring);
            probe.open(&window(0));
        }
        if let Some(reason) = self.refusal.take().or_else(|| probe.refusal()) {
            // An arming that was given up has nobody to tell.
            let _ = self.reports.send(Err(reason));
            return;
        }
        let mut duration_ns = self.warmup_ns;
        loop {
            // Silent between windows: other arms are measured then.
            let ringing = self.alarm.as_mut().map(Alarm::ring);
            if self.timestamps {
                recorder.start_split(WallClock::read());
                probe.run(&window(duration_ns), &mut recorder);
                recorder.end_split(WallClock::read());
            } else {
                probe.run(&window(duration_ns), &mut recorder);
            }
            drop(ringing);
            note(&mut recorder);
            let full = std::mem::replace(&mut recorder, Recorder::new(self.times));
            if self.reports.send(Ok(full)).is_err() {
                return;
            }
            let Ok(asked) = self.asked.recv() else {
                return;
            };
            duration_ns = asked.duration_ns;
            if let Some(most) = asked.log {
                recorder.keep_exchanges(most);
            }
        }
    }
}

/// What is timed of a round trip that is split.
const SPLIT: &[Timed] = &[
    Timed::Latency,
    Timed::UserToDriver,
    Timed::InQueue,
    Timed::DriverToDriver,
    Timed::DriverToUser,
];

/// The same where the far end says how long it had each request.
const SPLIT_DATAGRAMS: &[Timed] = &[
    Timed::Latency,
    Timed::UserToDriver,
    Timed::InQueue,
    Timed::DriverToDriver,
    Timed::FarEnd,
    Timed::DriverToUser,
];

/// Returns how many threads send or receive.
pub(super) fn lanes(traffic: &Traffic) -> u32 {
    let flows = match traffic {
        Traffic::TcpStream { flows, .. } => *flows,
        Traffic::Http(http) => http::threads(http),
        _ => 1,
    };
    match traffic.direction() {
        Some(Direction::Both) => 2 * flows,
        _ => flows,
    }
}

/// Returns whether a thread's data goes up. Those that send come first.
fn is_up(traffic: &Traffic, flow: u32) -> bool {
    match traffic.direction() {
        Some(Direction::Both) => flow < lanes(traffic) / 2,
        Some(Direction::Down) => false,
        Some(Direction::Up) | None => true,
    }
}

/// Returns what is timed.
const fn times(job: &Job) -> &'static [Timed] {
    match &job.traffic {
        _ if job.load.open().is_some() => open::TIMES,
        Traffic::TcpStream { .. } | Traffic::UdpStream(_) => &[],
        Traffic::TcpCrr { .. } => &[Timed::Latency, Timed::Connect],
        Traffic::Http(http) => http::times(http),
        Traffic::TcpRr { .. } | Traffic::IcmpEcho { .. } if job.timestamps => SPLIT,
        Traffic::UdpRr { .. } if job.timestamps => SPLIT_DATAGRAMS,
        Traffic::TcpRr { .. }
        | Traffic::UdpRr { .. }
        | Traffic::IcmpEcho { .. }
        | Traffic::TcpSyn { .. } => &[Timed::Latency],
    }
}

/// Sends the job's traffic until the job is dropped.
fn live(job: &Job, setup: Option<Setup>, flow: u32, life: &mut Life) {
    match (job.load.open(), job.ports) {
        (Some(load), _) => open::live(job, load, life),
        (None, Some(ports)) => sweep::live(job, ports, life),
        (None, None) => closed(job, setup, flow, life),
    }
}

/// Sends the traffic of a closed loop, or a stream.
fn closed(job: &Job, setup: Option<Setup>, flow: u32, life: &mut Life) {
    let target = job.target;
    match job.traffic {
        Traffic::TcpRr { payload } => {
            let echo = Echo::new(size(payload), job.seed);
            let dial = kept(target).woken(life.wake(TURN));
            if job.timestamps {
                let dial = StampedDial::new(dial, Numbered::ByByte);
                life.drive(Kept::new(dial, echo, Monotonic));
            } else {
                life.drive(Kept::new(dial, echo, Monotonic));
            }
        }
        Traffic::TcpCrr { payload, close } => {
            let echo = Echo::new(size(payload), job.seed);
            let dial = TcpDial::new(target, close).woken(life.wake(TURN));
            life.drive(Fresh::new(dial, echo, Monotonic));
        }
        Traffic::TcpStream {
            payload,
            ref options,
            ..
        } => {
            let size = size(payload);
            let interval_ns = Sampler::interval_ns(job.duration.0, lanes(&job.traffic));
            let plain = TcpOptions {
                direction: options.direction,
                ..TcpOptions::default()
            };
            if !is_up(&job.traffic, flow) {
                life.drive(Fetch::new(target, options, size, interval_ns));
            } else if *options == plain {
                life.drive(Stream::new(kept(target), Monotonic, size, interval_ns));
            } else {
                let dial = TunedDial::new(target, options, size);
                life.drive(Stream::new(dial, Monotonic, size, interval_ns));
            }
        }
        Traffic::UdpStream(stream) => {
            let up = is_up(&job.traffic, flow);
            let seed = job.seed.wrapping_add(u64::from(flow));
            life.drive(UdpStreaming::new(target, stream, up, seed));
        }
        Traffic::UdpRr { payload, timeout } => {
            let dial = UdpDial::new(target, life.wake(timeout.duration()));
            let mut talk = Datagrams::new(size(payload) as usize, job.seed);
            if job.timestamps {
                talk = talk.asking_far_end();
            }
            datagrams(dial, talk, timeout.0, life);
        }
        Traffic::IcmpEcho {
            payload,
            timeout,
            socket,
        } => {
            let dial = IcmpDial::new(target, socket, life.wake(timeout.duration()));
            let talk = Echoes::new(dial.form(), size(payload) as usize, job.seed);
            datagrams(dial, talk, timeout.0, life);
        }
        Traffic::TcpSyn { timeout, socket } => {
            if socket == SocketKind::Unprivileged {
                // Closed at once by RST, as a half-open connection is.
                let dial = TcpDial::new(target, Close::Rst).woken(life.wake(TURN));
                life.drive(Fresh::new(dial, Nothing, Monotonic));
            } else {
                let dial = SynDial::new(target, life.wake(timeout.duration()));
                let talk = Syns::new(target.is_ipv6(), job.seed);
                life.drive(DatagramRr::new(dial, talk, Monotonic, timeout.0));
            }
        }
        Traffic::Http(ref http) => http::live(job, http, setup, life),
    }
}

/// Sends requests by datagrams, each round trip split where stamps are asked for.
fn datagrams<D>(dial: D, talk: impl Talk<Ear = ()>, timeout_ns: u64, life: &mut Life)
where
    D: Dial<Link: AsFd>,
{
    if life.timestamps {
        let dial = StampedDial::new(dial, Numbered::ByDatagram);
        life.drive(DatagramRr::new(dial, talk, Monotonic, timeout_ns));
    } else {
        life.drive(DatagramRr::new(dial, talk, Monotonic, timeout_ns));
    }
}

/// Dials connections that are closed in order at the end of the job.
const fn kept(target: SocketAddr) -> TcpDial {
    TcpDial::new(target, Close::Fin)
}

/// Converts a size that was checked before.
fn size(bytes: Bytes) -> u32 {
    u32::try_from(bytes.0).expect("`check` allows 1 MiB at most")
}
