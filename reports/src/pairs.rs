//! Comparison of two arms from a CSV file: the statistics of Tollgate for figures of any tool.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{ANALYSIS_SCHEMA, Direction, Estimate, Resolution, Tests, Verdict};
use crate::stats::rounds::FEWEST;
use crate::stats::signed_rank::MOST_ROUNDS;
use crate::verdict::{Inference, Scale};
use crate::words;

/// The first line that a file must have.
const HEADER: &str = "round,arm,value";

/// Most faults that are told of one file.
const MOST_FAULTS: usize = 50;

/// Paired rounds of two arms.
#[derive(Debug, Clone, PartialEq)]
pub struct Pairs {
    reference: String,
    arm: String,
    /// Reference and arm, by round.
    rounds: BTreeMap<u64, (f64, f64)>,
}

/// Everything that is wrong with a file of pairs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PairsError {
    faults: Vec<Fault>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    /// The line, from 1; `None` where it is about the file.
    line: Option<usize>,
    text: String,
}

impl PairsError {
    /// Returns one line for each fault, in the order of the file.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.faults.iter().map(|fault| match fault.line {
            Some(line) => format!("line {line}: {}", fault.text),
            None => fault.text.clone(),
        })
    }
}

impl fmt::Display for PairsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.lines().collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Two arms compared by paired rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PairComparison {
    /// [`ANALYSIS_SCHEMA`] of the writer.
    pub schema: u32,
    /// The first arm of the file.
    pub reference: String,
    /// The other arm.
    pub arm: String,
    /// Which way is worse.
    pub direction: Direction,
    /// Equivalence margin on `ratio` - 1.
    pub margin: f64,
    /// Rounds compared.
    pub rounds: u32,
    /// What may be said.
    pub verdict: Verdict,
    /// The verdict is `equivalent`, yet the 95 % interval excludes equality.
    pub measurable: bool,
    /// Why it is insufficient, where it is.
    pub reason: Option<String>,
    /// The verdict in words.
    pub words: String,
    /// θ: arm / reference, or its inverse where smaller is worse; more than 1 is worse. `null` where infinite or
    /// insufficient.
    pub ratio: Option<f64>,
    /// The 95 % interval of `ratio`; `null` for an unbounded end.
    pub interval: Option<[Option<f64>; 2]>,
    /// The same with exact confidences and the 90 % interval.
    pub estimate: Option<Estimate>,
    /// Rank k of the Walsh average that bounds the 95 % interval.
    pub walsh_rank: Option<u32>,
    /// Standard deviation of the finite ln θ per round.
    pub spread: Option<f64>,
    /// The tests behind the verdict.
    pub tests: Option<Tests>,
    /// What would decide it, where it is inconclusive.
    pub to_resolve: Option<Resolution>,
}

/// Reads pairs from CSV with the columns `round,arm,value`: the first arm in the file is the reference, every round
/// has one value of each arm, and a value is a positive number or `inf` for a measurement that was lost.
///
/// # Errors
///
/// Names every fault with its line.
pub fn parse_csv(text: &str) -> Result<Pairs, PairsError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader::default();
    let mut lines = (1..).zip(text.lines());
    match lines.next() {
        Some((_, header)) if same_header(header) => {}
        Some((line, other)) => {
            reader.fault(
                line,
                format!("the first line is `{}`; write `{HEADER}`", shorten(other)),
            );
        }
        None => {
            let text = format!("the file is empty; start with the line `{HEADER}`");
            reader.faults.push(Fault { line: None, text });
        }
    }
    for (line, row) in lines.filter(|(_, row)| !row.trim().is_empty()) {
        reader.row(line, row);
    }
    reader.finish()
}

