//! Figures that depend on a count alone, computed once each.

use std::sync::OnceLock;

use super::signed_rank::MOST_ROUNDS;

/// One figure for each count up to [`MOST_ROUNDS`]; beyond, it is computed each time.
pub(crate) struct ByCount<T>([OnceLock<T>; MOST_ROUNDS + 1]);

impl<T: Copy> ByCount<T> {
    pub(crate) const fn new() -> Self {
        Self([const { OnceLock::new() }; MOST_ROUNDS + 1])
    }

    /// Returns the figure of a count. `compute` must depend on the count alone.
    pub(crate) fn of(&self, count: usize, compute: impl Fn(usize) -> T) -> T {
        match self.0.get(count) {
            Some(known) => *known.get_or_init(|| compute(count)),
            None => compute(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_is_computed_once_and_beyond_the_last_each_time() {
        static SQUARES: ByCount<usize> = ByCount::new();
        let computed = std::cell::Cell::new(0);
        let square = |count: usize| {
            computed.set(computed.get() + 1);
            count * count
        };
        for count in [0, 7, 7, MOST_ROUNDS, 5_000, 5_000] {
            assert_eq!(SQUARES.of(count, square), count * count);
        }
        assert_eq!(computed.get(), 5);
    }
}
