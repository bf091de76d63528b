//! What both ends of a TCP stream need: ways to send blocks, and what TCP knows of a connection.
#![expect(
    unsafe_code,
    reason = "no crate in use reads all of TCP_INFO, which grows with the kernel"
)]

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::sendfile::sendfile;
use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt};
use tollgate_results::stream::{Sending, TcpOptions, TcpSample};

use crate::clock::Moment;
use crate::datagrams::calls::{allow_zerocopy, limit_pacing, take_done};
use crate::wire::CONFIRM;

/// Receives bulk data, in bytes, as iperf3 does.
pub(crate) const BUFFER: usize = 128 * 1024;

/// Sends after which the kernel's reports of finished pages are taken: their memory is bounded (`optmem_max`).
const SENDS_TO_REPORT: u32 = 16;

/// A way to send blocks of zeros over one connection.
#[derive(Debug)]
pub(crate) struct Bulk {
    way: Way,
    size: usize,
}

#[derive(Debug)]
enum Way {
    Copy(Vec<u8>),
    /// The kernel reads from this while packets are under way, so that it never changes.
    Zerocopy {
        block: Vec<u8>,
        sends: u32,
    },
    Sendfile(OwnedFd),
}

impl Bulk {
    /// Applies the sending end's options to a connection.
    ///
    /// # Errors
    ///
    /// Says in one line which option can't be had, and what could.
    pub(crate) fn new(
        socket: &impl AsFd,
        options: &TcpOptions,
        size: usize,
    ) -> Result<Self, String> {
        if let Some(name) = &options.congestion {
            set_congestion(socket, name)?;
        }
        if let Some(pacing) = options.pacing {
            limit_pacing(socket, pacing.0.div_ceil(8))
                .map_err(|errno| format!("the kernel refuses pacing: {errno}; leave pacing out"))?;
        }
        let way = match options.send {
            Sending::Copy => Way::Copy(vec![0; size]),
            Sending::Zerocopy => {
                allow_zerocopy(socket).map_err(|errno| {
                    format!("the kernel refuses MSG_ZEROCOPY: {errno}; use send = \"copy\"")
                })?;
                let block = vec![0; size];
                Way::Zerocopy { block, sends: 0 }
            }
            Sending::Sendfile => Way::Sendfile(file(size).map_err(|error| {
                format!("no file in memory to send from: {error}; use send = \"copy\"")
            })?),
        };
        Ok(Self { way, size })
    }

    /// Sends what is left of a block of zeros from `offset` on; returns how much went out.
    #[inline]
    pub(crate) fn send(&mut self, mut socket: &TcpStream, offset: usize) -> io::Result<usize> {
        match &mut self.way {
            Way::Copy(block) => socket.write(&block[offset..]),
            Way::Zerocopy { block, sends } => {
                *sends += 1;
                if sends.is_multiple_of(SENDS_TO_REPORT) {
                    take_done(&socket);
                }
                let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::from_bits_retain(libc::MSG_ZEROCOPY);
                match send(socket.as_raw_fd(), &block[offset..], flags) {
                    // Too many pages are under way: as good as no room.
                    Err(Errno::ENOBUFS) => {
                        take_done(&socket);
                        Err(ErrorKind::Interrupted.into())
                    }
                    sent => Ok(sent?),
                }
            }
            Way::Sendfile(file) => {
                let mut from = i64::try_from(offset).unwrap_or(0);
                Ok(sendfile(socket, file, Some(&mut from), self.size - offset)?)
            }
        }
    }
}

/// Makes a file of zeros in memory.
fn file(size: usize) -> io::Result<OwnedFd> {
    let file = memfd_create(c"tollgate", MFdFlags::MFD_CLOEXEC)?;
    let mut file = std::fs::File::from(file);
    // Written, so that its pages are there.
    file.write_all(&vec![0; size])?;
    Ok(file.into())
}

fn set_congestion(socket: &impl AsFd, name: &str) -> Result<(), String> {
    setsockopt(socket, sockopt::TcpCongestion, &name.into()).map_err(|errno| {
        let known = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control");
        let known = known.map_or_else(
            |_| String::new(),
            |known| format!("; there are {}", known.trim().replace(' ', ", ")),
        );
        let why = match errno {
            Errno::ENOENT => "this kernel doesn't have it".to_owned(),
            Errno::EPERM => "it takes root (CAP_NET_ADMIN)".to_owned(),
            errno => errno.desc().to_lowercase(),
        };
        format!("congestion control {name}: {why}{known}")
    })
}

/// Where a stream stands.
#[derive(Debug)]
pub(crate) struct Blocks {
    size: u64,
    /// Bytes received.
    total: u64,
    /// Start of the next block that was not looked at.
    next: u64,
    /// End of a block that asks for the count.
    asked: Option<u64>,
}

