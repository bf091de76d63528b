//! CSV for spreadsheets and notebooks: one tidy table of cells, one of rounds.
//!
//! Figures stand in the record's units, which a column names; what isn't known is empty, what is infinite is `inf`.

use crate::model::{Analysis, Cell, Estimate, Pair, Renderer, Unit};

/// Renders every cell as a row: verdict, change, difference, typical values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CellsCsv;

/// Renders every compared round as a row: what the reference and the arm took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoundsCsv;

const CELLS: &str = "workload,metric,unit,worse,arm,reference,verdict,measurable,rounds,\
    arm_median,reference_median,change,change_low95,change_high95,change_low90,change_high90,\
    difference,difference_low95,difference_high95,margin,spread,worse_in,p_holm,\
    undropped_verdict,undropped_rounds,reason\n";

const ROUNDS: &str =
    "workload,metric,unit,worse,arm,reference,round,install,reference_value,arm_value\n";

impl Renderer for CellsCsv {
    fn render(&self, analysis: &Analysis) -> Vec<u8> {
        let rows = analysis.cells.iter().map(cell);
        let table: String = std::iter::once(CELLS.to_owned()).chain(rows).collect();
        table.into_bytes()
    }
}

impl Renderer for RoundsCsv {
    fn render(&self, analysis: &Analysis) -> Vec<u8> {
        let rows = analysis
            .cells
            .iter()
            .flat_map(|cell| cell.pairs.iter().map(move |pair| round(cell, pair)));
        let table: String = std::iter::once(ROUNDS.to_owned()).chain(rows).collect();
        table.into_bytes()
    }
}

/// What tells cells apart.
fn head(cell: &Cell) -> Vec<String> {
    let unit = match cell.unit {
        Unit::Nanoseconds => "ns",
        Unit::PerSecond => "per second",
        Unit::BitsPerSecond => "bit/s",
        Unit::Share => "share",
    };
    let worse = match cell.direction {
        crate::model::Direction::LargerIsWorse => "larger",
        crate::model::Direction::SmallerIsWorse => "smaller",
    };
    vec![
        cell.workload.to_string(),
        cell.metric.to_string(),
        unit.to_owned(),
        worse.to_owned(),
        cell.arm.to_string(),
        cell.reference.to_string(),
    ]
}

fn cell(cell: &Cell) -> String {
    let median = |typical: Option<crate::model::Typical>| number(typical.map(|it| it.median));
    let mut fields = head(cell);
    fields.extend([
        cell.verdict.to_string(),
        cell.measurable.to_string(),
        cell.rounds.to_string(),
        median(cell.arm_typical),
        median(cell.reference_typical),
    ]);
    let bounds = |estimate: Option<Estimate>, wide: bool| {
        let interval = estimate.map(|it| if wide { it.interval95 } else { it.interval90 });
        [
            number(interval.map(|it| it.low)),
            number(interval.map(|it| it.high)),
        ]
    };
    fields.push(number(cell.change.map(|it| it.value)));
    fields.extend(bounds(cell.change, true));
    fields.extend(bounds(cell.change, false));
    fields.push(number(cell.shift.map(|it| it.value)));
    fields.extend(bounds(cell.shift, true));
    fields.extend([
        number(Some(cell.margin)),
        number(cell.spread),
        number(cell.worse_in),
        number(cell.tests.map(|it| it.p_holm)),
        cell.undropped
            .map_or_else(String::new, |it| it.verdict.to_string()),
        cell.undropped
            .map_or_else(String::new, |it| it.rounds.to_string()),
        cell.reason.clone().unwrap_or_default(),
    ]);
    line(&fields)
}

fn round(cell: &Cell, pair: &Pair) -> String {
    let mut fields = head(cell);
    fields.extend([
        pair.round.to_string(),
        pair.install.to_string(),
        number(Some(pair.reference)),
        number(Some(pair.arm)),
    ]);
    line(&fields)
}

/// Writes a number with all its digits, as every reader of CSV takes it.
fn number(value: Option<f64>) -> String {
    match value {
        Some(value) if value.is_infinite() && value > 0.0 => "inf".to_owned(),
        Some(value) if value.is_infinite() => "-inf".to_owned(),
        Some(value) if !value.is_nan() => value.to_string(),
        _ => String::new(),
    }
}

fn line(fields: &[String]) -> String {
    let fields: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
    format!("{}\n", fields.join(","))
}

/// Quotes a field where RFC 4180 asks for it. A text that a spreadsheet would take for a formula gets a space.
fn quoted(field: &str) -> String {
    let number = field.parse::<f64>().is_ok();
    let formula = !number && field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula {
        format!(" {field}")
    } else {
        field.to_owned()
    };
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_as_the_rfc_asks() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a, \"b\""), "\"a, \"\"b\"\"\"");
        assert_eq!(quoted("-0.25"), "-0.25");
        assert_eq!(quoted("=1+1"), " =1+1");
        assert_eq!(number(Some(f64::INFINITY)), "inf");
        assert_eq!(number(Some(f64::NAN)), "");
    }
}
