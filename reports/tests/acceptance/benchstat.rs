//! G3: the sample in the documentation of benchstat (golang/perf, `cmd/benchstat/main.go`, BSD-3-Clause, © The Go
//! Authors), in nanoseconds per operation before and after a change. benchstat prints `~ (p=0.446 n=10)` for gob
//! and `-17.20% (p=0.000 n=10)` for json.

use tollgate_reports::raw::u_test;

const GOB: [[f64; 10]; 2] = [
    [
        3069.0, 3075.0, 3069.0, 3067.0, 3207.0, 3064.0, 3064.0, 3058.0, 3059.0, 3062.0,
    ],
    [
        3075.0, 3065.0, 3059.0, 3065.0, 3060.0, 3081.0, 3186.0, 3135.0, 3087.0, 3062.0,
    ],
];

const JSON: [[f64; 10]; 2] = [
    [
        1726.0, 1723.0, 1707.0, 1707.0, 1713.0, 1729.0, 1736.0, 1707.0, 1705.0, 1774.0,
    ],
    [
        1423.0, 1416.0, 1411.0, 1413.0, 1412.0, 1426.0, 1422.0, 1424.0, 1447.0, 1425.0,
    ],
];

fn median(values: &[f64; 10]) -> f64 {
    let mut sorted = *values;
    sorted.sort_unstable_by(f64::total_cmp);
    f64::midpoint(sorted[4], sorted[5])
}

#[test]
fn g3_the_u_test_is_exact_with_ties() {
    let [before, after] = &GOB;
    let p = u_test(before, after).unwrap();
    assert!((p - 0.446_101_885_7).abs() < 1e-9, "{p}");
    // What an exact test without ties, and the normal approximation, would say.
    assert!((p - 0.481_25).abs() > 1e-3 && (p - 0.448_7).abs() > 1e-3);
    assert!((u_test(after, before).unwrap() - p).abs() < 1e-12);
}

#[test]
fn g3_a_clear_change_is_clear() {
    let [before, after] = &JSON;
    let p = u_test(before, after).unwrap();
    assert!(p < 5e-4, "benchstat prints 0.000: {p}");
    let change = 100.0 * (median(after) / median(before) - 1.0);
    assert_eq!(format!("{change:.2}"), "-17.20");
}