impl Blocks {
    pub(crate) const fn new(size: u64) -> Self {
        Self {
            size,
            total: 0,
            next: 0,
            asked: None,
        }
    }

    /// Takes bytes in; returns the count that is to be said, if one is.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Option<u64> {
        let before = self.total;
        self.total += bytes.len() as u64;
        while self.next < self.total {
            let at = usize::try_from(self.next - before).ok()?;
            if bytes.get(at) == Some(&CONFIRM) {
                self.asked = Some(self.next + self.size);
            }
            self.next += self.size;
        }
        self.asked.take_if(|asked| *asked <= self.total)
    }

    /// Takes in what a connection has next; with `truncate` the kernel throws it away, all but the first byte of each
    /// block. Returns the count that is to be said, if one is.
    ///
    /// # Errors
    ///
    /// Those of the connection, and its end.
    #[inline]
    pub(crate) fn take_from(
        &mut self,
        mut socket: &TcpStream,
        buffer: &mut [u8],
        truncate: bool,
    ) -> io::Result<Option<u64>> {
        let left = self.next - self.total;
        let (received, asked) = if !truncate {
            let received = socket.read(buffer)?;
            (received, self.take(&buffer[..received]))
        } else if left == 0 {
            let received = socket.read(&mut buffer[..1])?;
            (received, self.take(&buffer[..received]))
        } else {
            let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let received = recv(socket.as_raw_fd(), &mut buffer[..most], MsgFlags::MSG_TRUNC)?;
            // A length above the room is not believed.
            let received = received.min(most);
            self.total += received as u64;
            (received, self.asked.take_if(|asked| *asked <= self.total))
        };
        if received == 0 {
            return Err(ErrorKind::ConnectionReset.into());
        }
        Ok(asked)
    }

    /// Returns how many bytes were taken in.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }
}

/// Collects what TCP knows of one connection, in memory that is in place.
#[derive(Debug)]
pub(crate) struct Sampler {
    interval_ns: u64,
    start: Moment,
    next: Moment,
    samples: Vec<TcpSample>,
}

impl Sampler {
    /// Takes a sample every `interval_ns`, at least 100 ms, and as many as one outcome has room for.
    pub(crate) fn new(interval_ns: u64) -> Self {
        let start = Moment::from_ns(0);
        Self {
            interval_ns: interval_ns.max(TcpSample::INTERVAL_NS),
            start,
            next: start,
            samples: Vec::with_capacity(TcpSample::MOST),
        }
    }

    /// Returns the interval for a window of this length and so many connections.
    pub(crate) fn interval_ns(duration_ns: u64, connections: u32) -> u64 {
        let all = u128::from(duration_ns) * u128::from(connections) / (TcpSample::MOST as u128);
        let interval = u64::try_from(all).unwrap_or(u64::MAX);
        interval.max(TcpSample::INTERVAL_NS)
    }

    /// Starts a window.
    pub(crate) fn start(&mut self, start: Moment) {
        self.start = start;
        self.next = start.plus(self.interval_ns);
        self.samples.clear();
    }

    /// Takes a sample if it is time to.
    #[inline]
    pub(crate) fn sample(&mut self, socket: &impl AsFd, now: Moment) {
        if now >= self.next {
            self.take(tcp_info(socket), now);
        }
    }

    /// Takes the last sample.
    pub(crate) fn finish(&mut self, socket: &impl AsFd, now: Moment) {
        self.take(tcp_info(socket), now);
    }

    /// Returns whether it is time for a sample.
    #[inline]
    pub(crate) fn is_due(&self, now: Moment) -> bool {
        now >= self.next
    }

    #[cold]
    pub(crate) fn take(&mut self, sample: Option<TcpSample>, now: Moment) {
        self.next = now.plus(self.interval_ns);
        if let Some(sample) = sample
            && self.samples.len() < self.samples.capacity()
        {
            let at_ns = now.since(self.start);
            self.samples.push(TcpSample { at_ns, ..sample });
        }
    }

    pub(crate) fn samples(&self) -> &[TcpSample] {
        &self.samples
    }
}

/// Room for what the kernel tells; newer kernels tell more, which is cut off, older ones less, which stays 0.
const INFO_LEN: usize = 256;

/// Least that is told: up to the delivery rate, since Linux 4.9.
const INFO_LEAST: usize = 168;

/// Asks the kernel what TCP knows of a connection.
pub(crate) fn tcp_info(socket: &impl AsFd) -> Option<TcpSample> {
    let mut info = [0_u8; INFO_LEN];
    let mut len = libc::socklen_t::try_from(INFO_LEN).ok()?;
    // SAFETY: the kernel writes at most as many bytes as it is told there is room for.
    let done = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    (done == 0 && len as usize >= INFO_LEAST).then(|| parse(&info))
}

