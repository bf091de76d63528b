//! Which programs are attached where now, whoever attached them: the kernel is asked, not the lab's memory.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use libbpf_rs::query::{LinkInfoIter, LinkTypeInfo};
use libbpf_rs::{Program, libbpf_sys};
use tollgate_results::lab_state::ProgramState;

use super::raw;

/// The hooks of a device, in the order in which a packet that comes in and leaves again meets them.
const OF_DEVICES: [(u32, &str); 4] = [
    (libbpf_sys::BPF_NETKIT_PEER, "netkit/peer"),
    (libbpf_sys::BPF_TCX_INGRESS, "tcx/ingress"),
    (libbpf_sys::BPF_TCX_EGRESS, "tcx/egress"),
    (libbpf_sys::BPF_NETKIT_PRIMARY, "netkit/primary"),
];

/// The hooks of a control group at which addresses of sockets can be translated.
const OF_SOCKETS: [(u32, &str); 8] = [
    (libbpf_sys::BPF_CGROUP_INET4_CONNECT, "cgroup/connect4"),
    (libbpf_sys::BPF_CGROUP_INET6_CONNECT, "cgroup/connect6"),
    (libbpf_sys::BPF_CGROUP_UDP4_SENDMSG, "cgroup/sendmsg4"),
    (libbpf_sys::BPF_CGROUP_UDP6_SENDMSG, "cgroup/sendmsg6"),
    (libbpf_sys::BPF_CGROUP_UDP4_RECVMSG, "cgroup/recvmsg4"),
    (libbpf_sys::BPF_CGROUP_UDP6_RECVMSG, "cgroup/recvmsg6"),
    (
        libbpf_sys::BPF_CGROUP_INET4_GETPEERNAME,
        "cgroup/getpeername4",
    ),
    (
        libbpf_sys::BPF_CGROUP_INET6_GETPEERNAME,
        "cgroup/getpeername6",
    ),
];

/// Lists the programs at a device of the calling thread's network namespace; `xdp` is the one that the device itself names.
///
/// # Errors
/// The caller is not root outside of all user namespaces.
pub(crate) fn at_device(device: u32, xdp: Option<u32>) -> io::Result<Vec<ProgramState>> {
    let target = c_int::try_from(device).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut programs: Vec<_> = xdp.and_then(|id| state(id, "xdp")).into_iter().collect();
    programs.extend(at(target, &OF_DEVICES)?);
    Ok(programs)
}

/// Lists the programs that translate addresses for the sockets of a control group.
///
/// # Errors
/// See [`at_device`].
pub(crate) fn at_sockets(cgroup: BorrowedFd<'_>) -> io::Result<Vec<ProgramState>> {
    at(cgroup.as_raw_fd(), &OF_SOCKETS)
}

/// Lists the programs at netfilter's hooks, those of all namespaces of the machine; none where the caller may not look.
pub(crate) fn in_netfilter() -> Vec<ProgramState> {
    let found = LinkInfoIter::default().filter_map(|link| match link.info {
        LinkTypeInfo::Netfilter(at) => state(
            link.prog_id,
            &netfilter_hook(at.protocol_family, at.hooknum, at.priority),
        ),
        _ => None,
    });
    found.collect()
}

fn at(target: c_int, hooks: &[(u32, &str)]) -> io::Result<Vec<ProgramState>> {
    let mut programs = Vec::new();
    for (kind, hook) in hooks {
        let ids = match raw::attached(target, *kind) {
            Err(error) if has_no_such_hook(&error) => continue,
            ids => ids?,
        };
        programs.extend(ids.into_iter().filter_map(|id| state(id, hook)));
    }
    Ok(programs)
}

/// Whether the kernel has no hook of this kind, or the device has none: it is no netkit device, or the end of one that lies in a
/// pod, whose programs are asked for at the other end.
fn has_no_such_hook(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::ENXIO | libc::EACCES)
    )
}

/// Describes an attached program; `None` where it has gone meanwhile.
fn state(id: u32, hook: &str) -> Option<ProgramState> {
    let program = Program::fd_from_id(id).ok()?;
    let info = raw::info(program.as_fd()).ok()?;
    Some(ProgramState {
        id,
        name: info.name,
        hook: hook.to_owned(),
        own: false,
    })
}

/// Writes a place in netfilter as `ip prerouting -101`.
fn netfilter_hook(family: u32, hook: u32, priority: i32) -> String {
    const HOOKS: [&str; 5] = ["prerouting", "input", "forward", "output", "postrouting"];
    let family = match family {
        2 => "ip".to_owned(),
        10 => "ip6".to_owned(),
        other => format!("family {other}"),
    };
    let known = usize::try_from(hook).ok().and_then(|hook| HOOKS.get(hook));
    let hook = known.map_or_else(|| format!("hook {hook}"), |hook| (*hook).to_owned());
    format!("{family} {hook} {priority}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_netfilter_have_the_names_of_rule_sets() {
        assert_eq!(netfilter_hook(2, 0, -101), "ip prerouting -101");
        assert_eq!(netfilter_hook(10, 4, 99), "ip6 postrouting 99");
        assert_eq!(netfilter_hook(7, 9, 0), "family 7 hook 9 0");
    }
}
