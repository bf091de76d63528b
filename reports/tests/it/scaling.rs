//! Rises with the number of services, in whole campaigns. The acceptance test S12 stands beside the claim.

use tollgate_reports::analyse;
use tollgate_reports::model::{Analysis, AnswerKind, Metric, Scaling, ScalingVerdict, Shape};
use tollgate_reports::synthetic::{Synthetic, name};

fn of<'a>(analysis: &'a Analysis, series: &str, workload: &str) -> &'a Scaling {
    analysis
        .scalings
        .iter()
        .find(|scaling| {
            scaling.series == name(series)
                && scaling.workload == name(workload)
                && scaling.metric == Metric::P50
        })
        .unwrap()
}

#[test]
fn a_linear_search_grows_and_a_map_is_flat() {
    let analysis = analyse(&Synthetic::scaling().campaign());
    let grows = of(&analysis, "iptables-legacy", "tcp-crr");
    assert_eq!(
        grows.claim.verdict,
        ScalingVerdict::Grows,
        "{}",
        grows.claim.words
    );
    assert_eq!(grows.claim.shape, Some(Shape::Linear));
    let slope = grows.claim.per_thousand.unwrap();
    assert!(
        slope.interval95.contains(9_000.0) || (slope.value / 9_000.0 - 1.0).abs() < 0.05,
        "{slope:?}"
    );
    assert_eq!(grows.points.len(), 6);
    assert!(grows.points.iter().all(|point| point.fitted.is_some()));
    assert!(
        grows.claim.words.contains("per 1,000 services"),
        "{}",
        grows.claim.words
    );

    let flat = of(&analysis, "nftables", "tcp-crr");
    assert_eq!(
        flat.claim.verdict,
        ScalingVerdict::Flat,
        "{}",
        flat.claim.words
    );
    // The negative control: an open connection does not meet the rules again.
    let control = of(&analysis, "iptables-legacy", "tcp-rr");
    assert_eq!(
        control.claim.verdict,
        ScalingVerdict::Flat,
        "{}",
        control.claim.words
    );
}

#[test]
fn rises_come_first_and_stand_for_the_arms_of_the_sweep() {
    let analysis = analyse(&Synthetic::scaling().campaign());
    assert_eq!(
        analysis.answers[0].kind,
        AnswerKind::Scaling(ScalingVerdict::Grows)
    );
    assert!(
        analysis.answers[0]
            .text
            .starts_with("tcp-crr p50 over iptables-legacy grows with the number of services: +9"),
        "{}",
        analysis.answers[0].text
    );
    assert_eq!(analysis.answers.len(), 4, "{:#?}", analysis.answers);
}

#[test]
fn too_few_rounds_or_levels_claim_nothing() {
    let few = Synthetic {
        rounds: 5,
        ..Synthetic::scaling()
    };
    let analysis = analyse(&few.campaign());
    let claim = &of(&analysis, "nftables", "tcp-crr").claim;
    assert_eq!(claim.verdict, ScalingVerdict::Insufficient);

    let mut short = Synthetic::scaling();
    short.arms.truncate(3);
    let analysis = analyse(&short.campaign());
    let claim = &of(&analysis, "iptables-legacy", "tcp-crr").claim;
    assert_eq!(claim.verdict, ScalingVerdict::Insufficient);
    assert!(claim.words.contains("2 levels"), "{}", claim.words);
}
