//! The eBPF programs of the entry node, and of the server's node under direct server return (`bpf/entry.c`,
//! `bpf/direct_return.c`).

use std::net::{IpAddr, SocketAddr};

use libbpf_rs::{MapCore as _, MapFlags, OpenObject};
use tollgate_results::arm::Family;
use tollgate_results::evidence::EntryPackets;
use tollgate_results::outcome::{Flow, Protocol};

use crate::bpf::{BPF, Code, Loaded, NET_ADMIN, Needs, ProgramRuns, objects, resize};
use crate::error::{Doing as _, LabError};
use crate::netns::NetNs;
use crate::topology::Port;

/// What loading either takes.
const NEEDS: Needs = Needs {
    capabilities: &[BPF, NET_ADMIN],
    kernel: "CONFIG_NET_XGRESS, version 6.6 or newer",
};

static ENTRY: Code = Code {
    what: "the entry node's programs",
    objects: objects!("entry"),
    needs: NEEDS,
    redirects: true,
};

static DIRECT_RETURN: Code = Code {
    what: "the programs for direct server return",
    objects: objects!("direct_return"),
    needs: NEEDS,
    redirects: false,
};

/// Connections that each table holds; the oldest give way. One client address has 28,232 source ports by default, for TCP and for
/// UDP.
const CONNECTIONS: u32 = 131_072;

/// The addresses that the entry node's programs deal with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) service: SocketAddr,
    pub(super) endpoint: SocketAddr,
    /// The entry node's own address.
    pub(super) entry: IpAddr,
    /// The next hop on the way to the endpoint.
    pub(super) server_node: IpAddr,
}

/// The entry node's programs at work.
#[derive(Debug)]
pub(super) struct Entry {
    loaded: Loaded,
    ends: Ends,
}

impl Entry {
    /// Loads them and attaches them to the entry node's device. With `direct`, replies go from the server's node straight to the
    /// client.
    pub(super) fn load(
        node: &NetNs,
        port: Port,
        ends: &Ends,
        direct: bool,
    ) -> Result<Self, LabError> {
        let config = config(ends, port.index, port.mtu, direct);
        let mut loaded = Loaded::load(&ENTRY, Family::Ipv4, |object| {
            resize(
                object,
                &[("connections", CONNECTIONS), ("replies", CONNECTIONS)],
            )?;
            set_constants(object, &config)
        })?;
        loaded.attach("at_entry", node, port.index)?;
        Ok(Self {
            loaded,
            ends: *ends,
        })
    }

    /// Lists the programs with their runs.
    pub(super) fn runs(&self) -> Result<Vec<ProgramRuns>, LabError> {
        self.loaded.runs("node a")
    }

    /// Returns what they have met so far.
    pub(super) fn packets(&self) -> Result<EntryPackets, LabError> {
        let counts = self.loaded.counts("packets", 0)?;
        let [to_endpoint, to_client, refused] = counts[..] else {
            let why = format!("it has {} counts, not 3", counts.len());
            return Err(LabError::said("read the entry node's counters", why));
        };
        Ok(EntryPackets {
            to_endpoint,
            to_client,
            refused,
        })
    }

    /// Returns as whom the endpoint is to know the client of a connection to the service; `None` where the table has no such
    /// connection.
    pub(super) fn client_as(&self, flow: &Flow) -> Result<Option<SocketAddr>, LabError> {
        let doing = || "look up a connection in the entry node's table";
        if flow.remote != self.ends.service {
            return Ok(None);
        }
        let found = self.loaded.map("connections")?;
        let found = found.lookup(&key(flow), MapFlags::ANY).doing(doing)?;
        let Some([a, b, c, d, high, low, _, _]) = found.as_deref() else {
            return Ok(None);
        };
        let port = u16::from_be_bytes([*high, *low]);
        Ok(Some(SocketAddr::from(([*a, *b, *c, *d], port))))
    }
}

/// The programs of the server's node.
#[derive(Debug)]
pub(super) struct DirectReturn {
    loaded: Loaded,
}

