//! TCP connections of a stream that is sent or received in another way than the usual one.

use std::io;
use std::net::{SocketAddr, TcpStream};

use tollgate_results::outcome::{Failure, Flow};
use tollgate_results::stream::{Direction, Receiving, TcpOptions, TcpSample};
use tollgate_results::workload::Close;

use super::arranged::{Line, NoStream};
use super::socket::TcpDial;
use super::transport::{Dial, Transport};
use super::window::{Fault, Patience};
use crate::bulk::Bulk;
use crate::clock::Clock;
use crate::datagrams::control::Ask;

/// Opens connections with a stream's options at both ends.
#[derive(Debug)]
pub(crate) struct TunedDial {
    inner: TcpDial,
    options: TcpOptions,
    size: u32,
    refusal: Option<String>,
}

/// A connection with its way to send blocks.
#[derive(Debug)]
pub(crate) struct TunedLink {
    stream: TcpStream,
    bulk: Bulk,
    arranged: bool,
}

impl TunedDial {
    /// Prepares connections for blocks of `size` bytes that go up.
    pub(crate) fn new(target: SocketAddr, options: &TcpOptions, size: u32) -> Self {
        Self {
            inner: TcpDial::new(target, Close::Fin),
            options: TcpOptions {
                direction: Direction::Up,
                ..options.clone()
            },
            size,
            refusal: None,
        }
    }

    fn open<C: Clock>(&mut self, patience: &Patience<'_, C>) -> Result<(TunedLink, u64), NoStream> {
        // The far end has to know only how it is to receive.
        let arranged = self.options.receive != Receiving::Copy;
        let (stream, connect_ns) = if arranged {
            let first = Ask::Bulk {
                options: self.options.clone(),
                interval_ns: 0,
            };
            let (line, _agreed) = Line::open(&mut self.inner, self.size, &first, patience)?;
            (line.link, line.connect_ns)
        } else {
            self.inner.dial(patience)?
        };
        let bulk = Bulk::new(&stream, &self.options, self.size as usize);
        let bulk = bulk.map_err(|reason| NoStream::Refused(format!("this end: {reason}")))?;
        let link = TunedLink {
            stream,
            bulk,
            arranged,
        };
        Ok((link, connect_ns))
    }
}

impl Dial for TunedDial {
    type Link = TunedLink;

    fn dial<C: Clock>(&mut self, patience: &Patience<'_, C>) -> Result<(TunedLink, u64), Fault> {
        self.open(patience).map_err(|no| match no {
            NoStream::Fault(fault) => fault,
            NoStream::Refused(reason) => {
                self.refusal = Some(reason);
                Fault::Failed(Failure::Unreachable)
            }
        })
    }

    fn flow(&self, link: &TunedLink) -> Option<Flow> {
        self.inner.flow(&link.stream)
    }

    fn refusal(&mut self) -> Option<String> {
        self.refusal.take()
    }

    fn hang_up(&mut self, link: TunedLink) {
        self.inner.hang_up(link.stream);
    }
}

impl Transport for TunedLink {
    #[inline]
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.send(bytes)
    }

    #[inline]
    fn send_block(&mut self, _block: &[u8], offset: usize) -> io::Result<usize> {
        self.bulk.send(&self.stream, offset)
    }

    #[inline]
    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.recv(buffer)
    }

    fn tcp_info(&self) -> Option<TcpSample> {
        self.stream.tcp_info()
    }

    fn is_arranged(&self) -> bool {
        self.arranged
    }
}
