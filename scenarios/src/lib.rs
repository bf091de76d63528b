//! Typed scenario files: what people write about a comparison, read, checked and resolved into a plan.
//!
//! [`Scenario::load`] takes a shipped scenario's name or a file, [`resolve`] lays the command line over it
//! and sets apart what this machine cannot run. Everything that is wrong comes back at once as
//! [`Faults`], one line each.
//!
//! Layering is defaults < file < command line. The defaults stand in the code and, for readers, in
//! [`DEFAULTS`]; a test keeps the two equal.
//!
//! - `document`: TOML with places, so that every fault names its line
//! - `file`: the tables and keys of a scenario file
//! - `check`: what the tables must satisfy together
//! - `scenario`: a checked scenario
//! - `resolve`: from scenario to plan
//! - `shipped`: the scenarios in the binary
//! - `toml_file`: other files that people write, with the same care

mod check;
mod document;
mod fault;
mod file;
mod resolve;
mod scenario;
mod shipped;
mod toml_file;

pub use fault::{Fault, Faults, Place};
pub use resolve::{CONTROL_PER_SLICE, Overrides, can_compare, estimate, resolve};
pub use scenario::Scenario;
pub use shipped::{Shipped, shipped};
pub use toml_file::{read_text, read_toml};

/// Version of the scenario format.
pub const SCENARIO_SCHEMA: u32 = 1;

/// Every key of a scenario file at its default, with comments; itself a scenario file.
pub const DEFAULTS: &str = include_str!("../defaults.toml");

/// Returns the JSON Schema of a scenario file, for editors.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(file::File)
}
