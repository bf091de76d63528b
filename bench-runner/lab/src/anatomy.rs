//! The packet clock: eBPF programs that follow the packets of one arm's exchanges and stamp them on their way.
//!
//! The programs (`bpf/anatomy.c`) are loaded for one arm and one kind of traffic, and gone when the clock is stopped,
//! or the process ends: attached, they cost every packet of the machine a comparison, the followed ones more. What
//! they write is read every 20 ms, so that nobody is woken up by a packet.

mod reader;

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;

use libbpf_rs::{
    Link, MapCore as _, MapFlags, NFPROTO_IPV4, NFPROTO_IPV6, NetfilterOpts, OpenObject,
};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};
use tollgate_results::anatomy::{Followed, Hook};
use tollgate_results::arm::Family;

use self::reader::Reader;
use crate::bpf::{BPF, Code, Loaded, NET_ADMIN, Needs, PERFMON, objects};
use crate::error::{Doing as _, LabError};
use crate::netns::NetNs;

static CODE: Code = Code {
    what: "the packet clock",
    objects: objects!("anatomy"),
    needs: Needs {
        capabilities: &[BPF, PERFMON, NET_ADMIN],
        kernel: "CONFIG_DEBUG_INFO_BTF, version 6.3 or newer (6.4 for stamps in netfilter)",
    },
    redirects: false,
};

/// Programs at tracepoints; those around parts of netfilter are named by [`around`].
const TRACEPOINTS: [&str; 5] = [
    "on_queue",
    "on_netif_rx",
    "on_receive",
    "on_gro",
    "on_data_ready",
];

/// What a packet clock follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSpec {
    /// Which packets.
    pub followed: Followed,
    /// Parts of netfilter with stamps of their own, in every namespace of the arm.
    pub netfilter: Vec<Hook>,
    /// Room between the programs and their reader, in bytes: a power of two of at least a page. Records that find
    /// none are counted.
    pub ring_bytes: u32,
    /// The CPU that the reader keeps away from.
    pub away_from: Option<u32>,
}

impl ClockSpec {
    /// The usual room: none of 200,000 packets was lost with it on the reference machine (reference/ebpf §1.4).
    pub const RING_BYTES: u32 = 16 << 20;
}

/// What a packet clock did not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClockEnd {
    /// Packets whose record found no room.
    pub lost: u64,
    /// Packets that were followed no further: another one was sent before they arrived, or they had too many events.
    pub given_up: u64,
}

/// Whose packets are followed: `struct config` of the programs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    /// Inode numbers of the namespaces of client and server.
    pub(crate) namespaces: [u32; 2],
    /// Port that the client connects to, and the one that the server has.
    pub(crate) ports: [u16; 2],
    pub(crate) family: Family,
}

/// A clock that runs. It ends with this value.
#[derive(Debug)]
pub(crate) struct PacketClock {
    // Before the programs that they hold.
    links: Vec<Link>,
    reader: Reader,
    loaded: Loaded,
}

impl PacketClock {
    /// Loads the programs and attaches them; those of netfilter in each of `namespaces`.
    pub(crate) fn start(
        spec: &ClockSpec,
        ends: Ends,
        namespaces: &[&NetNs],
    ) -> Result<Self, LabError> {
        let loaded = load(spec, &config(spec.followed, ends))?;
        let reader = Reader::start(&loaded.map("ring")?, spec.away_from)?;
        let mut links = Vec::new();
        for name in TRACEPOINTS {
            let doing = || format!("attach the packet clock's `{name}`");
            let program = loaded.program(name);
            let program = program.ok_or_else(|| LabError::said(doing(), "there is none"))?;
            links.push(program.attach().doing(doing)?);
        }
        for hook in &spec.netfilter {
            for (name, after) in around(*hook) {
                for netns in namespaces {
                    let options = options(*hook, after, ends.family);
                    links.push(attach_netfilter(&loaded, &name, netns, options)?);
                }
            }
        }
        Ok(Self {
            links,
            reader,
            loaded,
        })
    }

    /// Stops the clock. Returns what it did not keep, and a file with the records of what it did
    /// ([`tollgate_results::anatomy::decode`]).
    pub(crate) fn stop(self) -> Result<(ClockEnd, OwnedFd), LabError> {
        const DOING: &str = "take the packet clock's records";
        let Self {
            links,
            reader,
            loaded,
        } = self;
        drop(links);
        let kept = reader.end();
        let counters = loaded.map("counters")?;
        let counters = counters.lookup(&0_u32.to_ne_bytes(), MapFlags::ANY);
        let counters = counters.doing(|| DOING)?.unwrap_or_default();
        let counter = |place: usize| {
            let bytes = counters.get(8 * place..).and_then(<[u8]>::first_chunk);
            let count = bytes.map(|bytes| u64::from_ne_bytes(*bytes));
            count.ok_or_else(|| LabError::said(DOING, "its counters cannot be read"))
        };
        let end = ClockEnd {
            lost: counter(0)?.saturating_add(kept.lost),
            given_up: counter(1)?,
        };
        let file = memfd_create(c"packet-clock", MFdFlags::MFD_CLOEXEC).doing(|| DOING)?;
        let mut file = File::from(file);
        file.write_all(&kept.bytes).doing(|| DOING)?;
        Ok((end, file.into()))
    }
}

