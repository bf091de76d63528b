//! Noise floors: by calibration, by an arm deployed twice, by the spread of rounds; and what reports say of them.

use tollgate_reports::analyse;
use tollgate_reports::calibration::Calibration;
use tollgate_reports::model::{Analysis, Floor, FloorBasis, Metric};
use tollgate_reports::render::Html;
use tollgate_reports::synthetic::Synthetic;

use crate::render::text;

fn floor(analysis: &Analysis, metric: Metric) -> &Floor {
    let mut floors = analysis.noise_floor.floors.iter();
    floors.find(|floor| floor.metric == metric).unwrap()
}

/// An overlay campaign whose second arm is the first one, deployed again.
fn twins() -> Analysis {
    let mut synthetic = Synthetic::overlay();
    let first = synthetic.arms[0].arm.datapath.clone();
    synthetic.arms[1].arm.datapath = first.clone();
    synthetic.arms[1].carried = first;
    analyse(&synthetic.campaign())
}

#[test]
fn without_a_twin_the_spread_of_rounds_tells() {
    let analysis = analyse(&Synthetic::quickstart().campaign());
    let noise = &analysis.noise_floor.workloads[0];
    let floor = floor(&analysis, noise.metric);
    assert_eq!(floor.workload, noise.workload);
    assert!((floor.distance - noise.detectable).abs() < 1e-12);
    assert_eq!(
        floor.basis,
        FloorBasis::Spread {
            rounds: noise.rounds
        }
    );
    let page = text(&Html, &analysis);
    assert!(
        page.contains("spread of 10 rounds (no A/A"),
        "no basis on the page"
    );
    // Loss has no ratio, and so no floor of one.
    let floors = &analysis.noise_floor.floors;
    assert!(floors.iter().all(|floor| floor.metric != Metric::Loss));
}

#[test]
fn an_arm_deployed_twice_tells_better() {
    let analysis = twins();
    let floor = floor(&analysis, Metric::P50);
    let cell = analysis
        .cells
        .iter()
        .find(|cell| cell.metric == Metric::P50)
        .unwrap();
    let interval = cell.ratio.unwrap().interval95;
    let farther = (interval.high - 1.0).max(1.0 - interval.low);
    assert!((floor.distance - farther).abs() < 1e-12);
    assert!(matches!(&floor.basis, FloorBasis::Twin { arm } if *arm == cell.arm));
    assert!(text(&Html, &analysis).contains("A/A; the farther end"));
}

#[test]
fn a_calibration_tells_best() {
    let mut analysis = twins();
    let calibration = Calibration::of(&[&analysis]).unwrap();
    calibration.apply(&mut analysis.noise_floor);
    let floor = floor(&analysis, Metric::P50);
    let known = calibration.cells.iter();
    let phi = known
        .filter(|cell| cell.workload == floor.workload && cell.metric == Metric::P50)
        .map(|cell| cell.phi)
        .next();
    assert_eq!(Some(floor.distance), phi);
    assert_eq!(floor.basis, FloorBasis::Calibration { campaigns: 1 });
    assert!(text(&Html, &analysis).contains("calibration of this machine"));
}
