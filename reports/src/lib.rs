//! Statistics, verdicts and rendering: records in, bytes out. Opens no socket and reads no clock.
//!
//! A campaign goes through [`analyse`] and comes out as an [`model::Analysis`]; a [`model::Renderer`] turns that
//! into bytes. Both are pure: every report can be made again from the records, byte for byte.
//!
//! - `stats`: signed-rank intervals, order statistics, fits (statistics §2)
//! - `verdict`: from paired rounds to a verdict
//! - `validity`: which rounds count, and whether the packets took the declared datapath
//! - `analysis`: from a campaign to its analysis
//! - [`model`]: the analysis, and the seam to renderers
//! - [`pairs`]: the same statistics for figures of any tool
//! - [`render`]: HTML, Markdown, terminal and JSON

mod analysis;
pub mod model;
pub mod pairs;
pub mod render;
mod stats;
#[cfg(feature = "test-support")]
pub mod synthetic;
mod validity;
mod verdict;
mod words;

pub use analysis::analyse;
