//! Opening, sizing, loading and attaching one compiled object.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::sync::Once;

use libbpf_rs::{
    Link, Map, MapCore as _, MapFlags, Object, ObjectBuilder, OpenObject, ProgramAttachType,
    ProgramImpl, ProgramMut,
};
use tollgate_results::arm::Family;

use super::privileges::Needs;
use super::raw;
use super::runs::{ProgramRuns, Seat};
use crate::error::{Doing as _, LabError, LabErrorKind};
use crate::netns::NetNs;

/// One C file of `bpf/`, compiled for both address families. A file to which the family makes no difference is embedded
/// twice all the same.
#[derive(Debug)]
pub(crate) struct Code {
    /// What it is, as errors call it: "the socket load balancer".
    pub(crate) what: &'static str,
    /// The objects for IPv4 and IPv6: see [`objects`].
    pub(crate) objects: [&'static [u8]; 2],
    /// What loading it takes.
    pub(crate) needs: Needs,
    /// Whether those of its programs that see what a device takes in send what they are for on by themselves, past the stack.
    pub(crate) redirects: bool,
}

/// Embeds the objects of the C file of this name, IPv4's first, at the alignment that ELF has.
macro_rules! objects {
    ($name:literal) => {{
        #[repr(C, align(8))]
        struct Aligned<T: ?Sized>(T);
        static IPV4: &Aligned<[u8]> =
            &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/", $name, "4.o")));
        static IPV6: &Aligned<[u8]> =
            &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/", $name, "6.o")));
        [&IPV4.0, &IPV6.0]
    }};
}
pub(crate) use objects;

impl Code {
    /// Opens the object of one address family: its maps can be sized and its programs chosen before it is loaded.
    pub(crate) fn open(&self, family: Family) -> libbpf_rs::Result<OpenObject> {
        static SILENCE: Once = Once::new();
        // libbpf would write to the caller's standard error.
        SILENCE.call_once(|| {
            libbpf_rs::set_print(None);
        });
        let [ipv4, ipv6] = self.objects;
        ObjectBuilder::default().open_memory(match family {
            Family::Ipv4 => ipv4,
            Family::Ipv6 => ipv6,
        })
    }
}

/// Sets how many entries maps of an open object can hold, at least one each.
pub(crate) fn resize(object: &mut OpenObject, sizes: &[(&str, u32)]) -> libbpf_rs::Result<()> {
    for mut map in object.maps_mut() {
        let size = sizes
            .iter()
            .find(|(name, _)| map.name().to_str() == Some(*name));
        if let Some((_, size)) = size {
            map.set_max_entries((*size).max(1))?;
        }
    }
    Ok(())
}

/// Has a program of an open object, by its function's name, attached to netkit pairs: to the node's end, where it sees what the
/// pod's end sends.
pub(crate) fn to_netkit(object: &mut OpenObject, name: &str) {
    for mut program in object.progs_mut() {
        if program.name().to_str() == Some(name) {
            program.set_attach_type(ProgramAttachType::NetkitPeer);
        }
    }
}

/// Programs in the kernel, with their maps and links. All of it goes with this value.
#[derive(Debug)]
pub(crate) struct Loaded {
    code: &'static Code,
    // Before the programs that they hold.
    links: Vec<Link>,
    /// Programs at devices, by their function's name, in the order in which they were attached.
    seats: Vec<(String, Seat)>,
    object: Object,
}

/// Keys and values for a map, each back to back.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) keys: Vec<u8>,
    pub(crate) values: Vec<u8>,
    /// How many entries there are.
    pub(crate) count: u32,
}

impl Loaded {
    /// Loads `code`, once `prepare` has done to the open object what it has to.
    ///
    /// # Errors
    /// The kernel refuses: the error says what is missing.
    pub(crate) fn load(
        code: &'static Code,
        family: Family,
        prepare: impl FnOnce(&mut OpenObject) -> libbpf_rs::Result<()>,
    ) -> Result<Self, LabError> {
        let load = || {
            let mut object = code.open(family)?;
            prepare(&mut object)?;
            object.load()
        };
        match load() {
            Ok(object) => Ok(Self {
                code,
                links: Vec::new(),
                seats: Vec::new(),
                object,
            }),
            Err(error) => Err(LabError::said(
                format!("load {}", code.what),
                code.needs.reason(&format!("{error:#}")),
            )),
        }
    }

