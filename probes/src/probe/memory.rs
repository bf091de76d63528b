//! A network in memory and a clock that moves only when somebody waits: a second of traffic takes
//! milliseconds, and its outcome is known.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use tollgate_results::outcome::{Failure, Flow, JobReport, Timed};
use tollgate_results::stream::TcpSample;

use super::Probe;
use super::transport::{Dial, Transport};
use super::window::{Fault, Patience, Window};
use crate::clock::{Clock, Moment};
use crate::recorder::Recorder;

/// How long a call blocks, as on a real socket.
const TURN_NS: u64 = 20_000_000;

/// A clock that stands still between waits.
#[derive(Debug, Clone, Default)]
pub(super) struct Virtual(Rc<Cell<u64>>);

impl Clock for Virtual {
    fn now(&self) -> Moment {
        Moment::from_ns(self.0.get())
    }

    fn wait_until(&self, deadline: Moment) {
        self.0.set(self.0.get().max(deadline.ns()));
    }
}

/// What a peer does some time after it was sent something.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Data(Vec<u8>),
    Close,
    Error(ErrorKind),
}

/// Answers what was sent, by events and the nanoseconds after which they come.
type Behaviour = Box<dyn FnMut(&[u8]) -> Vec<(u64, Event)>>;

/// One peer, reached over any number of connections.
pub(super) struct Network {
    clock: Virtual,
    behaviour: Behaviour,
    /// Events of the open connection, by time and order.
    coming: BTreeMap<(u64, u64), Event>,
    order: u64,
    pub(super) dials: u64,
    pub(super) refused: bool,
    /// Most bytes that one call sends or receives.
    pub(super) piece: usize,
    /// Bytes that the open connection still takes before it stands still.
    pub(super) room: usize,
    /// Bytes that TCP would say were acknowledged by a time in nanoseconds; `None` where there is no TCP.
    pub(super) acked: Option<fn(u64) -> u64>,
}

/// A connection to it.
pub(super) struct Link(Rc<RefCell<Network>>);

/// Opens connections to it, in 1 µs each.
#[derive(Clone)]
pub(super) struct MemoryDial(pub(super) Rc<RefCell<Network>>);

impl MemoryDial {
    pub(super) fn new(
        clock: &Virtual,
        behaviour: impl FnMut(&[u8]) -> Vec<(u64, Event)> + 'static,
    ) -> Self {
        Self(Rc::new(RefCell::new(Network {
            clock: clock.clone(),
            behaviour: Box::new(behaviour),
            coming: BTreeMap::new(),
            order: 0,
            dials: 0,
            refused: false,
            piece: usize::MAX,
            room: usize::MAX,
            acked: None,
        })))
    }
}

impl Dial for MemoryDial {
    type Link = Link;

    fn dial<C: Clock>(&mut self, patience: &Patience<'_, C>) -> Result<(Link, u64), Fault> {
        let mut network = self.0.borrow_mut();
        network.dials += 1;
        network.coming.clear();
        patience.clock.wait_until(patience.clock.now().plus(1_000));
        if network.refused {
            return Err(Fault::Failed(Failure::Refused));
        }
        Ok((Link(Rc::clone(&self.0)), 1_000))
    }

    fn flow(&self, _link: &Link) -> Option<Flow> {
        None
    }

    fn hang_up(&mut self, _link: Link) {}
}

impl Transport for Link {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut network = self.0.borrow_mut();
        let now = network.clock.now().ns();
        let sent = bytes.len().min(network.piece).min(network.room);
        if sent == 0 {
            let turn = network.clock.now().plus(TURN_NS);
            network.clock.wait_until(turn);
            return Err(ErrorKind::WouldBlock.into());
        }
        network.room -= sent;
        for (delay, event) in (network.behaviour)(&bytes[..sent]) {
            network.order += 1;
            let key = (now + delay, network.order);
            network.coming.insert(key, event);
        }
        Ok(sent)
    }

    fn tcp_info(&self) -> Option<TcpSample> {
        let network = self.0.borrow();
        let acked = network.acked?(network.clock.now().ns());
        Some(TcpSample {
            acked,
            ..TcpSample::default()
        })
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut network = self.0.borrow_mut();
        let turn = network.clock.now().plus(TURN_NS);
        let next = network.coming.first_key_value().map(|(&key, _)| key);
        let Some(key) = next.filter(|&(at, _)| at <= turn.ns()) else {
            network.clock.wait_until(turn);
            return Err(ErrorKind::WouldBlock.into());
        };
        network.clock.wait_until(Moment::from_ns(key.0));
        match network.coming.remove(&key) {
            Some(Event::Data(mut data)) => {
                let len = data.len().min(buffer.len()).min(network.piece);
                buffer[..len].copy_from_slice(&data[..len]);
                data.drain(..len);
                if !data.is_empty() {
                    network.coming.insert(key, Event::Data(data));
                }
                Ok(len)
            }
            Some(Event::Error(kind)) => Err(kind.into()),
            Some(Event::Close) | None => Ok(0),
        }
    }
}

/// Runs a probe for some virtual time.
pub(super) fn run(probe: &mut impl Probe, clock: &Virtual, duration_ns: u64) -> JobReport {
    run_timed(&[Timed::Latency, Timed::Connect], probe, clock, duration_ns)
}

/// The same with what is to be timed: nothing, where writes are counted.
pub(super) fn run_timed(
    timed: &[Timed],
    probe: &mut impl Probe,
    clock: &Virtual,
    duration_ns: u64,
) -> JobReport {
    let aborted = AtomicBool::new(false);
    let mut recorder = Recorder::new(timed);
    let window = Window::open(clock, duration_ns, &aborted);
    probe.run(&window, &mut recorder);
    Recorder::report(&[recorder])
}
