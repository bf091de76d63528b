//! From the effects of paired rounds to a verdict (statistics §2.4, §2.6).
//!
//! The verdict of a cell rests on its own intervals alone. Holm's adjustment over cells is reported beside it and
//! never changes it: with few rounds the signed-rank p is coarse (10 rounds: at least 0.002), so that
//! with enough cells *no* effect, however large, could keep its verdict. Each adjusted p therefore comes
//! with whether 5 % was attainable at all.

pub(crate) mod claim;

pub use claim::fewest_rounds;

use crate::model::{Estimate, Interval, Metric, Resolution, Tests, Verdict};
use crate::stats::paired::PairedT;
use crate::stats::rounds::{self, FEWEST};
use crate::stats::signed_rank::MOST_ROUNDS;
use crate::stats::walsh::{Bounds, Walsh};
use crate::stats::{real, spread};
use crate::words;

/// How the effect of a round is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// ln of the ratio; the margin δ is on θ - 1.
    Ratio,
    /// The difference; the margin is on it.
    Difference,
}

impl Scale {
    /// Returns the scale on which a metric is compared.
    #[must_use]
    pub const fn of(metric: Metric) -> Self {
        match metric {
            Metric::Loss => Self::Difference,
            _ => Self::Ratio,
        }
    }

    /// Returns the effect of arms that don't differ, as it is printed: 1, or 0 for a difference.
    #[must_use]
    pub const fn neutral(self) -> f64 {
        match self {
            Self::Ratio => 1.0,
            Self::Difference => 0.0,
        }
    }

    /// Returns a margin on the scale of the effects.
    pub(crate) fn margin(self, margin: f64) -> f64 {
        match self {
            Self::Ratio => margin.ln_1p(),
            Self::Difference => margin,
        }
    }

    /// Returns an effect as it is printed.
    pub(crate) fn print(self, value: f64) -> f64 {
        match self {
            Self::Ratio => value.exp(),
            Self::Difference => value,
        }
    }
}

/// What the rounds of one cell say: effects are positive where the arm is worse.
#[derive(Debug)]
pub struct Inference {
    scale: Scale,
    effects: Vec<f64>,
    walsh: Walsh,
    bounds95: Bounds,
    bounds90: Bounds,
}

impl Inference {
    /// Returns `None` for fewer than 6 or more than 1,000 rounds, or an effect that is not a number.
    #[must_use]
    pub fn of(effects: &[f64], scale: Scale) -> Option<Self> {
        if !(FEWEST..=MOST_ROUNDS).contains(&effects.len()) {
            return None;
        }
        let walsh = Walsh::of(effects)?;
        Some(Self {
            scale,
            effects: effects.to_vec(),
            bounds95: walsh.interval(0.05)?,
            bounds90: walsh.interval(0.10)?,
            walsh,
        })
    }

    /// Returns the verdict for a margin, and whether an equivalent arm is measurably different.
    #[must_use]
    pub fn verdict(&self, margin: f64) -> (Verdict, bool) {
        let bounds = |bounds: &Bounds| (bounds.low, bounds.high);
        judge(
            bounds(&self.bounds95),
            bounds(&self.bounds90),
            self.scale.margin(margin),
        )
    }

    /// Returns the effect with its intervals: θ, or the difference.
    #[must_use]
    pub fn estimate(&self) -> Estimate {
        let interval = |bounds: &Bounds| Interval {
            low: self.scale.print(bounds.low),
            high: self.scale.print(bounds.high),
            confidence: bounds.confidence,
        };
        Estimate {
            value: self.scale.print(self.walsh.estimate()),
            interval95: interval(&self.bounds95),
            interval90: interval(&self.bounds90),
        }
    }

    /// Returns the exact interval of confidence at least `1 - alpha`, on the scale of the estimate; `None` where there
    /// are too few rounds for one.
    #[must_use]
    pub fn interval(&self, alpha: f64) -> Option<Interval> {
        let bounds = self.walsh.interval(alpha)?;
        Some(Interval {
            low: self.scale.print(bounds.low),
            high: self.scale.print(bounds.high),
            confidence: bounds.confidence,
        })
    }

    /// Returns the rank k of the Walsh average that bounds the 95 % interval.
    #[must_use]
    pub const fn walsh_rank(&self) -> usize {
        self.bounds95.rank
    }

    /// Returns the standard deviation of the finite effects.
    #[must_use]
    pub fn spread(&self) -> Option<f64> {
        spread(&self.effects)
    }

    /// Returns the share of rounds in which the arm was worse; a tie counts half.
    #[must_use]
    pub fn worse_in(&self) -> f64 {
        let worse: f64 = self
            .effects
            .iter()
            .map(|&effect| match effect {
                e if e > 0.0 => 1.0,
                e if e < 0.0 => 0.0,
                _ => 0.5,
            })
            .sum();
        worse / real(self.effects.len())
    }

    /// Returns the tests behind the verdict, not yet adjusted for other cells.
    #[must_use]
    pub fn tests(&self, margin: f64) -> Tests {
        let p_equality = self.walsh.p_equality();
        Tests {
            p_equality,
            p_holm: p_equality,
            holds_family_wise: p_equality <= 0.05,
            holm_attainable: true,
            p_equivalence: self.walsh.p_equivalence(self.scale.margin(margin)),
            t_interval: PairedT::of(&self.effects).map(|t| {
                let (low, high) = t.interval95();
                Interval {
                    low: self.scale.print(low),
                    high: self.scale.print(high),
                    confidence: 0.95,
                }
            }),
        }
    }

