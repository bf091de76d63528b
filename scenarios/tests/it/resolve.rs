//! From scenario to plan: the command line, and what a machine lacks.

use tollgate_results::arm::{Datapath, Service, Wire};
use tollgate_results::plan::Plan;
use tollgate_results::units::{Nanoseconds, Rate};
use tollgate_results::workload::{Arrivals, Load, OpenLoad};
use tollgate_scenarios::{Overrides, Scenario, can_compare, estimate, resolve};

use crate::{name, small};

/// A scenario with an arm that has a reference of its own.
const CHAIN: &str = r#"
schema = 1
name = "chain"
about = "A chain of references"
reference = "native"
[arm.native]
[arm.vxlan]
wire = "vxlan"
[arm.ipt]
service = "iptables-legacy"
workloads = ["crr"]
[arm.ebpf]
service = "socket-lb"
workloads = ["crr"]
reference = "ipt"
[workload.rr.tcp-rr]
[workload.crr.tcp-crr]
"#;

fn chain() -> Scenario {
    Scenario::parse("chain.toml", CHAIN).expect("the chain is good")
}

fn nothing_missing(_: &Datapath) -> Option<String> {
    None
}

fn arms(plan: &Plan) -> Vec<String> {
    plan.arms.iter().map(|arm| arm.name.to_string()).collect()
}

fn skipped(plan: &Plan) -> Vec<String> {
    let skipped = plan.skipped.iter();
    skipped
        .map(|skipped| format!("{}: {}", skipped.arm, skipped.reason))
        .collect()
}

fn only(arms: &[&str]) -> Overrides {
    Overrides {
        arms: arms.iter().map(|arm| name(arm)).collect(),
        ..Overrides::default()
    }
}

#[test]
fn a_sweep_is_one_arm_for_each_level() {
    let plan = resolve(&small(), &Overrides::default(), &nothing_missing).unwrap();
    assert_eq!(arms(&plan), ["native", "vxlan", "ipt@1", "ipt@100"]);
    let level = plan.arm(&name("ipt@100")).unwrap();
    let sweep = level.sweep.as_ref().unwrap();
    assert_eq!((sweep.series.as_str(), sweep.level), ("ipt", 100));
    assert_eq!(level.datapath.services.unwrap().count, 100);
    assert_eq!(level.reference, Some(name("native")));
    assert_eq!(plan.arm(&name("native")).unwrap().reference, None);
    assert_eq!(plan.slices_per_round(), 8);
}

#[test]
fn a_service_without_a_number_is_one_service() {
    let services = chain()
        .arm(&name("ipt"))
        .unwrap()
        .datapath
        .services
        .unwrap();
    assert_eq!((services.count, services.endpoints), (1, 1));
}

#[test]
fn the_command_line_wins_over_the_file() {
    let overrides = Overrides {
        rounds: Some(3),
        slice: Some(Nanoseconds(2_000_000_000)),
        warmup: Some(Nanoseconds(0)),
        installs: None,
        seed: 42,
        arms: Vec::new(),
    };
    let plan = resolve(&small(), &overrides, &nothing_missing).unwrap();
    assert_eq!(
        (plan.rounds.count, plan.rounds.slice.0, plan.rounds.warmup.0),
        (3, 2_000_000_000, 0)
    );
    assert_eq!(plan.seed, 42);
    assert_eq!(estimate(&plan).0, 4 * 8 * 2_100_000_000);
}

