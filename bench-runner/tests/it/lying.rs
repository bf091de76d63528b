//! A campaign whose target deploys something else than was declared.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Result;
use tempfile::tempdir;
use tollgate::campaign::Campaigner;
use tollgate::clock::{Clock as _, SystemClock};
use tollgate::placement::Placement;
use tollgate::progress::Progress;
use tollgate::target::Target;
use tollgate::target::lab::{LabDeployment, LabTarget};
use tollgate_lab::{Capabilities, Lab, LabOptions};
use tollgate_reports::analyse;
use tollgate_reports::model::{Analysis, Judgement, Verdict};
use tollgate_results::RECORD_SCHEMA;
use tollgate_results::arm::{Arm, Datapath, Name, Outside, Pods, Wire};
use tollgate_results::run::{Campaign, RunRecord, TargetKind};
use tollgate_results::slice::SliceKey;
use tollgate_scenarios::{Overrides, Scenario, resolve};
use tollgate_store::CampaignDir;

use crate::support::no_lab;

const SCENARIO: &str = r#"
schema = 1
name = "lying"
about = "An overlay that is none"
reference = "native"

[rounds]
count = 6
slice = "50ms"
warmup = "10ms"

[arm.native]
wire = "native"

[arm.vxlan]
wire = "vxlan"

[workload.rr.tcp-rr]
payload = "64 B"
"#;

const FAST_PATH: &str = r#"
schema = 1
name = "lying"
about = "A fast path that is none"
reference = "routed"

[rounds]
count = 6
slice = "50ms"
warmup = "10ms"

[arm.routed]
pods = "routed"

[arm.ebpf]
pods = "ebpf"

[workload.rr.udp-rr]
payload = "64 B"
"#;

const DIRECT_RETURN: &str = r#"
schema = 1
name = "lying"
about = "Direct server return that is none"
reference = "snat-ebpf"

[rounds]
count = 6
slice = "50ms"
warmup = "10ms"

[arm.snat-ebpf]
outside = "snat-ebpf"

[arm.dsr]
outside = "dsr"

[workload.rr.tcp-rr]
payload = "64 B"

[workload.crr.tcp-crr]
payload = "64 B"

[workload.udp.udp-rr]
payload = "64 B"
"#;

/// Deploys every arm as something else, whatever was declared.
struct Lying(LabTarget, fn(&Datapath) -> Datapath);

impl Target for Lying {
    type Deployment = LabDeployment;

    async fn deploy(&mut self, arm: &Arm) -> Result<LabDeployment> {
        let datapath = self.1(&arm.datapath);
        self.0
            .deploy(&Arm {
                datapath,
                ..arm.clone()
            })
            .await
    }

    async fn clear(&mut self) -> Result<()> {
        self.0.clear().await
    }
}

struct Silent;

impl Progress for Silent {
    fn deploying(&mut self, _: &Name, _: usize, _: usize) {}

    fn measuring(&mut self, _: &SliceKey, _: usize, _: usize, _: Duration) {}

    fn note(&mut self, _: &str) {}
}

/// The tests' own directory of binaries holds the probe too.
fn probe() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_BIN_EXE_tollgate")).with_file_name("tollgate-probe")
}

fn holder() -> Vec<OsString> {
    vec![env!("CARGO_BIN_EXE_tollgate").into(), "lab-holder".into()]
}