    /// Finds a map by its name in C.
    pub(crate) fn map(&self, name: &str) -> Result<Map<'_>, LabError> {
        let mut maps = self.object.maps();
        let found = maps.find(|map| map.name().to_str() == Some(name));
        found.ok_or_else(|| LabError::said(self.at_map(name), "the object has none of this name"))
    }

    fn at_map(&self, name: &str) -> String {
        format!("use the map `{name}` of {}", self.code.what)
    }

    /// Puts a table's entries into a map.
    ///
    /// # Errors
    /// They do not fit.
    pub(crate) fn fill(&self, name: &str, table: &Table) -> Result<(), LabError> {
        let count = table.count;
        let doing = || format!("put {count} entries into the map `{name}`");
        let map = self.map(name)?;
        if count > map.max_entries() {
            let size = map.max_entries();
            return Err(LabError::said(doing(), format!("it holds {size}")));
        }
        let (keys, values, any) = (&table.keys, &table.values, MapFlags::ANY);
        if count == 0 {
            return Ok(());
        }
        map.update_batch(keys, values, count, any, any).doing(doing)
    }

    /// Reads an entry of a per-CPU array whose values are 64-bit counts, and adds up the CPUs' counts, each place by
    /// itself.
    ///
    /// # Errors
    /// The kernel refuses to read its own map.
    pub(crate) fn counts(&self, name: &str, entry: u32) -> Result<Vec<u64>, LabError> {
        let values = self.map(name)?;
        let values = values.lookup_percpu(&entry.to_ne_bytes(), MapFlags::ANY);
        let values = values.doing(|| self.at_map(name))?.unwrap_or_default();
        let mut sums = Vec::new();
        for value in &values {
            let (counts, _) = value.as_chunks::<8>();
            sums.resize(counts.len(), 0_u64);
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum = sum.saturating_add(u64::from_ne_bytes(*count));
            }
        }
        Ok(sums)
    }

    /// Attaches every program to a control group of version 2, each at the hook that its section names.
    pub(crate) fn attach_cgroup(&mut self, cgroup: BorrowedFd<'_>) -> Result<(), LabError> {
        let links: libbpf_rs::Result<Vec<Link>> = self
            .object
            .progs_mut()
            .map(|program| program.attach_cgroup(cgroup.as_raw_fd()))
            .collect();
        let links = links.doing(|| format!("attach {} to the client's cgroup", self.code.what))?;
        self.links.extend(links);
        Ok(())
    }

    /// Attaches a program (by its function's name) to the device with this index in `netns`, at the end that its section names,
    /// `tcx/ingress` or `tcx/egress`, or where [`to_netkit`] put it. It runs before those that are attached there already.
    ///
    /// # Errors
    /// There is no such program or device, or the kernel has no tcx (6.6 or newer).
    pub(crate) fn attach(
        &mut self,
        program: &str,
        netns: &NetNs,
        device: u32,
    ) -> Result<(), LabError> {
        let doing = || {
            format!(
                "attach `{program}` of {} to device {device}",
                self.code.what
            )
        };
        // The kernel looks for the device in the caller's namespace.
        let (link, sends) = netns.enter(|| {
            let program = self
                .program(program)
                .ok_or_else(|| LabError::said(doing(), "the object has no program of this name"))?;
            let sends = program.section().to_string_lossy().ends_with("egress");
            let attached = raw::attach(&program, device);
            let link = attached.map_err(|error| {
                LabError::said(doing(), self.code.needs.reason(&error.to_string()))
            })?;
            Ok((link, sends))
        })?;
        self.links.push(link);
        let seat = Seat {
            namespace: netns.number()?,
            device,
            sends,
        };
        self.seats.push((program.to_owned(), seat));
        Ok(())
    }

    /// Finds a program by its function's name.
    pub(crate) fn program(&self, name: &str) -> Option<ProgramMut<'_>> {
        let mut programs = self.object.progs_mut();
        programs.find(|program| program.name().to_str() == Some(name))
    }
}

impl Loaded {
    /// Lists the loaded programs with their runs, which the kernel counts while [`count_runs`] says so.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn runs(&self, place: &str) -> Result<Vec<ProgramRuns>, LabError> {
        let links = self.links.iter().filter_map(|link| link.info().ok());
        let linked: Vec<u32> = links.map(|link| link.prog_id).collect();
        let loaded = self.object.progs().filter(ProgramImpl::autoload);
        let runs = loaded.map(|program| {
            let name = program.name().to_string_lossy().into_owned();
            let info = raw::info(program.as_fd());
            let info = info.doing(|| format!("read how often `{name}` ran"))?;
            let seats = self.seats.iter();
            let seats = seats
                .filter(|(program, _)| *program == name)
                .map(|(_, seat)| *seat)
                .collect();
            Ok(ProgramRuns {
                place: place.to_owned(),
                program: name,
                id: info.id,
                attached: linked.contains(&info.id),
                runs: info.runs,
                time_ns: info.time_ns,
                seats,
                redirects: self.code.redirects,
            })
        });
        runs.collect()
    }
}

impl Table {
    /// Adds an entry, byte for byte as the C side lays it out.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.keys.extend_from_slice(key);
        self.values.extend_from_slice(value);
        self.count += 1;
    }
}

impl From<libbpf_rs::Error> for LabErrorKind {
    fn from(error: libbpf_rs::Error) -> Self {
        Self::System(std::io::Error::other(format!("{error:#}")))
    }
}
