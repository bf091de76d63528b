//! Claims in whole campaigns: what becomes of folklore, baseline by baseline.

use tollgate_reports::analyse;
use tollgate_reports::model::{
    AnswerKind, ClaimVerdict, Metric, TestedClaim, TestedComparison, TestedPair,
};
use tollgate_reports::render::{Html, Json, Markdown, Terminal};
use tollgate_reports::synthetic::{self, Synthetic, name};
use tollgate_results::arm::{Service, Wire};
use tollgate_results::claim::{Claim, ClaimedChange, ClaimedPair};
use tollgate_results::plan::Skipped;
use tollgate_results::run::Campaign;
use tollgate_results::units::RelativeChange;

use crate::render::text;

/// A claim on an arm against baselines, on the workloads named.
pub(crate) fn claim(
    metric: Metric,
    (from, to): (Option<f64>, Option<f64>),
    arm: &str,
    baselines: &[&str],
    workloads: &[&str],
) -> Claim {
    Claim {
        name: name("folklore"),
        about: "It costs a fifth to a third".to_owned(),
        metric,
        change: ClaimedChange {
            from: from.map(RelativeChange),
            to: to.map(RelativeChange),
        },
        workloads: workloads.iter().map(|workload| name(workload)).collect(),
        pairs: baselines
            .iter()
            .map(|baseline| ClaimedPair {
                arm: name(arm),
                baseline: name(baseline),
            })
            .collect(),
    }
}

/// The quickstart with a claim that holds for one baseline, in part for another, and meets an arm that was left out.
pub(crate) fn campaign() -> Campaign {
    let mut campaign = Synthetic::quickstart().campaign();
    let plan = &mut campaign.run.plan;
    plan.skipped.push(Skipped {
        arm: name("ebpf"),
        reason: "needs root; run as root".to_owned(),
    });
    let baselines = ["native", "iptables-legacy", "ebpf"];
    let workloads = ["tcp-rr", "tcp-crr"];
    plan.claims.push(claim(
        Metric::P50,
        (Some(0.2), Some(0.33)),
        "vxlan",
        &baselines,
        &workloads,
    ));
    campaign
}

/// What becomes of one claim on tcp-rr: vxlan against native is 25 % slower.
fn tested(metric: Metric, change: (Option<f64>, Option<f64>)) -> TestedClaim {
    let mut campaign = Synthetic::overlay().campaign();
    let claim = claim(metric, change, "vxlan", &["native"], &["tcp-rr"]);
    campaign.run.plan.claims.push(claim);
    let mut analysis = analyse(&campaign);
    assert_eq!(analysis.claims.len(), 1);
    analysis.claims.remove(0)
}

fn only(claim: &TestedClaim) -> &TestedComparison {
    &claim.pairs[0].comparisons[0]
}

#[test]
fn a_claim_gets_the_verdict_of_its_interval() {
    use ClaimVerdict::{DoesNotHold, Holds, HoldsInPart, Undecided};
    for (change, verdict, reason) in [
        ((Some(0.2), Some(0.33)), Holds, None),
        ((Some(0.0), None), Holds, None),
        (
            (Some(0.4), Some(0.6)),
            HoldsInPart,
            Some("a smaller rise than claimed"),
        ),
        (
            (Some(0.05), Some(0.1)),
            HoldsInPart,
            Some("a larger rise than claimed"),
        ),
        ((None, Some(0.0)), DoesNotHold, Some("a rise")),
        (
            (Some(-0.05), Some(0.05)),
            DoesNotHold,
            Some("a larger rise than claimed"),
        ),
        (
            (Some(0.25), None),
            Undecided,
            Some("the interval lies across +25 %"),
        ),
    ] {
        let claim = tested(Metric::P50, change);
        let found = only(&claim);
        assert_eq!(
            (claim.verdict, found.verdict),
            (verdict, verdict),
            "{found:?}"
        );
        match reason {
            Some(reason) => assert!(
                found.reason.as_ref().unwrap().starts_with(reason),
                "{found:?}"
            ),
            None => assert_eq!(found.reason, None),
        }
        assert!(found.change.unwrap().interval95.contains(0.25), "{found:?}");
        assert!(
            claim
                .words
                .starts_with("vxlan against native on tcp-rr: +2"),
            "{}",
            claim.words
        );
    }
}

#[test]
fn a_change_is_that_of_the_value_whichever_way_is_worse() {
    // Replies per second fall as latency rises.
    let claim = tested(Metric::Rate, (Some(-0.3), Some(-0.1)));
    assert_eq!(claim.verdict, ClaimVerdict::Holds, "{claim:?}");
}

