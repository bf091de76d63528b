//! How much of the spread comes from rounds and how much from installs, and what that says of where to spend time
//! (statistics §2.8; Kalibera and Jones, arXiv 2007.10899).

use super::{mean, real, spread, student};

/// Fewest installs whose spread is told.
pub(crate) const FEWEST_INSTALLS: usize = 4;

/// Standard deviations of the effect of one round within an install, and of one install.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Components {
    pub(crate) round: f64,
    /// `None` for fewer than 4 installs.
    pub(crate) install: Option<f64>,
}

/// Takes the spread of effects apart, by install. Infinite effects are left out; `None` where no install has two
/// finite ones.
pub(crate) fn of(installs: &[Vec<f64>]) -> Option<Components> {
    let finite: Vec<Vec<f64>> = installs
        .iter()
        .map(|rounds| rounds.iter().copied().filter(|x| x.is_finite()).collect())
        .filter(|rounds: &Vec<f64>| !rounds.is_empty())
        .collect();
    let (mut squares, mut degrees) = (0.0, 0.0);
    for rounds in &finite {
        if let Some(spread) = spread(rounds) {
            let own = real(rounds.len() - 1);
            squares += own * spread * spread;
            degrees += own;
        }
    }
    if degrees < 1.0 {
        return None;
    }
    let round = (squares / degrees).sqrt();
    let install = (finite.len() >= FEWEST_INSTALLS)
        .then(|| {
            let means: Vec<f64> = finite.iter().map(|rounds| mean(rounds)).collect();
            let inverse: Vec<f64> = finite
                .iter()
                .map(|rounds| 1.0 / real(rounds.len()))
                .collect();
            let left = spread(&means)?.powi(2) - round * round * mean(&inverse);
            Some(left.max(0.0).sqrt())
        })
        .flatten();
    Some(Components { round, install })
}

impl Components {
    /// Returns how many rounds one install is worth, from what both cost (in any one unit): `None` where installs
    /// don't differ, so that any number on one install will do.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded right before"
    )]
    pub(crate) fn rounds_per_install(&self, install_cost: f64, round_cost: f64) -> Option<u32> {
        let install = self.install.filter(|install| *install > 0.0)?;
        let rounds = ((install_cost / round_cost) * (self.round / install).powi(2)).sqrt();
        rounds
            .is_finite()
            .then(|| rounds.ceil().clamp(1.0, 1_000.0) as u32)
    }

    /// Returns the fewest installs of so many rounds, from 4 to 1,000, whose means tell a difference of `reach`
    /// in nine of ten campaigns.
    pub(crate) fn installs_needed(&self, rounds: u32, reach: f64) -> Option<usize> {
        let install = self.install?;
        let variance = install * install + self.round * self.round / f64::from(rounds.max(1));
        (FEWEST_INSTALLS..=1_000)
            .find(|&installs| super::rounds::resolved(variance.sqrt(), installs) <= reach)
    }
}

/// Returns the mean of installs' means with its interval of confidence `1 - alpha` by Student's t; `None` for fewer
/// than 4 installs, or an effect that isn't finite.
pub(crate) fn over_installs(installs: &[Vec<f64>], alpha: f64) -> Option<(f64, f64, f64)> {
    let means: Vec<f64> = installs
        .iter()
        .filter(|rounds| !rounds.is_empty())
        .map(|rounds| mean(rounds))
        .collect();
    if means.len() < FEWEST_INSTALLS || means.iter().any(|mean| !mean.is_finite()) {
        return None;
    }
    let n = real(means.len());
    let centre = mean(&means);
    let reach = student::quantile(1.0 - alpha / 2.0, n - 1.0) * spread(&means)? / n.sqrt();
    Some((centre, centre - reach, centre + reach))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_methodology_gives_four_rounds() {
        let components = Components {
            round: 0.03,
            install: Some(0.02),
        };
        assert_eq!(components.rounds_per_install(90.0, 13.0), Some(4));
        let alike = Components {
            install: Some(0.0),
            ..components
        };
        assert_eq!(alike.rounds_per_install(90.0, 13.0), None);
        let needed = components.installs_needed(4, 0.05).unwrap();
        assert!((4..=6).contains(&needed), "{needed}");
    }

    #[test]
    fn rounds_and_installs_are_told_apart() {
        // Installs at -1, 0, 1, 2 with rounds 0.1 to either side.
        let installs: Vec<Vec<f64>> = [-1.0, 0.0, 1.0, 2.0]
            .iter()
            .map(|centre| vec![centre - 0.1, centre + 0.1])
            .collect();
        let found = of(&installs).unwrap();
        assert!((found.round - 0.1 * 2.0_f64.sqrt()).abs() < 1e-12);
        let expected = (5.0 / 3.0 - 0.01_f64).sqrt();
        assert!(
            (found.install.unwrap() - expected).abs() < 1e-12,
            "{found:?}"
        );
        let (centre, low, high) = over_installs(&installs, 0.05).unwrap();
        assert!((centre - 0.5).abs() < 1e-12);
        // t(3, .975) = 3.182446, over sqrt(5/3)/2.
        assert!((high - low - 2.0 * 3.182_446 * (5.0_f64 / 3.0).sqrt() / 2.0).abs() < 1e-5);
        assert_eq!(of(&installs[..3]).unwrap().install, None);
        assert_eq!(over_installs(&installs[..3], 0.05), None);
        assert_eq!(of(&[vec![1.0], vec![2.0]]), None);
    }
}
