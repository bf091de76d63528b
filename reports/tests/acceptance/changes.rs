//! S11: change points that aren't, and how soon those that are get found.

use tollgate_reports::history::{self, Point};

use crate::world::{Law, World, accept, share, teeth, tell};

/// A series of ratios that remember a share of the last, with a coefficient of variation.
fn series(world: &mut World, values: usize, memory: f64, variation: f64) -> Vec<f64> {
    let mut environment = world.environment(memory, variation);
    (0..values)
        .map(|_| world.step(&mut environment).exp())
        .collect()
}

fn points(ratios: &[f64]) -> Vec<Point> {
    ratios
        .iter()
        .enumerate()
        .map(|(index, &ratio)| Point {
            label: index.to_string(),
            at_unix_ms: 86_400_000 * index as u64,
            fingerprint: "machine".to_owned(),
            schema: 1,
            ratio: Some(ratio),
        })
        .collect()
}

fn found(ratios: &[f64]) -> Vec<u32> {
    let stretches = history::follow(&points(ratios), 0.0);
    let changes = stretches.iter().flat_map(|stretch| &stretch.changes);
    changes.map(|change| change.index).collect()
}

#[test]
fn s11_series_without_change_show_few() {
    const SERIES: usize = 1_000;
    for (seed, memory) in [(111, 0.0), (112, 0.5)] {
        let mut world = World::of(seed);
        let (mut false_ones, mut as_otava) = (0, 0);
        for _ in 0..SERIES {
            let ratios = series(&mut world, 100, memory, 0.03);
            false_ones += found(&ratios).len();
            as_otava += history::as_otava(&ratios, 50, 0.001, 0.02).len();
        }
        let per_100 = share(false_ones, SERIES);
        accept(
            &format!("S11 false changes per 100 values, memory {memory}"),
            per_100,
            0.0..=0.2,
        );
        if memory > 0.0 {
            let broken = share(as_otava, SERIES);
            teeth(
                &format!("S11 not calibrated, memory {memory}"),
                broken,
                0.0..=0.2,
            );
        }
    }
}

#[test]
fn s11_heavy_tails_bring_more() {
    const SERIES: usize = 1_000;
    let mut world = World::of(116);
    let false_ones: usize = (0..SERIES)
        .map(|_| {
            // t with 3 degrees of freedom has a standard deviation of √3.
            let mut ratio = || (0.03 / 3.0_f64.sqrt() * world.noise(Law::Heavy)).exp();
            let ratios: Vec<f64> = (0..100).map(|_| ratio()).collect();
            found(&ratios).len()
        })
        .sum();
    let per_100 = share(false_ones, SERIES);
    tell(
        "S11 false changes per 100 values, t with 3 degrees of freedom",
        per_100,
    );
    assert!(per_100 <= 0.2, "{per_100}");
}

#[test]
fn s11_a_step_of_five_percent_is_found_soon() {
    const SERIES: usize = 400;
    const BEFORE: usize = 50;
    let mut world = World::of(113);
    let mut soon = 0;
    for _ in 0..SERIES {
        let mut ratios = series(&mut world, BEFORE + 8, 0.0, 0.02);
        ratios[BEFORE..].iter_mut().for_each(|ratio| *ratio *= 1.05);
        soon += usize::from((3..=8).any(|after| {
            let found = found(&ratios[..BEFORE + after]);
            found.iter().any(|index| index.abs_diff(50) <= 3)
        }));
    }
    accept(
        "S11 +5 % at 2 % variation found within 8 values",
        share(soon, SERIES),
        0.9..=1.0,
    );
}

#[test]
fn s11_several_steps_of_a_long_series_are_found_at_their_places() {
    let mut world = World::of(114);
    let mut ratios = series(&mut world, 240, 0.0, 0.01);
    for (index, ratio) in ratios.iter_mut().enumerate() {
        *ratio *= [1.0, 1.1, 1.04][index / 80];
    }
    let found = found(&ratios);
    assert_eq!(found.len(), 2, "{found:?}");
    for (index, expected) in found.into_iter().zip([80_u32, 160]) {
        assert!(index.abs_diff(expected) <= 1, "{index}");
    }
}

#[test]
fn gaps_stay_gaps_and_other_machines_stand_apart() {
    let mut world = World::of(115);
    let mut ratios = series(&mut world, 60, 0.0, 0.01);
    ratios[40..].iter_mut().for_each(|ratio| *ratio *= 1.1);
    let mut with_gaps = points(&ratios);
    for index in [3, 38, 39, 40, 55] {
        with_gaps[index].ratio = None;
    }
    let stretches = history::follow(&with_gaps, 0.0);
    let [stretch] = stretches.as_slice() else {
        panic!("{stretches:?}");
    };
    assert_eq!((stretch.values, stretch.changes.len()), (55, 1));
    let change = &stretch.changes[0];
    assert_eq!(
        (change.index, &*change.after, &*change.at),
        (41, "37", "41")
    );
    assert!((change.change - 0.1).abs() < 0.02, "{change:?}");

    let mut moved = points(&ratios);
    moved[40..]
        .iter_mut()
        .for_each(|point| point.fingerprint = "other".to_owned());
    let stretches = history::follow(&moved, 0.0);
    assert_eq!(stretches.len(), 2);
    assert!(
        stretches.iter().all(|stretch| stretch.changes.is_empty()),
        "{stretches:?}"
    );
    assert!(history::follow(&points(&ratios), 0.2)[0].changes.is_empty());
    assert!(history::follow(&[], 0.0).is_empty());
}
