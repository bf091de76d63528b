//! Whether a weighted split of requests over backends is what it is declared to be.
//!
//! Each backend's share has the exact binomial interval of Clopper and Pearson; no request is repeated, no tolerance
//! hides a deviation. Requests over one kept connection may all go to one backend: then they are no independent
//! draws, which is tested for, and the sample is worth what its connections are (Korn and Graubard 1998: the
//! effective number of requests in the place of the number).

mod clusters;
mod groups;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::groups::groups;
use crate::stats::binomial;
use crate::stats::real64;

/// Most backends of a split; the Gateway API takes 16.
pub const MOST_BACKENDS: usize = 64;

/// Largest weight of a backend, as in the Gateway API.
pub const LARGEST_WEIGHT: u64 = 1_000_000;

/// Finest tolerance: it wants a hundred million requests of an even split.
const FINEST: f64 = 0.000_1;

/// More than any tolerance wants.
const MOST_REQUESTS: u64 = 1 << 30;

/// How sure the intervals are.
const CONFIDENCE: f64 = 0.95;

/// A backend with its weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Weighted {
    /// What its responses call themselves.
    pub name: String,
    /// Its weight: its share is the weight over the sum of all; 0 means no request at all.
    pub weight: u64,
}

/// What came back over one connection, or in one slice: requests that may share a backend. See [`groups`](fn@groups).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// Responses of each backend, in the order of the declaration.
    pub hits: Vec<u64>,
    /// Responses of nobody who was declared.
    pub strangers: u64,
}

/// A split that can't be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// Too few or too many backends.
    #[error("a split has 2 to {MOST_BACKENDS} backends, not {0}")]
    Backends(usize),
    /// A weight that no Gateway takes, or none at all.
    #[error("weights are 0 to {LARGEST_WEIGHT}, and not all of them 0")]
    Weights,
    /// Counts that don't belong to the backends.
    #[error("group {0} has not one count for each backend")]
    Counts(usize),
    /// A precision that can't be had.
    #[error("the tolerance is 0.01 % to 50 %")]
    Tolerance,
}

/// What is made of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SplitVerdict {
    /// Enough was sent to see a deviation of the tolerance, and none was seen.
    AsDeclared,
    /// A backend's share is not the declared one.
    Off,
    /// Too little was sent to say.
    Insufficient,
}

/// A split, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Split {
    /// What is made of it.
    pub verdict: SplitVerdict,
    /// Each backend, in the order of the declaration.
    pub shares: Vec<Share>,
    /// Responses of backends that were declared.
    pub requests: u64,
    /// Responses of nobody who was declared; any makes the split `off`.
    pub strangers: u64,
    /// How far a share may be from the declared one unseen.
    pub tolerance: f64,
    /// Independent requests that the tolerance wants.
    pub needed: u64,
    /// What the requests are worth as independent ones.
    pub effective: f64,
    /// Whether requests of one group go together more than by chance.
    pub clustered: Option<Clustering>,
}

/// How requests go together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Clustering {
    /// Groups with requests in them, such as connections.
    pub groups: u64,
    /// How many requests count for one independent one.
    pub design_effect: f64,
}

/// One backend's part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// Its name.
    pub name: String,
    /// Responses of it.
    pub hits: u64,
    /// The share that its weight declares.
    pub declared: f64,
    /// The share that was seen; 0 where nothing was sent.
    pub seen: f64,
    /// Bounds of the 95 % interval; with more than two backends all of them hold together.
    pub low: f64,
    /// Its upper bound.
    pub high: f64,
    /// Whether the declared share lies outside of it, and the interval is not within the tolerance.
    pub off: bool,
}

