//! Whether the requests of one connection go to one backend more than by chance, and what that costs.

use statrs::distribution::{ChiSquared, ContinuousCDF as _};

use super::{Clustering, Group};
use crate::stats::{real, real64};

/// How sure it must be that requests go together: as rarely wrong as one campaign in a hundred.
const SURE: f64 = 0.01;

/// Returns how requests go together, where they do more than by chance.
///
/// The test is Pearson's, of groups against backends; the design effect the ratio of the variance between groups to
/// that of independent draws, of the backend where it is largest.
pub(super) fn of(groups: &[Group], hits: &[u64]) -> Option<Clustering> {
    let requests: u64 = hits.iter().sum();
    let sizes: Vec<u64> = groups.iter().map(|group| group.hits.iter().sum()).collect();
    let filled = sizes.iter().filter(|&&size| size > 0).count();
    let used: Vec<usize> = (0..hits.len()).filter(|&index| hits[index] > 0).collect();
    let count = u64::try_from(filled).unwrap_or(u64::MAX);
    // One group is all there is, or every request is a group of its own: there is nothing to compare.
    if filled < 2 || count == requests {
        return None;
    }
    if used.len() < 2 {
        // All went to one backend: nothing shows that the requests of a group were drawn one by one.
        return Some(Clustering {
            groups: count,
            design_effect: real64(requests) / real64(count),
        });
    }
    let mut statistic = 0.0;
    let mut largest: f64 = 0.0;
    for &backend in &used {
        let share = real64(hits[backend]) / real64(requests);
        let mut squares = 0.0;
        for (group, &size) in groups.iter().zip(&sizes).filter(|(_, size)| **size > 0) {
            let expected = share * real64(size);
            let deviation = real64(group.hits[backend]) - expected;
            statistic += deviation * deviation / expected;
            squares += deviation * deviation;
        }
        let independent = share * (1.0 - share) * real64(requests);
        let between = squares * real(filled) / real(filled - 1);
        largest = largest.max(between / independent);
    }
    let freedom = real(filled - 1) * real(used.len() - 1);
    let by_chance = ChiSquared::new(freedom).ok()?.sf(statistic);
    (by_chance < SURE && largest > 1.0).then_some(Clustering {
        groups: count,
        design_effect: largest,
    })
}
