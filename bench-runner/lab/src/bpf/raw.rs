//! Calls of libbpf that libbpf-rs 0.27 has no safe form of.
#![expect(unsafe_code, reason = "libbpf's own calls take and return pointers")]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr::NonNull;

use libbpf_rs::libbpf_sys::{
    self, bpf_attach_type, bpf_netkit_opts, bpf_prog_info, bpf_prog_query_opts,
    bpf_prog_query_opts__bindgen_ty_1, bpf_tcx_opts,
};
use libbpf_rs::{AsRawLibbpf as _, Link, ProgramAttachType, ProgramMut};

/// Most programs at one hook: the kernel's own limit (`BPF_MPROG_MAX`, `BPF_CGROUP_MAX_PROGS`).
const MOST_AT_A_HOOK: usize = 64;

/// What the kernel says of a loaded program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Info {
    /// The kernel's number for it.
    pub(super) id: u32,
    /// Its name, as far as the kernel keeps it: 15 letters.
    pub(super) name: String,
    /// How often it ran, as far as statistics were on.
    pub(super) runs: u64,
    /// How long it ran in all.
    pub(super) time_ns: u64,
}

/// Attaches a loaded program to a device of the calling thread's network namespace, before those that are attached there, at
/// the hook that it was loaded for: of tcx or of netkit.
pub(super) fn attach(program: &ProgramMut<'_>, device: u32) -> io::Result<Link> {
    use ProgramAttachType::{NetkitPeer, NetkitPrimary};
    let device = i32::try_from(device).map_err(|_| io::ErrorKind::InvalidInput)?;
    let at_netkit = matches!(program.attach_type(), NetkitPeer | NetkitPrimary);
    let program = program.as_libbpf_object().as_ptr();
    let link = if at_netkit {
        let options = bpf_netkit_opts {
            sz: size_of::<bpf_netkit_opts>() as u64,
            flags: libbpf_sys::BPF_F_BEFORE,
            ..bpf_netkit_opts::default()
        };
        // SAFETY: the program is a loaded one of an object that lives, and the options live until the call returns.
        unsafe { libbpf_sys::bpf_program__attach_netkit(program, device, &raw const options) }
    } else {
        let options = bpf_tcx_opts {
            sz: size_of::<bpf_tcx_opts>() as u64,
            flags: libbpf_sys::BPF_F_BEFORE,
            ..bpf_tcx_opts::default()
        };
        // SAFETY: as above.
        unsafe { libbpf_sys::bpf_program__attach_tcx(program, device, &raw const options) }
    };
    let link = NonNull::new(link).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: libbpf made the link for this call, and nobody else has the pointer.
    Ok(unsafe { Link::from_ptr(link) })
}

/// Returns what the kernel says of a program.
pub(super) fn info(program: BorrowedFd<'_>) -> io::Result<Info> {
    let mut info = bpf_prog_info::default();
    let mut length = u32::try_from(size_of::<bpf_prog_info>()).unwrap_or(0);
    let program = program.as_raw_fd();
    // SAFETY: the kernel writes at most `length` bytes into `info`, which is that long and asks for no arrays.
    let result =
        unsafe { libbpf_sys::bpf_prog_get_info_by_fd(program, &raw mut info, &raw mut length) };
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    let letters = info.name.iter().flat_map(|letter| letter.to_ne_bytes());
    let letters: Vec<u8> = letters.take_while(|letter| *letter != 0).collect();
    Ok(Info {
        id: info.id,
        name: String::from_utf8_lossy(&letters).into_owned(),
        runs: info.run_cnt,
        time_ns: info.run_time_ns,
    })
}

/// Lists the programs that are attached to `target` at one hook, by their numbers, in the order in which they run. The
/// target is an index in the calling thread's network namespace for hooks of devices, a descriptor for those of control
/// groups.
pub(super) fn attached(target: c_int, hook: bpf_attach_type) -> io::Result<Vec<u32>> {
    let mut programs = [0_u32; MOST_AT_A_HOOK];
    let room = u32::try_from(programs.len()).unwrap_or(0);
    let mut options = bpf_prog_query_opts {
        sz: size_of::<bpf_prog_query_opts>() as u64,
        prog_ids: programs.as_mut_ptr(),
        __bindgen_anon_1: bpf_prog_query_opts__bindgen_ty_1 { count: room },
        ..bpf_prog_query_opts::default()
    };
    // SAFETY: the kernel writes at most `count` numbers to `prog_ids`, which has as much room and lives until the call
    // returns, as do the options.
    let result = unsafe { bpf_prog_query_opts(target, hook, &raw mut options) };
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    // SAFETY: both members of the union are the same number under two names.
    let count = unsafe { options.__bindgen_anon_1.count };
    let count = usize::try_from(count).unwrap_or(0);
    Ok(programs.into_iter().take(count).collect())
}

/// Makes the kernel count the runs of every program on the machine and time them, until the descriptor is closed.
pub(super) fn count_runs() -> io::Result<OwnedFd> {
    // SAFETY: the call takes a number.
    let file = unsafe { libbpf_sys::bpf_enable_stats(libbpf_sys::BPF_STATS_RUN_TIME) };
    if file < 0 {
        return Err(io::Error::from_raw_os_error(-file));
    }
    // SAFETY: the kernel made the descriptor for this call.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}
