//! Calls of libbpf that libbpf-rs 0.27 has no safe form of.
#![expect(unsafe_code, reason = "libbpf's own calls take and return pointers")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr::NonNull;

use libbpf_rs::libbpf_sys::{self, bpf_prog_info, bpf_tcx_opts};
use libbpf_rs::{AsRawLibbpf as _, Link, ProgramMut};

/// Attaches a loaded program to a device of the calling thread's network namespace, before those that are attached there.
pub(super) fn attach_tcx(program: &ProgramMut<'_>, device: u32) -> io::Result<Link> {
    let device = i32::try_from(device).map_err(|_| io::ErrorKind::InvalidInput)?;
    let options = bpf_tcx_opts {
        sz: size_of::<bpf_tcx_opts>() as u64,
        flags: libbpf_sys::BPF_F_BEFORE,
        ..bpf_tcx_opts::default()
    };
    let program = program.as_libbpf_object().as_ptr();
    // SAFETY: the program is a loaded one of an object that lives, and the options live until the call returns.
    let link = unsafe { libbpf_sys::bpf_program__attach_tcx(program, device, &raw const options) };
    let link = NonNull::new(link).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: libbpf made the link for this call, and nobody else has the pointer.
    Ok(unsafe { Link::from_ptr(link) })
}

/// Returns how often a program has run and for how many nanoseconds in all, as far as statistics were on.
pub(super) fn runs(program: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
    let mut info = bpf_prog_info::default();
    let mut length = u32::try_from(size_of::<bpf_prog_info>()).unwrap_or(0);
    let program = program.as_raw_fd();
    // SAFETY: the kernel writes at most `length` bytes into `info`, which is that long and asks for no arrays.
    let result =
        unsafe { libbpf_sys::bpf_prog_get_info_by_fd(program, &raw mut info, &raw mut length) };
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    Ok((info.run_cnt, info.run_time_ns))
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
