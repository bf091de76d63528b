//! A toll of known size, planted on purpose: it proves that whoever measures would see one.

use tollgate_results::agent::Serve;

use crate::clock::{Clock as _, Monotonic};

/// Time to spin before each reply; by default none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Toll {
    ns: u64,
}

impl Toll {
    /// Takes the toll that a responder was asked to plant.
    pub(super) fn of(serve: &Serve) -> Self {
        Self {
            ns: serve.planted.map_or(0, |toll| toll.0),
        }
    }

    /// Spins for the toll, by the clock: it doesn't depend on how fast the machine is. Without one it costs a comparison.
    #[inline]
    pub(super) fn exact(self) {
        if self.ns > 0 {
            let end = Monotonic.now().plus(self.ns);
            while Monotonic.now() < end {
                std::hint::spin_loop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toll_takes_at_least_its_time() {
        let toll = Toll { ns: 200_000 };
        let start = Monotonic.now();
        toll.exact();
        assert!(Monotonic.now().since(start) >= 200_000);
    }
}
