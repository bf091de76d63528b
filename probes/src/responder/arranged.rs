//! Serves streams that client and responder agree on first.

use super::peer::{Buffers, Gone, Peer};
use super::sessions::Session;
use crate::bulk::{Bulk, Sampler};
use crate::clock::{Clock as _, Moment, Monotonic, thread_cpu_ns};
use crate::datagrams::control::{
    Answer, Ask, BulkReport, DatagramReport, MOST_ASK, encode, hears, read,
};
use crate::datagrams::receiver::{Look, Receiver, window_token};
use crate::datagrams::sender::{Sender, Span};
use crate::datagrams::{TURN_NS, prepare_receiving, prepare_sending};
use crate::job;
use crate::wire::CONFIRM;
use std::net::UdpSocket;
use tollgate_results::outcome::{Histograms, Timed};
use tollgate_results::stream::{Direction, OneWay, Receiving, TcpOptions, UdpStream};

/// Longest window that is sent, in nanoseconds: as long as a job's.
const MOST_NS: u64 = 24 * 3_600 * 1_000_000_000;

/// What a responder says that sends streams to nobody.
const NO_STREAMS: &str = "it sends no streams to whoever asks; start it with `tollgate-probe serve --send-streams`, or \
                          on loopback";

/// Serves what the client asks for; `have` bytes of it are in the inbox.
pub(super) fn serve(
    peer: &Peer<'_>,
    buffers: &mut Buffers,
    have: usize,
    size: usize,
) -> Result<(), Gone> {
    let mut early = &buffers.inbox[..have];
    let first: Ask = read(MOST_ASK, |room: &mut [u8]| {
        let taken = early.len().min(room.len());
        room[..taken].copy_from_slice(&early[..taken]);
        early = &early[taken..];
        peer.fill(room, taken)
    })?;
    if !early.is_empty() {
        return Err(Gone);
    }
    match first {
        Ask::Datagrams { stream, clock: _ } => datagrams(peer, &stream, size),
        Ask::Bulk {
            options,
            interval_ns,
        } => match options.direction {
            Direction::Up => bulk_up(peer, buffers, size, &options),
            Direction::Down => bulk_down(peer, size, &options, interval_ns),
            Direction::Both => Err(Gone),
        },
        _ => Err(Gone),
    }
}

fn ask(peer: &Peer<'_>) -> Result<Ask, Gone> {
    read(MOST_ASK, |room: &mut [u8]| peer.fill(room, 0))
}

fn say(peer: &Peer<'_>, answer: &Answer) -> Result<(), Gone> {
    peer.write(&encode(answer))?;
    peer.advance();
    Ok(())
}

/// Says why not, and ends.
fn refuse(peer: &Peer<'_>, reason: impl Into<String>) -> Result<(), Gone> {
    say(peer, &Answer::refused(reason))
}

/// Returns the window that the client starts next.
fn await_start(peer: &Peer<'_>) -> Result<(u32, u64), Gone> {
    loop {
        match ask(peer)? {
            Ask::Start {
                window,
                duration_ns,
            } => return Ok((window, duration_ns.min(MOST_NS))),
            // It crossed the end of a window.
            Ask::Stop { .. } => {}
            _ => return Err(Gone),
        }
    }
}

/// Looks every now and then whether the client says something.
struct Watcher<'a> {
    peer: &'a Peer<'a>,
    next: Moment,
    /// How the window ended before its time.
    ended: Option<Result<(), Gone>>,
}

impl<'a> Watcher<'a> {
    fn new(peer: &'a Peer<'a>) -> Self {
        Self {
            peer,
            next: Monotonic.now().plus(TURN_NS),
            ended: None,
        }
    }

    /// Returns what the client says, if it is time to look and it says something.
    #[inline]
    fn look(&mut self, now: Moment) -> Option<Ask> {
        if now < self.next {
            return None;
        }
        self.next = now.plus(TURN_NS);
        self.peer.advance();
        match hears(self.peer.stream()) {
            Ok(false) => None,
            Ok(true) => match ask(self.peer) {
                Ok(said) => Some(said),
                Err(gone) => self.end(Err(gone)),
            },
            Err(_) => self.end(Err(Gone)),
        }
    }

    fn end(&mut self, how: Result<(), Gone>) -> Option<Ask> {
        self.ended = Some(how);
        None
    }

    /// Returns whether a sender is to end early.
    #[inline]
    fn is_over(&mut self, now: Moment) -> bool {
        if let Some(said) = self.look(now) {
            let good = matches!(said, Ask::Stop { .. });
            self.end(if good { Ok(()) } else { Err(Gone) });
        }
        self.ended.is_some()
    }
}

fn datagrams(peer: &Peer<'_>, stream: &UdpStream, size: usize) -> Result<(), Gone> {
    let mut faults = Vec::new();
    job::stream_faults(&mut faults, stream);
    let up = match stream.direction {
        Direction::Up => true,
        Direction::Down => false,
        Direction::Both => return Err(Gone),
    };
    if !faults.is_empty() || usize::try_from(stream.payload.0) != Ok(size) {
        return Err(Gone);
    }
    if !up && !peer.sends_streams() {
        return refuse(peer, NO_STREAMS);
    }
    let session = match peer.sessions().open() {
        Ok(session) => session,
        Err(error) => return refuse(peer, format!("it has no random numbers: {error}")),
    };
    say(peer, &Answer::open(session.token))?;
    let Ask::Bind { number, one_clock } = ask(peer)? else {
        return Err(Gone);
    };
    let prepared = peer.local_ip().and_then(|local| {
        let socket = session.bind(local, number)?;
        let room = if up {
            prepare_receiving(&socket, stream)?
        } else {
            prepare_sending(&socket, stream)?;
            0
        };
        Ok((socket, room))
    });
    match prepared {
        Ok((socket, receive_room)) => {
            say(peer, &Answer::Bound { receive_room })?;
            if up {
                receive(peer, &session, &socket, stream, one_clock)
            } else {
                send(peer, &session, &socket, stream)
            }
        }
        Err(reason) => refuse(peer, reason),
    }
}

