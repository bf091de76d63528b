//! An HTTP/1.1 GET and its response, by blocking calls.

use std::rc::Rc;

use tollgate_results::outcome::Failure;

use super::Ask;
use super::response::{Reader, Response};
use super::tally::{Backend, Tally};
use crate::clock::{Clock, Moment};
use crate::probe::echo::{Exchange, FirstByte};
use crate::probe::transport::{Transport, recv_or_end, send_all};
use crate::probe::window::{Fault, Patience};

/// Receives head and body, in bytes.
pub(super) const BUFFER: usize = 64 * 1024;

/// GETs the same over and over.
#[derive(Debug)]
pub(crate) struct Get {
    ask: Ask,
    request: Vec<u8>,
    reader: Reader,
    tally: Rc<Tally>,
    buffer: Vec<u8>,
    /// When the first byte of the present response came; `None` if the last one came with it.
    first_byte: Option<Moment>,
    /// Bytes of bodies that came since they were last asked for.
    received: u64,
    /// Whether the last response was whole and its connection stays.
    stays: bool,
    /// Whether latency is kept for each backend.
    by_backend: bool,
    /// Who gave the last response, where its latency is kept.
    answered: Option<Backend>,
}

impl Get {
    /// Prepares requests; `kept` says whether the connection is.
    pub(crate) fn new(ask: Ask, kept: bool, tally: Rc<Tally>) -> Self {
        Self {
            request: ask.request(kept),
            reader: Reader::new(ask.expected),
            ask,
            tally,
            buffer: vec![0; BUFFER],
            first_byte: None,
            received: 0,
            stays: false,
            by_backend: false,
            answered: None,
        }
    }

    /// Has latency kept for each backend.
    pub(crate) fn by_backend(mut self, by_backend: bool) -> Self {
        self.by_backend = by_backend;
        self
    }

    /// Receives a whole response.
    #[inline]
    fn receive<C: Clock>(
        &mut self,
        link: &mut impl Transport,
        patience: &Patience<'_, C>,
    ) -> Result<Response, Fault> {
        loop {
            let received = recv_or_end(link, &mut self.buffer, patience)?;
            if received == 0 {
                return self.reader.end().map_err(Fault::Failed);
            }
            let (taken, response) = self
                .reader
                .read(&self.buffer[..received], &self.tally)
                .map_err(Fault::Failed)?;
            match response {
                Some(response) if taken == received => return Ok(response),
                // What comes after the response would answer a request that wasn't made.
                Some(_) => return Err(Fault::Failed(Failure::Malformed)),
                None if self.first_byte.is_none() => self.first_byte = Some(patience.clock.now()),
                None => {}
            }
            patience.check()?;
        }
    }
}

impl Exchange for Get {
    #[inline]
    fn perform<C: Clock>(
        &mut self,
        link: &mut impl Transport,
        _first: bool,
        patience: &Patience<'_, C>,
    ) -> Result<bool, Fault> {
        self.first_byte = None;
        self.stays = false;
        self.reader.reset();
        send_all(link, &self.request, patience)?;
        let response = self.receive(link, patience)?;
        self.tally.responded(response.status);
        self.stays = response.stays;
        self.ask.judge(&response).map_err(Fault::Failed)?;
        self.tally.replied(&response);
        self.answered = response.backend.filter(|_| self.by_backend);
        self.received += response.body;
        Ok(response.stays)
    }

    #[inline]
    fn first_byte(&self) -> FirstByte {
        self.first_byte.map_or(FirstByte::WithLast, FirstByte::At)
    }

    #[inline]
    fn took(&mut self, ns: u64) -> bool {
        let answered = self.answered.take();
        if let Some(backend) = answered {
            self.tally.took(backend, ns);
        }
        answered.is_some()
    }

    fn outlives(&self, failure: Failure) -> bool {
        failure == Failure::Status && self.stays
    }

    fn payload(&mut self, replies: u64) -> (u64, u64) {
        let sent = self.request.len() as u64 * replies;
        (sent, std::mem::take(&mut self.received))
    }
}
