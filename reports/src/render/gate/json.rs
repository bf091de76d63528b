//! A gate's report itself, for machines.

use super::GateRenderer;
use crate::gate::GateReport;

/// Renders the report as JSON: indented, fields in the order of the types, a newline at the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Json;

impl GateRenderer for Json {
    fn render(&self, report: &GateReport) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(report)
            .expect("a gate's report has string keys only, and memory takes every write");
        bytes.push(b'\n');
        bytes
    }
}
