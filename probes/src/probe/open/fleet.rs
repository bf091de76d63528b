//! The seam between an open loop and the network: connections that never block, and the wait for any of them.

use std::io;
use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tollgate_results::outcome::{Failure, Flow};

use crate::clock::{Clock, Moment, Monotonic};
use crate::probe::socket::Begin;
use crate::probe::transport::{Transport, cause};
use crate::probe::window::{Fault, Patience};
use crate::timer;

/// Longest sleep, so that an abort is seen within 100 ms.
const TURN_NS: u64 = 20_000_000;

/// Connections to one target, by number.
pub(crate) trait Fleet {
    /// A connection, whose calls never block.
    type Link: Transport;

    /// Opens a connection: with patience waits until it stands, without only begins.
    fn open<C: Clock>(
        &mut self,
        lane: usize,
        patience: Option<&Patience<'_, C>>,
    ) -> Result<(), Failure>;

    /// Returns an open connection.
    fn link(&mut self, lane: usize) -> Option<&mut Self::Link>;

    /// Closes a connection; returns its addresses.
    fn close(&mut self, lane: usize) -> Option<Flow>;

    /// Sleeps until something can be received, or until a moment; `None` only looks. Leaves in `ready` the
    /// connections that are worth receiving from. May return early, and as late as the timer is.
    fn wait(&mut self, until: Option<Moment>, ready: &mut Vec<usize>);

    /// Returns the addresses of an open connection.
    fn flow(&self, lane: usize) -> Option<Flow>;
}

/// The kernel's sockets.
#[derive(Debug)]
pub(crate) struct Sockets<D: Begin> {
    dial: D,
    links: Vec<Option<D::Link>>,
    /// Where there are several; one is asked directly.
    epoll: Option<Epoll>,
    events: Vec<EpollEvent>,
}

impl<D: Begin> Sockets<D> {
    /// Makes room for `lanes` connections, none of them open.
    pub(crate) fn new(dial: D, lanes: usize) -> Self {
        // Without one every connection is asked in turn: slower, and just as right.
        let epoll = (lanes > 1)
            .then(|| Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).ok())
            .flatten();
        Self {
            dial,
            links: (0..lanes).map(|_| None).collect(),
            epoll,
            events: vec![EpollEvent::empty(); lanes],
        }
    }

    /// Sleeps until something can be received; returns whether there is.
    fn sleep(&self, until: Moment) -> bool {
        let left = timer::length(until.since(Monotonic.now()).min(TURN_NS));
        let one = self.links.first().and_then(Option::as_ref);
        let fd = match &self.epoll {
            Some(epoll) => Some(epoll.0.as_fd()),
            None => one.map(D::Link::as_fd),
        };
        let ended = match fd {
            Some(fd) => ppoll(&mut [PollFd::new(fd, PollFlags::POLLIN)], Some(left), None),
            None => ppoll(&mut [], Some(left), None),
        };
        ended.is_ok_and(|ready| ready > 0)
    }

    /// Asks which connections have something.
    fn look(&mut self, ready: &mut Vec<usize>) {
        let Some(epoll) = &self.epoll else {
            ready.extend(0..self.links.len());
            return;
        };
        let found = epoll
            .wait(&mut self.events, EpollTimeout::ZERO)
            .unwrap_or(0);
        let lanes = self.events[..found].iter().map(EpollEvent::data);
        ready.extend(lanes.filter_map(|lane| usize::try_from(lane).ok()));
    }
}

impl<D: Begin> Fleet for Sockets<D> {
    type Link = D::Link;

    fn open<C: Clock>(
        &mut self,
        lane: usize,
        patience: Option<&Patience<'_, C>>,
    ) -> Result<(), Failure> {
        let failed = |error: io::Error| cause(&error);
        let link = match patience {
            None => self.dial.begin().map_err(failed)?,
            Some(patience) => match self.dial.dial(patience) {
                Ok((link, _)) => link,
                Err(Fault::Failed(failure)) => return Err(failure),
                Err(Fault::Aborted) => return Err(Failure::TimedOut),
            },
        };
        D::unblock(&link).map_err(failed)?;
        if let Some(epoll) = &self.epoll {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, lane as u64);
            let added = epoll.add(&link, event).map_err(io::Error::from);
            added.map_err(failed)?;
        }
        self.links[lane] = Some(link);
        Ok(())
    }

    fn link(&mut self, lane: usize) -> Option<&mut D::Link> {
        self.links[lane].as_mut()
    }

    fn close(&mut self, lane: usize) -> Option<Flow> {
        let link = self.links[lane].take()?;
        let flow = self.dial.flow(&link);
        self.dial.hang_up(link);
        flow
    }

    fn wait(&mut self, until: Option<Moment>, ready: &mut Vec<usize>) {
        ready.clear();
        if until.is_none_or(|until| self.sleep(until)) {
            self.look(ready);
        }
    }

    fn flow(&self, lane: usize) -> Option<Flow> {
        self.dial.flow(self.links[lane].as_ref()?)
    }
}
