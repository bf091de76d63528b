//! What an arm's own eBPF programs cost, by the kernel's run statistics. Never in the headline: these slices are slower.

use tollgate_results::anatomy::ProgramCost;
use tollgate_results::histogram::Histogram;

use super::analysis::{Slices, median};
use super::model::{CountedPrograms, ProgramAnatomy};
use crate::analysis::typical;
use crate::stats::real64;
use crate::verdict::{Inference, Scale};

/// A slice in which runs were counted: its round, its round trips and the programs.
pub(super) type CountedSlice<'a> = (u32, &'a Histogram, &'a [ProgramCost]);

/// Sums up the slices in which runs were counted; `None` where there are none.
pub(super) fn counted(slices: &Slices<'_>) -> Option<CountedPrograms> {
    if slices.counted.is_empty() {
        return None;
    }
    let plain = |round: u32| {
        let found = slices.plain.iter().find(|(other, _)| *other == round);
        found.and_then(|(_, latency)| median(latency))
    };
    let effects: Vec<f64> = slices
        .counted
        .iter()
        .filter_map(|(round, latency, _)| Some((median(latency)? / plain(*round)?).ln()))
        .collect();
    Some(CountedPrograms {
        effect: Inference::of(&effects, Scale::Ratio).map(|effect| effect.estimate()),
        programs: programs(&slices.counted),
    })
}

/// Lists every program in the order of the first slice that has it.
fn programs(counted: &[CountedSlice<'_>]) -> Vec<ProgramAnatomy> {
    let mut names: Vec<(&str, &str)> = Vec::new();
    for program in counted.iter().flat_map(|(_, _, programs)| *programs) {
        let name = (program.place.as_str(), program.program.as_str());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let programs = names.into_iter().map(|(place, name)| {
        let slices = counted.iter().filter_map(|(_, _, programs)| {
            let mut programs = programs.iter();
            programs.find(|program| program.place == place && program.program == name)
        });
        let (mut runs, mut each) = (0_u64, Vec::new());
        for slice in slices {
            runs = runs.saturating_add(slice.runs);
            if slice.runs > 0 {
                each.push(real64(slice.time_ns) / real64(slice.runs));
            }
        }
        ProgramAnatomy {
            place: place.to_owned(),
            program: name.to_owned(),
            runs,
            ns: typical(&each),
        }
    });
    programs.collect()
}
