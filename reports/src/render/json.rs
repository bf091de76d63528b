//! The analysis itself, for machines.

use crate::model::{Analysis, Renderer};

/// Renders the analysis as JSON: indented, fields in the order of the types, a newline at the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Json;

impl Renderer for Json {
    fn render(&self, analysis: &Analysis) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(analysis)
            .expect("an analysis has string keys only, and memory takes every write");
        bytes.push(b'\n');
        bytes
    }
}
