//! The gate: two errors, both bounded by construction, and INCONCLUSIVE for everything else (statistics §2.7).
//!
//! A stage judges each cell from its rounds: PASS is *proved* no worse than the margin, SUSPECT is proved worse and
//! estimated beyond the margin. Cells that are not PASS are measured again in a second stage, on fresh
//! installs, which is judged on its own rounds alone. FAIL is SUSPECT twice.
//!
//! - [`Policy`]: what is demanded, from `gate.toml`
//! - [`Stage`]: one stage's rounds, from the analyses of its campaigns
//! - [`rule`]: policy, calibration and stages in, [`GateReport`] out
//! - [`against`]: now against a stored campaign
//! - [`looks`]: several looks at one growing campaign, at a price
//!
//! Nothing here reads a file or a clock.

mod against;
mod control;
mod looks;
mod policy;
mod report;
mod rules;
mod ruling;
mod stage;
mod words;

pub use against::{AGAINST_COSTS, AgainstError, against, comparable};
pub use control::control_of;
pub use looks::{LOOKS, Look, looks};
pub use policy::{CellPolicy, OnInconclusive, Policy, PolicyError, StagePolicy};
pub use report::{
    CalibrationState, EarlierRun, Exit, GATE_SCHEMA, GateReport, GatedCell, Judged, StageSummary,
    StoredReference,
};
pub use rules::{Finding, Ruling, find, judge};
pub use ruling::rule;
pub use stage::{GateError, Stage};

pub(crate) use stage::effect;
pub(crate) use words::{margin, worse_by};
