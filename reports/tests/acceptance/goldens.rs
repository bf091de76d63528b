//! Golden vectors G1, G2 and G4 of statistics §4.1, through the same door as users' own figures. G5 and the t of G2
//! stand beside the functions that they test.

use tollgate_reports::model::{Direction, Verdict};
use tollgate_reports::pairs::{PairComparison, compare, parse_csv};

/// Compares logarithms of two arms.
fn compared(reference: &[f64], arm: &[f64], margin: f64) -> PairComparison {
    let pairs = reference.iter().zip(arm).enumerate();
    let rows: Vec<String> = pairs
        .map(|(round, (reference, arm))| {
            let (reference, arm) = (reference.exp(), arm.exp());
            format!("{round},reference,{reference}\n{round},arm,{arm}\n")
        })
        .collect();
    let pairs = parse_csv(&format!("round,arm,value\n{}", rows.concat())).unwrap();
    compare(&pairs, Direction::LargerIsWorse, margin)
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

/// Like [`close`], for figures that the source prints with this many decimals.
#[track_caller]
fn printed(found: f64, expected: f64, decimals: i32) {
    let half = 0.5 * 10_f64.powi(-decimals);
    assert!(
        (found - expected).abs() <= half * 1.001,
        "{found} is not {expected}"
    );
}

#[test]
#[expect(clippy::approx_constant, reason = "3.14 is a datum")]
fn g1_the_depression_data_of_wilcox_test() {
    let x = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30];
    let y = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29];
    let found = compared(&y, &x, 0.05);
    let estimate = found.estimate.unwrap();
    let tests = found.tests.unwrap();
    close(tests.p_equality, 0.039_062_5);
    close(tests.p_equality / 2.0, 0.019_531_25);
    close(estimate.value.ln(), 0.46);
    close(estimate.interval95.low.ln(), 0.010);
    close(estimate.interval95.high.ln(), 0.786);
    close(estimate.interval95.confidence, 0.960_937_5);
    assert_eq!(found.walsh_rank, Some(6));
    assert_eq!(found.verdict, Verdict::Slower);
}

const G2: [f64; 10] = [
    0.012, -0.004, 0.021, 0.008, 0.015, -0.011, 0.019, 0.003, 0.010, 0.006,
];

#[test]
fn g2_estimate_and_intervals() {
    let rounds = G2.map(f64::ln_1p);
    let found = compared(&[0.0; 10], &rounds, 0.02);
    let estimate = found.estimate.unwrap();
    let percent = |ratio: f64| 100.0 * (ratio - 1.0);
    printed(percent(estimate.value), 0.842_25, 5);
    printed(percent(estimate.interval95.low), 0.043_39, 5);
    printed(percent(estimate.interval95.high), 1.500_0, 4);
    printed(percent(estimate.interval90.low), 0.191_6, 4);
    printed(percent(estimate.interval90.high), 1.447_9, 4);
    assert_eq!(found.walsh_rank, Some(9));
    let tests = found.tests.unwrap();
    close(tests.p_equality, 0.048_828_125);
    let t = tests.t_interval.unwrap();
    printed(percent(t.low), 0.073_7, 4);
    printed(percent(t.high), 1.502_4, 4);
}

#[test]
fn g2_verdicts_at_two_margins() {
    let rounds = G2.map(f64::ln_1p);
    let wide = compared(&[0.0; 10], &rounds, 0.02);
    assert_eq!((wide.verdict, wide.measurable), (Verdict::Equivalent, true));
    assert!(wide.tests.unwrap().p_equivalence <= 0.05);
    let narrow = compared(&[0.0; 10], &rounds, 0.01);
    assert_eq!(
        (narrow.verdict, narrow.measurable),
        (Verdict::Slower, false)
    );
    assert!(narrow.tests.unwrap().p_equivalence > 0.05);
}

#[test]
fn g4_ranks_by_number_of_rounds() {
    for (rounds, k) in [
        (6, 1),
        (7, 3),
        (8, 4),
        (9, 6),
        (10, 9),
        (12, 14),
        (15, 26),
        (16, 30),
        (20, 53),
        (24, 82),
        (30, 138),
    ] {
        let arm: Vec<f64> = (0..rounds).map(|round| 0.01 * f64::from(round)).collect();
        let reference = vec![0.0; arm.len()];
        let found = compared(&reference, &arm, 0.05);
        assert_eq!(found.walsh_rank, Some(k), "R={rounds}");
    }
}
