//! G8: the series of `TigerBeetle` on which Apache Otava tests itself (see `data/README.md`), with the change points that it
//! expects. Otava takes spreads with divisor n; [`as_otava`] does so to be comparable.

use tollgate_reports::history::as_otava;

fn series() -> Vec<f64> {
    let words = include_str!("data/tigerbeetle.txt").split_whitespace();
    words.map(|word| word.parse().unwrap()).collect()
}

#[test]
fn g8_the_same_change_points_as_otava() {
    let series = series();
    assert_eq!(series.len(), 365);
    let expected: [(f64, f64, &[usize]); 11] = [
        (0.01, 0.05, &[15, 71]),
        (0.05, 0.05, &[15, 71]),
        (0.1, 0.05, &[10, 11, 15, 71, 363]),
        (0.2, 0.05, &[10, 11, 15, 71]),
        (
            0.1,
            0.01,
            &[
                10, 11, 15, 28, 29, 35, 37, 48, 49, 61, 71, 95, 117, 131, 142, 148, 165, 169, 192,
                206, 212, 260, 265, 268, 278, 282, 363,
            ],
        ),
        (
            0.2,
            0.0,
            &[
                3, 6, 7, 10, 11, 13, 15, 16, 28, 29, 35, 37, 39, 41, 44, 48, 49, 56, 58, 61, 65,
                66, 69, 71, 74, 76, 82, 95, 108, 117, 125, 126, 129, 131, 136, 137, 142, 148, 165,
                169, 187, 190, 192, 197, 200, 212, 220, 241, 243, 246, 247, 249, 250, 260, 265,
                266, 268, 278, 282, 288, 305, 306, 325, 330, 337, 338, 340, 347, 349, 363,
            ],
        ),
        (
            0.1,
            0.0,
            &[
                3, 6, 10, 11, 15, 16, 28, 29, 35, 37, 39, 41, 44, 48, 49, 61, 71, 95, 117, 131,
                142, 148, 165, 169, 192, 206, 212, 260, 265, 268, 278, 282, 288, 305, 363,
            ],
        ),
        (
            0.01,
            0.0,
            &[
                15, 26, 61, 71, 95, 117, 131, 142, 148, 165, 169, 192, 212, 260,
            ],
        ),
        (
            0.001,
            0.0,
            &[15, 61, 71, 95, 117, 131, 142, 148, 192, 212, 260],
        ),
        (0.0001, 0.0, &[71, 95, 117, 131, 142, 148, 192, 212]),
        (0.00001, 0.0, &[71, 95, 131, 192, 212]),
    ];
    for (p, magnitude, indexes) in expected {
        assert_eq!(
            as_otava(&series, 30, p, magnitude),
            indexes,
            "p {p}, magnitude {magnitude}"
        );
    }
}
