//! Settings of an arm's kernel beyond the base, set and read back: sysctls and receive packet steering.
//!
//! A namespace has its own copy of some sysctls and can at most read the others. Which is which differs by kernel, so
//! it is found out by setting them: in a namespace that is thrown away before an arm is planned, and again, in each
//! of an arm's, when it is deployed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tollgate_results::kernel::Kernel;

use crate::error::{Doing as _, LabError};
use crate::netns::NetNs;

/// Where sysctls lie.
const SYSCTLS: &str = "/proc/sys";
/// Where a private view of a namespace's devices is mounted.
const DEVICES: &str = "/sys";

/// What became of a sysctl in one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Set {
    /// It has the value now; how the kernel writes it.
    To(String),
    /// This namespace has none of that name: of a device that only other namespaces have.
    Absent,
}

/// Sets one sysctl in a namespace and reads it back. One that turns out to be the machine's own is put back and refused.
pub(crate) fn set(netns: &NetNs, name: &str, value: &str) -> Result<Set, LabError> {
    let doing = || format!("set the sysctl `{name}` to {value}");
    if let Some(fault) = Kernel::sysctl_fault(name, value) {
        return Err(LabError::said(doing(), fault));
    }
    if !name.starts_with("net.") {
        let why = "no network namespace has its own; it belongs to the whole machine: set it there beforehand";
        return Err(LabError::said(doing(), why));
    }
    let path = Path::new(SYSCTLS).join(name.replace('.', "/"));
    let machines = fs::read_to_string(&path).ok();
    let set = netns.enter(|| write(&path, value).map_err(|why| LabError::said(doing(), why)));
    // Read from a thread that is in the machine's own namespace.
    let now = fs::read_to_string(&path).ok();
    if let (Some(before), Some(now)) = (&machines, &now)
        && before != now
    {
        fs::write(&path, before).doing(|| format!("put the sysctl `{name}` back"))?;
        let why = "it is the whole machine's, as setting it showed; it has its old value again";
        return Err(LabError::said(doing(), why));
    }
    match set? {
        Set::Absent if machines.is_some() && !of_a_device(name) => Err(LabError::said(
            doing(),
            "a network namespace has none of its own; it belongs to the whole machine: set it there beforehand",
        )),
        set => Ok(set),
    }
}

/// Writes a value in the caller's namespace and reads it back; a refusal comes with its reason.
fn write(path: &Path, value: &str) -> Result<Set, String> {
    match fs::write(path, value) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Set::Absent),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let shown = fs::read_to_string(path).unwrap_or_default();
            return Err(format!(
                "a network namespace may only read it (it shows {}): it belongs to the whole machine",
                plain(&shown)
            ));
        }
        Err(error) => return Err(format!("the kernel refuses the value ({error})")),
    }
    let shown = fs::read_to_string(path).map_err(|error| error.to_string())?;
    if shown.split_whitespace().eq(value.split_whitespace()) {
        Ok(Set::To(plain(&shown)))
    } else {
        Err(format!("the kernel keeps it at {}", plain(&shown)))
    }
}

