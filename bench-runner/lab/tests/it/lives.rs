//! How labs end, and what they leave: nothing. With and without root.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tollgate_lab::{Lab, LabErrorKind, LabOptions};
use tollgate_results::arm::{Datapath, Pods, Service, Services, Wire};

use crate::harness::{
    HOLDER_VARIABLE, MAKER, capabilities, few, holder, is_root, lab, name, native, open_to_all,
    options, this, vxlan, with_service,
};
use crate::traces::{
    EbpfIds, LIMIT, Traces, comm, descendants, groups, hierarchy, left_after_limit,
};

/// A user who is not root and owns nothing.
const NOBODY: &str = "65534";

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
    let fast_path = Datapath {
        pods: Pods::Ebpf,
        wire: Wire::VxlanEbpf,
        ..native()
    };
    if capabilities().missing(&fast_path).is_none() {
        lab.deploy(&name("ebpf"), &fast_path, 1).unwrap();
    }
    println!("janitor {}", lab.janitor().unwrap());
    // In mid-work: a service path that takes longer than anybody waits.
    let slow = Services {
        count: 20_000,
        endpoints: 2,
        ..Services::default()
    };
    let _ = lab.deploy(&name("slow"), &with_service(Service::IptablesNft, slow), 1);
    thread::park();
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
    let held = EbpfIds::held_by(&descendants(janitor));
    assert_eq!(held.is_empty(), traces.programs == 0, "{held:?}");
    maker.kill().unwrap();
    maker.wait().unwrap();
    let left = left_after_limit(&traces, janitor);
    assert_eq!(
        left,
        Traces::default(),
        "left {LIMIT:?} after the death of its maker"
    );
    let left = held.left_in_the_kernel();
    assert!(left.is_empty(), "{left:?}");
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
    let tests = ["datapaths::", "pods::", "use_of_an_arm::"];
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
    let janitor = lab.janitor().unwrap();
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
    let janitor = lab.janitor().unwrap();
    let traces = Traces::of_holder(janitor);
    assert!(traces.namespaces.len() >= 4 + 2, "{traces:?}");
    drop(lab);
    let left = left_after_limit(&traces, janitor);
    assert_eq!(left, Traces::default());
}

#[test]
fn an_arm_can_be_taken_down_and_deployed_again() {
    let Some(lab) = lab() else { return };
    let janitor = lab.janitor().unwrap();
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
