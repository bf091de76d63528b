//! The receiving end of a stream of datagrams.

use std::net::UdpSocket;

use nix::errno::Errno;
use tollgate_results::outcome::{Histograms, Timed};
use tollgate_results::stream::{OneWay, UdpStream};

use super::calls::Inbox;
use super::delays::{Delays, Variation};
use super::order::{Order, Place};
use crate::clock::{Clock, Moment};
use crate::wire::{Header, Kind, STREAM_HEADER_LEN};

/// Once everything is sent, a datagram that comes after this much silence is lost. A path holds packets for
/// milliseconds; a receiver that shares its CPU with the sender needs some to empty its socket.
const QUIET_NS: u64 = 100_000_000;

/// A receiver of a flood that has emptied its socket rests for this long: a waiting receiver is woken for every few
/// datagrams, at a price to the sender, which delivers them, above that of a datagram itself. At a million datagrams
/// a second some hundred come meanwhile, of the hundreds that the least receive buffer holds.
const REST_NS: u64 = 100_000;

/// Receive buffers that may hold merged datagrams are this long, in bytes: as long as an IP packet.
const MERGED_ROOM: usize = 65_536;

/// Most of them to a call: 1 MiB.
const MERGED_BATCH: usize = 16;

/// Receives the windows of one stream.
pub(crate) struct Receiver {
    inbox: Inbox,
    payload: usize,
    order: Order,
    delays: Option<Delays>,
    /// What every datagram of the present window starts with.
    start: [u8; Header::STREAM_START],
    /// The token of window 0, and how many windows came before the present one.
    session: u64,
    window: u32,
    counts: OneWay,
    first: Option<Moment>,
    last: Moment,
}

/// What a look at something other than datagrams says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// More is coming.
    GoOn,
    /// So many were sent; what is still under way is waited for.
    Sent(u64),
    /// End at once.
    End,
}

impl Receiver {
    /// Prepares buffers. Delays are kept of paced streams only: those of a flood are those of full queues.
    pub(crate) fn new(stream: &UdpStream, one_clock: bool) -> Self {
        let payload = usize::try_from(stream.payload.0).unwrap_or(usize::MAX);
        let batch = stream.batch as usize;
        let inbox = if stream.gro {
            Inbox::new(batch.min(MERGED_BATCH), MERGED_ROOM, true)
        } else {
            // One byte more, so that a longer datagram shows.
            Inbox::new(batch, payload + 1, false)
        };
        Self {
            inbox,
            payload,
            order: Order::new(),
            delays: stream.rate.map(|_| Delays::new(one_clock)),
            start: [0; Header::STREAM_START],
            session: 0,
            window: 0,
            counts: OneWay::default(),
            first: None,
            last: Moment::from_ns(0),
        }
    }

    /// Starts a window.
    pub(crate) fn start(&mut self, session: u64, window: u32) {
        let header = Header {
            kind: Kind::Stream,
            token: window_token(session, window),
            sequence: 0,
        };
        self.start = header.stream_start(self.payload);
        (self.session, self.window) = (session, window);
        self.order.clear();
        if let Some(delays) = &mut self.delays {
            delays.clear();
        }
        (self.counts, self.first) = (OneWay::default(), None);
    }

    /// Receives until all has come, or nothing more does. `look` is asked every some milliseconds.
    pub(crate) fn run<C: Clock>(
        &mut self,
        socket: &UdpSocket,
        clock: &C,
        mut look: impl FnMut(Moment) -> Look,
    ) {
        let mut sent = None;
        let mut next_look = clock.now().plus(super::TURN_NS);
        let mut quiet_since = next_look;
        loop {
            // Nothing, or the news that an earlier datagram found nobody: time goes on.
            let received = self.inbox.receive(socket).unwrap_or_else(|errno| {
                if !matches!(errno, Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) {
                    clock.wait_until(clock.now().plus(super::TURN_NS));
                }
                0
            });
            let now = clock.now();
            if received > 0 {
                self.take_all(received, now);
                quiet_since = now;
                // Delays of a flood are kept by nobody.
                if received < self.inbox.count() && self.delays.is_none() {
                    clock.wait_until(now.plus(REST_NS));
                }
            }
            if now >= next_look {
                next_look = now.plus(super::TURN_NS);
                match look(now) {
                    Look::End => return,
                    Look::Sent(number) if sent.is_none() => {
                        sent = Some(number);
                        quiet_since = now;
                    }
                    Look::GoOn | Look::Sent(_) => {}
                }
            }
            if let Some(sent) = sent
                && (self.order.arrivals() >= sent || now.since(quiet_since) >= QUIET_NS)
            {
                return;
            }
        }
    }

    fn take_all(&mut self, received: usize, now: Moment) {
        self.counts.receive_calls += 1;
        self.counts.receive_buffers += received as u64;
        self.first.get_or_insert(now);
        self.last = now;
        let mut taken = 0;
        for index in 0..received {
            let message = self.inbox.message(index);
            for datagram in message.bytes.chunks(message.segment) {
                let whole = datagram.len() == self.payload;
                if !whole || datagram[..Header::STREAM_START] != self.start {
                    let stale = is_earlier(datagram, self.session, self.window);
                    self.counts.late += u64::from(stale);
                    self.counts.stray += u64::from(!stale);
                    continue;
                }
                let (number, sent_ns) = Header::read_stream(datagram);
                if self.order.take(number) == Place::First {
                    taken += 1;
                    if let Some(delays) = &mut self.delays {
                        delays.take(number, sent_ns, now.ns());
                    }
                }
            }
        }
        self.counts.together += u64::saturating_sub(taken, 1);
    }

    /// Says what came of the window, of which so many were sent.
    pub(crate) fn finish(&self, sent: u64) -> (OneWay, Option<Variation>) {
        let mut counts = self.counts;
        self.order.tell(sent, &mut counts);
        counts.sent = sent;
        counts.receiving_ns = self.first.map_or(0, |first| self.last.since(first));
        (counts, self.delays.as_ref().map(Delays::tell))
    }
}

impl Variation {
    /// Names the histograms by direction.
    pub(crate) fn histograms(self, up: bool) -> Histograms {
        let [pdv, ipdv, one_way] = if up {
            [Timed::PdvUp, Timed::IpdvUp, Timed::OneWayUp]
        } else {
            [Timed::PdvDown, Timed::IpdvDown, Timed::OneWayDown]
        };
        let mut histograms = Histograms::from([(pdv, self.pdv), (ipdv, self.ipdv)]);
        histograms.extend(self.one_way.map(|delays| (one_way, delays)));
        histograms
    }
}

/// Returns what marks the datagrams of a window.
pub(crate) const fn window_token(session: u64, window: u32) -> u64 {
    session.wrapping_add(window as u64)
}

/// Returns whether a datagram is one of an earlier window of the session.
#[cold]
fn is_earlier(datagram: &[u8], session: u64, window: u32) -> bool {
    datagram.len() >= STREAM_HEADER_LEN
        && Header::read_from(datagram).is_ok_and(|header| {
            header.kind == Kind::Stream && header.token.wrapping_sub(session) < u64::from(window)
        })
}
