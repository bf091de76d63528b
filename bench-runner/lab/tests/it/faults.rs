//! What goes wrong under a lab costs the arm that it happens to, with a reason in one line, and nothing of it is left.

use std::process::Command;

use tollgate_lab::{Lab, LabError, NewArm, Role};
use tollgate_results::arm::{Datapath, Name, Pods, Service, Wire};
use tollgate_results::kernel::Kernel;
use tollgate_results::outcome::Protocol;

use crate::harness::{
    MAKER, capabilities, echo, few, is_root, lab, name, native, ping, possible, run, this, vxlan,
    with_service,
};
use crate::traces::{EbpfIds, Traces, descendants, left_after_limit};

/// Namespaces that a user may have in the test below: enough for two arms of four, and not for a third.
const ROOM: usize = 9;

/// A datapath that no kernel has.
fn impossible() -> Datapath {
    Datapath {
        kernel: Kernel {
            congestion: Some("nosuchthing".to_owned()),
            ..Kernel::default()
        },
        ..native()
    }
}

/// Twelve arms of every kind that this machine has, each with a name of its own.
fn twelve() -> Vec<(Name, Datapath)> {
    let ebpf = Datapath {
        pods: Pods::Ebpf,
        ..native()
    };
    let wanted = [
        native(),
        vxlan(),
        Datapath {
            pods: Pods::Routed,
            ..native()
        },
        with_service(Service::IptablesNft, few()),
        with_service(Service::Nftables, few()),
        Datapath {
            pods: Pods::Host,
            ..native()
        },
        Datapath {
            wire: Wire::VxlanEbpf,
            ..ebpf.clone()
        },
        with_service(Service::SocketLb, few()),
        with_service(Service::TcLb, few()),
        with_service(Service::IptablesLegacy, few()),
        ebpf,
        vxlan(),
    ];
    let found = capabilities();
    let possible = wanted
        .into_iter()
        .filter(|datapath| found.missing(datapath).is_none());
    possible
        .enumerate()
        .map(|(number, datapath)| (name(&format!("arm-{number}")), datapath))
        .collect()
}

fn chain(stood: Result<NewArm, LabError>) -> String {
    stood.unwrap_err().chain()
}

