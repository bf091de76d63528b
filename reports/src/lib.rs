//! Statistics, verdicts and rendering: records in, bytes out. Opens no socket and reads no clock.
//!
//! A campaign goes through [`analyse`] and comes out as an [`model::Analysis`]; a [`model::Renderer`] turns that
//! into bytes. Both are pure: every report can be made again from the records, byte for byte.
//!
//! - `stats`: signed-rank intervals, order statistics, fits (statistics §2)
//! - [`verdict`]: from paired rounds to a verdict
//! - `validity`: which rounds count, and whether the packets took the declared datapath
//! - `analysis`: from a campaign to its analysis
//! - [`model`]: the analysis, and the seam to renderers
//! - [`mod@anatomy`]: where one packet spends its time, and what makes arms differ
//! - [`standing`]: what the rules make of the rounds of an unfinished campaign
//! - [`gate`]: two stages with fresh installs, PASS, FAIL or INCONCLUSIVE
//! - [`calibration`]: what a machine's own noise does to equal arms
//! - [`history`]: change points from campaign to campaign
//! - [`describe`], [`pooled`]: percentiles of all traffic and curves of ratios, for description only
//! - [`raw`]: samples in order
//! - [`unpaired`]: two campaigns compared offline, the weaker kind
//! - [`import`]: results of other tools, run against run
//! - [`mesh`]: all pairs of a cluster's nodes: outliers, zones, directions
//! - [`split`]: whether a weighted split of requests is what it is declared to be
//! - [`pairs`]: the same statistics for figures of any tool
//! - [`render`]: HTML, Markdown, terminal, JSON, CSV, and pictures as SVG and PNG

mod analysis;
pub mod anatomy;
pub mod calibration;
pub mod gate;
pub mod history;
pub mod import;
pub mod mesh;
pub mod model;
pub mod pairs;
mod parallel;
pub mod pooled;
pub mod raw;
pub mod render;
pub mod split;
pub mod standing;
mod stats;
#[cfg(feature = "test-support")]
pub mod synthetic;
pub mod unpaired;
mod validity;
pub mod verdict;
mod words;

pub use analysis::{analyse, analyse_in_full, describe};
