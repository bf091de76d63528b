//! Datagrams without replies, in one direction.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tollgate_results::outcome::{Failure, Flow, Histograms, Protocol, Timed};
use tollgate_results::stream::{Direction, OneWay, UdpStream};
use tollgate_results::workload::Close;

use super::Probe;
use super::arranged::{Line, NoStream};
use super::socket::{TcpDial, incoming_cpu};
use super::transport::cause;
use super::window::{DRAIN_ABORTED_NS, DRAIN_NS, Fault, Patience, Window};
use crate::clock::{Clock as _, Monotonic, thread_cpu_ns};
use crate::datagrams::control::{Answer, Ask, ClockName, DatagramReport};
use crate::datagrams::receiver::{Look, Receiver, window_token};
use crate::datagrams::sender::{Sender, Span};
use crate::datagrams::{prepare_receiving, prepare_sending};
use crate::recorder::Recorder;
use crate::wire::{Header, Kind, STREAM_HEADER_LEN};

/// Least wait for the answer to a hello: round trips within a machine are shorter by far.
const HELLO_NS: u64 = 20_000_000;

/// One direction of a stream of datagrams.
pub(crate) struct UdpStreaming {
    target: SocketAddr,
    stream: UdpStream,
    seed: u64,
    session: Option<Session>,
    refusal: Option<String>,
}

/// What was agreed on with the far end.
struct Session {
    line: Line,
    socket: UdpSocket,
    token: u64,
    one_clock: bool,
    /// Of the far end, where it receives.
    receive_room: u64,
    windows: u32,
    part: Part,
}

/// What this end does.
enum Part {
    Send(Box<Sender>),
    Receive(Box<Receiver>),
}

/// What a window gave.
struct Told {
    counts: OneWay,
    histograms: Histograms,
    near_ns: u64,
    far_ns: u64,
}

impl UdpStreaming {
    /// Prepares a stream in one direction.
    pub(crate) fn new(target: SocketAddr, stream: UdpStream, up: bool, seed: u64) -> Self {
        let direction = if up { Direction::Up } else { Direction::Down };
        Self {
            target,
            stream: UdpStream {
                direction,
                ..stream
            },
            seed,
            session: None,
            refusal: None,
        }
    }

    /// Comes to terms with the far end.
    fn arrange(&self, patience: &Patience<'_, Monotonic>) -> Result<Session, NoStream> {
        let stream = &self.stream;
        let first = Ask::Datagrams {
            stream: *stream,
            clock: ClockName::own(),
        };
        let size = u32::try_from(stream.payload.0).unwrap_or(u32::MAX);
        let mut dial = TcpDial::new(self.target, Close::Fin);
        let (mut line, answer) = Line::open(&mut dial, size, &first, patience)?;
        let malformed = NoStream::Fault(Fault::Failed(Failure::Malformed));
        let Answer::Open {
            token,
            clock,
            now_ns,
        } = answer
        else {
            return Err(malformed);
        };
        let (before, after) = line.asked;
        let one_clock = ClockName::own().is_shared(&clock, before, now_ns, after);
        let (socket, number) = self.greet(token, line.connect_ns, patience)?;
        let own = if stream.direction.is_up() {
            prepare_sending(&socket, stream).map(|()| 0)
        } else {
            prepare_receiving(&socket, stream)
        };
        let own_room = own.map_err(|reason| NoStream::Refused(format!("this end: {reason}")))?;
        line.say(&Ask::Bind { number, one_clock }, patience)?;
        let Answer::Bound { receive_room } = line.hear_agreement(patience)? else {
            return Err(malformed);
        };
        let part = if stream.direction.is_up() {
            Part::Send(Box::new(Sender::new(stream, self.seed)))
        } else {
            Part::Receive(Box::new(Receiver::new(stream, one_clock)))
        };
        Ok(Session {
            line,
            socket,
            token,
            one_clock,
            receive_room: receive_room.max(own_room),
            windows: 0,
            part,
        })
    }

