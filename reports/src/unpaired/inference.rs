//! From two independent samples of effects to a verdict.

use super::Method;
use crate::model::{Estimate, Interval, Verdict};
use crate::stats::components::FEWEST_INSTALLS;
use crate::stats::rank_sum::RankSum;
use crate::stats::rounds::FEWEST;
use crate::stats::{mean, real, spread, student};
use crate::verdict::{Scale, judge};
use crate::words;

/// What two samples say: effects are ln θ or differences, positive is worse, grouped by install.
#[derive(Debug)]
pub(crate) struct Unpaired {
    scale: Scale,
    estimate: f64,
    bounds95: Interval,
    bounds90: Interval,
    pub(crate) method: Method,
}

/// Why there is no interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lacking {
    /// A side has only so many values.
    Values(usize),
    /// Too many values are lost.
    Finite,
}

impl Lacking {
    /// Says it in one line. `unit` is what has a value: a round, or a run.
    pub(crate) fn words(self, unit: &str) -> String {
        match self {
            Self::Values(few) => format!(
                "{} on one side: an interval needs at least {FEWEST} on each",
                words::plural(few, unit)
            ),
            Self::Finite => {
                format!("too many {unit}s have no finite value (loss-limited): see loss")
            }
        }
    }
}

impl Unpaired {
    /// Compares the later effects with the earlier ones.
    ///
    /// # Errors
    ///
    /// Says why there is no interval: fewer than 6 rounds on a side, or too many without a finite value.
    pub(crate) fn of(
        before: &[Vec<f64>],
        after: &[Vec<f64>],
        scale: Scale,
    ) -> Result<Self, Lacking> {
        let flat = [before.concat(), after.concat()];
        if let Some(few) = flat.iter().map(Vec::len).find(|rounds| *rounds < FEWEST) {
            return Err(Lacking::Values(few));
        }
        let finite = flat.iter().flatten().all(|effect| effect.is_finite());
        let enough = [before, after]
            .iter()
            .all(|side| side.len() >= FEWEST_INSTALLS);
        if finite
            && enough
            && let Some(found) = Self::of_installs(before, after, scale)
        {
            return Ok(found);
        }
        let [before, after] = &flat;
        Self::of_rounds(before, after, scale).ok_or(Lacking::Finite)
    }

    fn of_rounds(before: &[f64], after: &[f64], scale: Scale) -> Option<Self> {
        let sum = RankSum::of(before, after)?;
        let interval = |alpha: f64| {
            let bounds = sum.interval(alpha)?;
            Some(Interval {
                low: bounds.low,
                high: bounds.high,
                confidence: bounds.confidence,
            })
        };
        let bounds95 = interval(0.05)?;
        let unbounded = bounds95.low == f64::NEG_INFINITY && bounds95.high == f64::INFINITY;
        (!unbounded).then_some(Self {
            scale,
            estimate: sum.estimate()?,
            bounds95,
            bounds90: interval(0.10)?,
            method: Method::RankSum,
        })
    }

    /// Welch's t on the means of installs, degrees of freedom by Satterthwaite.
    fn of_installs(before: &[Vec<f64>], after: &[Vec<f64>], scale: Scale) -> Option<Self> {
        let means =
            |side: &[Vec<f64>]| -> Vec<f64> { side.iter().map(|rounds| mean(rounds)).collect() };
        let (before, after) = (means(before), means(after));
        let of_mean = |means: &[f64]| Some(spread(means)?.powi(2) / real(means.len()));
        let (one, other) = (of_mean(&before)?, of_mean(&after)?);
        let variance = one + other;
        let shares = one * one / real(before.len() - 1) + other * other / real(after.len() - 1);
        // Means that don't vary at all have no degrees of freedom of their own: as many as there can be.
        let degrees = if shares > 0.0 {
            variance * variance / shares
        } else {
            real(before.len() + after.len() - 2)
        };
        let estimate = mean(&after) - mean(&before);
        let interval = |alpha: f64| {
            let reach = student::quantile(1.0 - alpha / 2.0, degrees) * variance.sqrt();
            Interval {
                low: estimate - reach,
                high: estimate + reach,
                confidence: 1.0 - alpha,
            }
        };
        Some(Self {
            scale,
            estimate,
            bounds95: interval(0.05),
            bounds90: interval(0.10),
            method: Method::InstallMeans,
        })
    }