#[test]
fn all_faults_of_the_command_line_come_at_once() {
    let overrides = Overrides {
        rounds: Some(0),
        slice: Some(Nanoseconds(1)),
        ..only(&["vxlam", "ipt", "ipt"])
    };
    let faults = resolve(&small(), &overrides, &nothing_missing).unwrap_err();
    insta::assert_snapshot!(faults, @r"
    --rounds: 0 is out of range; write 1 to 1000
    --slice: 1ns is out of range; write 10ms to 10m
    --arm: scenario `small` has no arm `vxlam`; did you mean `vxlan`?
    --arm: `ipt` is named twice; name it once
    ");
    let faults = resolve(&small(), &only(&["native"]), &nothing_missing).unwrap_err();
    insta::assert_snapshot!(faults, @"--arm: `native` is the reference: name an arm to compare it with");
}

#[test]
fn chosen_arms_bring_what_they_are_compared_with_and_no_more() {
    let plan = resolve(&chain(), &only(&["ebpf"]), &nothing_missing).unwrap();
    assert_eq!(arms(&plan), ["native", "ipt", "ebpf"]);
    // Nothing runs `rr` to compare it with: neither does the reference.
    assert_eq!(plan.workloads.len(), 1);
    assert_eq!(plan.slices_per_round(), 3);
    let plan = resolve(&small(), &only(&["ipt"]), &nothing_missing).unwrap();
    assert_eq!(arms(&plan), ["native", "ipt@1", "ipt@100"]);
    let plan = resolve(&small(), &only(&["ipt@100", "native"]), &nothing_missing).unwrap();
    assert_eq!(arms(&plan), ["native", "ipt@100"]);
}

#[test]
fn what_a_machine_lacks_is_skipped_with_the_reason() {
    let no_vxlan = |datapath: &Datapath| {
        (datapath.wire == Wire::Vxlan)
            .then(|| "the kernel has no vxlan; load the module".to_owned())
    };
    let plan = resolve(&small(), &Overrides::default(), &no_vxlan).unwrap();
    assert_eq!(
        skipped(&plan),
        ["vxlan: the kernel has no vxlan; load the module"]
    );
    assert!(can_compare(&plan));
}

#[test]
fn an_arm_without_its_reference_is_skipped_too() {
    let no_iptables = |datapath: &Datapath| {
        (datapath.service == Service::IptablesLegacy).then(|| "no iptables".to_owned())
    };
    let plan = resolve(&chain(), &Overrides::default(), &no_iptables).unwrap();
    assert_eq!(
        skipped(&plan),
        [
            "ipt: no iptables",
            "ebpf: its reference `ipt` can't run here"
        ]
    );
    assert_eq!(arms(&plan), ["native", "vxlan"]);
}

#[test]
fn a_plan_with_nothing_left_to_compare_says_so() {
    let no_native = |datapath: &Datapath| {
        (datapath.wire == Wire::Native && datapath.service == Service::None)
            .then(|| "no route".to_owned())
    };
    let plan = resolve(&chain(), &Overrides::default(), &no_native).unwrap();
    assert!(plan.arms.is_empty() && plan.workloads.is_empty());
    assert!(!can_compare(&plan));
    let only_native = |datapath: &Datapath| {
        (datapath.wire != Wire::Native || datapath.service != Service::None)
            .then(|| "no".to_owned())
    };
    let plan = resolve(&chain(), &Overrides::default(), &only_native).unwrap();
    assert_eq!(arms(&plan), ["native"]);
    assert!(!can_compare(&plan));
}

#[test]
fn round_trips_are_split_where_it_is_asked_for() {
    let text = format!("{CHAIN}[workload.split.udp-rr]\ntimestamps = true\n");
    let scenario = Scenario::parse("chain.toml", &text).expect("the scenario is good");
    let plan = resolve(&scenario, &Overrides::default(), &nothing_missing).unwrap();
    for workload in &plan.workloads {
        assert_eq!(
            workload.timestamps,
            workload.name == name("split"),
            "{workload:?}"
        );
    }
}

#[test]
fn source_ports_are_swept_where_it_is_asked_for() {
    let text = format!("{CHAIN}[workload.flows.udp-rr]\nports = 16\n");
    let scenario = Scenario::parse("chain.toml", &text).expect("the scenario is good");
    let plan = resolve(&scenario, &Overrides::default(), &nothing_missing).unwrap();
    for workload in &plan.workloads {
        let ports = (workload.name == name("flows")).then_some(16);
        assert_eq!(workload.ports, ports, "{workload:?}");
    }
}

#[test]
fn an_open_loop_is_resolved_with_its_defaults() {
    let text = crate::SMALL.replace(
        "[workload.rr.tcp-rr]",
        "[workload.rr.tcp-rr]\nload = { open = \"10k/s\", connections = 4 }",
    );
    let scenario = Scenario::parse("small.toml", &text).unwrap();
    let rr = &scenario.workloads[0];
    let expected = OpenLoad {
        connections: 4,
        ..OpenLoad::new(Rate(10_000))
    };
    assert_eq!(rr.load, Load::Open(expected));
    assert_eq!(expected.arrivals, Arrivals::Poisson);
    assert_eq!(scenario.workloads[1].load, Load::Closed);
}
