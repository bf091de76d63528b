//! The socket load balancer: programs that translate a service's address at `connect` and `sendmsg`, as Cilium does for
//! traffic between pods.

use std::fs;
use std::os::fd::BorrowedFd;

use tollgate_results::arm::Family;

use super::entries::Entries;
use super::{BPF, Code, Loaded, NET_ADMIN, Needs, ProgramRuns, objects, resize};
use crate::error::LabError;
use crate::services::ServiceSet;

/// Sockets whose original destination is remembered: Cilium has 262,144, which cost 30 MB; the oldest give way.
const ORIGINALS: u32 = 65_536;

static CODE: Code = Code {
    what: "the socket load balancer",
    objects: objects!("socket_lb"),
    needs: Needs {
        capabilities: &[BPF, NET_ADMIN],
        kernel: "CONFIG_CGROUP_BPF, version 5.8 or newer",
    },
    redirects: false,
};

/// Clients that are kept at their endpoints: the lab has one for each port of the service under test.
const CLIENTS: u32 = 1_024;

/// A socket load balancer at work in one control group.
#[derive(Debug)]
pub struct SocketLb {
    loaded: Loaded,
}

/// How many entries the maps hold.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    services: u32,
    backends: u32,
}

/// Tries to load the socket load balancer's programs, with empty maps.
///
/// # Errors
/// One line that says why it cannot run here and how to mend it.
pub fn available() -> Result<(), String> {
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !filesystems.lines().any(|line| line.ends_with("\tcgroup2")) {
        return Err("this kernel has no cgroup2; it needs CONFIG_CGROUP_BPF".to_owned());
    }
    let sizes = Sizes {
        services: 1,
        backends: 1,
    };
    let loaded = load(Family::Ipv4, sizes);
    loaded.map(drop).map_err(|error| error.cause())
}

fn load(family: Family, sizes: Sizes) -> Result<Loaded, LabError> {
    Loaded::load(&CODE, family, |object| {
        let sizes = [
            ("services", sizes.services),
            ("backends", sizes.backends),
            ("originals", ORIGINALS),
            ("affinity", CLIENTS),
        ];
        resize(object, &sizes)
    })
}

impl SocketLb {
    /// Loads the programs of the set's address family, fills their maps, and attaches them to `cgroup`, a directory of
    /// the version 2 hierarchy: sockets are translated that a process makes after it has joined.
    ///
    /// # Errors
    /// The kernel refuses: see [`available`].
    pub fn load(cgroup: BorrowedFd<'_>, services: &ServiceSet) -> Result<Self, LabError> {
        let entries = Entries::of(services);
        let sizes = Sizes {
            services: entries.services.count,
            backends: entries.backends.count,
        };
        Self::load_sized(cgroup, services.family(), &entries, sizes)
    }

    fn load_sized(
        cgroup: BorrowedFd<'_>,
        family: Family,
        entries: &Entries,
        sizes: Sizes,
    ) -> Result<Self, LabError> {
        let mut loaded = load(family, sizes)?;
        loaded.fill("services", &entries.services)?;
        loaded.fill("backends", &entries.backends)?;
        // The maps are full before the first socket can ask.
        loaded.attach_cgroup(cgroup)?;
        Ok(Self { loaded })
    }

    /// Returns how many connects and sends were translated so far.
    ///
    /// # Errors
    /// The kernel refuses to read its own map.
    pub fn translations(&self) -> Result<u64, LabError> {
        let counts = self.loaded.counts("translations", 0)?;
        Ok(counts.into_iter().sum())
    }

    /// Lists the programs with their runs.
    pub(crate) fn runs(&self) -> Result<Vec<ProgramRuns>, LabError> {
        self.loaded.runs("client")
    }
}

#[cfg(test)]
mod tests;
