//! Results of other tools: read, tagged as not mergeable, and compared run against run.
//!
//! Other tools print summaries. Percentiles of several runs can't be merged, so each run is one value, whatever it rests on;
//! and runs of two arms are independent samples, for nothing says that they were measured in pairs (figures
//! that were go through [`crate::pairs`]).

mod compared;
mod iperf3;
mod k8s_netperf;
mod sockperf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Metric;

pub(crate) use compared::worse_by;
pub use compared::{
    IMPORT_SCHEMA, ImportError, ImportedCell, ImportedComparison, ImportedFile, Run, compare,
};

/// A tool whose results are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tool {
    /// iperf3, its `--json`.
    Iperf3,
    /// sockperf, what it prints.
    Sockperf,
    /// k8s-netperf, its JSON and its `result-*.csv`.
    K8sNetperf,
}

/// What one file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The tool that wrote it.
    pub tool: Tool,
    /// Its figures.
    pub figures: Vec<Figure>,
    /// What a reader should know of them, one line each.
    pub notes: Vec<String>,
}

/// One figure of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The traffic in few words: `TCP, 1 stream`.
    pub workload: String,
    /// What was measured.
    pub metric: Metric,
    /// The value in the metric's unit; infinite for a percentile that lies among lost replies.
    pub value: f64,
}

/// A file that says nothing that can be compared: one line, what and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnreadableError(String);

impl UnreadableError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Reads a result by what it looks like.
///
/// # Errors
///
/// Where it is none of the tools', cut short, tells of a failed run, or has no figure that can be compared.
pub fn read(text: &str) -> Result<Imported, UnreadableError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let start = text.trim_start();
    let imported = if start.starts_with('{') {
        iperf3::read(start)
    } else if start.starts_with('[') {
        k8s_netperf::read_json(start)
    } else if k8s_netperf::is_csv(start) {
        k8s_netperf::read_csv(start)
    } else if sockperf::is(start) {
        sockperf::read(start)
    } else if start.is_empty() {
        Err(UnreadableError::new("the file is empty"))
    } else {
        Err(UnreadableError::new(
            "not a result of iperf3 (--json), sockperf or k8s-netperf; other figures go through --pairs",
        ))
    }?;
    if imported.figures.is_empty() {
        return Err(UnreadableError::new("has no figure that can be compared"));
    }
    Ok(imported)
}

/// Keeps a figure that is one: a ratio needs a value above 0, a loss is a share of a whole.
fn figure(workload: &str, metric: Metric, value: Option<f64>) -> Option<Figure> {
    let value = value?;
    let fits = match metric {
        Metric::Loss => (0.0..=1.0).contains(&value),
        _ => value > 0.0 && !value.is_nan(),
    };
    fits.then(|| Figure {
        workload: workload.to_owned(),
        metric,
        value,
    })
}

/// A piece of a file that fits a line and steers nothing.
fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().count() > 60 {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_result_is_told_in_one_line() {
        for (text, told) in [
            ("", "the file is empty"),
            ("round,arm,value\n1,a,2\n", "not a result of iperf3"),
            ("{\"start\":", "not whole"),
            ("[{\"driver\":", "not whole"),
            ("[]", "has no figure"),
            ("{}", "not a result of iperf3"),
            ("[1, 2]", "not a result of k8s-netperf"),
            ("\u{7}\u{1b}[31m", "not a result"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(told), "{text:?}: {error}");
            assert!(!error.contains(char::is_control), "{error:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_read_panics_or_is_no_number(head in prop::sample::select(vec![
            "", "{", "[", "sockperf: ", "Driver,Profile,Message Size\n", "{\"end\":{\"sum_received\":{\"bits_per_second\":",
        ]), text in "[ -~\n]{0,200}") {
            if let Ok(imported) = read(&format!("{head}{text}")) {
                prop_assert!(imported.figures.iter().all(|figure| figure.value >= 0.0));
            }
        }
    }
}