/// Returns the smallest number of independent requests whose exact intervals are no wider to either side than
/// `tolerance`, when every backend gets its declared share.
///
/// For 90/10 and one percentage point 3,786: the normal approximation says 3,458, but the exact interval is longer to
/// the side of the half.
///
/// # Errors
///
/// When the weights or the tolerance are out of bounds.
pub fn needed(backends: &[Weighted], tolerance: f64) -> Result<u64, SplitError> {
    let shares = declared(backends, tolerance)?;
    let alpha = alpha(backends.len());
    let enough = |requests: u64| {
        shares
            .iter()
            .all(|share| precision(*share, requests, alpha) <= tolerance)
    };
    let mut high = 1;
    while high < MOST_REQUESTS && !enough(high) {
        high *= 2;
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = low.midpoint(high);
        if enough(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high.min(MOST_REQUESTS))
}

/// Judges a split.
///
/// # Errors
///
/// When weights, counts or tolerance are out of bounds.
pub fn judge(backends: &[Weighted], groups: &[Group], tolerance: f64) -> Result<Split, SplitError> {
    let declared = declared(backends, tolerance)?;
    let wrong = groups
        .iter()
        .position(|group| group.hits.len() != backends.len());
    if let Some(index) = wrong {
        return Err(SplitError::Counts(index + 1));
    }
    let needed = needed(backends, tolerance)?;
    let alpha = alpha(backends.len());
    let hits: Vec<u64> = (0..backends.len())
        .map(|backend| groups.iter().map(|group| group.hits[backend]).sum())
        .collect();
    let requests: u64 = hits.iter().sum();
    let strangers = groups.iter().map(|group| group.strangers).sum();
    let clusters = clusters::of(groups, &hits);
    let effect = clusters.map_or(1.0, |clusters| clusters.design_effect);
    let effective = real64(requests) / effect;
    let shares: Vec<Share> = backends
        .iter()
        .zip(&hits)
        .zip(&declared)
        .map(|((backend, &hits), &declared)| {
            let (yes, no) = (real64(hits) / effect, real64(requests - hits) / effect);
            let (low, high) = binomial::bounds_of(yes, no, alpha);
            let outside = declared < low || high < declared;
            let close = low >= declared - tolerance && high <= declared + tolerance;
            // A backend without a weight gets nothing: close is not enough.
            let forbidden = declared <= 0.0 && hits > 0;
            Share {
                name: backend.name.clone(),
                hits,
                declared,
                seen: if requests == 0 {
                    0.0
                } else {
                    real64(hits) / real64(requests)
                },
                low,
                high,
                off: forbidden || (outside && !close),
            }
        })
        .collect();
    let verdict = if strangers > 0 || shares.iter().any(|share| share.off) {
        SplitVerdict::Off
    } else if effective < real64(needed) {
        SplitVerdict::Insufficient
    } else {
        SplitVerdict::AsDeclared
    };
    Ok(Split {
        verdict,
        shares,
        requests,
        strangers,
        tolerance,
        needed,
        effective,
        clustered: clusters,
    })
}

/// Returns the shares that weights declare.
fn declared(backends: &[Weighted], tolerance: f64) -> Result<Vec<f64>, SplitError> {
    if !(2..=MOST_BACKENDS).contains(&backends.len()) {
        return Err(SplitError::Backends(backends.len()));
    }
    let sum: u64 = backends
        .iter()
        .map(|backend| backend.weight.min(LARGEST_WEIGHT + 1))
        .sum();
    let heavy = backends
        .iter()
        .any(|backend| backend.weight > LARGEST_WEIGHT);
    if heavy || sum == 0 {
        return Err(SplitError::Weights);
    }
    if !(FINEST..=0.5).contains(&tolerance) {
        return Err(SplitError::Tolerance);
    }
    let share = |backend: &Weighted| real64(backend.weight) / real64(sum);
    Ok(backends.iter().map(share).collect())
}

/// Returns what each side of an interval may miss. The intervals of two backends are each other's mirror image; of
/// more, all shall hold together (Bonferroni).
fn alpha(backends: usize) -> f64 {
    let together = if backends > 2 { backends } else { 1 };
    (1.0 - CONFIDENCE) / 2.0 / crate::stats::real(together)
}

/// Returns the longer side of the interval of a share that was seen as declared.
fn precision(share: f64, requests: u64, alpha: f64) -> f64 {
    let hits = share * real64(requests);
    let (low, high) = binomial::bounds_of(hits, real64(requests) - hits, alpha);
    (share - low).max(high - share)
}

#[cfg(test)]
mod tests;