    /// Returns whether the paired t disagrees with the exact interval on there being a difference.
    #[must_use]
    pub fn outlier_driven(&self) -> bool {
        let Some(t) = PairedT::of(&self.effects) else {
            return false;
        };
        let (low, high) = t.interval95();
        let excluded = |low: f64, high: f64| low > 0.0 || high < 0.0;
        excluded(low, high) != excluded(self.bounds95.low, self.bounds95.high)
    }

    /// Returns what would decide an inconclusive cell.
    #[must_use]
    pub fn resolution(&self, margin: f64, seconds_per_round: Option<f64>) -> Resolution {
        let Estimate { interval95, .. } = self.estimate();
        let half_width = (interval95.high - interval95.low) / 2.0;
        let needed = self.needed(self.scale.margin(margin));
        let seconds = needed
            .zip(seconds_per_round)
            .map(|(rounds, seconds)| real(rounds) * seconds);
        let time = seconds.map_or_else(String::new, |seconds| {
            format!(" (≈{})", words::duration(seconds))
        });
        let goal = words::margin(margin);
        let now = words::half_width(half_width);
        let words = match needed {
            Some(rounds) => format!("{now} now; ~{rounds} rounds{time} would resolve {goal}"),
            None => format!("{now} now; 1,000 rounds would not resolve {goal} at this noise"),
        };
        Resolution {
            half_width,
            rounds: needed.and_then(|rounds| u32::try_from(rounds).ok()),
            seconds,
            words,
        }
    }

    /// Rounds that give 90 % chance of equivalence for equal arms. Where the campaign already has as many, the arms
    /// probably differ by about the estimate: then as many as tell it from nothing or from the margin.
    fn needed(&self, margin: f64) -> Option<usize> {
        let spread = self.spread()?;
        let now = self.effects.len();
        let size = self.walsh.estimate().abs();
        [margin, size.max((margin - size).abs())]
            .into_iter()
            .filter_map(|reach| rounds::needed(spread, reach))
            .find(|&rounds| rounds > now)
            .or_else(|| rounds::needed(spread, margin).map(|_| 2 * now))
            .filter(|&rounds| rounds <= MOST_ROUNDS)
    }
}

/// Returns the verdict on an effect by its 95 % and 90 % intervals, and whether an equivalent one is measurable.
pub(crate) fn judge(bounds95: (f64, f64), bounds90: (f64, f64), margin: f64) -> (Verdict, bool) {
    let worse = bounds95.0 > 0.0;
    let better = bounds95.1 < 0.0;
    if -margin < bounds90.0 && bounds90.1 < margin {
        (Verdict::Equivalent, worse || better)
    } else if worse {
        (Verdict::Slower, false)
    } else if better {
        (Verdict::Faster, false)
    } else {
        (Verdict::Inconclusive, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten rounds around an effect in percent, with a small spread.
    fn around(percent: f64, spread: f64) -> Inference {
        let effects: Vec<f64> = (-5..5)
            .map(|step| (percent + spread * (f64::from(step) + 0.5)) / 100.0)
            .collect();
        Inference::of(&effects, Scale::Ratio).unwrap()
    }

    #[test]
    fn the_first_verdict_that_matches_wins() {
        for (percent, spread, expected) in [
            (20.0, 0.3, (Verdict::Slower, false)),
            (-20.0, 0.3, (Verdict::Faster, false)),
            (0.1, 0.3, (Verdict::Equivalent, false)),
            (2.0, 0.1, (Verdict::Equivalent, true)),
            (-2.0, 0.1, (Verdict::Equivalent, true)),
            (0.0, 4.0, (Verdict::Inconclusive, false)),
        ] {
            assert_eq!(
                around(percent, spread).verdict(0.05),
                expected,
                "{percent} ± {spread}"
            );
        }
    }

    #[test]
    fn five_rounds_say_nothing() {
        assert!(Inference::of(&[0.1; 5], Scale::Ratio).is_none());
        assert!(Inference::of(&[0.1; 6], Scale::Ratio).is_some());
        assert!(Inference::of(&[f64::NAN; 9], Scale::Ratio).is_none());
    }

    #[test]
    fn an_undecided_cell_says_what_would_decide_it() {
        let resolution = around(0.0, 4.0).resolution(0.05, Some(14.0));
        let rounds = resolution.rounds.unwrap();
        assert!(rounds > 10, "{resolution:?}");
        assert!(
            resolution.words.contains("would resolve ±5 %"),
            "{resolution:?}"
        );
        assert!(resolution.words.contains(" min)"), "{resolution:?}");
        let hopeless = around(0.0, 300.0).resolution(0.05, None);
        assert_eq!(hopeless.rounds, None);
        assert!(hopeless.words.contains("would not resolve"), "{hopeless:?}");
    }

    #[test]
    fn one_wild_round_is_named() {
        let mut effects = vec![0.02, 0.03, 0.025, 0.021, 0.024, 0.022, 0.028, 0.023];
        effects.push(-0.4);
        let inference = Inference::of(&effects, Scale::Ratio).unwrap();
        let walsh = inference.verdict(0.001).0;
        assert_eq!(
            inference.outlier_driven(),
            walsh == Verdict::Slower,
            "{walsh}"
        );
        assert!(!around(20.0, 0.3).outlier_driven());
    }

    #[test]
    fn a_lost_percentile_is_worse_but_unbounded() {
        let mut effects = vec![0.1; 10];
        effects[0] = f64::INFINITY;
        let inference = Inference::of(&effects, Scale::Ratio).unwrap();
        assert_eq!(inference.verdict(0.05).0, Verdict::Slower);
        assert!(inference.estimate().interval95.high.is_infinite());
        assert!(inference.tests(0.05).t_interval.is_none());
    }
}