fn receive(
    peer: &Peer<'_>,
    session: &Session,
    socket: &UdpSocket,
    stream: &UdpStream,
    one_clock: bool,
) -> Result<(), Gone> {
    let mut receiver = Receiver::new(stream, one_clock);
    loop {
        let (window, _) = await_start(peer)?;
        receiver.start(session.token, window);
        let cpu_ns = thread_cpu_ns();
        say(peer, &Answer::Started)?;
        let mut watcher = Watcher::new(peer);
        let mut sent = None;
        receiver.run(socket, &Monotonic, |now| {
            match watcher.look(now) {
                Some(Ask::Stop { sent: number }) => sent = Some(number),
                Some(_) => return Look::End,
                None => {}
            }
            match (&watcher.ended, sent) {
                (Some(_), _) => Look::End,
                (None, Some(sent)) => Look::Sent(sent),
                (None, None) => Look::GoOn,
            }
        });
        let (counts, variation) = receiver.finish(sent.ok_or(Gone)?);
        let histograms = variation.map_or_else(Histograms::new, |found| found.histograms(true));
        report(peer, counts, histograms, cpu_ns)?;
    }
}

fn send(
    peer: &Peer<'_>,
    session: &Session,
    socket: &UdpSocket,
    stream: &UdpStream,
) -> Result<(), Gone> {
    let mut sender = Sender::new(stream, session.token);
    loop {
        let (window, duration_ns) = await_start(peer)?;
        let cpu_ns = thread_cpu_ns();
        say(peer, &Answer::Started)?;
        let mut watcher = Watcher::new(peer);
        let start = Monotonic.now();
        let span = Span {
            start,
            end: start.plus(duration_ns),
            token: window_token(session.token, window),
        };
        let counts = sender.run(socket, &Monotonic, span, |now| watcher.is_over(now));
        watcher.ended.unwrap_or(Ok(()))?;
        let lateness = stream
            .rate
            .map(|_| (Timed::Lateness, sender.lateness().clone()));
        report(peer, counts, lateness.into_iter().collect(), cpu_ns)?;
    }
}

fn report(
    peer: &Peer<'_>,
    counts: OneWay,
    histograms: Histograms,
    cpu_before_ns: u64,
) -> Result<(), Gone> {
    let report = DatagramReport {
        counts,
        histograms,
        cpu_ns: thread_cpu_ns().saturating_sub(cpu_before_ns),
    };
    say(peer, &Answer::Datagrams(Box::new(report)))
}

/// Receives bulk data in another way than the usual one.
fn bulk_up(
    peer: &Peer<'_>,
    buffers: &mut Buffers,
    size: usize,
    options: &TcpOptions,
) -> Result<(), Gone> {
    say(peer, &Answer::open(0))?;
    let truncate = options.receive == Receiving::Truncate;
    super::connection::count(peer, &mut buffers.inbox, 0, size, truncate)
}

fn bulk_down(
    peer: &Peer<'_>,
    size: usize,
    options: &TcpOptions,
    interval_ns: u64,
) -> Result<(), Gone> {
    if !peer.sends_streams() {
        return refuse(peer, NO_STREAMS);
    }
    let mut bulk = match Bulk::new(peer.stream(), options, size) {
        Ok(bulk) => bulk,
        Err(error) => return refuse(peer, error),
    };
    let mut last = vec![0; size];
    last[0] = CONFIRM;
    let mut sampler = Sampler::new(interval_ns);
    say(peer, &Answer::open(0))?;
    loop {
        let (_, duration_ns) = await_start(peer)?;
        let cpu_ns = thread_cpu_ns();
        say(peer, &Answer::Started)?;
        let start = Monotonic.now();
        let end = start.plus(duration_ns);
        sampler.start(start);
        let mut watcher = Watcher::new(peer);
        let mut now = start;
        while now < end && !watcher.is_over(now) {
            let mut offset = 0;
            while offset < size {
                offset += peer.send(&mut bulk, offset)?;
            }
            now = Monotonic.now();
            sampler.sample(peer.stream(), now);
        }
        watcher.ended.unwrap_or(Ok(()))?;
        peer.write(&last)?;
        await_tell(peer)?;
        sampler.finish(peer.stream(), Monotonic.now());
        let report = BulkReport {
            cpu_ns: thread_cpu_ns().saturating_sub(cpu_ns),
            samples: sampler.samples().to_vec(),
        };
        say(peer, &Answer::Bulk(report))?;
    }
}

fn await_tell(peer: &Peer<'_>) -> Result<(), Gone> {
    loop {
        match ask(peer)? {
            Ask::Tell => return Ok(()),
            // It crossed the end of a window.
            Ask::Stop { .. } => {}
            _ => return Err(Gone),
        }
    }
}