    /// Finds a socket whose datagrams reach the far end that was agreed with, and proves that it receives. Each try
    /// has a port of its own: behind a service it may come to another far end.
    fn greet(
        &self,
        token: u64,
        connect_ns: u64,
        patience: &Patience<'_, Monotonic>,
    ) -> Result<(UdpSocket, u64), Fault> {
        let failed = |error: std::io::Error| Fault::Failed(cause(&error));
        let wait = Duration::from_nanos((4 * connect_ns).max(HELLO_NS));
        loop {
            let socket = Socket::new(Domain::for_address(self.target), Type::DGRAM, None);
            let socket = socket.map_err(failed)?;
            socket.connect(&self.target.into()).map_err(failed)?;
            let socket = UdpSocket::from(socket);
            socket.set_read_timeout(Some(wait)).map_err(failed)?;
            let mut datagram = [0; STREAM_HEADER_LEN];
            let hello = Header {
                kind: Kind::Hello,
                token,
                sequence: 0,
            };
            hello.write_to(&mut datagram);
            // What is lost or refused is tried again.
            let _ = socket.send(&datagram);
            let mut reply = [0; STREAM_HEADER_LEN + 1];
            if let Ok(len) = socket.recv(&mut reply)
                && let Ok(header) = Header::read_from(&reply[..len])
                && (header.kind, header.token) == (Kind::HelloReply, token)
            {
                return Ok((socket, header.sequence));
            }
            patience.check()?;
        }
    }
}

impl Session {
    fn run(&mut self, window: &Window<'_>) -> Result<Told, Fault> {
        let patience = Patience {
            clock: &Monotonic,
            aborted: window.aborted,
            deadline: window.end.plus(DRAIN_NS),
        };
        let number = self.windows;
        self.windows = number.wrapping_add(1);
        let duration_ns = window.end.since(Monotonic.now());
        let Self {
            line,
            socket,
            token,
            part,
            ..
        } = self;
        let cpu_ns = thread_cpu_ns();
        let (report, own) = match part {
            Part::Send(sender) => {
                line.start((number, duration_ns), &patience)?;
                let span = Span {
                    start: Monotonic.now(),
                    end: window.end,
                    token: window_token(*token, number),
                };
                let own = sender.run(socket, &Monotonic, span, |_| window.is_aborted());
                let report = conclude(line, window, own.sent)?;
                let mut histograms = report.histograms;
                histograms.retain(|timed, _| is_of(*timed, true));
                if !sender.lateness().is_empty() {
                    histograms.insert(Timed::Lateness, sender.lateness().clone());
                }
                let counts = joined(&own, &report.counts)?;
                (report.cpu_ns, (counts, histograms))
            }
            Part::Receive(receiver) => {
                receiver.start(*token, number);
                let start = Ask::Start {
                    window: number,
                    duration_ns,
                };
                line.say(&start, &patience)?;
                let report = follow(line, receiver, socket, window)?;
                let (own, variation) = receiver.finish(report.counts.sent);
                let mut histograms = report.histograms;
                histograms.retain(|timed, _| *timed == Timed::Lateness);
                if let Some(variation) = variation {
                    histograms.extend(variation.histograms(false));
                }
                let counts = joined(&report.counts, &own)?;
                (report.cpu_ns, (counts, histograms))
            }
        };
        let (mut counts, histograms) = own;
        counts.one_clock = self.one_clock;
        counts.receive_room = self.receive_room;
        Ok(Told {
            counts,
            histograms,
            near_ns: thread_cpu_ns().saturating_sub(cpu_ns),
            far_ns: report,
        })
    }
}

/// Says how many were sent, and waits for what became of them.
fn conclude(line: &mut Line, window: &Window<'_>, sent: u64) -> Result<DatagramReport, Fault> {
    // An abort ends the datagrams; their counts are still worth a short wait, which it doesn't end.
    let never = AtomicBool::new(false);
    let (aborted, wait) = if window.is_aborted() {
        (&never, DRAIN_ABORTED_NS)
    } else {
        (window.aborted, DRAIN_NS)
    };
    let patience = Patience {
        clock: &Monotonic,
        aborted,
        deadline: Monotonic.now().plus(wait),
    };
    line.say(&Ask::Stop { sent }, &patience)?;
    match line.hear(&patience)? {
        Answer::Datagrams(report) => Ok(*report),
        _ => Err(Fault::Failed(Failure::Malformed)),
    }
}

/// Receives until the far end says how many it sent, and those have come.
fn follow(
    line: &mut Line,
    receiver: &mut Receiver,
    socket: &UdpSocket,
    window: &Window<'_>,
) -> Result<DatagramReport, Fault> {
    let never = AtomicBool::new(false);
    let mut deadline = window.end.plus(DRAIN_NS);
    let mut stopped = false;
    let mut found: Result<Option<DatagramReport>, Fault> = Ok(None);
    receiver.run(socket, &Monotonic, |now| {
        let patience = Patience {
            clock: &Monotonic,
            aborted: &never,
            deadline,
        };
        if window.is_aborted() && !stopped {
            stopped = true;
            deadline = now.plus(DRAIN_ABORTED_NS);
            // Should it fail, the far end ends by itself.
            let _ = line.say(&Ask::Stop { sent: 0 }, &patience);
        }
        let said = match line.hears() {
            Ok(true) => line.hear(&patience),
            Ok(false) if now < deadline => return Look::GoOn,
            Ok(false) => Err(Fault::Failed(Failure::TimedOut)),
            Err(fault) => Err(fault),
        };
        match said {
            Ok(Answer::Started) => Look::GoOn,
            Ok(Answer::Datagrams(report)) => {
                let sent = report.counts.sent;
                found = Ok(Some(*report));
                Look::Sent(sent)
            }
            Ok(_) => {
                found = Err(Fault::Failed(Failure::Malformed));
                Look::End
            }
            Err(fault) => {
                // What is known already stays known.
                if let Ok(None) = found {
                    found = Err(fault);
                }
                Look::End
            }
        }
    });
    found?.ok_or(Fault::Failed(Failure::TimedOut))
}

