//! Weighted least squares of the four shapes of a scaling law (statistics §2.10).

use crate::model::Shape;

/// A fitted curve `a + b f(n)`, where the shape is f.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Curve {
    shape: Shape,
    base: f64,
    slope: f64,
}

impl Curve {
    /// Fits points (level, value) with weights 1/value², so that every level counts by its relative error.
    ///
    /// `None` for no points, a value that isn't positive, or for levels that don't differ where the
    /// shape needs it.
    pub(crate) fn fit(shape: Shape, points: &[(f64, f64)]) -> Option<Self> {
        if points.is_empty() || points.iter().any(|&(_, y)| !(y.is_finite() && y > 0.0)) {
            return None;
        }
        let weighted = |value: &dyn Fn(f64, f64) -> f64| -> f64 {
            points.iter().map(|&(n, y)| value(n, y) / (y * y)).sum()
        };
        let weight = weighted(&|_, _| 1.0);
        let mean_y = weighted(&|_, y| y) / weight;
        if shape == Shape::Constant {
            return Some(Self {
                shape,
                base: mean_y,
                slope: 0.0,
            });
        }
        let mean_x = weighted(&|n, _| feature(shape, n)) / weight;
        let variance = weighted(&|n, _| (feature(shape, n) - mean_x).powi(2));
        let covariance = weighted(&|n, y| (feature(shape, n) - mean_x) * (y - mean_y));
        let slope = covariance / variance;
        slope.is_finite().then_some(Self {
            shape,
            base: mean_y - slope * mean_x,
            slope,
        })
    }

    /// Returns the curve's value at a level.
    pub(crate) fn at(&self, level: f64) -> f64 {
        self.base + self.slope * feature(self.shape, level)
    }
}

/// f(n); a level below 1 counts as 1 for the logarithm.
fn feature(shape: Shape, level: f64) -> f64 {
    match shape {
        Shape::Constant => 0.0,
        Shape::Logarithmic => level.max(1.0).ln(),
        Shape::Linear => level,
        Shape::Quadratic => level * level,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_curve_is_found_again() {
        let levels = [1.0, 10.0, 100.0, 1_000.0, 10_000.0];
        for shape in [Shape::Logarithmic, Shape::Linear, Shape::Quadratic] {
            let points: Vec<_> = levels
                .iter()
                .map(|&n| (n, 50.0 + 0.003 * feature(shape, n)))
                .collect();
            let curve = Curve::fit(shape, &points).unwrap();
            for &(n, y) in &points {
                assert!((curve.at(n) / y - 1.0).abs() < 1e-9, "{shape:?} at {n}");
            }
        }
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        assert!(Curve::fit(Shape::Linear, &[]).is_none());
        assert!(Curve::fit(Shape::Linear, &[(1.0, 5.0)]).is_none());
        assert!(Curve::fit(Shape::Constant, &[(1.0, f64::INFINITY)]).is_none());
        assert!(Curve::fit(Shape::Constant, &[(1.0, 0.0)]).is_none());
    }
}
