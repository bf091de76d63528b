//! What makes one arm slower than another, hop by hop.

use tollgate_results::anatomy::{ClockedWay, Followed, Hop, HopKey, Way};
use tollgate_results::arm::Name;

use super::analysis::{Cost, Slices, median, of_way};
use super::model::{Difference, HopDifference, WayDifference};
use crate::model::Interval;
use crate::stats::walsh::Walsh;
use crate::verdict::{Inference, Scale};

/// Hops below this share of the largest are left out of sentences.
const WORTH_SAYING: f64 = 0.1;

/// A round of both arms.
struct Pair<'a> {
    plain: [f64; 2],
    ways: [[&'a ClockedWay; 2]; 2],
}

/// Compares an arm with its reference in the rounds that both have; `None` where there is none.
pub(super) fn difference(
    (arm, reference): (&Name, &Name),
    followed: Followed,
    (slices, others): (&Slices<'_>, &Slices<'_>),
    cost: Cost,
) -> Option<Difference> {
    let others = others.rounds();
    let pairs: Vec<Pair<'_>> = slices
        .rounds()
        .into_iter()
        .filter_map(|(round, plain, clocked)| {
            let other = others.iter().find(|(number, ..)| *number == round)?;
            let way = |way| [of_way(clocked, way), of_way(other.2, way)];
            Some(Pair {
                plain: [median(plain)?, median(other.1)?],
                ways: Way::BOTH.map(way),
            })
        })
        .filter(|pair| pair.ways.iter().flatten().all(|way| !way.hops.is_empty()))
        .collect();
    let plain: Vec<f64> = pairs
        .iter()
        .map(|pair| pair.plain[0] - pair.plain[1])
        .collect();
    let (plain_ns, plain_interval95) = shift(&plain)?;
    let ways: Option<Vec<WayDifference>> = Way::BOTH
        .into_iter()
        .enumerate()
        .map(|(index, way)| {
            let rounds: Vec<[&ClockedWay; 2]> = pairs.iter().map(|pair| pair.ways[index]).collect();
            difference_of_way(way, &rounds, cost)
        })
        .collect();
    let mut difference = Difference {
        arm: arm.clone(),
        reference: reference.clone(),
        followed,
        rounds: u32::try_from(pairs.len()).unwrap_or(u32::MAX),
        plain_ns,
        plain_interval95,
        ways: ways?,
        sentences: Vec::new(),
    };
    difference.sentences = difference
        .ways
        .iter()
        .map(|way| sentence(&difference, way))
        .collect();
    Some(difference)
}

/// Returns the Hodges-Lehmann estimate of a difference and its interval; `None` for no round.
fn shift(differences: &[f64]) -> Option<(f64, Option<Interval>)> {
    let estimate = Walsh::of(differences)?.estimate();
    let inference = Inference::of(differences, Scale::Difference);
    Some((
        estimate,
        inference.map(|inference| inference.estimate().interval95),
    ))
}

fn difference_of_way(way: Way, rounds: &[[&ClockedWay; 2]], cost: Cost) -> Option<WayDifference> {
    let [arm, reference] = rounds.first()?;
    let whole = |way: &ClockedWay| Some(median(&way.whole)? - cost.of_whole(way));
    let wholes: Option<Vec<f64>> = rounds
        .iter()
        .map(|[arm, reference]| Some(whole(arm)? - whole(reference)?))
        .collect();
    let (ns, interval95) = shift(&wholes?)?;
    let hops = in_order(arm, reference).into_iter().map(|(key, words)| {
        let each = |which: usize| -> Vec<Option<f64>> {
            let of =
                |ways: &[&ClockedWay; 2]| ways.get(which).and_then(|way| time(way, &key, cost));
            rounds.iter().map(of).collect()
        };
        let (on_arm, on_reference) = (each(0), each(1));
        let pairs = on_arm.iter().zip(&on_reference);
        let differences: Vec<f64> = pairs
            .map(|(arm, reference)| arm.unwrap_or(0.0) - reference.unwrap_or(0.0))
            .collect();
        let (ns, interval95) = shift(&differences)?;
        Some(HopDifference {
            arm_ns: typical(&on_arm),
            reference_ns: typical(&on_reference),
            key,
            words,
            ns,
            interval95,
        })
    });
    Some(WayDifference {
        way,
        ns,
        interval95,
        hops: hops.collect::<Option<_>>()?,
    })
}

/// Returns the median time of a hop less the stated cost; `None` where the way has no such hop.
fn time(way: &ClockedWay, key: &HopKey, cost: Cost) -> Option<f64> {
    let index = way.hops.iter().position(|hop| hop.key == *key)?;
    let seen = median(&way.hops.get(index)?.times)?;
    Some(seen - cost.of(way, index))
}

fn typical(rounds: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = rounds.iter().copied().flatten().collect();
    crate::stats::median(&known)
}

/// Lists the hops of both ways in the order of the path: those that the reference alone has stand behind the one that
/// they follow there.
fn in_order(arm: &ClockedWay, reference: &ClockedWay) -> Vec<(HopKey, String)> {
    let entry = |hop: &Hop| (hop.key.clone(), hop.words.clone());
    let mut order: Vec<(HopKey, String)> = arm.hops.iter().map(entry).collect();
    let mut behind = 0;
    for hop in &reference.hops {
        if let Some(place) = order.iter().position(|(key, _)| *key == hop.key) {
            behind = place + 1;
        } else {
            order.insert(behind, entry(hop));
            behind += 1;
        }
    }
    order
}

/// Says what makes the difference of a way up, the largest hops first.
fn sentence(difference: &Difference, way: &WayDifference) -> String {
    let mut hops: Vec<&HopDifference> = way.hops.iter().collect();
    hops.sort_by(|a, b| b.ns.abs().total_cmp(&a.ns.abs()));
    let largest = hops.first().map_or(0.0, |hop| hop.ns.abs());
    let least = (WORTH_SAYING * largest.max(way.ns.abs())).max(50.0);
    let parts: Vec<String> = hops
        .iter()
        .filter(|hop| hop.ns.abs() >= least)
        .take(6)
        .map(|hop| format!("{} {} ({})", micros(hop.ns), hop.words, hop.key.place))
        .collect();
    let of = match way.way {
        Way::Request => "to the server",
        Way::Reply => "back",
    };
    let head = format!(
        "{} against {}, {} {of}: {} µs",
        difference.arm,
        difference.reference,
        difference.followed,
        micros(way.ns)
    );
    if parts.is_empty() {
        head
    } else {
        format!("{head}, of that {}", parts.join(", "))
    }
}

/// Writes a difference in microseconds with its sign.
fn micros(ns: f64) -> String {
    format!("{:+.2}", ns / 1e3)
}
