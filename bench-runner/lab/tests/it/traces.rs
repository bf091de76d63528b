//! What a lab leaves its traces in, read from `/proc` and the control groups.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use libbpf_rs::query::{LinkInfoIter, MapInfoIter, ProgInfoIter};

/// How long after its maker's death a lab may last.
pub(crate) const LIMIT: Duration = Duration::from_secs(2);

/// Everything of a lab that a kernel could keep.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Traces {
    pub(crate) namespaces: BTreeSet<String>,
    pub(crate) processes: BTreeSet<String>,
    pub(crate) groups: BTreeSet<PathBuf>,
    pub(crate) programs: usize,
}

impl Traces {
    /// Looks for everything that a janitor and all that descend from it take part in.
    pub(crate) fn of_holder(janitor: u32) -> Self {
        let mut traces = Self::default();
        let family = descendants(janitor);
        let own = namespaces_of("self");
        for pid in &family {
            traces.processes.insert(pid.to_string());
            traces
                .namespaces
                .extend(namespaces_of(&pid.to_string()).difference(&own).cloned());
            traces.programs += open_programs(*pid);
        }
        traces.groups = groups(janitor);
        traces
    }
}

/// The namespaces that a process is in or holds open.
fn namespaces_of(pid: &str) -> BTreeSet<String> {
    let links = |folder: &str| -> Vec<String> {
        let entries = fs::read_dir(format!("/proc/{pid}/{folder}"))
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .map(|link| link.display().to_string())
            .collect()
    };
    let mut found: BTreeSet<String> = links("ns").into_iter().collect();
    found.extend(
        links("fd")
            .into_iter()
            .filter(|link| link.starts_with("net:[")),
    );
    found
}

fn open_programs(pid: u32) -> usize {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    let is_program = |path: PathBuf| {
        fs::read_link(path).is_ok_and(|link| link.display().to_string().contains("bpf-prog"))
    };
    entries.filter(|entry| is_program(entry.path())).count()
}

/// Where the control groups of version 2 are mounted.
pub(crate) fn hierarchy() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("procfs is there");
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    mount.split(' ').nth(4).map(PathBuf::from)
}

pub(crate) fn groups(janitor: u32) -> BTreeSet<PathBuf> {
    let entries = hierarchy()
        .into_iter()
        .flat_map(|root| fs::read_dir(root).expect("it is mounted there").flatten());
    let start = format!("tollgate-lab.{janitor}.");
    let is_labs = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(&start))
    };
    entries.map(|entry| entry.path()).filter(is_labs).collect()
}

/// A process and all that descend from it.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten();
        let children: Vec<u32> = tasks
            .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
            .flat_map(|line| {
                line.split_whitespace()
                    .map(|pid| pid.parse().expect("the kernel writes numbers"))
                    .collect::<Vec<_>>()
            })
            .collect();
        found.extend(children);
        next += 1;
    }
    found.retain(|pid| Path::new(&format!("/proc/{pid}/ns/net")).exists());
    found
}

/// Namespaces that any process of this machine is in or holds.
fn all_namespaces() -> BTreeSet<String> {
    let processes = fs::read_dir("/proc").expect("procfs is there").flatten();
    let pids = processes.map(|entry| entry.file_name().to_string_lossy().into_owned());
    pids.filter(|pid| pid.parse::<u32>().is_ok())
        .flat_map(|pid| namespaces_of(&pid))
        .collect()
}

/// Numbers of the eBPF programs, maps and links that some processes hold.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct EbpfIds {
    pub(crate) programs: BTreeSet<u32>,
    pub(crate) maps: BTreeSet<u32>,
    pub(crate) links: BTreeSet<u32>,
}

impl EbpfIds {
    pub(crate) fn held_by(processes: &[u32]) -> Self {
        let mut found = Self::default();
        for pid in processes {
            let entries = fs::read_dir(format!("/proc/{pid}/fdinfo"));
            for entry in entries.into_iter().flatten().flatten() {
                let shown = fs::read_to_string(entry.path()).unwrap_or_default();
                let number = |key: &str| {
                    let value = shown.lines().find_map(|line| line.strip_prefix(key))?;
                    value.trim().parse::<u32>().ok()
                };
                // A link shows its program, too.
                match (number("link_id:"), number("prog_id:"), number("map_id:")) {
                    (Some(link), ..) => _ = found.links.insert(link),
                    (_, Some(program), _) => _ = found.programs.insert(program),
                    (_, _, Some(map)) => _ = found.maps.insert(map),
                    _ => {}
                }
            }
        }
        found
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Waits until the kernel has none of these any more; returns those that it has.
    pub(crate) fn left_in_the_kernel(&self) -> Self {
        let mut left = Self::default();
        for _ in 0..40 {
            let (programs, maps, links) = (
                ProgInfoIter::default(),
                MapInfoIter::default(),
                LinkInfoIter::default(),
            );
            left = Self {
                programs: programs
                    .map(|one| one.id)
                    .filter(|id| self.programs.contains(id))
                    .collect(),
                maps: maps
                    .map(|one| one.id)
                    .filter(|id| self.maps.contains(id))
                    .collect(),
                links: links
                    .map(|one| one.id)
                    .filter(|id| self.links.contains(id))
                    .collect(),
            };
            if left.is_empty() {
                break;
            }
            thread::park_timeout(LIMIT / 40);
        }
        left
    }
}

/// Waits until nothing of `traces` is left; returns what is.
pub(crate) fn left_after_limit(traces: &Traces, janitor: u32) -> Traces {
    let mut left = Traces::default();
    for _ in 0..40 {
        let all = all_namespaces();
        let alive = |pid: &&String| {
            fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
        };
        left = Traces {
            namespaces: traces.namespaces.intersection(&all).cloned().collect(),
            processes: traces.processes.iter().filter(alive).cloned().collect(),
            groups: groups(janitor),
            programs: 0,
        };
        if left == Traces::default() {
            break;
        }
        thread::park_timeout(LIMIT / 40);
    }
    left
}

/// Returns the name of a process.
pub(crate) fn comm(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .unwrap_or_default()
        .trim()
        .to_owned()
}
