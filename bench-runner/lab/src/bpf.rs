//! The socket load balancer: eBPF programs that translate a service's address at `connect` and `sendmsg`, as Cilium
//! does for traffic between pods.
//!
//! The programs are C (`bpf/`), compiled by the build script and embedded. They, their maps and their links live
//! as long as [`SocketLb`], however the process ends.

mod availability;
mod entries;

use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::sync::Once;

use libbpf_rs::{Link, Map, MapCore as _, MapFlags, Object, ObjectBuilder};
use tollgate_results::arm::Family;

pub use self::availability::available;
use self::entries::{Entries, Table};
use crate::error::{Doing as _, LabError, LabErrorKind};
use crate::services::ServiceSet;

/// Sockets whose original destination is remembered: Cilium has 262,144, which cost 30 MB; the oldest give way.
const ORIGINALS: u32 = 65_536;

/// Data at the alignment that ELF has.
#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

static IPV4: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/socket_lb4.o")));
static IPV6: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/socket_lb6.o")));

/// A socket load balancer at work in one control group.
#[derive(Debug)]
pub struct SocketLb {
    object: Object,
    _links: Vec<Link>,
}

/// How many entries the maps hold.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    services: u32,
    backends: u32,
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
            services: entries.services.count(),
            backends: entries.backends.count(),
        };
        Self::load_sized(cgroup, services.family(), &entries, sizes)
    }

    fn load_sized(
        cgroup: BorrowedFd<'_>,
        family: Family,
        entries: &Entries,
        sizes: Sizes,
    ) -> Result<Self, LabError> {
        let object = load_object(family, sizes).doing(|| "load the socket load balancer")?;
        for (name, table) in [
            ("services", &entries.services),
            ("backends", &entries.backends),
        ] {
            fill(&object, name, table)?;
        }
        // The maps are full before the first socket can ask.
        let links: Result<Vec<Link>, _> = object
            .progs_mut()
            .map(|program| program.attach_cgroup(cgroup.as_raw_fd()))
            .collect();
        let links = links.doing(|| "attach the socket load balancer to the client's cgroup")?;
        Ok(Self {
            object,
            _links: links,
        })
    }

    /// Returns how many connects and sends were translated so far.
    ///
    /// # Errors
    /// The kernel refuses to read its own map.
    pub fn translations(&self) -> Result<u64, LabError> {
        let doing = || "read the socket load balancer's counter";
        let map = find(&self.object, "translations").doing(doing)?;
        let counts = map
            .lookup_percpu(&0_u32.to_ne_bytes(), MapFlags::ANY)
            .doing(doing)?;
        let counts = counts.unwrap_or_default();
        let counts = counts.iter().filter_map(|count| count.first_chunk::<8>());
        Ok(counts.map(|count| u64::from_ne_bytes(*count)).sum())
    }
}

fn load_object(family: Family, sizes: Sizes) -> libbpf_rs::Result<Object> {
    static SILENCE: Once = Once::new();
    // libbpf would write to the caller's standard error.
    SILENCE.call_once(|| {
        libbpf_rs::set_print(None);
    });
    let code = match family {
        Family::Ipv4 => &IPV4.0,
        Family::Ipv6 => &IPV6.0,
    };
    let mut object = ObjectBuilder::default().open_memory(code)?;
    for mut map in object.maps_mut() {
        let size = match map.name().to_str() {
            Some("services") => sizes.services,
            Some("backends") => sizes.backends,
            Some("originals") => ORIGINALS,
            _ => continue,
        };
        map.set_max_entries(size.max(1))?;
    }
    object.load()
}

fn find<'a>(object: &'a Object, name: &str) -> Result<Map<'a>, LabErrorKind> {
    let found = object.maps().find(|map| map.name().to_str() == Some(name));
    found.ok_or_else(|| LabErrorKind::Impossible(format!("the program has no map `{name}`")))
}

fn fill(object: &Object, name: &str, table: &Table) -> Result<(), LabError> {
    let count = table.count();
    let doing = || format!("put {count} entries into the map `{name}`");
    let map = find(object, name).doing(doing)?;
    if count > map.max_entries() {
        let size = map.max_entries();
        return Err(LabError::said(doing(), format!("it holds {size}")));
    }
    if count > 0 {
        map.update_batch(
            &table.keys,
            &table.values,
            count,
            MapFlags::ANY,
            MapFlags::ANY,
        )
        .doing(doing)?;
    }
    Ok(())
}

impl From<libbpf_rs::Error> for LabErrorKind {
    fn from(error: libbpf_rs::Error) -> Self {
        Self::System(std::io::Error::other(format!("{error:#}")))
    }
}

#[cfg(test)]
mod tests;
