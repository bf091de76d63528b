//! A campaign whose target deploys something else than was declared.

use std::time::Duration;

use anyhow::Result;
use tempfile::tempdir;
use tollgate::campaign::Campaigner;
use tollgate::clock::{Clock as _, SystemClock};
use tollgate::placement::Placement;
use tollgate::progress::Progress;
use tollgate::target::Target;
use tollgate::target::lab::{LabDeployment, LabTarget};
use tollgate_lab::{Lab, LabOptions};
use tollgate_reports::analyse;
use tollgate_reports::model::{Judgement, Verdict};
use tollgate_results::RECORD_SCHEMA;
use tollgate_results::arm::{Arm, Datapath, Name, Wire};
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

/// Deploys every arm with native routing, whatever was declared.
struct Lying(LabTarget);

impl Target for Lying {
    type Deployment = LabDeployment;

    async fn deploy(&mut self, arm: &Arm) -> Result<LabDeployment> {
        let datapath = Datapath {
            wire: Wire::Native,
            ..arm.datapath.clone()
        };
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

#[tokio::test]
async fn an_overlay_that_is_deployed_as_native_routing_is_invalid() {
    if no_lab() {
        return;
    }
    let scenario = Scenario::parse("lying.toml", SCENARIO).unwrap();
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
        installs: Vec::new(),
    };
    let holder = vec![env!("CARGO_BIN_EXE_tollgate").into(), "lab-holder".into()];
    let lab = Lab::start(&LabOptions { holder }).unwrap();
    let dir = tempdir().unwrap();
    let mut recording = CampaignDir::create(&dir.path().join("out"), &run).unwrap();
    Campaigner {
        target: &mut Lying(LabTarget::new(lab, probe(), 7)),
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
    let analysis = analyse(&campaign);
    let arm = |name: &str| {
        analysis
            .arms
            .iter()
            .find(|arm| arm.name.as_str() == name)
            .unwrap()
    };
    assert_eq!(arm("vxlan").evidence.judgement, Judgement::Contradicts);
    assert_eq!(arm("native").evidence.judgement, Judgement::Ok);
    assert!(!analysis.cells.is_empty());
    for cell in &analysis.cells {
        assert_eq!(cell.verdict, Verdict::Invalid, "{cell:?}");
    }
}
