//! How labs end, and what they leave: nothing. With and without root, and kept.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tollgate_lab::{Lab, LabErrorKind, LabOptions, kept};
use tollgate_results::arm::{Position, Service, Services};

use crate::harness::{
    HOLDER_VARIABLE, capabilities, holder, lab, name, native, options, vxlan, with_service,
};

/// How long after its maker's death a lab may last.
const LIMIT: Duration = Duration::from_secs(2);
/// Set in a test's own process when it plays the maker of a lab that is killed.
const MAKER: &str = "TOLLGATE_TEST_MAKER";
/// A user who is not root and owns nothing.
const NOBODY: &str = "65534";

/// Everything of a lab that a kernel could keep.
#[derive(Debug, PartialEq, Eq, Default)]
struct Traces {
    namespaces: BTreeSet<String>,
    processes: BTreeSet<String>,
    groups: BTreeSet<PathBuf>,
    programs: usize,
}

impl Traces {
    /// Looks for everything in which processes of the lab named `mark` (part of their command line) or its
    /// holder take part.
    fn of_holder(janitor: u32) -> Self {
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
fn hierarchy() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
    mount.split(' ').nth(4).map(PathBuf::from)
}

fn groups(janitor: u32) -> BTreeSet<PathBuf> {
    let entries = hierarchy()
        .into_iter()
        .flat_map(|root| fs::read_dir(root).unwrap().flatten());
    let start = format!("tollgate-lab.{janitor}.");
    let is_labs = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(&start))
    };
    entries.map(|entry| entry.path()).filter(is_labs).collect()
}

/// A process and all that descend from it.
fn descendants(pid: u32) -> Vec<u32> {
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
                    .map(|pid| pid.parse().unwrap())
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
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.map(|entry| entry.file_name().to_string_lossy().into_owned());
    pids.filter(|pid| pid.parse::<u32>().is_ok())
        .flat_map(|pid| namespaces_of(&pid))
        .collect()
}

