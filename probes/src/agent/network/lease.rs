//! Which runner an agent serves: one at a time, with as many connections as it has arms.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most connections of one runner: one for each of 256 arms, and some.
const MOST_CONNECTIONS: usize = 512;

/// Held by nobody or by one runner.
#[derive(Debug, Default)]
pub(super) struct Lease(Mutex<Option<Holder>>);

#[derive(Debug)]
struct Holder {
    runner: [u8; 16],
    from: IpAddr,
    connections: usize,
}

/// One connection of the runner that holds the lease.
#[derive(Debug)]
pub(super) struct Stay(Arc<Lease>);

impl Lease {
    /// Takes the lease, or another connection on it.
    ///
    /// # Errors
    ///
    /// Says who else has it.
    pub(super) fn take(self: &Arc<Self>, runner: [u8; 16], from: IpAddr) -> Result<Stay, String> {
        let mut held = self.lock();
        let holder = held.get_or_insert(Holder {
            runner,
            from,
            connections: 0,
        });
        if holder.runner != runner {
            return Err(format!("it serves another runner, at {}", holder.from));
        }
        if holder.connections >= MOST_CONNECTIONS {
            return Err(format!("this runner has {MOST_CONNECTIONS} connections"));
        }
        holder.connections += 1;
        drop(held);
        Ok(Stay(Arc::clone(self)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Holder>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let mut held = self.0.lock();
        let last = held.as_mut().is_none_or(|holder| {
            holder.connections = holder.connections.saturating_sub(1);
            holder.connections == 0
        });
        if last {
            *held = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn one_runner_at_a_time_until_its_last_connection_ends() {
        let lease = Arc::new(Lease::default());
        let from = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let first = lease.take([1; 16], from).unwrap();
        let second = lease.take([1; 16], from).unwrap();
        let busy = lease.take([2; 16], from).unwrap_err();
        assert!(busy.contains("192.0.2.1"), "{busy}");
        drop(first);
        assert!(lease.take([2; 16], from).is_err());
        drop(second);
        let other = lease.take([2; 16], from).unwrap();
        assert!(lease.take([1; 16], from).is_err());
        drop(other);
    }

    #[test]
    fn a_runner_has_so_many_connections_and_no_more() {
        let lease = Arc::new(Lease::default());
        let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let stays: Vec<Stay> = (0..MOST_CONNECTIONS)
            .map(|_| lease.take([1; 16], from).unwrap())
            .collect();
        assert!(lease.take([1; 16], from).is_err());
        drop(stays);
        assert!(lease.take([2; 16], from).is_ok());
    }
}
