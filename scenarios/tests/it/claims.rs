//! Claims: what of folklore a scenario can test, and what is refused.

use tollgate_results::arm::Datapath;
use tollgate_results::metric::Metric;
use tollgate_scenarios::{Overrides, Scenario, resolve};

use crate::{SMALL, name, refused};

/// The small scenario with a good claim.
fn claimed() -> String {
    format!(
        "{SMALL}
[claim.tax]
about = \"VXLAN costs a fifth\"
metric = \"p50\"
change = {{ from = \"10%\", to = \"30%\" }}
[claim.tax.against]
vxlan = [\"native\", \"ipt@100\"]
"
    )
}

/// The claim with a part replaced, and the lines with which it is refused.
#[track_caller]
fn refused_with(from: &str, to: &str) -> String {
    let text = claimed();
    assert!(text.contains(from), "nothing to replace: {from}");
    refused(&text.replacen(from, to, 1)).join("\n")
}

#[test]
fn a_claim_becomes_a_part_of_the_plan() {
    let scenario = Scenario::parse("small.toml", &claimed()).unwrap();
    let plan = resolve(&scenario, &Overrides::default(), &|_: &Datapath| None).unwrap();
    let [claim] = plan.claims.as_slice() else {
        panic!("{:?}", plan.claims);
    };
    assert_eq!(claim.metric, Metric::P50);
    assert_eq!(claim.change.words(), "+10 % to +30 %");
    assert_eq!(claim.workloads, [name("rr"), name("crr")]);
    let pairs: Vec<_> = claim
        .pairs
        .iter()
        .map(|pair| (pair.arm.as_str(), pair.baseline.as_str()))
        .collect();
    assert_eq!(pairs, [("vxlan", "native"), ("vxlan", "ipt@100")]);
    let read_back: tollgate_results::plan::Plan =
        serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(read_back, plan);
}

#[test]
fn pairs_of_arms_that_werent_chosen_are_left_out() {
    let scenario = Scenario::parse("small.toml", &claimed()).unwrap();
    let only = |arm: &str| Overrides {
        arms: vec![name(arm)],
        ..Overrides::default()
    };
    let plan = resolve(&scenario, &only("vxlan"), &|_: &Datapath| None).unwrap();
    assert_eq!(plan.claims[0].pairs.len(), 1);
    let plan = resolve(&scenario, &only("ipt@1"), &|_: &Datapath| None).unwrap();
    assert!(plan.claims.is_empty());
}

#[test]
fn all_faults_of_a_claim_come_at_once() {
    let text = format!(
        "{SMALL}
[claim.empty]
[claim.wrong]
about = \"\"
metric = \"p55\"
change = {{ from = \"-20%\", to = \"-30%\" }}
workloads = [\"rr\", \"rrr\", \"rr\"]
[claim.wrong.against]
vxlam = [\"native\"]
vxlan = [\"vxlan\", \"ipt\", \"native\", \"native\"]
native = []
"
    );
    insta::assert_snapshot!(refused(&text).join("\n"));
}

#[test]
fn a_change_has_to_be_an_interval_that_can_be_proved() {
    for (change, fault) in [
        ("{}", "says nothing; write `from`, `to` or both"),
        (
            "{ from = \"5%\", to = \"5%\" }",
            "5% alone is a point, which nothing can prove",
        ),
        (
            "{ from = \"-100%\" }",
            "-100% is out of range; write -99% to 10000%",
        ),
        (
            "{ from = \"-20\" }",
            "`-20` is not a change in percent; write \"-20%\"",
        ),
        (
            "{ from = 20 }",
            "`20` is not a change in percent; write \"20%\"",
        ),
        (
            "{ form = \"20%\" }",
            "`form` is unknown here; did you mean `from`?",
        ),
        (
            "\"20%\"",
            "expected a table such as { from = \"-30%\", to = \"-20%\" }",
        ),
    ] {
        let lines = refused_with("{ from = \"10%\", to = \"30%\" }", change);
        assert!(lines.contains(fault), "{lines}");
        assert_eq!(lines.lines().count(), 1, "{lines}");
    }
}

#[test]
fn a_metric_has_to_be_measured_and_to_be_of_the_path() {
    let lines = refused_with("metric = \"p50\"", "metric = \"throughput\"");
    assert!(
        lines.contains("claim.tax.metric: no workload of these arms measures throughput"),
        "{lines}"
    );
    let lines = refused_with("metric = \"p50\"", "metric = \"loss\"");
    assert!(lines.contains("compared in percentage points"), "{lines}");
    let lines = refused_with(
        "metric = \"p50\"",
        "metric = \"connect-p50\"\nworkloads = [\"rr\"]",
    );
    assert!(
        lines.contains("`rr` doesn't measure connect p50"),
        "{lines}"
    );
}
