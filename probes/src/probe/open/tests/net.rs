//! A network in memory for open loops: one peer behind every connection, whose every reply is known.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use super::super::*;
use crate::probe::memory::Virtual;
use crate::probe::transport::Transport;
use crate::probe::window::Patience;

/// What a peer does some time after it was sent something.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Data(Vec<u8>),
    Error(ErrorKind),
    Close,
}

/// Answers what was sent at a moment over a connection.
pub(super) type Peer = Box<dyn FnMut(u64, usize, &[u8]) -> Vec<(u64, Event)>>;

/// A network in memory: one peer behind every connection.
pub(super) struct Net {
    pub(super) clock: Virtual,
    pub(super) peer: Peer,
    /// By time and order: the connection and what comes over it.
    pub(super) coming: BTreeMap<(u64, u64), (usize, Event)>,
    pub(super) order: u64,
    pub(super) opened: u64,
    pub(super) refused: bool,
    /// Most bytes that are taken at once, and whether any are.
    pub(super) piece: usize,
}

#[derive(Clone)]
pub(super) struct Wire {
    pub(super) net: Rc<RefCell<Net>>,
    pub(super) lane: usize,
}

pub(super) struct Fabric {
    pub(super) net: Rc<RefCell<Net>>,
    pub(super) wires: Vec<Option<Wire>>,
}

impl Transport for Wire {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let net = &mut *self.net.borrow_mut();
        let sent = bytes.len().min(net.piece);
        if sent == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let now = net.clock.now().ns();
        for (delay, event) in (net.peer)(now, self.lane, &bytes[..sent]) {
            net.order += 1;
            net.coming
                .insert((now + delay, net.order), (self.lane, event));
        }
        Ok(sent)
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let net = &mut *self.net.borrow_mut();
        let now = net.clock.now().ns();
        let mut due = net.coming.range(..=(now, u64::MAX));
        let key = due
            .find(|(_, (lane, _))| *lane == self.lane)
            .map(|(key, _)| *key);
        let event = key.and_then(|key| net.coming.remove(&key));
        match event {
            None => Err(ErrorKind::WouldBlock.into()),
            Some((_, Event::Data(data))) => {
                buffer[..data.len()].copy_from_slice(&data);
                Ok(data.len())
            }
            Some((_, Event::Error(kind))) => Err(kind.into()),
            Some((_, Event::Close)) => Ok(0),
        }
    }
}

impl Fleet for Fabric {
    type Link = Wire;

    fn open<C: Clock>(
        &mut self,
        lane: usize,
        _patience: Option<&Patience<'_, C>>,
    ) -> Result<(), Failure> {
        let net = Rc::clone(&self.net);
        net.borrow_mut().opened += 1;
        if net.borrow().refused {
            return Err(Failure::Refused);
        }
        self.wires[lane] = Some(Wire { net, lane });
        Ok(())
    }

    fn link(&mut self, lane: usize) -> Option<&mut Wire> {
        self.wires[lane].as_mut()
    }

    fn close(&mut self, lane: usize) -> Option<Flow> {
        self.wires[lane] = None;
        self.net
            .borrow_mut()
            .coming
            .retain(|_, (of, _)| *of != lane);
        None
    }

    fn wait(&mut self, until: Option<Moment>, ready: &mut Vec<usize>) {
        let net = self.net.borrow();
        let first = net.coming.first_key_value();
        let first = first.map(|((at, _), _)| Moment::from_ns(*at));
        if let Some(until) = until {
            net.clock
                .wait_until(first.map_or(until, |first| first.min(until)));
        }
        ready.clear();
        let now = net.clock.now().ns();
        let due = net.coming.range(..=(now, u64::MAX));
        ready.extend(due.map(|(_, (lane, _))| *lane));
        ready.dedup();
    }

    fn flow(&self, _lane: usize) -> Option<Flow> {
        None
    }
}
