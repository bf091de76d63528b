//! What came back over HTTP.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::arm::Name;

/// The responses of one arm and HTTP workload, over the rounds that count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Responses {
    /// The workload.
    pub workload: Name,
    /// The arm.
    pub arm: Name,
    /// Whole responses by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Replies by the name that the server gave itself: how a service splits its load.
    pub backends: BTreeMap<String, u64>,
    /// Replies under further names than are told apart.
    pub other_backends: u64,
}

impl Responses {
    /// Returns whether they are what one server gives when all goes well: nothing to tell.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.statuses.keys().all(|&status| status == 200)
            && self.backends.len() <= 1
            && self.other_backends == 0
    }

    /// Returns the backends with their share of the replies that have a name, the largest first.
    #[must_use]
    pub fn split(&self) -> Vec<(&str, f64)> {
        let all = self.backends.values().sum::<u64>() + self.other_backends;
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let share = |count: u64| count as f64 / all.max(1) as f64;
        let named = self.backends.iter().map(|(name, &count)| (&**name, count));
        let others = (self.other_backends > 0).then_some(("others", self.other_backends));
        let mut split: Vec<(&str, u64)> = named.chain(others).collect();
        split.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        split
            .into_iter()
            .map(|(name, count)| (name, share(count)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(statuses: &[(u16, u64)], backends: &[(&str, u64)]) -> Responses {
        let backends = backends.iter();
        Responses {
            workload: "web".parse().unwrap(),
            arm: "a".parse().unwrap(),
            statuses: statuses.iter().copied().collect(),
            backends: backends
                .map(|&(name, count)| (name.to_owned(), count))
                .collect(),
            other_backends: 0,
        }
    }

    #[test]
    fn a_split_and_an_error_status_are_worth_telling() {
        assert!(of(&[(200, 9)], &[("pod-1", 9)]).is_plain());
        assert!(!of(&[(200, 9), (503, 1)], &[]).is_plain());
        let split = of(&[(200, 8)], &[("pod-1", 2), ("pod-2", 6)]);
        assert!(!split.is_plain());
        assert_eq!(split.split(), [("pod-2", 0.75), ("pod-1", 0.25)]);
    }
}
