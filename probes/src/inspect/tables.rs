//! Chains of `nf_tables`, with the table that each is in. The newer iptables has its tables there too.

use std::io;

use nix::sys::socket::SockProtocol;

use super::netlink::{attribute, dump, text};

/// `NFT_MSG_GETCHAIN` of the subsystem `NFNL_SUBSYS_NFTABLES`.
const GET_CHAIN: u16 = 10 << 8 | 4;

/// Length of the `nfgenmsg` before the attributes; all zero asks for every family.
const HEAD: usize = 4;

/// Attributes of a chain (`nf_tables.h`).
const TABLE: u16 = 1;
const NAME: u16 = 3;

/// Returns every chain as its table's name and its own; none where the kernel has no `nf_tables`.
pub(super) fn chains() -> io::Result<Vec<(String, String)>> {
    match dump(SockProtocol::NetlinkNetFilter, GET_CHAIN, &[0; HEAD]) {
        // No such subsystem, or no netfilter at all.
        Err(error) if is_absent(&error) => Ok(Vec::new()),
        entries => Ok(entries?.iter().filter_map(|entry| chain(entry)).collect()),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(nix::libc::EINVAL | nix::libc::EPROTONOSUPPORT | nix::libc::EOPNOTSUPP)
    )
}

fn chain(entry: &[u8]) -> Option<(String, String)> {
    let body = entry.get(HEAD..)?;
    Some((text(attribute(body, TABLE)?), text(attribute(body, NAME)?)))
}

#[cfg(test)]
mod tests {
    use super::super::netlink::build::attribute as built;
    use super::*;

    #[test]
    fn a_chain_is_read_with_its_table() {
        let attributes = [built(TABLE, b"kube-proxy\0"), built(NAME, b"services\0")].concat();
        let entry = [vec![2, 0, 0, 0], attributes].concat();
        let expected = ("kube-proxy".to_owned(), "services".to_owned());
        assert_eq!(chain(&entry), Some(expected));
        assert_eq!(chain(&entry[..10]), None);
        assert_eq!(chain(&[]), None);
    }
}
