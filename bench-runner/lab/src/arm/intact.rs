//! Whether an arm still has the devices that it had: where somebody took one away it is another arm, whatever still gets
//! through.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::error::LabError;
use crate::netlink::Link;

/// The devices of an arm's machines as they were at the first reading. Before it a user's own commands may have made
/// devices, and taken some away.
#[derive(Debug, Default)]
pub(super) struct Intact {
    /// Index and name of each device, by machine.
    first: Mutex<BTreeMap<&'static str, Vec<(u32, String)>>>,
}

impl Intact {
    /// Compares the devices of a machine with those that it had first.
    ///
    /// # Errors
    /// One is gone, or another one stands in its place.
    pub(super) fn check(&self, machine: &'static str, links: &[Link]) -> Result<(), LabError> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let first = first.entry(machine).or_insert_with(|| {
            let links = links.iter();
            links.map(|link| (link.index, link.name.clone())).collect()
        });
        let is_there = |(index, name): &(u32, String)| {
            let mut links = links.iter();
            links.any(|link| link.index == *index && link.name == *name)
        };
        match first.iter().find(|device| !is_there(device)) {
            None => Ok(()),
            Some((_, name)) => Err(LabError::said(
                format!("read the devices of {machine}"),
                format!(
                    "somebody took `{name}` away; deploy the arm anew, and keep others away from its namespaces"
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str) -> Link {
        Link {
            index,
            name: name.to_owned(),
            kind: "veth".to_owned(),
            mtu: 1500,
            up: true,
            rx_packets: 0,
            tx_packets: 0,
            dropped: 0,
        }
    }

    #[test]
    fn what_was_there_first_must_stay_and_more_may_come() {
        let intact = Intact::default();
        let first = [link(11, "eth0"), link(21, "cni0")];
        intact.check("node A", &first).unwrap();
        intact.check("node B", &[link(12, "eth0")]).unwrap();
        let more = [link(30, "dummy0"), link(21, "cni0"), link(11, "eth0")];
        intact.check("node A", &more).unwrap();
        for changed in [&first[..1], &[link(11, "eth0"), link(22, "cni0")]] {
            let error = intact.check("node A", changed).unwrap_err().chain();
            assert!(error.contains("somebody took `cni0` away"), "{error}");
        }
    }
}