#[test]
fn too_few_rounds_decide_nothing() {
    let few = Synthetic {
        rounds: 5,
        ..Synthetic::overlay()
    };
    let mut campaign = few.campaign();
    let claim = claim(
        Metric::P50,
        (Some(0.0), None),
        "vxlan",
        &["native"],
        &["tcp-rr"],
    );
    campaign.run.plan.claims.push(claim);
    let analysis = analyse(&campaign);
    let claim = &analysis.claims[0];
    assert_eq!(claim.verdict, ClaimVerdict::Undecided);
    let reason = only(claim).reason.as_ref().unwrap();
    assert!(reason.starts_with("5 valid rounds"), "{reason}");
    assert_eq!((claim.comparisons, only(claim).change), (0, None));
}

#[test]
fn each_baseline_has_its_own_verdict_and_a_skipped_one_its_reason() {
    let analysis = analyse(&campaign());
    let claim = &analysis.claims[0];
    let verdicts: Vec<_> = claim
        .pairs
        .iter()
        .map(|pair| (pair.baseline.as_str(), pair.verdict))
        .collect();
    assert_eq!(verdicts[0].0, "native");
    assert_eq!(verdicts[2], ("ebpf", ClaimVerdict::Untested));
    assert_eq!(
        claim.pairs[2].reason.as_deref(),
        Some("ebpf was left out: needs root; run as root")
    );
    assert_eq!(claim.comparisons, 4);
    // Against iptables vxlan is 14 % slower on new connections.
    let TestedPair { comparisons, .. } = &claim.pairs[1];
    assert_ne!(
        comparisons[1].verdict,
        ClaimVerdict::Holds,
        "{comparisons:?}"
    );
    assert_eq!(claim.verdict, ClaimVerdict::HoldsInPart);
    let first = &analysis.answers[0];
    assert_eq!(first.kind, AnswerKind::Claim(ClaimVerdict::HoldsInPart));
    assert!(
        first
            .text
            .starts_with("The claim “It costs a fifth to a third” holds in part here: "),
        "{}",
        first.text
    );
    assert!(
        first.text.contains("not tested against ebpf"),
        "{}",
        first.text
    );
}

#[test]
fn what_isnt_part_of_the_campaign_is_left_out() {
    let mut campaign = campaign();
    for pair in &mut campaign.run.plan.claims[0].pairs {
        pair.arm = name("elsewhere");
    }
    campaign.run.plan.skipped.clear();
    assert!(analyse(&campaign).claims.is_empty());
}

#[test]
fn an_arm_that_is_not_what_it_declares_proves_nothing() {
    let mut synthetic = Synthetic::overlay();
    synthetic.arms[1].carried = synthetic::datapath(Wire::Native, Service::None, None);
    let mut campaign = synthetic.campaign();
    let claim = claim(Metric::P50, (None, None), "vxlan", &["native"], &["tcp-rr"]);
    campaign.run.plan.claims.push(claim);
    let analysis = analyse(&campaign);
    assert_eq!(analysis.claims[0].verdict, ClaimVerdict::Invalid);
    assert_eq!(only(&analysis.claims[0]).change, None);
    // Said once, for the pair.
    let pair = &analysis.claims[0].pairs[0];
    let reason = pair.reason.as_ref().unwrap();
    assert!(reason.contains("is not what it declares"), "{reason}");
    assert_eq!(pair.comparisons[0].reason, None);
    assert!(analysis.claims[0].words.contains(reason.as_str()));
}

#[test]
fn every_report_has_the_claims() {
    let analysis = analyse(&campaign());
    let markdown = text(&Markdown, &analysis);
    for line in markdown
        .lines()
        .filter(|line| line.starts_with("| vxlan | "))
    {
        assert!(line.matches('|').count() >= 3, "{line}");
    }
    assert!(markdown.contains("| arm | baseline | claim | tcp-rr | tcp-crr |"));
    assert!(markdown.contains("| vxlan | ebpf | **not tested**: ebpf was left out"));
    let html = text(&Html, &analysis);
    assert!(html.contains("id=\"claims\"") && html.contains("href=\"#claims\""));
    assert!(html.contains("○"));
    let json = text(&Json, &analysis);
    assert!(json.contains("\"holds-in-part\""));
    let terminal = text(&Terminal { colour: false }, &analysis);
    let start = terminal.find("Claim “").unwrap();
    let end = start + terminal[start..].find("\n\n").unwrap();
    insta::assert_snapshot!(&terminal[start..end]);
    let without = text(&Html, &analyse(&Synthetic::overlay().campaign()));
    assert!(!without.contains("id=\"claims\""));
}