impl DirectReturn {
    /// Loads them and attaches them to the device of the server's node.
    pub(super) fn load(node: &NetNs, port: Port) -> Result<Self, LabError> {
        let mut loaded = Loaded::load(&DIRECT_RETURN, Family::Ipv4, |object| {
            resize(object, &[("asked", CONNECTIONS)])
        })?;
        for program in ["to_pods", "from_pods"] {
            loaded.attach(program, node, port.index)?;
        }
        Ok(Self { loaded })
    }

    /// Lists the programs with their runs.
    pub(super) fn runs(&self) -> Result<Vec<ProgramRuns>, LabError> {
        self.loaded.runs("node b")
    }
}

/// Tries to load the programs, as far as that needs no device.
///
/// # Errors
/// One line that says why they cannot run here and how to mend it.
pub(crate) fn available() -> Result<(), String> {
    for code in [&ENTRY, &DIRECT_RETURN] {
        Loaded::load(code, Family::Ipv4, |_| Ok(())).map_err(|error| error.cause())?;
    }
    Ok(())
}

/// Sets `config` of `bpf/entry.c`.
fn set_constants(object: &mut OpenObject, config: &[u8]) -> libbpf_rs::Result<()> {
    for mut map in object.maps_mut() {
        // libbpf puts the object's name in front.
        if map.name().to_string_lossy().ends_with(".rodata") {
            map.set_initial_value(config)?;
        }
    }
    Ok(())
}

/// Lays out `struct config` of `bpf/entry.c`: addresses and ports in network order, the rest in the machine's.
fn config(ends: &Ends, device: u32, mtu: u32, direct: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    for end in [ends.service, ends.endpoint] {
        put(&mut bytes, end);
        bytes.extend([0; 2]);
    }
    for address in [ends.entry, ends.server_node] {
        put_address(&mut bytes, address);
    }
    bytes.extend(device.to_ne_bytes());
    bytes.extend(u16::try_from(mtu).unwrap_or(u16::MAX).to_ne_bytes());
    bytes.extend([u8::from(direct), 0]);
    bytes
}

/// Lays out `struct flow` of `bpf/north_south.h`.
fn key(flow: &Flow) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    put_address(&mut bytes, flow.local.ip());
    put_address(&mut bytes, flow.remote.ip());
    bytes.extend(flow.local.port().to_be_bytes());
    bytes.extend(flow.remote.port().to_be_bytes());
    let protocol = match flow.protocol {
        Protocol::Tcp => libc::IPPROTO_TCP,
        Protocol::Udp => libc::IPPROTO_UDP,
        Protocol::Icmp => libc::IPPROTO_ICMP,
    };
    bytes.extend([u8::try_from(protocol).unwrap_or(0), 0, 0, 0]);
    bytes
}

fn put(bytes: &mut Vec<u8>, end: SocketAddr) {
    put_address(bytes, end.ip());
    bytes.extend(end.port().to_be_bytes());
}

/// Only IPv4 comes here: the datapath was checked.
fn put_address(bytes: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => bytes.extend(address.octets()),
        IpAddr::V6(_) => bytes.extend([0; 4]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_and_rust_agree_on_every_size() {
        let ends = Ends {
            service: "192.168.77.240:80".parse().unwrap(),
            endpoint: "10.244.1.2:8080".parse().unwrap(),
            entry: "192.168.77.1".parse().unwrap(),
            server_node: "192.168.77.2".parse().unwrap(),
        };
        let config = config(&ends, 11, 1500, true);
        let flow = Flow {
            protocol: Protocol::Udp,
            local: "192.168.77.200:40000".parse().unwrap(),
            remote: ends.service,
            incoming_cpu: None,
        };
        let object = ENTRY.open(Family::Ipv4).unwrap();
        let sizes = |name: &str| {
            let map = object
                .maps()
                .find(|map| map.name().to_string_lossy().ends_with(name))
                .unwrap();
            (map.key_size() as usize, map.value_size() as usize)
        };
        assert_eq!(sizes(".rodata"), (4, config.len()));
        assert_eq!(sizes("connections"), (key(&flow).len(), 8));
        assert_eq!(sizes("packets"), (4, 24));
    }
}