/// Compares the second arm with the reference. `margin` is a share, for example 0.05.
#[must_use]
pub fn compare(pairs: &Pairs, direction: Direction, margin: f64) -> PairComparison {
    let effects: Vec<f64> = pairs
        .rounds
        .values()
        .map(|(reference, arm)| match direction {
            Direction::LargerIsWorse => arm.ln() - reference.ln(),
            Direction::SmallerIsWorse => reference.ln() - arm.ln(),
        })
        .collect();
    let inference = Inference::of(&effects, Scale::Ratio);
    let (verdict, measurable) = inference
        .as_ref()
        .map_or((Verdict::Insufficient, false), |inference| {
            inference.verdict(margin)
        });
    let reason = inference.is_none().then(|| insufficient(&effects));
    let inference = inference.as_ref();
    let estimate = inference.map(Inference::estimate);
    let finite = |value: f64| value.is_finite().then_some(value);
    let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    PairComparison {
        schema: ANALYSIS_SCHEMA,
        reference: pairs.reference.clone(),
        arm: pairs.arm.clone(),
        direction,
        margin,
        rounds: small(effects.len()),
        verdict,
        measurable,
        words: in_words(
            pairs,
            verdict,
            estimate.as_ref(),
            direction,
            reason.as_deref(),
        ),
        reason,
        ratio: estimate.and_then(|estimate| finite(estimate.value)),
        interval: estimate.map(|estimate| {
            let Estimate { interval95, .. } = estimate;
            [finite(interval95.low), finite(interval95.high)]
        }),
        estimate,
        walsh_rank: inference.map(|inference| small(inference.walsh_rank())),
        spread: inference.and_then(Inference::spread),
        tests: inference.map(|inference| inference.tests(margin)),
        to_resolve: inference
            .filter(|_| verdict == Verdict::Inconclusive)
            .map(|inference| inference.resolution(margin, None)),
    }
}

fn insufficient(effects: &[f64]) -> String {
    if effects.len() < FEWEST {
        return format!(
            "{}: an interval needs at least {FEWEST}",
            words::plural(effects.len(), "round")
        );
    }
    "in some round both arms are infinite".to_owned()
}

/// Says the verdict with the change of the values themselves: a larger throughput has a plus.
fn in_words(
    pairs: &Pairs,
    verdict: Verdict,
    estimate: Option<&Estimate>,
    direction: Direction,
    reason: Option<&str>,
) -> String {
    let Pairs { arm, reference, .. } = pairs;
    let Some(estimate) = estimate else {
        return format!("{verdict}: {}", reason.unwrap_or("no interval"));
    };
    let change = crate::analysis::change(estimate, direction);
    let rounds = words::plural(pairs.rounds.len(), "round");
    match verdict {
        Verdict::Equivalent => {
            let change = words::change90(&change);
            format!("equivalent: {arm} against {reference} {change} (90 %, {rounds})")
        }
        Verdict::Slower | Verdict::Faster => {
            let change = words::change(&change);
            format!("{verdict}: {arm} against {reference} {change} (95 %, {rounds})")
        }
        verdict => {
            let change = words::change(&change);
            format!(
                "{verdict}: {arm} against {reference} {change} (95 %, {rounds}); --json says what would decide"
            )
        }
    }
}

fn same_header(line: &str) -> bool {
    let columns = line.split(',').map(str::trim);
    columns.eq(HEADER.split(','))
}

/// Rows read so far, with what is wrong with them.
#[derive(Default)]
struct Reader {
    faults: Vec<Fault>,
    arms: Vec<String>,
    /// Round and index of the arm → line and value; `None` for a value that could not be read.
    values: BTreeMap<(u64, usize), (usize, Option<f64>)>,
}

impl Reader {
    fn fault(&mut self, line: usize, text: String) {
        let line = Some(line);
        self.faults.push(Fault { line, text });
    }

