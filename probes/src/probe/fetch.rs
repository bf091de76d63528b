//! Blocks from the far end, as fast as the path brings them.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;

use tollgate_results::outcome::Failure;
use tollgate_results::stream::{Direction, Receiving, TcpOptions};
use tollgate_results::workload::Close;

use super::Probe;
use super::arranged::{Line, NoStream};
use super::socket::TcpDial;
use super::transport::pass;
use super::window::{DRAIN_ABORTED_NS, DRAIN_NS, Fault, Patience, Window};
use crate::bulk::{BUFFER, Intake};
use crate::clock::{Clock as _, Monotonic, thread_cpu_ns};
use crate::datagrams::control::{Answer, Ask, BulkReport};
use crate::recorder::Recorder;

/// One flow of a stream that comes down.
#[derive(Debug)]
pub(crate) struct Fetch {
    dial: TcpDial,
    options: TcpOptions,
    size: u32,
    interval_ns: u64,
    buffer: Vec<u8>,
    line: Option<Line>,
    intake: Intake,
    windows: u32,
    refusal: Option<String>,
}

impl Fetch {
    /// Prepares to receive blocks of `size` bytes; the far end says for every `interval_ns` what TCP knows.
    pub(crate) fn new(
        target: SocketAddr,
        options: &TcpOptions,
        size: u32,
        interval_ns: u64,
    ) -> Self {
        Self {
            dial: TcpDial::new(target, Close::Fin),
            options: TcpOptions {
                direction: Direction::Down,
                ..options.clone()
            },
            size,
            interval_ns,
            buffer: vec![0; BUFFER],
            line: None,
            intake: intake(size, options),
            windows: 0,
            refusal: None,
        }
    }

    fn arrange(&mut self, patience: &Patience<'_, Monotonic>) -> Result<(), NoStream> {
        let first = Ask::Bulk {
            options: self.options.clone(),
            interval_ns: self.interval_ns,
        };
        let (line, answer) = Line::open(&mut self.dial, self.size, &first, patience)?;
        let Answer::Open { .. } = answer else {
            return Err(NoStream::Fault(Fault::Failed(Failure::Malformed)));
        };
        self.line = Some(line);
        self.intake = intake(self.size, &self.options);
        Ok(())
    }

    /// Receives one window; returns its bytes and what the far end says of it.
    fn receive(
        &mut self,
        window: &Window<'_>,
        recorder: &mut Recorder,
    ) -> Result<(u64, BulkReport), Fault> {
        let line = self.line.as_mut().ok_or(Fault::Aborted)?;
        // An abort ends the blocks; their count is still worth a short wait, which it doesn't end.
        let never = AtomicBool::new(false);
        let mut patience = Patience {
            clock: &Monotonic,
            aborted: &never,
            deadline: window.end.plus(DRAIN_NS),
        };
        let duration_ns = window.end.since(Monotonic.now());
        line.start((self.windows, duration_ns), &patience)?;
        self.windows = self.windows.wrapping_add(1);
        recorder.counts_mut().started = Some(Monotonic.now());
        let before = self.intake.total();
        let mut stopped = false;
        loop {
            match self.intake.take_from(&line.link, &mut self.buffer) {
                Ok(Some(_)) => break,
                Ok(None) => {}
                Err(error) => pass(&mut line.link, &error)?,
            }
            if window.is_aborted() && !stopped {
                stopped = true;
                patience.deadline = Monotonic.now().plus(DRAIN_ABORTED_NS);
                line.say(&Ask::Stop { sent: 0 }, &patience)?;
            }
            patience.check()?;
        }
        recorder.counts_mut().finished = Some(Monotonic.now());
        line.say(&Ask::Tell, &patience)?;
        match line.hear(&patience)? {
            Answer::Bulk(report) => Ok((self.intake.total() - before, report)),
            _ => Err(Fault::Failed(Failure::Malformed)),
        }
    }
}

impl Probe for Fetch {
    fn open(&mut self, window: &Window<'_>) {
        let patience = window.patience(&Monotonic, Monotonic.now());
        if let Err(NoStream::Refused(reason)) = self.arrange(&patience) {
            self.refusal = Some(reason);
        }
    }

    fn refusal(&mut self) -> Option<String> {
        self.refusal.take()
    }

    fn run(&mut self, window: &Window<'_>, recorder: &mut Recorder) {
        recorder.counts_mut().started = Some(window.start);
        while self.line.is_none() {
            let patience = window.patience(&Monotonic, Monotonic.now());
            if let Err(no) = self.arrange(&patience) {
                if let NoStream::Fault(Fault::Failed(failure)) = no {
                    recorder.failed(failure);
                }
                window.pause(&Monotonic);
            }
            if !window.is_open(Monotonic.now()) {
                break;
            }
        }
        if let Some(line) = &self.line {
            recorder.counts_mut().flow = line.flow(&self.dial);
            let cpu_ns = thread_cpu_ns();
            let before = self.intake.total();
            match self.receive(window, recorder) {
                Ok((bytes, report)) => {
                    let near_ns = thread_cpu_ns().saturating_sub(cpu_ns);
                    record(recorder, bytes, self.size, (near_ns, report));
                }
                Err(fault) => {
                    if let Fault::Failed(failure) = fault {
                        recorder.failed(failure);
                    }
                    // What came, came, however long the rest would take.
                    if fault == Fault::Failed(Failure::TimedOut) {
                        arrived(recorder, self.intake.total() - before, self.size);
                    }
                    self.line = None;
                }
            }
        }
        let finished = recorder.counts().finished.unwrap_or(Monotonic.now());
        recorder.counts_mut().finished = Some(finished);
    }
}

fn intake(size: u32, options: &TcpOptions) -> Intake {
    Intake::new(u64::from(size), options.receive == Receiving::Truncate)
}

fn record(recorder: &mut Recorder, bytes: u64, size: u32, (near_ns, report): (u64, BulkReport)) {
    arrived(recorder, bytes, size);
    let own = recorder.streamed_mut();
    own.samples = report.samples;
    own.spend((false, bytes), (near_ns, report.cpu_ns));
}

/// What arrived was sent: TCP loses nothing.
fn arrived(recorder: &mut Recorder, bytes: u64, size: u32) {
    let counts = recorder.counts_mut();
    counts.confirmed += bytes / u64::from(size);
    counts.bytes_sent += bytes;
    counts.bytes_received += bytes;
}
