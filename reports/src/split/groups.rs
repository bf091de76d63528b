//! Groups of one measurement's responses: by the connection that they came over, as far as that is known.

use std::collections::BTreeMap;

use tollgate_results::http::HttpOutcome;

use super::{Group, Weighted};

/// Sorts one measurement's responses by the backends that were declared: those of each kept connection together, and in one
/// more group what is known of no connection. There is one group at least.
#[must_use]
pub fn groups(backends: &[Weighted], http: &HttpOutcome) -> Vec<Group> {
    let mut rest = group(backends, &http.backends);
    rest.strangers += http.other_backends;
    let of_connections = http.by_connection.iter();
    let mut groups: Vec<Group> = of_connections.map(|seen| group(backends, seen)).collect();
    for known in &groups {
        for (hits, less) in rest.hits.iter_mut().zip(&known.hits) {
            *hits = hits.saturating_sub(*less);
        }
        rest.strangers = rest.strangers.saturating_sub(known.strangers);
    }
    if groups.is_empty() || rest.strangers > 0 || rest.hits.iter().any(|hits| *hits > 0) {
        groups.push(rest);
    }
    groups
}

fn group(backends: &[Weighted], seen: &BTreeMap<String, u64>) -> Group {
    let hits = backends
        .iter()
        .map(|backend| seen.get(&backend.name).copied().unwrap_or(0));
    let hits: Vec<u64> = hits.collect();
    let all: u64 = seen.values().sum();
    Group {
        strangers: all.saturating_sub(hits.iter().sum()),
        hits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backends() -> Vec<Weighted> {
        [("canary", 10), ("stable", 90)]
            .map(|(name, weight)| Weighted {
                name: name.to_owned(),
                weight,
            })
            .to_vec()
    }

    fn seen(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
        let counts = counts.iter();
        counts
            .map(|&(name, count)| (name.to_owned(), count))
            .collect()
    }

    fn group_of(hits: [u64; 2], strangers: u64) -> Group {
        Group {
            hits: hits.to_vec(),
            strangers,
        }
    }

    #[test]
    fn responses_of_unknown_connections_are_one_group() {
        let http = HttpOutcome {
            backends: seen(&[("stable", 90), ("canary", 10), ("old", 3)]),
            other_backends: 2,
            ..HttpOutcome::default()
        };
        assert_eq!(groups(&backends(), &http), [group_of([10, 90], 5)]);
        let nothing = HttpOutcome::default();
        assert_eq!(groups(&backends(), &nothing), [group_of([0, 0], 0)]);
    }

    #[test]
    fn responses_of_each_kept_connection_are_a_group() {
        let http = HttpOutcome {
            backends: seen(&[("stable", 50), ("canary", 50), ("old", 1)]),
            by_connection: vec![seen(&[("stable", 50)]), seen(&[("canary", 50), ("old", 1)])],
            ..HttpOutcome::default()
        };
        let expected = [group_of([0, 50], 0), group_of([50, 0], 1)];
        assert_eq!(groups(&backends(), &http), expected);
    }

    #[test]
    fn what_is_known_of_no_connection_is_not_lost() {
        let http = HttpOutcome {
            backends: seen(&[("stable", 60), ("canary", 40)]),
            other_backends: 4,
            by_connection: vec![seen(&[("stable", 50)]), seen(&[("canary", 40)])],
            ..HttpOutcome::default()
        };
        let expected = [
            group_of([0, 50], 0),
            group_of([40, 0], 0),
            group_of([0, 10], 4),
        ];
        assert_eq!(groups(&backends(), &http), expected);
    }
}
