//! Claims: every pair against what is claimed, all comparisons of a claim judged together.

use tollgate_results::arm::Name;
use tollgate_results::claim::{Claim, ClaimedPair};
use tollgate_results::units::RelativeChange;

use super::context::Context;
use super::generator;
use super::paired::Paired;
use super::scaling::less_one;
use crate::model::{ClaimVerdict, Estimate, TestedClaim, TestedComparison, TestedPair};
use crate::stats::rounds;
use crate::verdict::Inference;
use crate::verdict::claim::{Claimed, Judged, fewest_rounds, judge};
use crate::words;

/// Tests every claim of the plan, in its order. What of a claim isn't part of the campaign is left out.
pub(crate) fn test(context: &Context<'_>) -> Vec<TestedClaim> {
    let claims = context.campaign.run.plan.claims.iter();
    claims.filter_map(|claim| tested(context, claim)).collect()
}

/// One comparison before all are judged.
struct Compared<'a> {
    workload: &'a Name,
    rounds: usize,
    /// What the rounds say, or why they say nothing.
    found: Result<Inference, (ClaimVerdict, String)>,
}

fn tested(context: &Context<'_>, claim: &Claim) -> Option<TestedClaim> {
    let compared: Vec<(&ClaimedPair, Vec<Compared<'_>>)> = claim
        .pairs
        .iter()
        .map(|pair| (pair, compare(context, claim, pair)))
        .collect();
    let inferences: Vec<&Inference> = compared
        .iter()
        .flat_map(|(_, of_pair)| of_pair)
        .filter_map(|one| one.found.as_ref().ok())
        .collect();
    let family = Family {
        claim,
        size: inferences.len(),
    };
    let mut judged = judge(&inferences, Claimed::of(claim.change)).into_iter();
    let mut pairs = Vec::new();
    for (pair, of_pair) in &compared {
        let comparisons: Vec<TestedComparison> = of_pair
            .iter()
            .map(|one| family.comparison(one, &mut judged))
            .collect();
        pairs.extend(tested_pair(context, pair, comparisons));
    }
    if pairs.is_empty() {
        return None;
    }
    Some(TestedClaim {
        name: claim.name.clone(),
        about: claim.about.clone(),
        metric: claim.metric,
        from: claim.change.from.map(|end| end.0),
        to: claim.change.to.map(|end| end.0),
        claimed: claim.change.words(),
        verdict: ClaimVerdict::of_all(pairs.iter().map(|pair| pair.verdict)),
        words: in_words(&pairs),
        comparisons: u32::try_from(family.size).unwrap_or(u32::MAX),
        pairs,
    })
}

/// Compares a pair on every workload that both run.
fn compare<'a>(context: &Context<'_>, claim: &'a Claim, pair: &ClaimedPair) -> Vec<Compared<'a>> {
    let plan = &context.campaign.run.plan;
    let Some((arm, baseline)) = plan.arm(&pair.arm).zip(plan.arm(&pair.baseline)) else {
        return Vec::new();
    };
    let both_run = |workload: &&Name| {
        arm.workloads.contains(workload) && baseline.workloads.contains(workload)
    };
    let one = |workload: &'a Name| {
        let rounds = &context.validity.kept;
        let paired = Paired::of(context, workload, claim.metric, arm, baseline, rounds);
        let limit = || generator::limit(context, workload, claim.metric, [arm, baseline]);
        let found = if let Some(invalid) = context.invalid(arm, baseline) {
            Err((ClaimVerdict::Invalid, invalid))
        } else if let Some(limit) = limit() {
            Err((ClaimVerdict::Undecided, limit))
        } else {
            let undecided = |reason| (ClaimVerdict::Undecided, reason);
            paired.change().map_err(undecided)
        };
        Compared {
            workload,
            rounds: paired.pairs.len(),
            found,
        }
    };
    claim.workloads.iter().filter(both_run).map(one).collect()
}

/// Sums a pair up; `None` for one that has no part in the campaign.
fn tested_pair(
    context: &Context<'_>,
    pair: &ClaimedPair,
    mut comparisons: Vec<TestedComparison>,
) -> Option<TestedPair> {
    let verdict = ClaimVerdict::of_all(comparisons.iter().map(|one| one.verdict));
    let mut skipped = context.campaign.run.plan.skipped.iter();
    let mut reason = skipped
        .find(|skipped| skipped.arm == pair.arm || skipped.arm == pair.baseline)
        .map(|skipped| format!("{} was left out: {}", skipped.arm, skipped.reason));
    if comparisons.is_empty() && reason.is_none() {
        return None;
    }
    if verdict == ClaimVerdict::Invalid {
        // What is wrong with an arm is wrong on all workloads: it is said once.
        let reasons = comparisons.iter_mut().filter_map(|one| one.reason.take());
        reason = reasons.last();
    }
    Some(TestedPair {
        arm: pair.arm.clone(),
        baseline: pair.baseline.clone(),
        verdict,
        reason,
        comparisons,
    })
}

/// All comparisons of a claim from which something can be inferred.
struct Family<'a> {
    claim: &'a Claim,
    size: usize,
}

