//! Statistics, verdicts and rendering: records in, bytes out. Opens no socket and reads no clock.
//!
//! - [`model`]: the analysis of a campaign, and the seam to renderers
//! - [`render`]: HTML, Markdown, terminal and JSON

pub mod model;
pub mod render;