/// Tries to load the programs, those around parts of netfilter among them if any are named.
///
/// # Errors
/// One line that says why it cannot run here and how to mend it.
pub(crate) fn available(netfilter: &[Hook]) -> Result<(), String> {
    let spec = ClockSpec {
        followed: Followed::TcpRr,
        netfilter: netfilter.to_vec(),
        ring_bytes: 4096,
        away_from: None,
    };
    let loaded = load(&spec, &[]);
    // The whole chain: "load the packet clock" is said nowhere else.
    loaded.map(drop).map_err(|error| error.chain())
}

/// Names the programs around a part of netfilter, each with whether it comes after it.
fn around(hook: Hook) -> [(String, bool); 2] {
    let name = |side| format!("{}_{side}", hook.as_str());
    [(name("enter"), false), (name("leave"), true)]
}

fn options(hook: Hook, after: bool, family: Family) -> NetfilterOpts {
    let (hook, middle) = hook.place();
    NetfilterOpts {
        protocol_family: match family {
            Family::Ipv4 => NFPROTO_IPV4,
            Family::Ipv6 => NFPROTO_IPV6,
        },
        hooknum: i32::try_from(hook).unwrap_or_default(),
        priority: if after { middle + 1 } else { middle - 1 },
        ..NetfilterOpts::default()
    }
}

/// Attaches a program of netfilter in a namespace.
fn attach_netfilter(
    loaded: &Loaded,
    name: &str,
    netns: &NetNs,
    options: NetfilterOpts,
) -> Result<Link, LabError> {
    netns.enter(|| {
        let doing = || format!("attach the packet clock's `{name}` to netfilter");
        let program = loaded.program(name);
        let program = program.ok_or_else(|| LabError::said(doing(), "there is none"))?;
        program.attach_netfilter_with_opts(options).doing(doing)
    })
}

/// Writes `struct config`.
fn config(followed: Followed, ends: Ends) -> [u8; 16] {
    let (protocol, first) = match followed {
        Followed::TcpRr => (6, 0),
        Followed::UdpRr => (17, 0),
        Followed::TcpConnect => (6, 1),
    };
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&ends.namespaces[0].to_ne_bytes());
    bytes[4..8].copy_from_slice(&ends.namespaces[1].to_ne_bytes());
    bytes[8..10].copy_from_slice(&ends.ports[0].to_ne_bytes());
    bytes[10..12].copy_from_slice(&ends.ports[1].to_ne_bytes());
    bytes[12] = protocol;
    bytes[13] = first;
    bytes
}

/// Loads the programs that are wanted.
fn load(spec: &ClockSpec, config: &[u8]) -> Result<Loaded, LabError> {
    let mut wanted: Vec<String> = TRACEPOINTS.map(str::to_owned).to_vec();
    let netfilter = spec.netfilter.iter().flat_map(|hook| around(*hook));
    wanted.extend(netfilter.map(|(name, _)| name));
    // The programs are the same for both address families.
    Loaded::load(&CODE, Family::Ipv4, |object| {
        configure(object, config, spec.ring_bytes)?;
        for mut program in object.progs_mut() {
            let is_wanted = wanted.iter().any(|name| program.name() == name.as_str());
            program.set_autoload(is_wanted);
        }
        Ok(())
    })
}

fn configure(object: &mut OpenObject, config: &[u8], ring_bytes: u32) -> libbpf_rs::Result<()> {
    for mut map in object.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        if name == "ring" {
            map.set_max_entries(ring_bytes)?;
        } else if name.ends_with(".rodata")
            && let Some(value) = map.initial_value_mut()
            && let Some(place) = value.get_mut(..config.len())
        {
            place.copy_from_slice(config);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_netfilter_lies_between_its_programs() {
        for hook in Hook::ALL {
            let [enter, leave] = around(hook);
            assert_eq!(enter.0, format!("{}_enter", hook.as_str()));
            let priority = |after| options(hook, after, Family::Ipv4).priority;
            assert!(!enter.1 && leave.1);
            assert_eq!(priority(true) - priority(false), 2);
            assert_eq!(priority(true) - 1, hook.place().1);
        }
        assert_eq!(options(Hook::Snat, true, Family::Ipv6).hooknum, 4);
    }

    #[test]
    fn the_configuration_is_laid_out_as_in_c() {
        let ends = Ends {
            namespaces: [1, 2],
            ports: [80, 8080],
            family: Family::Ipv4,
        };
        let bytes = config(Followed::TcpConnect, ends);
        assert_eq!(bytes[4..8], 2_u32.to_ne_bytes());
        assert_eq!(bytes[10..12], 8080_u16.to_ne_bytes());
        assert_eq!(bytes[12..], [6, 1, 0, 0]);
        assert_eq!(config(Followed::UdpRr, ends)[12..14], [17, 0]);
    }
}
