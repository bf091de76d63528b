//! eBPF programs that traffic control runs as filters: the way before kernel 6.6, and still that of many plugins.

use std::io;

use nix::sys::socket::SockProtocol;
use tollgate_results::node::Hook;

use super::netlink::{attribute, dump, text};

/// `RTM_GETTFILTER`, and the length of the `tcmsg` before the attributes.
const GET_FILTER: u16 = 46;
const HEAD: usize = 20;

/// What the hooks of the `clsact` queueing discipline are called (`pkt_sched.h`).
const PARENTS: [(Hook, u32); 2] = [
    (Hook::TcIngress, 0xffff_fff2),
    (Hook::TcEgress, 0xffff_fff3),
];

/// Attributes of a filter, and the name among the options of one that is eBPF (`pkt_cls.h`).
const KIND: u16 = 1;
const OPTIONS: u16 = 2;
const BPF_NAME: u16 = 7;

/// A link without such a discipline: kernels differ in how they say so.
const NOTHING: [i32; 3] = [nix::libc::EINVAL, nix::libc::ENOENT, nix::libc::EOPNOTSUPP];

/// Returns the programs at a link, by their names.
pub(super) fn of(link: u32) -> io::Result<Vec<(Hook, String)>> {
    let mut found = Vec::new();
    for (hook, parent) in PARENTS {
        let mut head = vec![0; HEAD];
        head[4..8].copy_from_slice(&link.to_ne_bytes());
        head[12..16].copy_from_slice(&parent.to_ne_bytes());
        let entries = match dump(SockProtocol::NetlinkRoute, GET_FILTER, &head) {
            Err(error)
                if error
                    .raw_os_error()
                    .is_some_and(|code| NOTHING.contains(&code)) =>
            {
                continue;
            }
            entries => entries?,
        };
        found.extend(
            entries
                .iter()
                .filter_map(|entry| Some((hook, program(entry)?))),
        );
    }
    Ok(found)
}

/// Returns the name of a filter's program. There is an entry for the filter itself, and one for its chain.
fn program(entry: &[u8]) -> Option<String> {
    let body = entry.get(HEAD..)?;
    if text(attribute(body, KIND)?) != "bpf" {
        return None;
    }
    let name = attribute(attribute(body, OPTIONS)?, BPF_NAME)?;
    // By the tools' custom: the object's file and its section, `bpf_host.o:[cil_from_netdev]`.
    let name = text(name);
    let section = name
        .split_once('[')
        .map(|(_, section)| section.trim_end_matches(']'));
    Some(section.map_or_else(|| name.clone(), ToOwned::to_owned))
}

#[cfg(test)]
mod tests {
    use super::super::netlink::build::attribute as built;
    use super::*;

    fn filter(kind: &[u8], options: &[u8]) -> Vec<u8> {
        let attributes = [built(KIND, kind), built(OPTIONS, options)].concat();
        [vec![0; HEAD], attributes].concat()
    }

    #[test]
    fn programs_are_known_by_their_names() {
        let named = |name: &[u8]| program(&filter(b"bpf\0", &built(BPF_NAME, name)));
        assert_eq!(
            named(b"bpf_host.o:[cil_from_netdev]\0").as_deref(),
            Some("cil_from_netdev")
        );
        assert_eq!(
            named(b"cil_to_netdev-eth0\0").as_deref(),
            Some("cil_to_netdev-eth0")
        );
        assert_eq!(program(&filter(b"u32\0", &built(BPF_NAME, b"x\0"))), None);
        assert_eq!(program(&filter(b"bpf\0", &[])), None);
        assert_eq!(program(&[0; 8]), None);
    }
}
