//! Change points of a series: E-divisive in windows, tested by t, weak points merged into strong ones (statistics
//! §2.11; the algorithm of Hunter, arXiv 2301.03034, as Apache Otava runs it).

use super::{divisive, mean, real, student};

/// The figures by which a series is split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    /// Values that are looked at together, at least 2.
    pub(crate) window: usize,
    /// Largest p of a change.
    pub(crate) p: f64,
    /// Smallest change, as a share.
    pub(crate) magnitude: f64,
    pub(crate) flavour: Flavour,
}

/// How spreads and changes are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Logarithms of ratios; divisor n - 1.
    Logarithms,
    /// Plain values; divisor n, as Otava does: for comparison with it.
    Otava,
}

/// A change from one stretch to the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Change {
    /// Index of the first value after the change.
    pub(crate) index: usize,
    /// Mean of the stretch before.
    pub(crate) before: f64,
    /// Mean of the stretch after.
    pub(crate) after: f64,
    /// p of the t test between the two. It is taken after the place was chosen: no false-alarm rate.
    pub(crate) p: f64,
}

impl Change {
    fn between(series: &[f64], start: usize, index: usize, end: usize, flavour: Flavour) -> Self {
        let (left, right) = (&series[start..index], &series[index..end]);
        Self {
            index,
            before: mean(left),
            after: mean(right),
            p: p_of_means(left, right, flavour),
        }
    }

    /// Returns the size of the change as a share, seen from the smaller side.
    pub(crate) fn magnitude(&self, flavour: Flavour) -> f64 {
        match flavour {
            Flavour::Logarithms => (self.after - self.before).abs().exp_m1(),
            Flavour::Otava => {
                let share = |from: f64, to: f64| (to / from - 1.0).abs();
                share(self.before, self.after).max(share(self.after, self.before))
            }
        }
    }
}

/// Finds the changes of a series, in order.
pub(crate) fn detect(series: &[f64], settings: &Settings) -> Vec<Change> {
    let weak = match settings.p {
        p if p < 0.05 => 10.0 * p,
        p if p < 0.5 => 2.0 * p,
        p => p,
    };
    let mut indexes = split(series, weak, settings);
    let mut found = changes(series, &indexes, settings.flavour);
    while let Some(weakest) = weakest(&found, settings) {
        indexes.remove(weakest);
        found.remove(weakest);
        let anew = changes(series, &indexes, settings.flavour);
        match settings.flavour {
            Flavour::Logarithms => found = anew,
            // Otava judges the two after the one that went anew, not the one before, which has a longer stretch too.
            Flavour::Otava => {
                let after = weakest..anew.len().min(weakest + 2);
                found[after.clone()].copy_from_slice(&anew[after]);
            }
        }
    }
    found
}

/// Places where windows that slide by half their length change, at a p that lets weak ones through.
fn split(series: &[f64], weak: f64, settings: &Settings) -> Vec<usize> {
    let window = settings.window.max(2);
    let mut found = Vec::new();
    let mut start = 0;
    while start < series.len() {
        let end = series.len().min(start + window);
        let inside = split_window(&series[start..end], weak, settings.flavour);
        let last = inside.last().map_or(0, |index| start + index);
        found.extend(inside.iter().map(|index| start + index));
        start = last.max(start + window / 2);
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Splits one window again and again at the largest divergence, until that is no change.
fn split_window(window: &[f64], weak: f64, flavour: Flavour) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    loop {
        let candidates = stretches(&found, window.len()).filter_map(|(start, end)| {
            let split = divisive::best(&window[start..end])?;
            Some((start, start + split.index, end, split.divergence))
        });
        // The first of equals.
        let largest = candidates.reduce(|best, other| if other.3 > best.3 { other } else { best });
        let Some((start, index, end, _)) = largest else {
            return found;
        };
        if p_of_means(&window[start..index], &window[index..end], flavour) > weak {
            return found;
        }
        found.push(index);
        found.sort_unstable();
    }
}

/// The stretches between places: start and end.
fn stretches(places: &[usize], length: usize) -> impl Iterator<Item = (usize, usize)> {
    let starts = std::iter::once(0).chain(places.iter().copied());
    let ends = places.iter().copied().chain(std::iter::once(length));
    starts.zip(ends).filter(|(start, end)| start < end)
}

fn changes(series: &[f64], indexes: &[usize], flavour: Flavour) -> Vec<Change> {
    let stretches: Vec<(usize, usize)> = stretches(indexes, series.len()).collect();
    stretches
        .windows(2)
        .map(|pair| Change::between(series, pair[0].0, pair[1].0, pair[1].1, flavour))
        .collect()
}

/// The change that has to go: the one with the largest p, else the smallest one; `None` where all may stay.
fn weakest(changes: &[Change], settings: &Settings) -> Option<usize> {
    let first = |better: &dyn Fn(&Change, &Change) -> bool| {
        (0..changes.len()).reduce(|best, other| {
            if better(&changes[other], &changes[best]) {
                other
            } else {
                best
            }
        })
    };
    let likeliest = first(&|a, b| a.p > b.p)?;
    if changes[likeliest].p >= settings.p {
        return Some(likeliest);
    }
    let size = |change: &Change| change.magnitude(settings.flavour);
    let smallest = first(&|a, b| size(a) < size(b))?;
    (size(&changes[smallest]) <= settings.magnitude).then_some(smallest)
}

/// The two-sided p of the t test for equal spreads; 1 where there is none.
fn p_of_means(left: &[f64], right: &[f64], flavour: Flavour) -> f64 {
    let (m, n) = (real(left.len()), real(right.len()));
    let degrees = m + n - 2.0;
    if degrees < 1.0 || left.is_empty() || right.is_empty() {
        return 1.0;
    }
    let difference = mean(left) - mean(right);
    let squares = |values: &[f64]| -> f64 {
        let mean = mean(values);
        let sum: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        match flavour {
            Flavour::Logarithms => sum,
            // The variance with divisor n, taken as if it had n - 1.
            Flavour::Otava => sum * (real(values.len()) - 1.0) / real(values.len()),
        }
    };
    let variance = (squares(left) + squares(right)) / degrees;
    let t = difference.abs() / (variance * (1.0 / m + 1.0 / n)).sqrt();
    if t.is_nan() {
        1.0
    } else if t.is_infinite() {
        0.0
    } else {
        2.0 * student::at_least(t, degrees)
    }
}
