//! What loading eBPF programs takes, and which part of it is missing.

use std::fs;

/// A capability, of which there are 64 at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capability {
    number: u32,
    name: &'static str,
}

/// Programs and maps.
pub(crate) const BPF: Capability = Capability {
    number: 39,
    name: "CAP_BPF",
};
/// Programs that touch packets.
pub(crate) const NET_ADMIN: Capability = Capability {
    number: 12,
    name: "CAP_NET_ADMIN",
};
/// Programs that read the kernel's own structures.
pub(crate) const PERFMON: Capability = Capability {
    number: 38,
    name: "CAP_PERFMON",
};
/// Holds all that the others allow.
pub(super) const SYS_ADMIN: Capability = Capability {
    number: 21,
    name: "CAP_SYS_ADMIN",
};

/// What loading programs takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    /// Capabilities, each of which `CAP_SYS_ADMIN` stands in for.
    pub(crate) capabilities: &'static [Capability],
    /// The kernel's options and version: `CONFIG_CGROUP_BPF, version 5.8 or newer`.
    pub(crate) kernel: &'static str,
}

/// What this process may do.
#[derive(Debug, Clone, Copy)]
struct Privileges {
    /// Effective capabilities.
    capabilities: u64,
    /// Whether they count only inside a user namespace.
    confined: bool,
}

impl Needs {
    /// Says in one line why the kernel, which `said` something, refuses, and how to mend it.
    pub(crate) fn reason(&self, said: &str) -> String {
        self.reason_with(said, Privileges::read())
    }

    fn reason_with(&self, said: &str, privileges: Privileges) -> String {
        if privileges.confined {
            return "eBPF programs cannot be loaded inside a user namespace; run it as root"
                .to_owned();
        }
        let missing = self
            .capabilities
            .iter()
            .filter(|one| !privileges.hold(**one));
        let missing: Vec<_> = missing.map(|capability| capability.name).collect();
        if !missing.is_empty() {
            let setting = fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled");
            let setting = setting.map_or_else(
                |_| String::new(),
                |value| format!(" (kernel.unprivileged_bpf_disabled is {})", value.trim()),
            );
            return format!(
                "eBPF needs {}, which this process lacks{setting}; run it as root",
                missing.join(" and ")
            );
        }
        format!(
            "the kernel refuses the eBPF programs ({said}); it needs CONFIG_BPF_SYSCALL, {}",
            self.kernel
        )
    }
}

impl Privileges {
    fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let capabilities = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        let users = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        // The first namespace maps every user to itself.
        let whole = users.split_whitespace().eq(["0", "0", "4294967295"]);
        Self {
            capabilities: capabilities.unwrap_or_default(),
            confined: !whole,
        }
    }

    const fn hold(self, one: Capability) -> bool {
        self.capabilities & (1 << one.number | 1 << SYS_ADMIN.number) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDS: Needs = Needs {
        capabilities: &[BPF, NET_ADMIN],
        kernel: "CONFIG_NET_XGRESS, version 6.6 or newer",
    };

    fn mask(capabilities: &[Capability]) -> u64 {
        capabilities.iter().map(|one| 1 << one.number).sum()
    }

    #[test]
    fn each_cause_has_its_own_line() {
        for (capabilities, confined, expected) in [
            (&[][..], false, "needs CAP_BPF and CAP_NET_ADMIN, which"),
            (&[BPF], false, "needs CAP_NET_ADMIN, which"),
            (&[NET_ADMIN], false, "needs CAP_BPF, which"),
            (&[PERFMON], false, "needs CAP_BPF and CAP_NET_ADMIN, which"),
            (&[SYS_ADMIN], true, "user namespace"),
            (
                &[BPF, NET_ADMIN],
                false,
                "(no such thing); it needs CONFIG_BPF_SYSCALL, CONFIG_NET_XGRESS",
            ),
            (&[SYS_ADMIN], false, "version 6.6"),
        ] {
            let privileges = Privileges {
                capabilities: mask(capabilities),
                confined,
            };
            let line = NEEDS.reason_with("no such thing", privileges);
            assert!(line.contains(expected), "{line}");
            assert!(!line.contains('\n'));
        }
    }

    #[test]
    fn numbers_are_the_kernels() {
        let shown = fs::read_to_string("/usr/include/linux/capability.h");
        let Ok(shown) = shown else {
            return eprintln!("SKIPPED, NOTHING WAS TESTED: no kernel headers");
        };
        for one in [BPF, NET_ADMIN, PERFMON, SYS_ADMIN] {
            let found = shown.lines().any(|line| {
                let mut words = line.split_whitespace();
                words.next() == Some("#define")
                    && words.next() == Some(one.name)
                    && words.next() == Some(&one.number.to_string())
            });
            assert!(found, "{one:?}");
        }
    }
}
