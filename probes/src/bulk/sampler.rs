//! What TCP knows of a connection, every now and then.
#![expect(
    unsafe_code,
    reason = "no crate in use reads all of TCP_INFO, which grows with the kernel"
)]

use std::os::fd::{AsFd, AsRawFd as _};

use nix::libc;
use tollgate_results::stream::TcpSample;

use crate::clock::Moment;

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
    use std::io::{Read as _, Write as _};

    use super::super::tests::pair;
    use super::*;

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
    fn samples_of_many_connections_fit_one_outcome() {
        let hour = 3_600_000_000_000;
        assert_eq!(Sampler::interval_ns(1_000_000_000, 1), 100_000_000);
        let interval = Sampler::interval_ns(hour, 128);
        assert!(hour / interval * 128 <= TcpSample::MOST as u64);
    }
}
