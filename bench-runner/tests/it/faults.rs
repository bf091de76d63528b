//! What goes wrong under a running campaign costs slices, with a reason in one line, or ends the campaign in order. Nothing
//! is left of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::tempdir;
use tollgate_results::slice::{Slice, SliceResult};
use tollgate_store::CampaignDir;

use crate::campaign::wait_for_slices;
use crate::support::{
    ended, is_root, network_namespaces, no_lab, scenario, stderr, stdout, tollgate,
};

const MEDDLED: &str = r#"
schema = 1
name = "meddled"
about = "Arms that somebody else has his hands in, and one that no kernel has"
reference = "native"

[rounds]
count = 6
slice = "60ms"
warmup = "10ms"

[arm.native]
wire = "native"

[arm.vxlan]
wire = "vxlan"

[arm.legacy]
service = "iptables-legacy"
services = { count = 10 }

[arm.rules]
service = "nftables"
services = { count = 10 }

[arm.future]
kernel = { congestion = "nosuchthing" }

[workload.rr.tcp-rr]
payload = "64 B"
"#;

/// What somebody does in every namespace of the lab. Each line hits one arm.
const HANDS: &str = "\
    ip link delete flannel.1 2>/dev/null; \
    grep -qs nat /proc/net/ip_tables_names && iptables-legacy -w 5 -t nat -F PREROUTING; \
    nft flush chain ip kube-proxy services 2>/dev/null; \
    true";

/// A process and all that descend from it.
fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
        next += 1;
    }
    found
}

/// The network namespaces that the lab of a running campaign holds.
fn namespaces_of_the_lab(runner: u32) -> Vec<PathBuf> {
    let is_holder = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "lab-holder\n")
    };
    let holder = descendants(runner).into_iter().find(is_holder);
    let holder = holder.expect("a campaign has a lab");
    let files = fs::read_dir(format!("/proc/{holder}/fd"))
        .unwrap()
        .flatten();
    let is_namespace = |path: &PathBuf| {
        fs::read_link(path).is_ok_and(|link| link.to_string_lossy().starts_with("net:["))
    };
    files.map(|file| file.path()).filter(is_namespace).collect()
}

/// Says why each slice of an arm failed, in order; `None` where it was measured.
fn failures<'a>(slices: &'a [Slice], arm: &str) -> Vec<Option<&'a str>> {
    let own = slices
        .iter()
        .filter(|slice| slice.record.key.arm.as_str() == arm);
    own.map(|slice| match &slice.record.result {
        SliceResult::Failed { reason } => Some(reason.as_str()),
        SliceResult::Measured(_) => None,
    })
    .collect()
}

fn slices(out: &Path) -> Vec<Slice> {
    CampaignDir::open(out).unwrap().1.slices
}

#[test]
fn somebody_in_the_lab_costs_the_arms_that_he_touches() {
    if no_lab() || !is_root() {
        return;
    }
    let dir = tempdir().unwrap();
    let file = scenario(dir.path(), "meddled", MEDDLED);
    let out = dir.path().join("out");
    let before = network_namespaces();
    let child = tollgate(&["run", file.to_str().unwrap(), "--seed", "7"])
        .arg("--out")
        .arg(&out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Two rounds of four arms.
    wait_for_slices(&out, 8);
    for namespace in namespaces_of_the_lab(child.id()) {
        let inside = format!("--net={}", namespace.display());
        let status = Command::new("nsenter")
            .args([&inside, "sh", "-c", HANDS])
            .env("XTABLES_LOCKFILE", dir.path().join("lock"))
            .status();
        assert!(status.unwrap().success());
    }
    let output = child.wait_with_output().unwrap();
    let said = stderr(&output);
    assert!(ended(&output), "{}{said}", stdout(&output));
    assert!(said.contains("skipping future: "), "{said}");
    assert!(said.contains("4 arms deployed in "), "{said}");
    assert!(said.contains("taken down in "), "{said}");

    let slices = slices(&out);
    assert!(failures(&slices, "native").iter().all(Option::is_none));
    let report = fs::read_to_string(out.join("report.json")).unwrap();
    for (arm, reason) in [
        ("vxlan", "somebody took `flannel.1` away"),
        ("legacy", "somebody changed the rules of node "),
        ("rules", "somebody changed the rules of node "),
    ] {
        let failures = failures(&slices, arm);
        let first = failures.iter().position(Option::is_some);
        let first = first.unwrap_or_else(|| panic!("{arm}: {said}"));
        assert!(first >= 2, "{arm} was measured before: {failures:?}");
        for failure in &failures[first..] {
            let failure = failure.unwrap_or_else(|| panic!("{arm}: {failures:?}"));
            assert!(failure.contains(reason), "{arm}: {failure}");
            assert!(!failure.contains('\n'), "{arm}: {failure}");
        }
        assert!(report.contains(reason), "{arm}");
    }
    let left: Vec<_> = network_namespaces().difference(&before).cloned().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_campaign_without_room_for_two_arms_says_so_and_leaves_nothing() {
    const TWO: &str = r#"
schema = 1
name = "two"
about = "Two arms of four namespaces each"
reference = "native"

[rounds]
count = 6
slice = "60ms"
warmup = "10ms"

[arm.native]
wire = "native"

[arm.vxlan]
wire = "vxlan"

[workload.rr.tcp-rr]
payload = "64 B"
"#;
    if no_lab() {
        return;
    }
    let dir = tempdir().unwrap();
    let file = scenario(dir.path(), "two", TWO);
    let out = dir.path().join("out");
    let before = network_namespaces();
    // The limit is of a user namespace of the test's own.
    let limited = "echo 7 > /proc/sys/user/max_net_namespaces && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", limited, "sh"])
        .arg(env!("CARGO_BIN_EXE_tollgate"))
        .args(["run", file.to_str().unwrap(), "--out"])
        .arg(&out)
        .output()
        .unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("user.max_net_namespaces is 7 here"), "{said}");
    assert!(!out.exists(), "nothing was measured");
    let left: Vec<_> = network_namespaces().difference(&before).cloned().collect();
    assert!(left.is_empty(), "{left:?}");
}
