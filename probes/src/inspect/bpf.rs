//! eBPF programs by their hook and their number, through the system call `bpf`.
#![expect(
    unsafe_code,
    reason = "the system call bpf, which no crate in use wraps without a C library"
)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use nix::libc::{self, c_int};
use tollgate_results::node::Hook;

/// Commands of `bpf` (`linux/bpf.h`).
const PROGRAM_BY_ID: c_int = 13;
const INFO_BY_FD: c_int = 15;
const PROGRAM_QUERY: c_int = 16;

/// Most programs at one hook; the kernel takes 64 of them.
const MOST: usize = 64;

/// Kinds of attachment at cgroups, for both families (`enum bpf_attach_type`).
pub(super) const OF_CGROUP: [(Hook, u32); 6] = [
    (Hook::CgroupConnect, 10),
    (Hook::CgroupConnect, 11),
    (Hook::CgroupSendmsg, 14),
    (Hook::CgroupSendmsg, 15),
    (Hook::CgroupRecvmsg, 19),
    (Hook::CgroupRecvmsg, 20),
];

/// Returns the kinds of attachment at a device.
pub(super) fn of_device(kind: &str) -> &'static [(Hook, u32)] {
    const TCX: [(Hook, u32); 4] = [
        (Hook::TcxIngress, 46),
        (Hook::TcxEgress, 47),
        (Hook::NetkitPrimary, 54),
        (Hook::NetkitPeer, 55),
    ];
    // Only a netkit device has the last two.
    if kind == "netkit" { &TCX } else { &TCX[..2] }
}

/// Attributes of [`PROGRAM_QUERY`].
#[repr(C)]
#[derive(Default)]
struct Query {
    target: u32,
    attach: u32,
    flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    unused: u32,
    more: [u64; 4],
}

/// Attributes of [`PROGRAM_BY_ID`].
#[repr(C)]
#[derive(Default)]
struct ById {
    id: u32,
    next: u32,
    flags: u32,
    unused: u32,
}

/// Attributes of [`INFO_BY_FD`].
#[repr(C)]
#[derive(Default)]
struct Info {
    fd: u32,
    length: u32,
    at: u64,
}

/// The first bytes of `struct bpf_prog_info`: the name lies at 64 to 80.
type ProgramInfo = [u64; 12];

/// Returns the numbers of the programs at a hook of a device (its index) or a cgroup (a descriptor of its folder);
/// none where this kernel doesn't have the hook.
///
/// # Errors
///
/// When the privilege lacks.
pub(super) fn attached(target: u32, attach: u32) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; MOST];
    let mut query = Query {
        target,
        attach,
        ids: ids.as_mut_ptr().expose_provenance() as u64,
        count: u32::try_from(MOST).unwrap_or(0),
        ..Query::default()
    };
    match call(PROGRAM_QUERY, &mut query) {
        Ok(_) => {
            let count = usize::try_from(query.count).unwrap_or(0);
            Ok(ids.into_iter().take(count).filter(|id| *id != 0).collect())
        }
        Err(error) if is_absent(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::ENOENT | libc::ENOSYS | libc::ENODEV | libc::EOPNOTSUPP)
    )
}

/// Returns a program's name; empty where it has none, or has gone meanwhile.
///
/// # Errors
///
/// When the privilege lacks.
pub(super) fn name(id: u32) -> io::Result<String> {
    let mut by_id = ById {
        id,
        ..ById::default()
    };
    let fd = match call(PROGRAM_BY_ID, &mut by_id) {
        Ok(fd) => fd,
        Err(error) if is_absent(&error) => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
    let program = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut about: ProgramInfo = [0; 12];
    let mut info = Info {
        // A descriptor is never negative.
        fd: program.as_raw_fd().cast_unsigned(),
        length: u32::try_from(size_of::<ProgramInfo>()).unwrap_or(0),
        at: about.as_mut_ptr().expose_provenance() as u64,
    };
    call(INFO_BY_FD, &mut info)?;
    let bytes = [about[8].to_ne_bytes(), about[9].to_ne_bytes()].concat();
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn call<T>(command: c_int, attributes: &mut T) -> io::Result<c_int> {
    // SAFETY: the attributes are those of the command, plain numbers laid out as in C, and as long as is said; buffers
    // that they name are ours, as long as is said there, and outlive the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<T>(),
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    c_int::try_from(done).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_laid_out_as_the_kernel_reads_them() {
        assert_eq!(size_of::<Query>(), 64);
        assert_eq!(std::mem::offset_of!(Query, ids), 16);
        assert_eq!(std::mem::offset_of!(Query, count), 24);
        assert_eq!(std::mem::offset_of!(Info, at), 8);
    }

    #[test]
    fn a_hook_that_no_kernel_has_holds_nothing_and_privileges_may_lack() {
        match attached(1, 100_000) {
            Ok(found) => assert_eq!(found, Vec::<u32>::new()),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{error}"),
        }
        match name(u32::MAX) {
            Ok(found) => assert_eq!(found, ""),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{error}"),
        }
    }
}
