//! How large the old tables of a namespace are (`iptables-legacy`): they have no generation, but every rule that comes or
//! goes changes their length.
#![expect(
    unsafe_code,
    reason = "a socket option that is asked with a name and answered in its place"
)]

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

use crate::error::{Doing as _, LabError};

/// `IPT_SO_GET_INFO` and `IP6T_SO_GET_INFO`: `IPT_BASE_CTL`.
const GET_INFO: libc::c_int = 64;
/// `XT_TABLE_MAXNAMELEN`: a name with its end.
const NAME_BYTES: usize = 32;
/// Length of `struct ipt_getinfo`, the same for both families: the table's name and 13 numbers, the last of which is its
/// length.
const INFO_BYTES: usize = NAME_BYTES + 13 * 4;

/// The families: where the kernel lists those tables that a namespace has, and where a socket of it is asked.
const FAMILIES: [(&str, libc::c_int, &str); 2] = [
    ("ip_tables_names", libc::IPPROTO_IP, "0.0.0.0:0"),
    ("ip6_tables_names", libc::IPPROTO_IPV6, "[::]:0"),
];

/// Returns the length of all old tables of the namespace that the caller is in; `None` where it has none.
///
/// # Errors
/// What there is cannot be read: the list of tables is root's, and their lengths want `CAP_NET_ADMIN`.
pub(crate) fn legacy_bytes() -> Result<Option<u64>, LabError> {
    let mut sum = None;
    for (names, level, any) in FAMILIES {
        let tables = old_tables(names).doing(|| format!("read `{names}`"))?;
        for table in tables.lines() {
            let length = length(level, any, table);
            let length = length.doing(|| format!("read the length of the old table `{table}`"))?;
            sum = Some(sum.unwrap_or(0_u64).saturating_add(length.into()));
        }
    }
    Ok(sum)
}

/// Returns the names of a family's old tables here, a line each; none on a kernel without them. A table that nobody has
/// used isn't there, and asking iptables for it would make it.
pub(super) fn old_tables(names: &str) -> io::Result<String> {
    match fs::read_to_string(format!("/proc/thread-self/net/{names}")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// Asks for the length of one table.
fn length(level: libc::c_int, any: &str, table: &str) -> io::Result<u32> {
    let socket = UdpSocket::bind(any)?;
    let mut info = [0_u8; INFO_BYTES];
    // The name's last byte stays 0.
    let places = info.iter_mut().take(NAME_BYTES - 1);
    places
        .zip(table.bytes())
        .for_each(|(place, byte)| *place = byte);
    let mut room = libc::socklen_t::try_from(INFO_BYTES).map_err(io::Error::other)?;
    // SAFETY: the kernel reads the name and writes at most `room` bytes, which `info` has; both live until the call
    // returns.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            GET_INFO,
            info.as_mut_ptr().cast(),
            &raw mut room,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let [.., a, b, c, d] = info;
    Ok(u32::from_ne_bytes([a, b, c, d]))
}

#[cfg(test)]
mod tests {
    use tollgate_results::arm::Family;

    use super::*;
    use crate::rules::{Backend, load_iptables};
    use crate::testing;

    #[test]
    fn a_kernel_without_old_tables_has_none_and_what_cannot_be_read_is_an_error() {
        assert_eq!(old_tables("tollgate_names").unwrap(), "");
        // A folder stands for what this process may not read: root may read all.
        assert!(old_tables(".").is_err());
    }

    #[test]
    fn rules_that_come_or_go_change_the_length_and_looking_does_not() {
        let test =
            "rules::legacy::tests::rules_that_come_or_go_change_the_length_and_looking_does_not";
        testing::in_namespace(test, Family::Ipv6, || {
            let bytes = || legacy_bytes().unwrap();
            assert_eq!((bytes(), bytes()), (None, None), "asking makes no table");
            for family in [Family::Ipv4, Family::Ipv6] {
                let load = |text: &str| load_iptables(Backend::Legacy, family, text);
                let before = bytes();
                if let Err(error) = load("*nat\n:X - [0:0]\nCOMMIT\n") {
                    eprintln!("SKIPPED, NOTHING WAS TESTED: {}", error.chain());
                    return;
                }
                let empty = bytes();
                assert!(empty > before, "{empty:?}");
                load("*nat\n-A X -j RETURN\n-A OUTPUT -j X\nCOMMIT\n").unwrap();
                let full = bytes();
                assert!(full > empty, "{full:?}");
                assert_eq!(bytes(), full);
                load("*nat\n-D OUTPUT -j X\nCOMMIT\n").unwrap();
                assert!(bytes() < full);
            }
        });
    }
}
