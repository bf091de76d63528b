//! Whether this machine can run the socket load balancer, and if not, why and how to mend it.

use std::fs;

use tollgate_results::arm::Family;

use super::{Sizes, load_object};

/// `CAP_NET_ADMIN` in a mask of capabilities.
const NET_ADMIN: u64 = 1 << 12;
/// `CAP_SYS_ADMIN`, which holds the other two.
const SYS_ADMIN: u64 = 1 << 21;
/// `CAP_BPF`.
const BPF: u64 = 1 << 39;

/// What this process may do.
#[derive(Debug, Clone, Copy)]
struct Privileges {
    /// Effective capabilities.
    capabilities: u64,
    /// Whether they count only inside a user namespace.
    confined: bool,
}

/// Tries to load the socket load balancer's programs, with empty maps.
///
/// # Errors
/// One line that says why it cannot run here and how to mend it.
pub fn available() -> Result<(), String> {
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !filesystems.lines().any(|line| line.ends_with("\tcgroup2")) {
        return Err("this kernel has no cgroup2; it needs CONFIG_CGROUP_BPF".to_owned());
    }
    match load_object(
        Family::Ipv4,
        Sizes {
            services: 1,
            backends: 1,
        },
    ) {
        Ok(_) => Ok(()),
        Err(error) => Err(reason(&format!("{error:#}"), privileges())),
    }
}

fn privileges() -> Privileges {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let users = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    // The first namespace maps every user to itself.
    let whole = users.split_whitespace().eq(["0", "0", "4294967295"]);
    Privileges {
        capabilities: capabilities.unwrap_or_default(),
        confined: !whole,
    }
}

fn reason(said: &str, privileges: Privileges) -> String {
    let Privileges {
        capabilities,
        confined,
    } = privileges;
    let holds = |one: u64| capabilities & (one | SYS_ADMIN) != 0;
    if confined {
        return "eBPF programs cannot be loaded inside a user namespace; run it as root".to_owned();
    }
    if !holds(BPF) || !holds(NET_ADMIN) {
        let setting = fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled");
        let setting = setting.map_or_else(
            |_| String::new(),
            |value| format!(" (kernel.unprivileged_bpf_disabled is {})", value.trim()),
        );
        return format!("eBPF needs CAP_BPF and CAP_NET_ADMIN{setting}; run it as root");
    }
    format!(
        "the kernel refuses the eBPF programs ({said}); it needs CONFIG_BPF_SYSCALL and \
         CONFIG_CGROUP_BPF, version 5.8 or newer"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_own_line() {
        let all = NET_ADMIN | BPF;
        for (capabilities, confined, expected) in [
            (0, false, "CAP_BPF and CAP_NET_ADMIN"),
            (BPF, false, "CAP_BPF and CAP_NET_ADMIN"),
            (NET_ADMIN, false, "run it as root"),
            (all | SYS_ADMIN, true, "user namespace"),
            (all, false, "(no such thing); it needs CONFIG_BPF_SYSCALL"),
            (SYS_ADMIN, false, "CONFIG_CGROUP_BPF"),
        ] {
            let line = reason(
                "no such thing",
                Privileges {
                    capabilities,
                    confined,
                },
            );
            assert!(line.contains(expected), "{line}");
            assert!(!line.contains('\n'));
        }
    }
}