impl Family<'_> {
    fn comparison(
        &self,
        compared: &Compared<'_>,
        judged: &mut impl Iterator<Item = Judged>,
    ) -> TestedComparison {
        let rounds = u32::try_from(compared.rounds).unwrap_or(u32::MAX);
        let inference = match &compared.found {
            Ok(inference) => inference,
            Err((verdict, reason)) => {
                return TestedComparison {
                    workload: compared.workload.clone(),
                    verdict: *verdict,
                    change: None,
                    rounds,
                    p: None,
                    p_holm: None,
                    reason: Some(reason.clone()),
                };
            }
        };
        let judged = judged.next().expect("every inference was judged");
        let change = less_one(&inference.estimate());
        TestedComparison {
            workload: compared.workload.clone(),
            verdict: judged.verdict,
            reason: self.reason(&change, inference, &judged, compared.rounds),
            change: Some(change),
            rounds,
            p: Some(judged.p),
            p_holm: Some(judged.p_holm),
        }
    }

    /// Says how a change misses what is claimed, or why nothing is said of it.
    fn reason(
        &self,
        change: &Estimate,
        inference: &Inference,
        judged: &Judged,
        rounds: usize,
    ) -> Option<String> {
        match judged.verdict {
            ClaimVerdict::HoldsInPart | ClaimVerdict::DoesNotHold => {
                Some(self.miss(change, judged.verdict).to_owned())
            }
            ClaimVerdict::Undecided => Some(self.open(change, inference, judged, rounds)),
            _ => None,
        }
    }

    fn miss(&self, change: &Estimate, verdict: ClaimVerdict) -> &'static str {
        let (from, to) = (self.claim.change.from, self.claim.change.to);
        let is_above = to.is_some_and(|to| change.value > to.0);
        let in_part = verdict == ClaimVerdict::HoldsInPart;
        let interval = change.interval95;
        let falls = to.is_some_and(|to| to.0 <= 0.0);
        let rises = from.is_some_and(|from| from.0 >= 0.0);
        match (falls, rises, is_above) {
            (true, _, true) if in_part => "a smaller fall than claimed",
            (true, _, true) if interval.low > 0.0 => "a rise",
            (true, _, true) => "no fall is proved",
            (false, true, false) if in_part => "a smaller rise than claimed",
            (false, true, false) if interval.high < 0.0 => "a fall",
            (false, true, false) => "no rise is proved",
            (false, _, true) => "a larger rise than claimed",
            (true, _, false) | (false, false, false) => "a larger fall than claimed",
        }
    }

    /// Says why a comparison is open, and what would decide it.
    fn open(
        &self,
        change: &Estimate,
        inference: &Inference,
        judged: &Judged,
        rounds: usize,
    ) -> String {
        let fewest = fewest_rounds(self.size);
        if judged.alone != ClaimVerdict::Undecided {
            return if rounds < fewest {
                format!(
                    "{} prove nothing of {} comparisons together, {fewest} can",
                    words::plural(rounds, "round"),
                    self.size
                )
            } else {
                format!(
                    "{} by itself; not among all {} comparisons of the claim (Holm p = {:.3})",
                    judged.alone, self.size, judged.p_holm
                )
            };
        }
        let ends = [self.claim.change.from, self.claim.change.to];
        let ends = || ends.into_iter().flatten();
        let crossed: Vec<String> = ends()
            .filter(|end| change.interval95.contains(end.0))
            .map(RelativeChange::words)
            .collect();
        if crossed.is_empty() {
            return "nothing is proved".to_owned();
        }
        let reach = ends()
            .map(|end| (change.value.ln_1p() - end.0.ln_1p()).abs())
            .fold(f64::INFINITY, f64::min);
        let needed = inference
            .spread()
            .and_then(|spread| rounds::needed(spread, reach))
            .map(|needed| needed.max(fewest))
            .filter(|needed| *needed > rounds);
        let more = needed.map_or_else(String::new, |needed| {
            format!("; ~{needed} rounds would tell, if it lies where it seems to")
        });
        format!("the interval lies across {}{more}", crossed.join(" and "))
    }
}

/// Says for how many pairs a claim holds; of a single comparison what was found.
fn in_words(pairs: &[TestedPair]) -> String {
    if let [pair] = pairs
        && let [one] = pair.comparisons.as_slice()
    {
        let change = one.change.as_ref().map(words::change);
        let reason = one.reason.as_ref().or(pair.reason.as_ref());
        let found = change.or_else(|| reason.cloned()).unwrap_or_default();
        let TestedPair { arm, baseline, .. } = pair;
        return format!("{arm} against {baseline} on {}: {found}", one.workload);
    }
    let first = pairs.first();
    if let Some(first) =
        first.filter(|first| pairs.iter().all(|pair| pair.verdict == first.verdict))
    {
        return match pairs.len() {
            1 => format!("against {}", first.baseline),
            2 => "against both baselines".to_owned(),
            many => format!("against all {many} baselines"),
        };
    }
    let said = [
        (ClaimVerdict::Holds, "it holds against"),
        (ClaimVerdict::HoldsInPart, "in part against"),
        (ClaimVerdict::DoesNotHold, "not against"),
        (ClaimVerdict::Undecided, "undecided against"),
        (ClaimVerdict::Untested, "not tested against"),
        (ClaimVerdict::Invalid, "invalid against"),
    ];
    let told: Vec<String> = said
        .into_iter()
        .filter_map(|(verdict, text)| {
            let of: Vec<&TestedPair> = pairs
                .iter()
                .filter(|pair| pair.verdict == verdict)
                .collect();
            match of.as_slice() {
                [] => None,
                [one] => Some(format!("{text} {}", one.baseline)),
                many => Some(format!("{text} {} of {}", many.len(), pairs.len())),
            }
        })
        .collect();
    told.join(", ")
}
