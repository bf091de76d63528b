//! `[claim.NAME]`: a statement of folklore that the scenario tests.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_results::arm::Name;
use tollgate_results::metric::Metric;
use tollgate_results::units::RelativeChange;

use super::value::some_quantity;

/// A statement of folklore that the campaign tests, for each baseline by itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct ClaimTable {
    /// The statement as people make it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required, length(min = 1, max = 200))]
    pub(crate) about: Option<String>,
    /// The figure that it speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub(crate) metric: Option<Metric>,
    /// How far the arm's figure is said to lie from the baseline's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub(crate) change: Option<ChangeTable>,
    /// The arms that it speaks for, each with its baselines: what it is compared with.
    #[schemars(required)]
    pub(crate) against: BTreeMap<Name, Vec<Name>>,
    /// The workloads on which it is tested; where it is left out, all that have the metric and run on a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workloads: Option<Vec<Name>>,
}

/// An interval of the relative change; one end may be left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table such as { from = \"-30%\", to = \"-20%\" }"
)]
pub(crate) struct ChangeTable {
    /// The lower end, such as `"-30%"`.
    #[serde(
        deserialize_with = "some_quantity",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) from: Option<RelativeChange>,
    /// The upper end, such as `"-20%"`.
    #[serde(
        deserialize_with = "some_quantity",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) to: Option<RelativeChange>,
}
