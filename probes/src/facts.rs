//! What this machine is: its kernel, its CPUs, what was set on it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::process::Command;

use flate2::read::GzDecoder;
use nix::sys::utsname::uname;
use nix::unistd::geteuid;
use tollgate_results::facts::{Facts, Privilege};

/// Sysctls of the base that users change and that change what is measured.
const SYSCTLS: &[&str] = &[
    "net/ipv4/tcp_congestion_control",
    "net/core/default_qdisc",
    "net/core/netdev_budget",
    "net/core/netdev_max_backlog",
    "net/core/busy_poll",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/tcp_tw_reuse",
    "net/netfilter/nf_conntrack_max",
    "net/bridge/bridge-nf-call-iptables",
    "kernel/sched_autogroup_enabled",
];

/// Reads the facts of the machine that this process runs on. What cannot be read is left out.
#[must_use]
pub fn read() -> Facts {
    let cpuinfo = text("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let mut values = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        values
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim().to_owned())
    };
    let processors = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let flags = field("flags").unwrap_or_default();
    Facts {
        kernel: uname()
            .map(|name| name.release().to_string_lossy().into_owned())
            .unwrap_or_default(),
        cpu_model: field("model name")
            .or_else(|| field("CPU part"))
            .unwrap_or_else(|| "unknown".to_owned()),
        cpus: u32::try_from(processors).unwrap_or(u32::MAX),
        memory_mib: memory_mib().unwrap_or(0),
        clocksource: text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        hypervisor: flags.split(' ').any(|flag| flag == "hypervisor").then(|| {
            text("/sys/class/dmi/id/sys_vendor")
                .filter(|vendor| !vendor.is_empty())
                .unwrap_or_else(|| "unnamed hypervisor".to_owned())
        }),
        privilege: if geteuid().is_root() {
            Privilege::Root
        } else {
            Privilege::Rootless
        },
        exact_irq_time: exact_irq_time(),
        cpu_time_resolution_ns: cpu_time_resolution_ns(),
        governor: text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        sysctls: sysctls(),
        tools: tools(),
        affinity: affinity(),
    }
}

/// The CPUs that this process may use, where they are not all that are online.
fn affinity() -> Option<String> {
    let status = text("/proc/self/status")?;
    let allowed = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?
        .trim();
    let online = text("/sys/devices/system/cpu/online")?;
    (allowed != online).then(|| allowed.to_owned())
}

fn text(path: &str) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}

fn memory_mib() -> Option<u64> {
    let meminfo = text("/proc/meminfo")?;
    let kib = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    kib.trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .ok()
        .map(|kib| kib / 1024)
}

/// Reads the kernel's configuration, where the machine shows it.
fn exact_irq_time() -> Option<bool> {
    let config = packed_config().or_else(|| {
        let release = uname().ok()?.release().to_string_lossy().into_owned();
        text(&format!("/boot/config-{release}"))
    })?;
    let is_set = |option: &str| config.lines().any(|line| line == format!("{option}=y"));
    Some(is_set("CONFIG_IRQ_TIME_ACCOUNTING") || is_set("CONFIG_VIRT_CPU_ACCOUNTING_NATIVE"))
}

fn packed_config() -> Option<String> {
    let file = fs::File::open("/proc/config.gz").ok()?;
    let mut config = String::new();
    GzDecoder::new(file).read_to_string(&mut config).ok()?;
    Some(config)
}

fn cpu_time_resolution_ns() -> u64 {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
        .ok()
        .flatten();
    // 100 is USER_HZ on every architecture that Linux supports today.
    let ticks = ticks
        .and_then(|ticks| u64::try_from(ticks).ok())
        .filter(|&ticks| ticks > 0)
        .unwrap_or(100);
    1_000_000_000 / ticks
}

fn sysctls() -> BTreeMap<String, String> {
    let read = |name: &&str| {
        let value = text(&format!("/proc/sys/{name}"))?;
        Some((
            name.replace('/', "."),
            value.split_whitespace().collect::<Vec<_>>().join(" "),
        ))
    };
    SYSCTLS.iter().filter_map(read).collect()
}

fn tools() -> BTreeMap<String, String> {
    let version = |tool: &&str| {
        let output = Command::new(tool).arg("--version").output().ok()?;
        let line = String::from_utf8_lossy(&output.stdout)
            .lines()
            .next()?
            .trim()
            .to_owned();
        Some(((*tool).to_owned(), line))
    };
    ["iptables-legacy", "iptables-nft", "nft"]
        .iter()
        .filter_map(version)
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_machine_has_a_kernel_and_a_cpu() {
        let facts = super::read();
        assert!(!facts.kernel.is_empty());
        assert!(facts.cpus >= 1);
        assert!(facts.memory_mib >= 1);
        assert_eq!(facts.fingerprint().len(), 12);
    }
}