/// Writes a value with single spaces, where the kernel has tabs and a line's end.
fn plain(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Says whether a sysctl is of one device, which a namespace may lack.
fn of_a_device(name: &str) -> bool {
    device_of(name).is_some_and(|device| !matches!(device, "all" | "default" | "lo"))
}

/// Returns the device in a sysctl's name, as in `net.ipv4.conf.eth0.rp_filter`.
fn device_of(name: &str) -> Option<&str> {
    let mut parts = name.split('.').skip(2);
    let table = parts.next()?;
    matches!(table, "conf" | "neigh").then(|| parts.next())?
}

/// Tries all sysctls of an arm in a namespace that is thrown away; the error says which cannot be set, and why.
pub(crate) fn try_sysctls(netns: &NetNs, kernel: &Kernel) -> Result<(), LabError> {
    for (name, value) in &kernel.sysctls {
        // Here there is no device but the loopback's; the defaults of devices stand for them.
        let tried = match device_of(name).filter(|_| of_a_device(name)) {
            Some(device) => name.replacen(&format!(".{device}."), ".default.", 1),
            None => name.clone(),
        };
        if set(netns, &tried, value)? == Set::Absent {
            return Err(LabError::said(
                format!("set the sysctl `{name}`"),
                "this kernel has none of that name",
            ));
        }
    }
    Ok(())
}

/// Lets the named devices of a namespace spread received packets over all CPUs, and returns the mask that each then
/// shows.
pub(crate) fn steer(netns: &NetNs, devices: &[&str]) -> Result<String, LabError> {
    let doing = || "spread received packets over all CPUs";
    let mask = all_cpus().doing(doing)?;
    netns.enter(|| {
        private_devices().doing(|| "see a namespace's devices")?;
        let mut shown = String::new();
        for device in devices {
            for queue in
                receive_queues(device).doing(|| format!("find the queues of `{device}`"))?
            {
                let file = queue.join("rps_cpus");
                fs::write(&file, &mask).doing(doing)?;
                shown = plain(&fs::read_to_string(&file).doing(doing)?);
                if !same_mask(&shown, &mask) {
                    let why = format!("`{device}` keeps the CPUs {shown}, not {mask}");
                    return Err(LabError::said(doing(), why));
                }
            }
        }
        Ok(shown)
    })
}

/// Gives the calling thread its own view of the devices of the network namespace that it is in.
fn private_devices() -> io::Result<()> {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("sysfs"), DEVICES, Some("sysfs"), plain, none)?;
    Ok(())
}

fn receive_queues(device: &str) -> io::Result<Vec<PathBuf>> {
    let folder = Path::new(DEVICES)
        .join("class/net")
        .join(device)
        .join("queues");
    let mut queues = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("rx-"))
        {
            queues.push(path);
        }
    }
    Ok(queues)
}

/// Returns a mask of all online CPUs, as the kernel writes masks: groups of 32 bits in hexadecimal.
fn all_cpus() -> io::Result<String> {
    let online = fs::read_to_string("/sys/devices/system/cpu/online")?;
    let cpus = online.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?)
    });
    let mut groups: Vec<u32> = Vec::new();
    for cpu in cpus.flatten() {
        groups.resize(groups.len().max(cpu / 32 + 1), 0);
        groups[cpu / 32] |= 1 << (cpu % 32);
    }
    let groups: Vec<_> = groups
        .iter()
        .rev()
        .map(|group| format!("{group:08x}"))
        .collect();
    Ok(groups.join(","))
}

/// Says whether two masks name the same CPUs, however many zeros they are written with.
fn same_mask(one: &str, other: &str) -> bool {
    let digits = |mask: &str| mask.replace(',', "").trim_start_matches('0').to_owned();
    digits(one) == digits(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_found_in_names() {
        assert_eq!(device_of("net.ipv4.conf.eth0.rp_filter"), Some("eth0"));
        assert_eq!(device_of("net.ipv4.tcp_rmem"), None);
        assert!(of_a_device("net.ipv6.neigh.cni0.gc_stale_time"));
        assert!(!of_a_device("net.ipv4.conf.all.rp_filter"));
    }

    #[test]
    fn masks_are_compared_by_their_cpus() {
        assert!(same_mask("3", "00000003"));
        assert!(same_mask("0000000f,ffffffff", "f,ffffffff"));
        assert!(!same_mask("1", "3"));
        assert!(
            all_cpus()
                .unwrap()
                .ends_with(|c: char| c.is_ascii_hexdigit())
        );
    }

    #[test]
    fn what_is_not_of_the_network_is_never_touched() {
        let Ok(netns) = NetNs::new() else { return };
        let before = fs::read_to_string("/proc/sys/vm/swappiness").unwrap_or_default();
        let error = set(&netns, "vm.swappiness", "7").unwrap_err().chain();
        assert!(error.contains("whole machine"), "{error}");
        assert_eq!(
            before,
            fs::read_to_string("/proc/sys/vm/swappiness").unwrap_or_default()
        );
    }
}
