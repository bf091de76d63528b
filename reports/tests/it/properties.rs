//! Properties of verdicts (statistics §4.3).

use proptest::prelude::*;
use tollgate_reports::gate::{Finding, find};
use tollgate_reports::model::{Direction, Verdict};
use tollgate_reports::pairs::{PairComparison, compare, parse_csv};
use tollgate_reports::verdict::Scale;

type Rounds = Vec<(f64, f64)>;

fn compared(rounds: &Rounds) -> PairComparison {
    compared_with(rounds, 0.05)
}

fn compared_with(rounds: &Rounds, margin: f64) -> PairComparison {
    let rows: Vec<String> = rounds
        .iter()
        .enumerate()
        .map(|(round, (a, b))| format!("{round},a,{a}\n{round},b,{b}\n"))
        .collect();
    let pairs = parse_csv(&format!("round,arm,value\n{}", rows.concat())).unwrap();
    compare(&pairs, Direction::LargerIsWorse, margin)
}

/// Values from equal to twice as large, with some replies lost.
fn rounds() -> impl Strategy<Value = Rounds> {
    let value = || prop_oneof![20 => 10.0..20.0_f64, 1 => Just(f64::INFINITY)];
    let pair = (value(), value()).prop_filter("one arm has to answer", |(a, b)| {
        a.is_finite() || b.is_finite()
    });
    prop::collection::vec(pair, 6..24)
}

fn mirrored(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Slower => Verdict::Faster,
        Verdict::Faster => Verdict::Slower,
        other => other,
    }
}

fn near(a: f64, b: f64) -> bool {
    a.total_cmp(&b).is_eq() || (a - b).abs() <= 1e-9 * a.abs().max(1.0)
}

proptest! {
    #[test]
    fn swapping_the_arms_mirrors_everything(rounds in rounds()) {
        let swapped: Rounds = rounds.iter().map(|&(a, b)| (b, a)).collect();
        let (one, other) = (compared(&rounds), compared(&swapped));
        prop_assert_eq!(mirrored(one.verdict), other.verdict);
        prop_assert_eq!(one.measurable, other.measurable);
        let (one, other) = (one.estimate.unwrap(), other.estimate.unwrap());
        prop_assert!(near(one.value, other.value.recip()), "{:?} {:?}", one, other);
        prop_assert!(near(one.interval95.low, other.interval95.high.recip()));
        prop_assert!(near(one.interval95.high, other.interval95.low.recip()));
        prop_assert!(near(one.interval90.low, other.interval90.high.recip()));
    }

    #[test]
    fn a_faster_clock_changes_no_verdict(rounds in rounds(), scale in 0.001..1_000.0_f64) {
        let scaled: Rounds = rounds.iter().map(|&(a, b)| (a * scale, b * scale)).collect();
        let (one, other) = (compared(&rounds), compared(&scaled));
        prop_assert_eq!(one.verdict, other.verdict);
        prop_assert!(near(one.estimate.unwrap().value, other.estimate.unwrap().value));
    }

    #[test]
    fn the_order_of_rounds_does_not_matter(rounds in rounds(), seed in 0..1_000_usize) {
        let mut shuffled = rounds.clone();
        shuffled.rotate_left(seed % rounds.len());
        shuffled.reverse();
        prop_assert_eq!(compared(&rounds), compared(&shuffled));
    }

    #[test]
    fn a_loss_never_improves_an_arm(rounds in rounds(), round: prop::sample::Index) {
        let mut worse = rounds.clone();
        let hit = round.index(worse.len());
        prop_assume!(worse[hit].0.is_finite());
        worse[hit].1 = f64::INFINITY;
        let (before, after) = (compared(&rounds).estimate.unwrap(), compared(&worse).estimate.unwrap());
        prop_assert!(after.value >= before.value);
        prop_assert!(after.interval95.low >= before.interval95.low);
        prop_assert!(after.interval95.high >= before.interval95.high);
    }

    #[test]
    fn verdict_and_intervals_agree(rounds in rounds(), margin in 0.001..0.5_f64) {
        let found = compared_with(&rounds, margin);
        let estimate = found.estimate.unwrap();
        let (wide, narrow) = (estimate.interval95, estimate.interval90);
        prop_assert!(wide.low <= narrow.low && narrow.high <= wide.high);
        prop_assert!(narrow.low <= estimate.value && estimate.value <= narrow.high);
        let inside = narrow.low > 1.0 / (1.0 + margin) && narrow.high < 1.0 + margin;
        let excluded = wide.low > 1.0 || wide.high < 1.0;
        let p = found.tests.unwrap();
        prop_assert_eq!(excluded, p.p_equality <= 0.05, "{:?}", p);
        prop_assert_eq!(inside, found.verdict == Verdict::Equivalent);
        prop_assert_eq!(inside, p.p_equivalence <= 0.05, "{:?}", p);
        if !inside {
            prop_assert_eq!(excluded, matches!(found.verdict, Verdict::Slower | Verdict::Faster));
        }
        prop_assert_eq!(found.to_resolve.is_some(), found.verdict == Verdict::Inconclusive);
    }

    #[test]
    fn a_wider_margin_never_takes_a_pass_away(rounds in rounds(), margin in 0.001..0.5_f64, more in 0.0..0.5_f64) {
        let effects: Vec<f64> = rounds.iter().map(|(a, b)| b.ln() - a.ln()).collect();
        let narrow = find(&effects, Scale::Ratio, margin);
        let wide = find(&effects, Scale::Ratio, margin + more);
        prop_assert!(narrow != Finding::Pass || wide == Finding::Pass);
        prop_assert!(wide != Finding::Suspect || narrow == Finding::Suspect);
        // No arm is both: what is suspect can't pass with the same margin when the arms are swapped back.
        let swapped: Vec<f64> = effects.iter().map(|effect| -effect).collect();
        let back = find(&swapped, Scale::Ratio, margin);
        prop_assert!(narrow != Finding::Suspect || back == Finding::Pass);
    }

    #[test]
    fn a_gate_does_not_see_the_order_of_rounds(rounds in rounds(), seed in 0..1_000_usize, margin in 0.001..0.5_f64) {
        let effects: Vec<f64> = rounds.iter().map(|(a, b)| b.ln() - a.ln()).collect();
        let mut shuffled = effects.clone();
        shuffled.rotate_left(seed % effects.len());
        shuffled.reverse();
        prop_assert_eq!(find(&effects, Scale::Ratio, margin), find(&shuffled, Scale::Ratio, margin));
    }

    #[test]
    fn a_lost_round_never_turns_a_gate_to_pass(rounds in rounds(), round: prop::sample::Index, margin in 0.001..0.5_f64) {
        let effects: Vec<f64> = rounds.iter().map(|(a, b)| b.ln() - a.ln()).collect();
        let mut worse = effects.clone();
        worse[round.index(effects.len())] = f64::INFINITY;
        if find(&effects, Scale::Ratio, margin) != Finding::Pass {
            prop_assert_ne!(find(&worse, Scale::Ratio, margin), Finding::Pass);
        }
    }

    #[test]
    fn nothing_that_is_written_breaks_the_reader(text in "(round,arm,value\n)?([0-9a-z,.\\-\n\"é ]|inf|NaN){0,200}") {
        if let Err(error) = parse_csv(&text) {
            prop_assert!(error.lines().count() > 0);
        }
    }
}
