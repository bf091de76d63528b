//! Which bucket of an HDR histogram holds a latency: 1 ns wide below 2,048 ns, then 1,024 buckets for each doubling.
//!
//! It is the layout that `hdrhistogram` gives these bounds, so that the encodings of the two are the same.

use super::HIGHEST_NS;

/// Buckets of the first, linear part: 3 significant digits tell 2,000 from 2,001.
const LINEAR: u64 = 2_048;

/// Buckets of each doubling after it, as a power of two.
const PER_DOUBLING_LOG2: u32 = LINEAR.ilog2() - 1;

/// How many buckets reach to [`HIGHEST_NS`], and to the end of its doubling.
pub(super) const COUNT: usize = (doublings(HIGHEST_NS) as usize + 2) << PER_DOUBLING_LOG2;

/// Doublings between the linear part and a latency.
const fn doublings(ns: u64) -> u32 {
    (LINEAR - 1).leading_zeros() - (ns | (LINEAR - 1)).leading_zeros()
}

/// Returns the bucket that holds a latency; one beyond all buckets counts as [`HIGHEST_NS`].
#[inline]
pub(super) const fn holding(ns: u64) -> usize {
    let index = position(ns);
    if index < COUNT {
        index
    } else {
        position(HIGHEST_NS)
    }
}

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a latency is shifted to 11 bits"
)]
const fn position(ns: u64) -> usize {
    let doublings = doublings(ns);
    ((doublings as usize) << PER_DOUBLING_LOG2) + (ns >> doublings) as usize
}

/// Returns the smallest and the largest latency of a bucket, in nanoseconds.
pub(super) const fn bounds(index: usize) -> (u64, u64) {
    let doublings = (index >> PER_DOUBLING_LOG2).saturating_sub(1);
    let lowest = ((index - (doublings << PER_DOUBLING_LOG2)) as u64) << doublings;
    (lowest, lowest + (1 << doublings) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_one_another_without_a_gap() {
        assert_eq!(bounds(0), (0, 0));
        for index in 1..COUNT {
            let ((low, high), (_, before)) = (bounds(index), bounds(index - 1));
            assert_eq!(low, before + 1, "{index}");
            assert_eq!((holding(low), holding(high)), (index, index));
            // Three digits: a bucket is at most a thousandth of its latencies wide.
            assert!((high - low) * 1_000 <= low, "{index}");
        }
        assert!(bounds(COUNT - 1).1 >= HIGHEST_NS);
        assert_eq!(holding(u64::MAX), holding(HIGHEST_NS));
    }
}