    /// Returns the verdict for a margin, and whether an equivalent effect is measurable.
    pub(crate) fn verdict(&self, margin: f64) -> (Verdict, bool) {
        let margin = self.scale.margin(margin);
        let bounds = |interval: Interval| (interval.low, interval.high);
        judge(bounds(self.bounds95), bounds(self.bounds90), margin)
    }

    /// Returns the effect with its intervals: a ratio, or a difference.
    pub(crate) fn estimate(&self) -> Estimate {
        let print = |interval: Interval| Interval {
            low: self.scale.print(interval.low),
            high: self.scale.print(interval.high),
            confidence: interval.confidence,
        };
        Estimate {
            value: self.scale.print(self.estimate),
            interval95: print(self.bounds95),
            interval90: print(self.bounds90),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(centre: f64) -> Vec<f64> {
        (-3..3)
            .map(|step| centre + 0.004 * (f64::from(step) + 0.5))
            .collect()
    }

    fn verdict(before: &[Vec<f64>], after: &[Vec<f64>]) -> Verdict {
        Unpaired::of(before, after, Scale::Ratio)
            .unwrap()
            .verdict(0.05)
            .0
    }

    #[test]
    fn rounds_of_one_install_each_are_compared_by_ranks() {
        assert_eq!(
            verdict(&[install(0.2)], &[install(0.2)]),
            Verdict::Equivalent
        );
        assert_eq!(verdict(&[install(0.2)], &[install(0.3)]), Verdict::Slower);
        assert_eq!(verdict(&[install(0.3)], &[install(0.2)]), Verdict::Faster);
        let found = Unpaired::of(&[install(0.2)], &[install(0.3)], Scale::Ratio).unwrap();
        assert_eq!(found.method, Method::RankSum);
        assert!((found.estimate().value - 0.1_f64.exp()).abs() < 1e-9);
    }

    /// Installs that differ by 2 %: rounds would call it a difference, installs don't.
    #[test]
    fn the_luck_of_installs_is_no_difference() {
        let lucky = |luck: [f64; 4]| luck.map(install).to_vec();
        let (before, after) = (
            lucky([0.00, 0.03, -0.02, 0.01]),
            lucky([0.03, -0.01, 0.04, 0.02]),
        );
        let found = Unpaired::of(&before, &after, Scale::Ratio).unwrap();
        assert_eq!(found.method, Method::InstallMeans);
        assert_ne!(found.verdict(0.001).0, Verdict::Slower);
        let rounds = Unpaired::of_rounds(&before.concat(), &after.concat(), Scale::Ratio).unwrap();
        assert_eq!(rounds.verdict(0.001).0, Verdict::Slower);
        let one = |sides: &[Vec<f64>]| vec![sides.concat()];
        assert_eq!(verdict(&one(&before), &lucky([0.2; 4])), Verdict::Slower);
    }

    #[test]
    fn too_little_is_said_and_gives_no_number() {
        let few = Unpaired::of(&[vec![0.1; 5]], &[install(0.1)], Scale::Ratio).unwrap_err();
        assert_eq!(few, Lacking::Values(5));
        assert!(few.words("round").starts_with("5 rounds on one side"));
        let lost = [vec![f64::INFINITY; 10]];
        let limited = Unpaired::of(&lost, &lost, Scale::Ratio).unwrap_err();
        assert_eq!(limited, Lacking::Finite);
        assert!(limited.words("run").contains("loss-limited"));
        let worse = Unpaired::of(&[install(0.1)], &lost, Scale::Ratio).unwrap();
        assert_eq!(worse.verdict(0.05).0, Verdict::Slower);
        assert!(worse.estimate().value.is_infinite());
        assert!(Unpaired::of(&[vec![f64::NAN; 8]], &[install(0.1)], Scale::Ratio).is_err());
    }
}
