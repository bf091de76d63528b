//! Logarithms of latencies by pass, client and server; what wasn't measured is not a number.

use tollgate_results::mesh::{Meeting, MeshRecord, Met};

use crate::stats::real64;

/// A square of numbers by two nodes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Square {
    nodes: usize,
    values: Vec<f64>,
}

impl Square {
    /// Returns a square without a number.
    pub(super) fn empty(nodes: usize) -> Self {
        Self {
            nodes,
            values: vec![f64::NAN; nodes * nodes],
        }
    }

    /// Returns how many nodes there are.
    pub(super) const fn nodes(&self) -> usize {
        self.nodes
    }

    /// Returns the number of two nodes.
    pub(super) fn at(&self, one: usize, other: usize) -> f64 {
        self.values[one * self.nodes + other]
    }

    /// Returns the numbers of a node with all others, itself included.
    pub(super) fn row(&self, node: usize) -> &[f64] {
        &self.values[node * self.nodes..(node + 1) * self.nodes]
    }

    /// Sets the number of two nodes in this order.
    pub(super) fn set(&mut self, one: usize, other: usize, value: f64) {
        self.values[one * self.nodes + other] = value;
    }

    /// Returns the square without directions: the mean of both, or the one that there is.
    pub(super) fn folded(&self) -> Self {
        let mut folded = Self::empty(self.nodes);
        for one in 0..self.nodes {
            for other in 0..one {
                let value = either(self.at(one, other), self.at(other, one));
                folded.set(one, other, value);
                folded.set(other, one, value);
            }
        }
        folded
    }
}

/// Returns the mean of two numbers, or the one that is a number.
pub(super) const fn either(one: f64, other: f64) -> f64 {
    match (one.is_nan(), other.is_nan()) {
        (false, false) => f64::midpoint(one, other),
        (true, _) => other,
        (false, true) => one,
    }
}

/// Sorts meetings into squares of ln p50, one for each pass.
pub(super) fn passes(record: &MeshRecord, meetings: &[Meeting]) -> Vec<Square> {
    let nodes = record.nodes.len();
    let mut passes: Vec<Square> = (0..record.passes).map(|_| Square::empty(nodes)).collect();
    for meeting in meetings {
        if record.foreign(meeting).is_some() {
            continue;
        }
        let Met::Measured(times) = &meeting.outcome else {
            continue;
        };
        // Where the median falls among the lost there is no latency; the loss is told for itself.
        let Some(p50) = times.p50_ns.filter(|ns| *ns > 0) else {
            continue;
        };
        let ln = real64(p50).ln();
        passes[meeting.pass as usize].set(meeting.client as usize, meeting.server as usize, ln);
    }
    passes
}

/// Returns the median over squares, number by number.
pub(super) fn over(squares: &[Square]) -> Square {
    if let [only] = squares {
        return only.clone();
    }
    let nodes = squares.first().map_or(0, Square::nodes);
    let mut all = Square::empty(nodes);
    let mut values = Vec::with_capacity(squares.len());
    for (index, slot) in all.values.iter_mut().enumerate() {
        values.clear();
        values.extend(squares.iter().map(|square| square.values[index]));
        if let Some(median) = median(&mut values) {
            *slot = median;
        }
    }
    all
}

/// Returns the median of those values that are numbers; their order is lost.
pub(super) fn median(values: &mut Vec<f64>) -> Option<f64> {
    values.retain(|value| !value.is_nan());
    let (half, odd) = (values.len() / 2, values.len() % 2 == 1);
    if values.is_empty() {
        return None;
    }
    let (below, upper, _) = values.select_nth_unstable_by(half, f64::total_cmp);
    let upper = *upper;
    if odd {
        return Some(upper);
    }
    let lower = below.iter().copied().max_by(f64::total_cmp)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_leave_out_what_is_not_known() {
        assert_eq!(median(&mut vec![f64::NAN, 3.0, 1.0]), Some(2.0));
        assert_eq!(median(&mut vec![5.0, f64::NAN, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut vec![f64::NAN]), None);
    }

    #[test]
    fn directions_fold_into_their_mean() {
        let mut square = Square::empty(3);
        square.set(0, 1, 1.0);
        square.set(1, 0, 3.0);
        square.set(2, 0, 5.0);
        let folded = square.folded();
        assert_eq!((folded.at(0, 1), folded.at(1, 0)), (2.0, 2.0));
        assert_eq!((folded.at(0, 2), folded.at(2, 0)), (5.0, 5.0));
        assert!(folded.at(1, 2).is_nan());
    }
}
