//! The client's end of the connection over which a stream is arranged.

use std::net::TcpStream;

use tollgate_results::outcome::{Failure, Flow};

use super::socket::TcpDial;
use super::transport::{Dial as _, recv_all, send_all};
use super::window::{Fault, Patience};
use crate::clock::{Clock, Moment};
use crate::datagrams::control::{Answer, Ask, MOST_ANSWER, encode, hears, read};
use crate::wire::{Mode, Preamble, WireError};

/// A connection whose other end was asked for a stream.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) link: TcpStream,
    /// How long the connection took to open, in nanoseconds: a round trip.
    pub(crate) connect_ns: u64,
    /// When the stream was asked for, and when the answer was there.
    pub(crate) asked: (Moment, Moment),
}

/// Why there is no stream.
#[derive(Debug)]
pub(crate) enum NoStream {
    /// The far end doesn't want to, for this reason.
    Refused(String),
    /// It could not be asked.
    Fault(Fault),
}

impl From<Fault> for NoStream {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<WireError> for Fault {
    fn from(_: WireError) -> Self {
        Self::Failed(Failure::Malformed)
    }
}

impl Line {
    /// Connects and asks for a stream of blocks or datagrams of `size` bytes; returns what the far end says.
    pub(crate) fn open<C: Clock>(
        dial: &mut TcpDial,
        size: u32,
        first: &Ask,
        patience: &Patience<'_, C>,
    ) -> Result<(Self, Answer), NoStream> {
        let (link, connect_ns) = dial.dial(patience)?;
        let now = patience.clock.now();
        let mut own = Self {
            link,
            connect_ns,
            asked: (now, now),
        };
        let mode = Mode::Arranged;
        let mut bytes = Preamble { mode, size }.encode().to_vec();
        bytes.extend(encode(first));
        send_all(&mut own.link, &bytes, patience)?;
        let answer = own.hear_agreement(patience)?;
        own.asked.1 = patience.clock.now();
        Ok((own, answer))
    }

    /// Says something.
    pub(crate) fn say<C: Clock>(
        &mut self,
        ask: &Ask,
        patience: &Patience<'_, C>,
    ) -> Result<(), Fault> {
        send_all(&mut self.link, &encode(ask), patience)
    }

    /// Waits for what the far end says.
    pub(crate) fn hear<C: Clock>(&mut self, patience: &Patience<'_, C>) -> Result<Answer, Fault> {
        read(MOST_ANSWER, |room: &mut [u8]| {
            recv_all(&mut self.link, room, patience)
        })
    }

    /// The same where the far end may refuse.
    pub(crate) fn hear_agreement<C: Clock>(
        &mut self,
        patience: &Patience<'_, C>,
    ) -> Result<Answer, NoStream> {
        match self.hear(patience)? {
            Answer::Refused { reason } => Err(NoStream::Refused(printable(&reason))),
            answer => Ok(answer),
        }
    }

    /// Starts a window.
    pub(crate) fn start<C: Clock>(
        &mut self,
        (window, duration_ns): (u32, u64),
        patience: &Patience<'_, C>,
    ) -> Result<(), Fault> {
        let start = Ask::Start {
            window,
            duration_ns,
        };
        self.say(&start, patience)?;
        match self.hear(patience)? {
            Answer::Started => Ok(()),
            _ => Err(Fault::Failed(Failure::Malformed)),
        }
    }

    /// Returns whether the far end has said something that was not heard yet.
    pub(crate) fn hears(&self) -> Result<bool, Fault> {
        hears(&self.link).map_err(|_| Fault::Failed(Failure::Reset))
    }

    /// Returns the connection's addresses.
    pub(crate) fn flow(&self, dial: &TcpDial) -> Option<Flow> {
        dial.flow(&self.link)
    }
}

/// What the far end says is shown to people: in one line, of bounded length.
fn printable(text: &str) -> String {
    let letters = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    letters.take(300).collect()
}