/// Runs a scenario on a target that lies about its arms.
async fn measured(scenario: &str, lie: fn(&Datapath) -> Datapath) -> Analysis {
    let scenario = Scenario::parse("lying.toml", scenario).unwrap();
    let overrides = Overrides {
        installs: None,
        rounds: None,
        slice: None,
        warmup: None,
        seed: 7,
        arms: Vec::new(),
    };
    let clock = SystemClock::start();
    let run = RunRecord {
        schema: RECORD_SCHEMA,
        version: "0.0.0".to_owned(),
        target: TargetKind::Lab,
        started_unix_ms: clock.unix_ms(),
        plan: resolve(&scenario, &overrides, &|_| None).unwrap(),
        facts: tollgate_probes::facts::read(),
        hosts: None,
        cluster: None,
        installs: Vec::new(),
    };
    let options = LabOptions { holder: holder() };
    let lab = Lab::start(&options).unwrap();
    let dir = tempdir().unwrap();
    let mut recording = CampaignDir::create(&dir.path().join("out"), &run).unwrap();
    Campaigner {
        target: &mut Lying(LabTarget::new(lab, probe(), 7), lie),
        clock: &clock,
        journal: &mut recording,
        progress: &mut Silent,
        placement: &Placement::of_this_process().unwrap(),
    }
    .run(&mut Campaign {
        run,
        slices: Vec::new(),
    })
    .await
    .unwrap();
    let folder = recording.finish().unwrap();
    let (_, campaign) = CampaignDir::open(folder.path()).unwrap();
    analyse(&campaign)
}

/// Expects `liar` to be found out, the other arm to be believed, and no comparison to stand.
fn expect_found_out(analysis: &Analysis, liar: &str) {
    for arm in &analysis.arms {
        let judgement = if arm.name.as_str() == liar {
            Judgement::Contradicts
        } else {
            Judgement::Ok
        };
        assert_eq!(
            arm.evidence.judgement, judgement,
            "{}: {:#?}",
            arm.name, arm.evidence
        );
    }
    assert!(!analysis.cells.is_empty());
    for cell in &analysis.cells {
        assert_eq!(cell.verdict, Verdict::Invalid, "{cell:?}");
    }
}

#[tokio::test]
async fn an_overlay_that_is_deployed_as_native_routing_is_invalid() {
    if no_lab() {
        return;
    }
    let lie = |declared: &Datapath| Datapath {
        wire: Wire::Native,
        ..declared.clone()
    };
    expect_found_out(&measured(SCENARIO, lie).await, "vxlan");
}

#[tokio::test]
async fn a_fast_path_that_is_deployed_as_plain_routes_is_invalid_and_the_other_way_round() {
    if no_lab() || no_ebpf() {
        return;
    }
    let routed = |declared: &Datapath| Datapath {
        pods: Pods::Routed,
        ..declared.clone()
    };
    expect_found_out(&measured(FAST_PATH, routed).await, "ebpf");
    let ebpf = |declared: &Datapath| Datapath {
        pods: Pods::Ebpf,
        ..declared.clone()
    };
    expect_found_out(&measured(FAST_PATH, ebpf).await, "routed");
}

#[tokio::test]
async fn direct_return_that_is_deployed_as_snat_is_invalid_and_the_other_way_round() {
    if no_lab() || no_ebpf() {
        return;
    }
    let honest = measured(DIRECT_RETURN, Datapath::clone).await;
    for arm in &honest.arms {
        let evidence = &arm.evidence;
        assert_eq!(
            evidence.judgement,
            Judgement::Ok,
            "{}: {evidence:#?}",
            arm.name
        );
    }
    let snat = |declared: &Datapath| Datapath {
        outside: Some(Outside::SnatEbpf),
        ..declared.clone()
    };
    expect_found_out(&measured(DIRECT_RETURN, snat).await, "dsr");
    let direct = |declared: &Datapath| Datapath {
        outside: Some(Outside::Dsr),
        ..declared.clone()
    };
    expect_found_out(&measured(DIRECT_RETURN, direct).await, "snat-ebpf");
}

/// Says loudly where this machine has no eBPF arms.
#[expect(clippy::print_stderr, reason = "a test that tests nothing says so")]
fn no_ebpf() -> bool {
    let datapath = Datapath {
        pods: Pods::Ebpf,
        ..Datapath::default()
    };
    let missing = Capabilities::detect(&holder()).missing(&datapath);
    if let Some(reason) = &missing {
        eprintln!("SKIPPED, NOTHING WAS TESTED: {reason}");
    }
    missing.is_some()
}
