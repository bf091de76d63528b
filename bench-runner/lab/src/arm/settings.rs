//! The kernel settings of an arm, set in its namespaces and read back as facts.

use std::collections::BTreeMap;

use tollgate_results::kernel::Kernel;

use super::namespace::Namespace;
use crate::address::Side;
use crate::congestion::Congestion;
use crate::error::LabError;
use crate::topology::{Place, Topology};
use crate::tuning::{self, Set};

/// Sets what is asked for, once before the namespaces have devices, which take over some sysctls, and once after.
pub(super) struct Settings<'a> {
    kernel: &'a Kernel,
    /// What was read back.
    facts: BTreeMap<String, String>,
}

impl<'a> Settings<'a> {
    pub(super) const fn new(kernel: &'a Kernel) -> Self {
        Self {
            kernel,
            facts: BTreeMap::new(),
        }
    }

    /// Sets the sysctls of one namespace, as far as it has them.
    pub(super) fn sysctls(&mut self, site: &Namespace) -> Result<(), LabError> {
        for (name, value) in &self.kernel.sysctls {
            if let Set::To(shown) = tuning::set(&site.netns, name, value)? {
                self.facts.insert(name.clone(), shown);
            }
        }
        Ok(())
    }

    /// Sets what needs devices, and returns all that was read back.
    pub(super) fn devices(
        mut self,
        topology: &Topology,
        sites: &[Namespace],
        congestion: Congestion,
    ) -> Result<BTreeMap<String, String>, LabError> {
        if !self.kernel.sysctls.is_empty() {
            for site in sites {
                self.sysctls(site)?;
            }
        }
        let absent = |name: &&String| !self.facts.contains_key(*name);
        if let Some(name) = self.kernel.sysctls.keys().find(absent) {
            return Err(LabError::said(
                format!("set the sysctl `{name}`"),
                "no namespace of the arm has one of that name",
            ));
        }
        let nodes = sites.iter().filter_map(|site| match site.place {
            Place::Node(side) => Some((side, site)),
            Place::Pod(_) | Place::Outside | Place::Switch => None,
        });
        for (side, node) in nodes {
            self.wire(topology, side, node)?;
        }
        if self.kernel.congestion.is_some() {
            self.note("congestion", congestion.words());
        }
        if let Some(mtu) = self.kernel.mtu {
            self.note("mtu", mtu.to_string());
        }
        Ok(self.facts)
    }

    /// Sets up a node's device towards the other node.
    fn wire(&mut self, topology: &Topology, side: Side, node: &Namespace) -> Result<(), LabError> {
        let port = topology.wire_port(side);
        if let Some(qdisc) = &self.kernel.qdisc {
            let found = node.netlink.set_qdisc(port.index, qdisc)?;
            self.note("qdisc", found);
        }
        if self.kernel.rps {
            let cpus = tuning::steer(&node.netns, &[port.name])?;
            self.note("rps_cpus", cpus);
        }
        Ok(())
    }

    fn note(&mut self, what: &str, found: String) {
        self.facts.insert(what.to_owned(), found);
    }
}
