//! Renderers of a gate's report: bytes for people, for pull requests and for CI systems.
//!
//! Like all renderers they are pure and decide nothing. Effects are the report's own: from the second stage where
//! it measured a cell, since what the first found suspicious is exaggerated (statistics §2.7).

mod annotations;
mod json;
mod junit;
mod markdown;
mod terminal;
pub(super) mod words;

pub use super::html::GatePage as Html;
pub use annotations::Annotations;
pub use json::Json;
pub use junit::Junit;
pub use markdown::Markdown;
pub use terminal::Terminal;

use crate::gate::GateReport;

/// Turns a gate's report into bytes: pure, and the same bytes for the same report.
pub trait GateRenderer {
    /// Renders the whole report.
    fn render(&self, report: &GateReport) -> Vec<u8>;
}

/// Returns the files that a gate leaves, each with what writes it. `place` is the file of the repository at which
/// annotations stand.
#[must_use]
pub fn files(place: Option<String>) -> [(&'static str, Box<dyn GateRenderer>); 5] {
    [
        ("gate.json", Box::new(Json)),
        ("gate.html", Box::new(Html)),
        ("gate.md", Box::new(Markdown)),
        ("junit.xml", Box::new(Junit)),
        ("annotations.txt", Box::new(Annotations { file: place })),
    ]
}
