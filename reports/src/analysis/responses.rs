//! What came back over HTTP: statuses, and who answered.

use tollgate_results::outcome::HttpOutcome;

use super::context::Context;
use crate::model::Responses;

/// Adds up the responses of each arm and HTTP workload over the rounds that count.
pub(crate) fn count(context: &Context<'_>) -> Vec<Responses> {
    let plan = &context.campaign.run.plan;
    let mut all = Vec::new();
    for workload in &plan.workloads {
        for arm in &plan.arms {
            let mut sum: Option<HttpOutcome> = None;
            for (_, observation) in context.kept(&workload.name, &arm.name) {
                if let Some(http) = &observation.measured.outcome.http {
                    sum.get_or_insert_default().merge(http.clone());
                }
            }
            if let Some(http) = sum {
                all.push(Responses {
                    workload: workload.name.clone(),
                    arm: arm.name.clone(),
                    statuses: http.statuses,
                    backends: http.backends,
                    other_backends: http.other_backends,
                });
            }
        }
    }
    all
}
