//! Descriptions: pooled percentiles, curves, ratios over installs.

use tollgate_reports::describe;
use tollgate_reports::model::{Description, Metric};
use tollgate_reports::synthetic::{Synthetic, measured_mut, name};
use tollgate_results::run::Campaign;

const RESAMPLES: u32 = 500;

fn overlay() -> Campaign {
    Synthetic::overlay().campaign()
}

#[test]
fn the_same_seed_describes_a_campaign_the_same() {
    let campaign = overlay();
    let text = |seed| serde_json::to_string(&describe(&campaign, seed, RESAMPLES)).unwrap();
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
    let read: Description = serde_json::from_str(&text(1)).unwrap();
    assert_eq!(read, describe(&campaign, 1, RESAMPLES));
}

#[test]
fn pooled_percentiles_come_with_their_interval() {
    let description = describe(&overlay(), 1, RESAMPLES);
    let metrics: Vec<Metric> = description
        .pooled
        .iter()
        .map(|pooled| pooled.metric)
        .collect();
    assert_eq!(
        metrics,
        [Metric::P50, Metric::P90, Metric::P99, Metric::P999]
    );
    let p50 = &description.pooled[0];
    assert_eq!((p50.rounds, &p50.arm), (10, &name("vxlan")));
    assert!(
        p50.interval.contains(1.25) && p50.interval.contains(p50.ratio),
        "{p50:?}"
    );
    assert!((p50.arm_ns / p50.reference_ns - p50.ratio).abs() < 1e-9);
}

#[test]
fn a_curve_holds_all_its_points_together() {
    let description = describe(&overlay(), 1, RESAMPLES);
    let [curve] = description.curves.as_slice() else {
        panic!("{:?}", description.curves);
    };
    let quantiles: Vec<f64> = curve.points.iter().map(|point| point.quantile).collect();
    assert_eq!(quantiles, [0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999]);
    for point in &curve.points {
        let interval = point.interval.unwrap();
        assert!(interval.confidence >= 1.0 - 0.05 / 7.0, "{interval:?}");
        assert!(interval.contains(1.25), "{point:?}");
    }
    let few = Synthetic {
        rounds: 8,
        ..Synthetic::overlay()
    };
    let description = describe(&few.campaign(), 1, RESAMPLES);
    let points = &description.curves[0].points;
    assert!(
        points.iter().all(|point| point.interval.is_none()),
        "{points:?}"
    );
}

#[test]
fn lost_replies_make_a_pooled_percentile_infinite() {
    let mut campaign = overlay();
    for slice in &mut campaign.slices {
        if slice.record.key.arm == name("vxlan") {
            let outcome = &mut measured_mut(slice).unwrap().outcome;
            outcome.lost = outcome.replied / 20;
            outcome.sent = outcome.replied + outcome.lost;
        }
    }
    let description = describe(&campaign, 1, RESAMPLES);
    let p99 = description
        .pooled
        .iter()
        .find(|pooled| pooled.metric == Metric::P99)
        .unwrap();
    assert!(p99.arm_ns.is_infinite() && p99.ratio.is_infinite() && p99.reference_ns.is_finite());
    assert!(p99.interval.low.is_infinite(), "{p99:?}");
}

#[test]
fn installs_are_replicates_where_there_are_four() {
    let long = Synthetic {
        rounds: 25,
        ..Synthetic::overlay()
    };
    let mut campaign = long.campaign();
    assert!(describe(&campaign, 1, 10).installs.is_empty());
    // Five installs, the first round of each discarded.
    let install = campaign.run.installs[0].clone();
    for number in 1..5 {
        let mut next = install.clone();
        next.first_round = number * 5;
        campaign.run.installs.push(next);
    }
    for slice in &mut campaign.slices {
        slice.record.install = (slice.record.key.round / 5).min(4);
        let shift = u64::from(slice.record.install);
        if slice.record.key.arm == name("vxlan") {
            // Throughput differs by install: 0 %, 3 %, 6 % …
            let outcome = &mut measured_mut(slice).unwrap().outcome;
            outcome.replied += outcome.replied * 3 * shift / 100;
        }
    }
    let description = describe(&campaign, 1, 10);
    let rate = description
        .installs
        .iter()
        .find(|ratio| ratio.metric == Metric::Rate)
        .unwrap();
    assert_eq!(rate.installs, 5);
    assert!((0.03..0.06).contains(&rate.install_spread), "{rate:?}");
    assert!(rate.ratio.interval95.contains(1.25 / 1.06), "{rate:?}");
    assert!(
        rate.ratio.interval95.low < rate.ratio.interval90.low,
        "{rate:?}"
    );
}
