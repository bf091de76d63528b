use proptest::prelude::*;
use tollgate_results::units::Rate;

use super::*;

fn load(rate: u64, arrivals: Arrivals) -> OpenLoad {
    OpenLoad {
        arrivals,
        ..OpenLoad::new(Rate(rate))
    }
}

fn plan(rate: u64, arrivals: Arrivals, seed: u64, count: usize) -> Vec<u64> {
    let mut schedule = Schedule::new(&load(rate, arrivals), Moment::from_ns(0), seed);
    (0..count).map(|_| schedule.next().ns()).collect()
}

#[test]
fn the_same_seed_gives_the_same_schedule() {
    // Golden: a change of these would make recorded seeds mean other schedules.
    let constant = [56_960, 156_960, 256_960, 356_960];
    let poisson = [184_645, 363_030, 398_089, 430_007];
    assert_eq!(plan(10_000, Arrivals::Constant, 7, 4), constant);
    assert_eq!(plan(10_000, Arrivals::Poisson, 7, 4), poisson);
    assert_ne!(plan(10_000, Arrivals::Poisson, 8, 4), poisson);
}

#[test]
fn a_constant_schedule_does_not_drift() {
    // A third of a second is no whole number of nanoseconds.
    let times = plan(3, Arrivals::Constant, 1, 3_000_001);
    assert_eq!(times[3_000_000] - times[0], 1_000_000 * SECOND);
}

#[test]
fn poisson_gaps_have_the_mean_and_the_spread_of_their_law() {
    let times = plan(10_000, Arrivals::Poisson, 3, 200_000);
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let gaps: Vec<f64> = times
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) as f64)
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    // The standard error of the mean is 0.22 %.
    assert!((mean / 100_000.0 - 1.0).abs() < 0.01, "{mean}");
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let longer = |ns: f64| gaps.iter().filter(|gap| **gap > ns).count() as f64 / gaps.len() as f64;
    assert!((longer(100_000.0) - 0.3679).abs() < 0.005, "1/e");
    assert!((longer(300_000.0) - 0.0498).abs() < 0.003, "1/e^3");
}

#[test]
fn after_a_stall_just_what_was_due_is_due() {
    let end = Moment::from_ns(SECOND);
    let pacer = Schedule::new(&load(450, Arrivals::Constant), Moment::from_ns(0), 1);
    let mut agenda = Agenda::new(pacer, end);
    let mut take = |now| {
        let mut count = 0;
        while agenda.due(Moment::from_ns(now)).is_some() {
            agenda.take();
            count += 1;
        }
        count
    };
    assert_eq!(take(100_000_000), 45);
    // 200 ms without sending: 90 requests, and then no more until the next is due.
    assert_eq!(take(300_000_000), 90);
    assert_eq!(take(300_000_000), 0);
    assert_eq!(take(2 * SECOND), 315, "none at or after the end");
}

proptest! {
    #[test]
    fn time_never_runs_backwards(rate in 1..=1_000_000_u64, seed: u64, poisson: bool) {
        let arrivals = if poisson { Arrivals::Poisson } else { Arrivals::Constant };
        let times = plan(rate, arrivals, seed, 200);
        prop_assert!(times.is_sorted());
    }

    #[test]
    fn constant_gaps_differ_by_a_nanosecond_at_most(rate in 1..=1_000_000_u64, seed: u64) {
        let times = plan(rate, Arrivals::Constant, seed, 200);
        prop_assert!(times[0] <= SECOND / rate + 1);
        for (index, time) in times.iter().enumerate() {
            let ideal = u128::from(SECOND) * index as u128 / u128::from(rate);
            prop_assert!(u128::from(time - times[0]).abs_diff(ideal) <= 1);
        }
    }

    #[test]
    fn a_window_has_its_share_of_a_constant_rate(
        rate in 1..=100_000_u64,
        seed: u64,
        milliseconds in 1..1_000_u64,
    ) {
        let end = Moment::from_ns(milliseconds * 1_000_000);
        let pacer = Schedule::new(&load(rate, Arrivals::Constant), Moment::from_ns(0), seed);
        let planned = Agenda::new(pacer, end).take_before(end);
        prop_assert!(planned.abs_diff(rate * milliseconds / 1_000) <= 1);
    }
}
