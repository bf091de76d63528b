//! Connections whose packets the kernel stamps.

use std::io;
use std::os::fd::AsFd;

use tollgate_results::outcome::{Failure, Flow};

use super::transport::{Dial, Transport};
use super::window::{Fault, Patience};
use crate::clock::Clock;
use crate::recorder::KernelStamps;
use crate::stamps::{Control, Point, Received, receive, stamp_all, take_sent};

/// What the kernel counts as it numbers what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbered {
    /// Each datagram.
    ByDatagram,
    /// Each byte; a stamp is that of the last one of a call.
    ByByte,
}

/// Opens connections that are stamped.
#[derive(Debug)]
pub(crate) struct StampedDial<D> {
    dial: D,
    numbered: Numbered,
}

impl<D> StampedDial<D> {
    pub(crate) const fn new(dial: D, numbered: Numbered) -> Self {
        Self { dial, numbered }
    }
}

/// A connection, and the stamps of what went over it last.
#[derive(Debug)]
pub(crate) struct Stamped<L> {
    link: L,
    numbered: Numbered,
    /// The kernel's number of what is sent next.
    next: u32,
    received_ns: Option<u64>,
    control: Control,
}

impl<D> Dial for StampedDial<D>
where
    D: Dial,
    D::Link: AsFd,
{
    type Link = Stamped<D::Link>;

    fn dial<C: Clock>(&mut self, patience: &Patience<'_, C>) -> Result<(Self::Link, u64), Fault> {
        let (link, connect_ns) = self.dial.dial(patience)?;
        // Without them no stamp comes, which is what the job then reports.
        let _ = stamp_all(&link);
        let stamped = Stamped {
            link,
            numbered: self.numbered,
            next: 0,
            received_ns: None,
            control: Control::new(),
        };
        Ok((stamped, connect_ns))
    }

    fn flow(&self, link: &Self::Link) -> Option<Flow> {
        self.dial.flow(&link.link)
    }

    fn hang_up(&mut self, link: Self::Link) {
        self.dial.hang_up(link.link);
    }
}

impl<L: Transport + AsFd> Transport for Stamped<L> {
    #[inline]
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.link.send(bytes)?;
        let numbers = match self.numbered {
            Numbered::ByDatagram => 1,
            Numbered::ByByte => u32::try_from(sent).unwrap_or(0),
        };
        self.next = self.next.wrapping_add(numbers);
        Ok(sent)
    }

    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Received { len, wall_ns, .. } = receive::<()>(&self.link, buffer, &mut self.control)?;
        self.received_ns = wall_ns;
        Ok(len)
    }

    fn wait(&mut self, ns: u64) {
        self.link.wait(ns);
    }

    fn cause(&mut self, error: &io::Error) -> Option<Failure> {
        self.link.cause(error)
    }

    fn stamps(&mut self) -> Option<KernelStamps> {
        let mut stamps = KernelStamps {
            received_ns: self.received_ns.take(),
            ..KernelStamps::default()
        };
        while let Some(sent) = take_sent(&self.link, &mut self.control) {
            if is_before(sent.key, self.next.wrapping_sub(1)) {
                // An earlier request was lost, or stamped once more on its way.
                continue;
            }
            // The kernel may have numbered a call that failed.
            self.next = sent.key.wrapping_add(1);
            // The first stamp counts, should the packet be sent again.
            match sent.point {
                Point::Queue => _ = stamps.queue_ns.get_or_insert(sent.wall_ns),
                Point::Driver => {
                    stamps.sent_ns = Some(sent.wall_ns);
                    break;
                }
            }
        }
        Some(stamps)
    }
}

/// Compares numbers that start again after the last one: half of all lie before any.
const fn is_before(key: u32, last: u32) -> bool {
    key.wrapping_sub(last) > u32::MAX / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_start_again_after_the_last_one() {
        assert!(is_before(4, 5) && !is_before(5, 5) && !is_before(6, 5));
        assert!(is_before(u32::MAX, 0) && !is_before(0, u32::MAX));
    }
}