#[test]
fn arms_stand_side_by_side_and_one_that_cannot_disturbs_no_other() {
    let Some(lab) = lab() else { return };
    let family = descendants(lab.janitor().unwrap());
    let before = Traces::of_holder(lab.janitor().unwrap()).namespaces;
    let mut arms = twelve();
    arms.insert(2, (name("impossible"), impossible()));
    // A name that is there already, and one that is asked for twice.
    lab.deploy(&name("taken"), &native(), 1).unwrap();
    arms.insert(4, (name("taken"), native()));
    arms.push((name("arm-0"), native()));
    let stood = lab.deploy_all(&arms, 1).unwrap();
    assert_eq!(stood.len(), arms.len());
    for (place, ((arm, datapath), stood)) in arms.iter().zip(stood).enumerate() {
        match place {
            2 => assert!(chain(stood).contains("`nosuchthing`")),
            4 => assert!(chain(stood).contains("one of this name already")),
            _ if place + 1 == arms.len() => {
                assert!(chain(stood).contains("one of this name already"));
            }
            _ => {
                let new = stood.unwrap_or_else(|error| panic!("{arm}: {}", error.chain()));
                assert_eq!(
                    (&new.deployed.name, &new.deployed.datapath),
                    (arm, datapath)
                );
                assert!(new.facts.deploy_ns > 0);
                let timed = new.facts.programming_ns.is_some();
                assert_eq!(timed, datapath.service != Service::None, "{arm}");
                let _echo = echo(&lab, arm);
                ping(&lab, arm, 3, Protocol::Tcp);
            }
        }
    }
    let held = EbpfIds::held_by(&family);
    let names: Vec<Name> = lab
        .arms()
        .unwrap()
        .into_iter()
        .map(|arm| arm.name)
        .collect();
    assert_eq!(names.len(), arms.len() - 2);
    lab.remove_all(&names).unwrap();
    assert!(lab.arms().unwrap().is_empty());
    let after = Traces::of_holder(lab.janitor().unwrap()).namespaces;
    assert_eq!(after, before);
    let left = held.left_in_the_kernel();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_device_that_somebody_takes_away_is_missed() {
    let Some(lab) = lab() else { return };
    let (whole, broken) = (name("whole"), name("broken"));
    lab.deploy(&whole, &vxlan(), 1).unwrap();
    lab.deploy(&broken, &vxlan(), 1).unwrap();
    let janitor = lab.janitor().unwrap();
    let traces = Traces::of_holder(janitor);
    lab.counters(&whole).unwrap();
    lab.counters(&broken).unwrap();
    let delete = ["ip", "link", "delete", "flannel.1"];
    let (well, printed) = run(&lab, &broken, Role::NodeB, &delete);
    if !well {
        return eprintln!("SKIPPED, NOTHING WAS TESTED: {printed}");
    }
    let error = lab.counters(&broken).unwrap_err().chain();
    assert!(
        error.contains("node B") && error.contains("somebody took `flannel.1` away"),
        "{error}"
    );
    assert!(!error.contains('\n'), "{error}");
    // Another one in its place is another one.
    let again = [
        "ip",
        "link",
        "add",
        "flannel.1",
        "type",
        "vxlan",
        "id",
        "1",
        "dstport",
        "8472",
    ];
    let (well, printed) = run(&lab, &broken, Role::NodeB, &again);
    assert!(well, "{printed}");
    assert!(lab.counters(&broken).is_err());
    // A pod's device takes its node's with it.
    let (well, printed) = run(
        &lab,
        &whole,
        Role::Client,
        &["ip", "link", "delete", "eth0"],
    );
    assert!(well, "{printed}");
    let error = lab.counters(&whole).unwrap_err().chain();
    assert!(error.contains("somebody took `veth0` away"), "{error}");
    // They can be taken down and deployed anew.
    lab.remove_all(&[whole.clone(), broken.clone()]).unwrap();
    lab.deploy(&broken, &vxlan(), 1).unwrap();
    lab.counters(&broken).unwrap();
    drop(lab);
    assert_eq!(left_after_limit(&traces, janitor), Traces::default());
}

#[test]
fn old_rules_that_somebody_flushes_are_missed_though_the_services_own_stay() {
    let Some(lab) = lab() else { return };
    let datapath = with_service(Service::IptablesLegacy, few());
    if !possible(&datapath) {
        return;
    }
    let arm = name("arm");
    lab.deploy(&arm, &datapath, 1).unwrap();
    let lengths = |lab: &Lab| {
        let rules = lab.counters(&arm).unwrap().rule_generations;
        [rules[0].legacy_bytes, rules[1].legacy_bytes]
    };
    let before = lengths(&lab);
    assert!(before[0].is_some() && before == lengths(&lab), "{before:?}");
    let flush = ["iptables-legacy", "-t", "nat", "-F", "PREROUTING"];
    let (well, printed) = run(&lab, &arm, Role::NodeA, &flush);
    assert!(well, "{printed}");
    let after = lengths(&lab);
    assert!(after[0] < before[0], "{before:?} {after:?}");
    assert_eq!(after[1], before[1]);
}

#[test]
fn without_room_for_namespaces_the_arms_beyond_it_fail_and_say_why() {
    if lab().is_none() {
        return;
    }
    // The limit is of a user namespace of the test's own.
    let script = format!(
        "echo {ROOM} > /proc/sys/user/max_net_namespaces && \
         exec \"$0\" --exact faults::limited_step --nocapture --include-ignored"
    );
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(MAKER, "limited")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    if complained.contains("max_net_namespaces") && said.is_empty() {
        return eprintln!("SKIPPED, NOTHING WAS TESTED: {complained}");
    }
    assert!(output.status.success(), "{said}{complained}");
    assert!(said.contains("1 passed"), "{said}");
}

/// The test above, as a user who may have few namespaces.
#[test]
#[ignore = "a step of without_room_for_namespaces_the_arms_beyond_it_fail_and_say_why"]
fn limited_step() {
    if std::env::var_os(MAKER).is_none() {
        return;
    }
    let lab = lab().unwrap();
    let janitor = lab.janitor().unwrap();
    let arms = ["a", "b", "c"].map(|arm| (name(arm), native()));
    let stood = lab.deploy_all(&arms, 1).unwrap();
    let (well, failed): (Vec<_>, Vec<_>) = stood.into_iter().partition(Result::is_ok);
    assert_eq!((well.len(), failed.len()), (2, 1));
    for failed in failed {
        let error = chain(failed);
        let limit = format!("user.max_net_namespaces is {ROOM} here");
        assert!(error.contains(&limit) && !error.contains('\n'), "{error}");
    }
    let standing = lab.arms().unwrap();
    for arm in &standing {
        let _echo = echo(&lab, &arm.name);
        ping(&lab, &arm.name, 3, Protocol::Udp);
    }
    // Where one goes another one can stand.
    lab.remove(&standing[0].name).unwrap();
    lab.deploy(&name("d"), &native(), 1)
        .unwrap_or_else(|error| panic!("{}", error.chain()));
    let traces = Traces::of_holder(janitor);
    drop(lab);
    assert_eq!(left_after_limit(&traces, janitor), Traces::default());
}

#[test]
fn a_capability_that_programs_lack_is_named() {
    if !is_root() {
        return eprintln!("SKIPPED, NOTHING WAS TESTED: only root has capabilities to give up");
    }
    if let Err(reason) = tollgate_lab::bpf::available() {
        return eprintln!("SKIPPED, NOTHING WAS TESTED: {reason}");
    }
    // CAP_SYS_ADMIN stands in for the others.
    for (given_up, named) in [
        ("-sys_admin,-bpf", "needs CAP_BPF, which"),
        ("-sys_admin,-net_admin", "needs CAP_NET_ADMIN, which"),
        (
            "-sys_admin,-bpf,-net_admin",
            "needs CAP_BPF and CAP_NET_ADMIN, which",
        ),
    ] {
        let output = Command::new("setpriv")
            .args(["--bounding-set", given_up, "--"])
            .arg(this().get_program())
            .args(["--exact", "faults::capability_step", "--nocapture"])
            .args(["--include-ignored"])
            .env(MAKER, "capability")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}{complained}");
        let line = said.lines().find(|line| line.contains("CAP_"));
        let line = line.unwrap_or_else(|| panic!("{given_up}: {said}{complained}"));
        assert!(line.contains(named), "{given_up}: {line}");
        assert!(line.contains("run it as root"), "{line}");
    }
}

/// The test above, in a process without the capability.
#[test]
#[ignore = "a step of a_capability_that_programs_lack_is_named"]
fn capability_step() {
    if std::env::var_os(MAKER).is_some() {
        println!("{}", tollgate_lab::bpf::available().unwrap_err());
    }
}