/// Waits until nothing of `traces` is left; returns what is.
fn left_after_limit(traces: &Traces, janitor: u32) -> Traces {
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

/// Starts a test of this program again as the maker of a lab. It says its janitor's number when the lab stands.
fn maker(test: &str, mut program: Command) -> (Child, u32) {
    let command = program
        .args(["--exact", test, "--nocapture"])
        .env(MAKER, "1");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.find_map(|line| {
        let line = line.unwrap();
        assert!(!line.contains("SKIPPED"), "{line}");
        line.split_once("janitor ").map(|(_, pid)| pid.to_owned())
    });
    // The pipe stays open: the maker may print more.
    thread::spawn(move || lines.for_each(drop));
    (
        child,
        line.expect("the maker of the lab failed")
            .trim()
            .parse()
            .unwrap(),
    )
}

/// This test's own program.
fn this() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

/// This test's own program run by a user who is not root, from a copy in `folder` that the user can reach.
fn as_nobody(folder: &Path) -> Command {
    open_to_all(folder);
    let copy = |from: &Path, name: &str| {
        let to = folder.join(name);
        fs::copy(from, &to).unwrap();
        open_to_all(&to);
        to
    };
    let this = copy(&std::env::current_exe().unwrap(), "it");
    let holder = copy(Path::new(holder()), "lab-holder");
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"])
        .arg(this);
    command
        .env(HOLDER_VARIABLE, holder)
        .env("TMPDIR", "/tmp")
        // Root's may name folders that others cannot enter.
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir("/");
    command
}

/// Plays the maker: deploys arms, says who the janitor is, and waits to be killed.
fn be_maker() {
    let lab = Lab::start(&options()).unwrap_or_else(|error| panic!("{}", error.chain()));
    lab.deploy(&name("native"), &native(), 1).unwrap();
    lab.deploy(&name("vxlan"), &vxlan(), 1).unwrap();
    let service = with_service(Service::SocketLb, few());
    if capabilities().missing(&service).is_none() {
        lab.deploy(&name("socket-lb"), &service, 1).unwrap();
    }
    println!("janitor {}", janitor_of(std::process::id()));
    // In mid-work: a service path that takes longer than anybody waits.
    let slow = Services {
        count: 20_000,
        endpoints: 2,
        position: Position::Last,
    };
    let _ = lab.deploy(&name("slow"), &with_service(Service::IptablesNft, slow), 1);
    thread::park();
}

fn janitor_of(pid: u32) -> u32 {
    let children = descendants(pid);
    children
        .into_iter()
        .find(|child| comm(*child) == "lab-janitor")
        .unwrap()
}

fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn comm(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .unwrap_or_default()
        .trim()
        .to_owned()
}

const fn few() -> Services {
    Services {
        count: 10,
        endpoints: 1,
        position: Position::First,
    }
}

fn nothing_is_left_after_kill(test: &str, program: Command, rootless: bool) {
    let (mut maker, janitor) = maker(test, program);
    let traces = Traces::of_holder(janitor);
    assert!(traces.processes.len() >= 3, "{traces:?}");
    assert!(traces.namespaces.len() >= 8 + 2, "{traces:?}");
    if !rootless && hierarchy().is_some() {
        assert_eq!(traces.groups.len(), 1, "{traces:?}");
        assert!(traces.programs > 0, "{traces:?}");
    }
    let in_mid_work = (0..100).any(|_| {
        thread::park_timeout(Duration::from_millis(20));
        descendants(janitor)
            .into_iter()
            .any(|pid| comm(pid).starts_with("iptables-nft"))
    });
    assert!(in_mid_work, "the maker's slow arm was over too soon");
    maker.kill().unwrap();
    maker.wait().unwrap();
    let left = left_after_limit(&traces, janitor);
    assert_eq!(
        left,
        Traces::default(),
        "left {LIMIT:?} after the death of its maker"
    );
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

#[test]
fn every_datapath_without_ebpf_works_without_root() {
    if !is_root() {
        return eprintln!("SKIPPED: all tests run without root already");
    }
    if lab().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tests = ["datapaths::", "use_of_an_arm::"];
    let output = as_nobody(folder.path())
        .args(tests)
        .args(["--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}{complained}");
    let skipped: Vec<_> = complained
        .lines()
        .filter(|line| line.contains("SKIPPED"))
        .collect();
    assert!(
        skipped.iter().all(|line| line.contains("run it as root")),
        "{skipped:?}"
    );
    assert!(
        said.contains("0 failed") && !said.contains(" 0 passed"),
        "{said}"
    );
}

#[test]
fn nothing_is_left_when_its_maker_is_killed() {
    if std::env::var_os(MAKER).is_some() {
        return be_maker();
    }
    if lab().is_some() {
        let test = "lives::nothing_is_left_when_its_maker_is_killed";
        nothing_is_left_after_kill(test, this(), !is_root());
    }
}

#[test]
fn nothing_is_left_when_an_ordinary_users_maker_is_killed() {
    if std::env::var_os(MAKER).is_some() {
        return be_maker();
    }
    if !is_root() {
        return eprintln!("SKIPPED: the test beside this one runs without root already");
    }
    let test = "lives::nothing_is_left_when_an_ordinary_users_maker_is_killed";
    let folder = tempfile::tempdir().unwrap();
    nothing_is_left_after_kill(test, as_nobody(folder.path()), true);
}

#[test]
fn a_lab_that_lost_its_janitor_ends_and_the_next_one_sweeps_up() {
    let Some(lab) = lab() else { return };
    lab.deploy(&name("native"), &native(), 1).unwrap();
    let janitor = janitor_of(std::process::id());
    let traces = Traces::of_holder(janitor);
    kill(
        Pid::from_raw(i32::try_from(janitor).unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
    let left = left_after_limit(
        &Traces {
            groups: BTreeSet::new(),
            ..traces
        },
        janitor,
    );
    assert_eq!(
        (left.namespaces, left.processes),
        <(BTreeSet<_>, BTreeSet<_>)>::default()
    );
    let error = lab.counters(&name("native")).unwrap_err();
    assert!(
        matches!(error.kind(), LabErrorKind::HolderGone),
        "{}",
        error.chain()
    );
    assert_eq!(
        groups(janitor).len(),
        usize::from(is_root()),
        "only a janitor removes its group"
    );
    drop(lab);
    let _next = crate::harness::lab().unwrap();
    assert_eq!(groups(janitor), BTreeSet::new());
}

#[test]
fn nothing_is_left_when_a_lab_is_dropped() {
    let Some(lab) = lab() else { return };
    lab.deploy(&name("vxlan"), &vxlan(), 1).unwrap();
    let janitor = janitor_of(std::process::id());
    let traces = Traces::of_holder(janitor);
    assert!(traces.namespaces.len() >= 4 + 2, "{traces:?}");
    drop(lab);
    let left = left_after_limit(&traces, janitor);
    assert_eq!(left, Traces::default());
}

#[test]
fn an_arm_can_be_taken_down_and_deployed_again() {
    let Some(lab) = lab() else { return };
    let janitor = janitor_of(std::process::id());
    let before = Traces::of_holder(janitor).namespaces;
    lab.deploy(&name("arm"), &native(), 1).unwrap();
    assert_eq!(
        Traces::of_holder(janitor).namespaces.len(),
        before.len() + 4
    );
    lab.remove(&name("arm")).unwrap();
    assert_eq!(Traces::of_holder(janitor).namespaces, before);
    lab.deploy(&name("arm"), &vxlan(), 1).unwrap();
}

#[test]
fn a_kept_lab_outlives_its_maker_and_ends_when_told() {
    if lab().is_none() {
        return;
    }
    let runtime = tempfile::tempdir().unwrap();
    // Only this process sees it: each test runs in a process of its own, or under this lock.
    let socket = runtime.path().join("tollgate/demo.sock");
    let run = |test_step: &str| {
        let status = this()
            .args([
                "--exact",
                "lives::kept_step",
                "--nocapture",
                "--include-ignored",
            ])
            .env("XDG_RUNTIME_DIR", runtime.path())
            .env(MAKER, test_step)
            .status();
        assert!(status.unwrap().success(), "{test_step}");
    };
    run("up");
    assert!(socket.exists());
    run("use");
    run("down");
    assert!(!socket.exists());
}

/// One step of the test above, in a process of its own.
#[test]
#[ignore = "a step of a_kept_lab_outlives_its_maker_and_ends_when_told"]
fn kept_step() {
    let demo = name("demo");
    match std::env::var(MAKER).as_deref() {
        Ok("up") => {
            let arms = [(name("native"), native()), (name("vxlan"), vxlan())];
            let facts = kept::up(&demo, &options(), &arms, 1).unwrap();
            assert_eq!(facts.len(), 2);
            let error = kept::up(&demo, &options(), &arms, 1).unwrap_err().chain();
            assert!(error.contains("up already"), "{error}");
        }
        Ok("use") => {
            let labs = kept::list().unwrap();
            let arms: Vec<_> = labs[0].arms.iter().map(|arm| arm.name.as_str()).collect();
            assert_eq!((labs.len(), arms), (1, vec!["native", "vxlan"]));
            let lab = kept::connect(&demo).unwrap();
            let other = kept::connect(&demo).unwrap();
            assert_eq!(
                lab.counters(&name("vxlan"))
                    .unwrap()
                    .conntrack_entries
                    .len(),
                2
            );
            assert_eq!(
                other.arms().unwrap().len(),
                2,
                "a second caller is served meanwhile"
            );
            let error = kept::connect(&name("demos")).unwrap_err().chain();
            assert!(error.contains("demo"), "{error}");
        }
        Ok("down") => {
            kept::down(&demo).unwrap();
            assert!(kept::list().unwrap().is_empty());
            let error = kept::down(&demo).unwrap_err().chain();
            assert!(error.contains("tollgate lab up"), "{error}");
        }
        _ => {}
    }
}

#[test]
fn a_lab_that_fails_to_stand_up_leaves_no_name() {
    if lab().is_none() {
        return;
    }
    let bad = LabOptions {
        holder: vec!["/nowhere/holder".into()],
    };
    let error = Lab::start(&bad).unwrap_err().chain();
    assert!(error.contains("/nowhere/holder"), "{error}");
    let silent = LabOptions {
        holder: vec!["true".into()],
    };
    let error = Lab::start(&silent).unwrap_err().chain();
    assert!(error.contains("holder has ended"), "{error}");
}

#[test]
fn a_holder_run_by_hand_does_nothing() {
    for arguments in [&[][..], &["1"], &["999"], &["x"], &["--help"]] {
        let output = Command::new(holder()).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    let file = fs::File::open("/dev/null").unwrap();
    let output = Command::new(holder())
        .arg(file.as_raw_fd().to_string())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_missing_program_is_named_with_its_package() {
    if lab().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Debian's own folders are searched too, so they are covered by an empty one.
    let script = format!(
        "mount -t tmpfs none /usr/sbin && exec env PATH={} \"$0\" --exact lives::missing_step --nocapture \
         --include-ignored",
        folder.path().display()
    );
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(MAKER, "missing")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("install the package `iptables`"), "{said}");
    assert!(said.contains("install the package `nftables`"), "{said}");
}

/// The test above, in a process that sees no iptables and no nft.
#[test]
#[ignore = "a step of a_missing_program_is_named_with_its_package"]
fn missing_step() {
    if std::env::var_os(MAKER).is_none() {
        return;
    }
    let capabilities = capabilities();
    println!("{:?}", capabilities.missing(&native()));
    println!(
        "{:?}",
        capabilities.missing(&with_service(Service::Nftables, few()))
    );
    println!("{capabilities:?}");
}

#[test]
fn this_machine_is_found_out() {
    if lab().is_none() {
        return;
    }
    let capabilities = capabilities();
    // What is found to work works.
    for datapath in [
        native(),
        vxlan(),
        with_service(Service::IptablesLegacy, few()),
    ] {
        let lab = lab().unwrap();
        let deployed = lab.deploy(&name("arm"), &datapath, 1);
        let missing = capabilities.missing(&datapath);
        assert_eq!(
            deployed.is_ok(),
            missing.is_none(),
            "{datapath}: {missing:?}"
        );
    }
}