    fn row(&mut self, line: usize, row: &str) {
        let columns: Vec<&str> = row.split(',').map(str::trim).collect();
        let &[round, arm, value] = columns.as_slice() else {
            let text = format!(
                "{}, not 3; write `{HEADER}`",
                words::plural(columns.len(), "column")
            );
            return self.fault(line, text);
        };
        let number = value.parse::<f64>().ok().filter(|number| *number > 0.0);
        if number.is_none() {
            let text = format!(
                "value `{}` is not a positive number; write one, or `inf` for a lost measurement",
                shorten(value)
            );
            self.fault(line, text);
        }
        if arm.is_empty() {
            return self.fault(line, "the arm has no name".to_owned());
        }
        let Ok(round) = round.parse::<u64>() else {
            let text = format!("round `{}` is not a whole number", shorten(round));
            return self.fault(line, text);
        };
        let index = self.arm(arm);
        if let Some((first, _)) = self.values.get(&(round, index)) {
            let text = format!(
                "round {round} of `{}` stands already in line {first}",
                shorten(arm)
            );
            return self.fault(line, text);
        }
        self.values.insert((round, index), (line, number));
    }

    fn arm(&mut self, name: &str) -> usize {
        let known = self.arms.iter().position(|known| known == name);
        known.unwrap_or_else(|| {
            self.arms.push(name.to_owned());
            self.arms.len() - 1
        })
    }

    fn finish(mut self) -> Result<Pairs, PairsError> {
        let two = self.count_arms();
        let mut rounds = BTreeMap::new();
        let numbers: Vec<u64> = {
            let mut numbers: Vec<u64> = self.values.keys().map(|(round, _)| *round).collect();
            numbers.dedup();
            numbers
        };
        if numbers.len() > MOST_ROUNDS {
            let text = format!(
                "{} rounds are more than {}; compare fewer",
                words::count(numbers.len() as u64),
                words::count(MOST_ROUNDS as u64)
            );
            self.faults.push(Fault { line: None, text });
        }
        for round in numbers {
            let value = |index: usize| self.values.get(&(round, index)).copied();
            match (value(0), value(1)) {
                (Some((_, reference)), Some((_, arm))) => {
                    rounds.extend(reference.zip(arm).map(|pair| (round, pair)));
                }
                (Some((line, _)), None) if two => self.lacks(line, round, 1),
                (None, Some((line, _))) if two => self.lacks(line, round, 0),
                _ => {}
            }
        }
        if !self.faults.is_empty() {
            return Err(PairsError {
                faults: in_order(self.faults),
            });
        }
        let mut arms = self.arms.into_iter();
        Ok(Pairs {
            reference: arms.next().unwrap_or_default(),
            arm: arms.next().unwrap_or_default(),
            rounds,
        })
    }

    fn lacks(&mut self, line: usize, round: u64, index: usize) {
        let name = shorten(&self.arms[index]);
        self.fault(line, format!("round {round} has no value of `{name}`"));
    }

    /// Returns whether there are exactly two arms.
    fn count_arms(&mut self) -> bool {
        let names: Vec<String> = self.arms.iter().take(5).map(|arm| shorten(arm)).collect();
        let text = match self.arms.len() {
            2 => return true,
            0 => "there are no rows; write at least 6 rounds of two arms".to_owned(),
            1 => format!("there is only one arm, `{}`; two are compared", names[0]),
            more => format!(
                "there are {more} arms ({}); two are compared",
                names.join(", ")
            ),
        };
        self.faults.push(Fault { line: None, text });
        false
    }
}

/// Sorts faults by line, those about the file last, and cuts a flood short.
fn in_order(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
    let more = faults.len().saturating_sub(MOST_FAULTS);
    if more > 0 {
        faults.truncate(MOST_FAULTS);
        let text = format!("… and {}", words::plural(more, "more fault"));
        faults.push(Fault { line: None, text });
    }
    faults
}

/// A piece of the input that fits a line and shows control characters.
fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(40).flat_map(char::escape_debug).collect();
    if text.chars().count() > 40 {
        short.push('…');
    }
    short
}
