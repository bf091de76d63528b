//! The links of this network namespace.

use std::io;

use nix::sys::socket::SockProtocol;

use super::MOST_LINKS;
use super::netlink::{attribute, dump, text, u32_at};

/// `RTM_GETLINK`, and the length of the `ifinfomsg` before the attributes.
const GET_LINK: u16 = 18;
const HEAD: usize = 16;

/// Flags of a link.
const UP: u32 = 1;
const LOOPBACK: u32 = 8;

/// Attributes of a link (`if_link.h`).
const NAME: u16 = 3;
const MTU: u16 = 4;
const LINK: u16 = 5;
const INFO: u16 = 18;
const LINK_NAMESPACE: u16 = 37;
const XDP: u16 = 43;

/// Within [`INFO`] and [`XDP`].
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
/// Within [`INFO_DATA`] of a VXLAN link, which says there what it runs over.
const VXLAN_LINK: u16 = 3;
const XDP_PROGRAM: u16 = 4;

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) mtu: u32,
    pub(super) up: bool,
    /// The link that it runs over, in this namespace.
    pub(super) over: Option<u32>,
    /// Number of the XDP program on it.
    pub(super) xdp: Option<u32>,
}

/// Returns every link but loopback.
pub(super) fn all() -> io::Result<Vec<Link>> {
    let entries = dump(SockProtocol::NetlinkRoute, GET_LINK, &[0; HEAD])?;
    let links = entries.iter().filter_map(|entry| link(entry));
    Ok(links.take(MOST_LINKS).collect())
}

fn link(entry: &[u8]) -> Option<Link> {
    let index = u32_at(entry, 4)?;
    let flags = u32_at(entry, 8)?;
    let body = entry.get(HEAD..)?;
    if flags & LOOPBACK != 0 {
        return None;
    }
    let info = |kind| attribute(body, INFO).and_then(|info| attribute(info, kind));
    let kind = info(INFO_KIND).map_or_else(|| "device".to_owned(), text);
    let number = |kind| attribute(body, kind).and_then(|value| u32_at(value, 0));
    let elsewhere = attribute(body, LINK_NAMESPACE).is_some();
    let inside = info(INFO_DATA).filter(|_| kind == "vxlan");
    let inside = inside.and_then(|data| u32_at(attribute(data, VXLAN_LINK)?, 0));
    let over = number(LINK).or(inside);
    let over = over.filter(|&over| over != 0 && over != index && !elsewhere);
    let xdp = attribute(body, XDP).and_then(|xdp| attribute(xdp, XDP_PROGRAM));
    Some(Link {
        index,
        name: text(attribute(body, NAME)?),
        mtu: number(MTU)?,
        up: flags & UP != 0,
        // Of a veth pair it is the other end.
        over: over.filter(|_| kind != "veth" && kind != "netkit"),
        xdp: xdp
            .and_then(|program| u32_at(program, 0))
            .filter(|&program| program != 0),
        kind,
    })
}

#[cfg(test)]
mod tests {
    use super::super::netlink::build::attribute as built;
    use super::*;

    fn entry(flags: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut entry = vec![0; 4];
        entry.extend(7_u32.to_ne_bytes());
        entry.extend(flags.to_ne_bytes());
        entry.extend([0; 4]);
        entry.extend(attributes.concat());
        entry
    }

    #[test]
    fn a_tunnel_is_read_with_what_it_runs_over_and_its_program() {
        let attributes = [
            built(NAME, b"flannel.1\0"),
            built(MTU, &1450_u32.to_ne_bytes()),
            built(LINK, &2_u32.to_ne_bytes()),
            built(INFO, &built(INFO_KIND, b"vxlan\0")),
            built(XDP, &built(XDP_PROGRAM, &9_u32.to_ne_bytes())),
        ];
        let found = link(&entry(UP, &attributes)).unwrap();
        assert_eq!(
            (found.index, found.name.as_str(), found.kind.as_str()),
            (7, "flannel.1", "vxlan")
        );
        assert_eq!(
            (found.mtu, found.up, found.over, found.xdp),
            (1450, true, Some(2), Some(9))
        );
        // The kernel tells it of VXLAN among the kind's own settings.
        let data = built(INFO_DATA, &built(VXLAN_LINK, &2_u32.to_ne_bytes()));
        let over = |kind: &[u8]| {
            let info = [built(INFO_KIND, kind), data.clone()].concat();
            let attributes = [
                attributes[0].clone(),
                attributes[1].clone(),
                built(INFO, &info),
            ];
            link(&entry(UP, &attributes)).unwrap().over
        };
        assert_eq!((over(b"vxlan\0"), over(b"geneve\0")), (Some(2), None));
    }

    #[test]
    fn the_other_end_of_a_pair_is_nothing_to_run_over() {
        let pair = |more: &[Vec<u8>]| {
            let mut attributes = vec![
                built(NAME, b"veth1\0"),
                built(MTU, &1500_u32.to_ne_bytes()),
                built(LINK, &3_u32.to_ne_bytes()),
            ];
            attributes.extend(more.iter().cloned());
            link(&entry(0, &attributes)).unwrap()
        };
        assert_eq!(
            pair(&[built(INFO, &built(INFO_KIND, b"veth\0"))]).over,
            None
        );
        assert_eq!(
            pair(&[built(LINK_NAMESPACE, &0_u32.to_ne_bytes())]).over,
            None
        );
        let plain = pair(&[]);
        assert_eq!(
            (plain.kind.as_str(), plain.over, plain.up),
            ("device", Some(3), false)
        );
    }

    #[test]
    fn loopback_and_what_is_cut_off_are_none() {
        let name = [built(NAME, b"lo\0"), built(MTU, &65536_u32.to_ne_bytes())];
        assert_eq!(link(&entry(LOOPBACK, &name)), None);
        let whole = entry(UP, &name);
        for length in 0..whole.len() {
            let _ = link(&whole[..length]);
        }
        assert_eq!(link(&[]), None);
    }
}
