//! What came to each of the addresses that a responder answers at, where it is bound to all of them.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tollgate_results::counters::Answered;

use super::pool::lock;
use crate::stamps::Place;

/// Most addresses that are told apart. A machine has few, but all of 127.0.0.0/8 is its own.
const MOST_ADDRESSES: usize = 256;

/// Counts by address.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<BTreeMap<IpAddr, Arc<Count>>>);

#[derive(Debug, Default)]
struct Count {
    connections: AtomicU64,
    datagrams: AtomicU64,
}

/// The count of the address that the last datagram came to, so that the next needs no lock.
#[derive(Debug, Default)]
pub(super) struct Last(Option<(IpAddr, Arc<Count>)>);

impl Tally {
    /// Makes one for a responder that is bound to every address; with one address there is nothing to tell apart.
    pub(super) fn of(bind: IpAddr) -> Option<Arc<Self>> {
        bind.is_unspecified().then(Arc::default)
    }

    /// Counts a connection by the responder's end of it.
    pub(super) fn connection(&self, stream: &TcpStream) {
        if let Ok(local) = stream.local_addr()
            && let Some(count) = self.count(local.ip())
        {
            count.connections.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a datagram by the address that it was sent to.
    #[inline]
    pub(super) fn datagram(&self, to: &Place, last: &mut Last) {
        let address = to.address();
        let same = matches!(&last.0, Some((known, _)) if *known == address);
        if !same {
            last.0 = self.count(address).map(|count| (address, count));
        }
        if let Some((_, count)) = &last.0 {
            count.datagrams.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns an address's count, unless there are too many.
    fn count(&self, address: IpAddr) -> Option<Arc<Count>> {
        let mut counts = lock(&self.0);
        let address = address.to_canonical();
        if counts.len() >= MOST_ADDRESSES && !counts.contains_key(&address) {
            return None;
        }
        Some(Arc::clone(counts.entry(address).or_default()))
    }

    pub(super) fn read(&self) -> Vec<Answered> {
        let counts = lock(&self.0);
        let all = counts.iter();
        all.map(|(&address, count)| Answered {
            address,
            connections: count.connections.load(Ordering::Relaxed),
            datagrams: count.datagrams.load(Ordering::Relaxed),
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_not_counted() {
        assert!(Tally::of("127.0.0.1".parse().unwrap()).is_none());
        assert!(Tally::of("0.0.0.0".parse().unwrap()).is_some());
        assert!(Tally::of("::".parse().unwrap()).is_some());
    }

    #[test]
    fn so_many_addresses_are_told_apart() {
        let tally = Tally::default();
        for number in 0..1_000_u32 {
            let _ = tally.count(std::net::Ipv4Addr::from_bits(0x7f00_0001 + number).into());
        }
        assert_eq!(tally.read().len(), MOST_ADDRESSES);
        assert!(
            tally.count("127.0.0.1".parse().unwrap()).is_some(),
            "a known one stays"
        );
        let mapped = tally.count("::ffff:127.0.0.1".parse().unwrap());
        assert!(
            mapped.is_some(),
            "an IPv4 client of an IPv6 socket is one of IPv4"
        );
    }
}