/// Joins the halves that the two ends know. What the far end says is checked.
fn joined(sender: &OneWay, receiver: &OneWay) -> Result<OneWay, Fault> {
    let sent = sender.sent;
    if receiver.received > sent {
        return Err(Fault::Failed(Failure::Malformed));
    }
    Ok(OneWay {
        sent,
        lost: sent - receiver.received,
        unsent: sender.unsent,
        send_calls: sender.send_calls,
        send_buffers: sender.send_buffers,
        sending_ns: sender.sending_ns,
        ..*receiver
    })
}

/// Returns whether a far end that receives may say this.
const fn is_of(timed: Timed, up: bool) -> bool {
    match timed {
        Timed::OneWayUp | Timed::PdvUp | Timed::IpdvUp => up,
        Timed::OneWayDown | Timed::PdvDown | Timed::IpdvDown => !up,
        _ => false,
    }
}

impl Probe for UdpStreaming {
    fn open(&mut self, window: &Window<'_>) {
        let patience = window.patience(&Monotonic, Monotonic.now());
        match self.arrange(&patience) {
            Ok(session) => self.session = Some(session),
            Err(NoStream::Refused(reason)) => self.refusal = Some(reason),
            Err(NoStream::Fault(_)) => {}
        }
    }

    fn refusal(&mut self) -> Option<String> {
        self.refusal.take()
    }

    fn run(&mut self, window: &Window<'_>, recorder: &mut Recorder) {
        recorder.counts_mut().started = Some(window.start);
        while self.session.is_none() {
            let patience = window.patience(&Monotonic, Monotonic.now());
            match self.arrange(&patience) {
                Ok(session) => self.session = Some(session),
                Err(no) => {
                    if let NoStream::Fault(Fault::Failed(failure)) = no {
                        recorder.failed(failure);
                    }
                    window.pause(&Monotonic);
                }
            }
            if !window.is_open(Monotonic.now()) {
                break;
            }
        }
        let Some(session) = &mut self.session else {
            recorder.counts_mut().finished = Some(Monotonic.now());
            return;
        };
        recorder.counts_mut().flow = session.socket.local_addr().ok().map(|local| Flow {
            protocol: Protocol::Udp,
            local,
            remote: self.target,
            incoming_cpu: incoming_cpu(session.socket.as_fd()),
        });
        match session.run(window) {
            Ok(result) => record(recorder, window, &self.stream, result),
            Err(fault) => {
                if let Fault::Failed(failure) = fault {
                    recorder.failed(failure);
                }
                recorder.counts_mut().finished = Some(Monotonic.now());
                self.session = None;
            }
        }
    }
}

fn record(recorder: &mut Recorder, window: &Window<'_>, stream: &UdpStream, result: Told) {
    let Told {
        counts,
        histograms,
        near_ns,
        far_ns,
    } = result;
    let all = recorder.counts_mut();
    // The window is as long as datagrams went or came, not as the wait for stragglers.
    let length_ns = counts.sending_ns.max(counts.receiving_ns);
    all.finished = Some(window.start.plus(length_ns));
    all.confirmed += counts.received;
    all.unconfirmed += counts.lost;
    all.duplicated += counts.duplicated;
    all.reordered += counts.reordered;
    all.late += counts.late;
    all.stray += counts.stray;
    all.bytes_sent += counts.sent.saturating_mul(stream.payload.0);
    all.bytes_received += counts.received.saturating_mul(stream.payload.0);
    let own = recorder.streamed_mut();
    if stream.direction.is_up() {
        own.datagrams.get_or_insert_default().up = Some(counts);
    } else {
        own.datagrams.get_or_insert_default().down = Some(counts);
    }
    own.histograms = histograms;
    let bytes = counts.received.saturating_mul(stream.payload.0);
    own.spend((stream.direction.is_up(), bytes), (near_ns, far_ns));
}
