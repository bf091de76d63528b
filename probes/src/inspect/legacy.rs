//! Chains of the older iptables, which keeps its tables in the kernel as one block each.
#![expect(
    unsafe_code,
    reason = "socket options of netfilter, which no crate in use wraps"
)]

use std::io;
use std::os::fd::AsRawFd as _;

use nix::libc::{self, c_int, c_void, socklen_t};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use super::listed;
use super::netlink::{text, u16_at, u32_at};

/// Names of the tables that are in use: asking for another one would make it.
const IN_USE: &str = "/proc/self/net/ip_tables_names";

/// The table in which services are.
const TABLE: &str = "nat";

/// `IPT_SO_GET_INFO` with the length of `struct ipt_getinfo`, in which the size of all entries stands last.
const GET_INFO: c_int = 64;
const INFO: usize = 84;
const INFO_SIZE: usize = 80;

/// `IPT_SO_GET_ENTRIES` with what stands before the entries: name, size, padding.
const GET_ENTRIES: c_int = 65;
const BEFORE: usize = 40;
const NAME: usize = 32;

/// Largest table that is read: 10,000 services take some 20 MiB.
const LARGEST: usize = 256 << 20;

/// `struct ipt_entry`: where its target and the next entry are, and its own length.
const TARGET_AT: usize = 88;
const NEXT_AT: usize = 90;
const ENTRY: usize = 112;

/// `struct xt_entry_target`: the length, the name, and the start of what belongs to it.
const TARGET_NAME: usize = 2;
const TARGET: usize = 32;

/// The target by which a chain starts, with the chain's name.
const HEAD_OF_CHAIN: &str = "ERROR";

/// Returns the chains that a user made in the table of services; none where there is no such table.
pub(super) fn chains() -> io::Result<Vec<String>> {
    if !listed(IN_USE)?.lines().any(|table| table.trim() == TABLE) {
        return Ok(Vec::new());
    }
    let socket = socket(
        AddressFamily::Inet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::Raw,
    )?;
    let fd = socket.as_raw_fd();
    let mut info = named(INFO);
    option(fd, GET_INFO, &mut info)?;
    let size = u32_at(&info, INFO_SIZE).unwrap_or(0);
    let length = usize::try_from(size).unwrap_or(usize::MAX);
    if length > LARGEST {
        return Err(io::Error::other("the table is larger than any of a node"));
    }
    let mut block = named(BEFORE + length);
    block[NAME..NAME + 4].copy_from_slice(&size.to_ne_bytes());
    option(fd, GET_ENTRIES, &mut block)?;
    Ok(heads(block.get(BEFORE..).unwrap_or_default()))
}

/// Returns a block that starts with the table's name.
fn named(length: usize) -> Vec<u8> {
    let mut block = vec![0; length];
    block[..TABLE.len()].copy_from_slice(TABLE.as_bytes());
    block
}

fn option(fd: c_int, name: c_int, block: &mut [u8]) -> io::Result<()> {
    let mut length = socklen_t::try_from(block.len()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes no more than `length` bytes into the block, which are the block's.
    let done = unsafe {
        libc::getsockopt(
            fd,
            libc::IPPROTO_IP,
            name,
            block.as_mut_ptr().cast::<c_void>(),
            &raw mut length,
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Returns the names of the chains in a block of entries.
fn heads(mut entries: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while let (Some(target), Some(next)) = (u16_at(entries, TARGET_AT), u16_at(entries, NEXT_AT)) {
        let (target, next) = (usize::from(target), usize::from(next));
        let of_target = entries.get(target..next).unwrap_or_default();
        let kind = of_target.get(TARGET_NAME..TARGET).map(text);
        let name = of_target.get(TARGET..).map(text);
        if let (Some(HEAD_OF_CHAIN), Some(name)) = (kind.as_deref(), name) {
            names.push(name);
        }
        // An entry that doesn't lead on would be looked at for ever.
        if next < ENTRY {
            break;
        }
        entries = entries.get(next..).unwrap_or_default();
    }
    // The last one ends the table, and is no chain.
    names.retain(|name| name != HEAD_OF_CHAIN);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(target: &str, more: &[u8]) -> Vec<u8> {
        let next = ENTRY + TARGET + 32;
        let mut bytes = vec![0; next];
        bytes[TARGET_AT..TARGET_AT + 2]
            .copy_from_slice(&u16::try_from(ENTRY).unwrap().to_ne_bytes());
        bytes[NEXT_AT..NEXT_AT + 2].copy_from_slice(&u16::try_from(next).unwrap().to_ne_bytes());
        let name = ENTRY + TARGET_NAME;
        bytes[name..name + target.len()].copy_from_slice(target.as_bytes());
        let data = ENTRY + TARGET;
        bytes[data..data + more.len()].copy_from_slice(more);
        bytes
    }

    #[test]
    fn chains_start_with_their_names() {
        let block = [
            entry("", b""),
            entry("ERROR", b"KUBE-SERVICES"),
            entry("DNAT", b"KUBE-SEP-1"),
            entry("ERROR", b"KUBE-SVC-1"),
            entry("ERROR", b"ERROR"),
        ]
        .concat();
        assert_eq!(heads(&block), ["KUBE-SERVICES", "KUBE-SVC-1"]);
    }

    #[test]
    fn a_block_that_is_cut_off_or_leads_nowhere_ends() {
        let block = [entry("ERROR", b"A"), entry("ERROR", b"B")].concat();
        for length in 0..block.len() {
            let _ = heads(&block[..length]);
        }
        assert_eq!(heads(&vec![0; 4096]), Vec::<String>::new());
        assert_eq!(heads(&vec![0xff; 4096]), Vec::<String>::new());
    }
}
