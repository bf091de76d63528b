//! One connection of an open loop.

use tollgate_results::outcome::Failure;

use super::flights::Flights;
use super::talk::Talk;
use crate::clock::Moment;
use crate::probe::transport::{Transport, is_again};

/// A connection, the requests under way on it, and what was heard of the next reply.
#[derive(Debug)]
pub(super) struct Lane<T: Talk> {
    pub(super) standing: Standing,
    pub(super) flights: Flights,
    pub(super) ear: T::Ear,
    /// Whether nothing was said over the connection yet.
    first: bool,
    /// The part of the last request that the kernel has not taken yet.
    left: Option<Left>,
}

/// Whether a connection can be used.
#[derive(Debug, Clone, Copy)]
pub(super) enum Standing {
    /// It is open, or about to be.
    Open,
    /// It is closed, for this cause and until this moment.
    Closed(Failure, Moment),
}

/// What is left of a request.
#[derive(Debug, Clone, Copy)]
struct Left {
    offset: usize,
    /// Whether it was the first one of its connection.
    first: bool,
}

impl<T: Talk> Lane<T> {
    /// Makes room for `most` requests under way on a connection that is yet to be opened.
    pub(super) fn new(talk: &T, most: usize) -> Self {
        Self {
            standing: Standing::Closed(Failure::Unreachable, Moment::from_ns(0)),
            flights: Flights::new(most),
            ear: talk.ear(),
            first: true,
            left: None,
        }
    }

    /// Begins anew with a connection that was just opened, or with none.
    pub(super) fn renew(&mut self, talk: &T, standing: Standing) {
        self.standing = standing;
        self.ear = talk.ear();
        self.first = true;
        self.left = None;
    }

    /// Returns whether the next request may go out.
    #[inline]
    pub(super) const fn has_room(&self) -> bool {
        self.left.is_none() && self.flights.has_room()
    }

    /// Returns whether a part of a request is still to go out.
    #[inline]
    pub(super) const fn is_stuck(&self) -> bool {
        self.left.is_some()
    }

    /// Sends the next request, or its beginning; returns the bytes that went out, 0 where there is no room now.
    #[inline]
    pub(super) fn send(
        &mut self,
        talk: &mut T,
        link: &mut impl Transport,
        planned: Moment,
        now: Moment,
    ) -> Result<usize, Failure> {
        let frame = talk.ask(self.flights.next(), self.first);
        let sent = write(link, frame)?;
        if sent > 0 {
            self.flights.depart(planned, now);
            let first = std::mem::take(&mut self.first);
            let offset = sent;
            self.left = (sent < frame.len()).then_some(Left { offset, first });
        }
        Ok(sent)
    }

    /// Sends more of a request that is stuck; returns the bytes that went out.
    pub(super) fn send_rest(
        &mut self,
        talk: &mut T,
        link: &mut impl Transport,
    ) -> Result<usize, Failure> {
        let Some(Left { offset, first }) = self.left else {
            return Ok(0);
        };
        let frame = talk.ask(self.flights.next() - 1, first);
        let sent = write(link, &frame[offset..])?;
        let offset = offset + sent;
        self.left = (offset < frame.len()).then_some(Left { offset, first });
        Ok(sent)
    }
}

/// Sends what the kernel takes now.
#[inline]
fn write(link: &mut impl Transport, bytes: &[u8]) -> Result<usize, Failure> {
    match link.send(bytes) {
        Ok(sent) => Ok(sent),
        Err(error) if is_again(&error) => Ok(0),
        Err(error) => link.cause(&error).map_or(Ok(0), Err),
    }
}

/// Receives what is there; `None` where nothing is.
#[inline]
pub(super) fn read(link: &mut impl Transport, buffer: &mut [u8]) -> Result<Option<usize>, Failure> {
    match link.recv(buffer) {
        Ok(received) => Ok(Some(received)),
        Err(error) if is_again(&error) => Ok(None),
        Err(error) => link.cause(&error).map_or(Ok(None), Err),
    }
}