/// Reads `struct tcp_info` of linux/tcp.h, whose fields never move.
fn parse(info: &[u8; INFO_LEN]) -> TcpSample {
    let number = |at: usize| {
        let bytes = info[at..].first_chunk().copied();
        u32::from_ne_bytes(bytes.unwrap_or_default())
    };
    let long = |at: usize| {
        let bytes = info[at..].first_chunk().copied();
        u64::from_ne_bytes(bytes.unwrap_or_default())
    };
    TcpSample {
        flow: 0,
        at_ns: 0,
        rtt_us: number(68),
        cwnd: number(80),
        retransmits: number(100),
        acked: long(120),
        min_rtt_us: number(148),
        delivery_rate: long(160),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use proptest::prelude::*;
    use tollgate_results::units::BitRate;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let left = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (left, listener.accept().unwrap().0)
    }

    #[test]
    fn every_way_sends_zeros() {
        for way in [Sending::Copy, Sending::Zerocopy, Sending::Sendfile] {
            let (left, mut right) = pair();
            let options = TcpOptions {
                send: way,
                pacing: Some(BitRate(8_000_000_000)),
                congestion: Some("reno".to_owned()),
                ..TcpOptions::default()
            };
            let mut bulk = Bulk::new(&left, &options, 10_000).unwrap();
            for _ in 0..40 {
                let mut offset = 0;
                while offset < 10_000 {
                    match bulk.send(&left, offset) {
                        Ok(sent) => offset += sent,
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted),
                    }
                }
                let mut block = vec![1; 10_000];
                right.read_exact(&mut block).unwrap();
                assert!(block.iter().all(|&byte| byte == 0), "{way:?}");
            }
        }
    }

    #[test]
    fn a_congestion_control_that_is_not_there_is_refused_with_those_that_are() {
        let (left, _right) = pair();
        let options = TcpOptions {
            congestion: Some("nonesuch".to_owned()),
            ..TcpOptions::default()
        };
        let line = Bulk::new(&left, &options, 1).unwrap_err();
        assert!(line.contains("nonesuch") && line.contains("reno"), "{line}");
    }

    #[test]
    fn tcp_tells_what_it_knows() {
        let (mut left, mut right) = pair();
        left.write_all(&[0; 5_000]).unwrap();
        right.read_exact(&mut [0; 5_000]).unwrap();
        let sample = tcp_info(&left).unwrap();
        assert!(sample.cwnd > 0 && sample.min_rtt_us > 0, "{sample:?}");
        assert!(sample.acked <= 5_001, "{sample:?}");
        let mut sampler = Sampler::new(0);
        sampler.start(Moment::from_ns(0));
        sampler.sample(&left, Moment::from_ns(1));
        for second in 1..=2 * TcpSample::MOST as u64 {
            sampler.sample(&left, Moment::from_ns(second * 1_000_000_000));
        }
        assert_eq!(sampler.samples().len(), TcpSample::MOST);
        assert!(sampler.samples()[0].at_ns == 1_000_000_000);
    }

    #[test]
    fn truncated_blocks_are_counted_and_the_last_one_is_seen() {
        let (mut left, right) = pair();
        let mut stream = vec![0; 3 * 10_000];
        stream[2 * 10_000] = CONFIRM;
        left.write_all(&stream).unwrap();
        for truncate in [true, false] {
            let mut blocks = Blocks::new(10_000);
            let mut buffer = vec![0; 4_096];
            let asked = loop {
                if let Some(asked) = blocks.take_from(&right, &mut buffer, truncate).unwrap() {
                    break asked;
                }
            };
            assert_eq!((asked, blocks.total()), (30_000, 30_000));
            left.write_all(&stream).unwrap();
        }
        drop(left);
        let mut blocks = Blocks::new(1);
        let mut end = || blocks.take_from(&right, &mut [0; 64], true);
        while end().is_ok() {}
        assert_eq!(end().unwrap_err().kind(), ErrorKind::ConnectionReset);
    }

    #[test]
    fn samples_of_many_connections_fit_one_outcome() {
        let hour = 3_600_000_000_000;
        assert_eq!(Sampler::interval_ns(1_000_000_000, 1), 100_000_000);
        let interval = Sampler::interval_ns(hour, 128);
        assert!(hour / interval * 128 <= TcpSample::MOST as u64);
    }

    proptest! {
        #[test]
        fn a_count_is_said_after_the_whole_block_however_it_is_cut(
            size in 1..50_usize,
            blocks in 0..20_usize,
            cut in 1..70_usize,
        ) {
            let mut stream = vec![0; size * (blocks + 1)];
            stream[size * blocks] = CONFIRM;
            let mut state = Blocks::new(size as u64);
            let said: Vec<u64> = stream.chunks(cut).filter_map(|chunk| state.take(chunk)).collect();
            prop_assert_eq!(said, vec![stream.len() as u64]);
        }
    }
}
