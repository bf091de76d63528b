//! How it was measured and judged, in words.

use maud::{Markup, html};
use tollgate_results::workload::Cpu;

use super::super::{glossary, words};
use crate::model::Analysis;

/// The method.
pub(super) fn section(analysis: &Analysis) -> Markup {
    let placements = [Cpu::Shared, Cpu::Split, Cpu::Free];
    let used = placements.into_iter().filter(|cpu| {
        analysis
            .workloads
            .iter()
            .any(|workload| workload.cpu == *cpu)
    });
    html! {
        section #method aria-labelledby="method-title" {
            h2 #method-title { "Method" }
            div.columns {
                @for (heading, text) in glossary::METHOD {
                    div { h3 { (heading) } p { (text) } }
                }
                @for cpu in used {
                    div { h3 { "CPU placement “" (cpu.as_str()) "”" } p { (words::placement_meaning(cpu)) } }
                }
            }
        }
    }
}

/// Words of this report.
pub(super) fn glossary() -> Markup {
    html! {
        section #glossary aria-labelledby="glossary-title" {
            h2 #glossary-title { "Glossary" }
            dl.glossary {
                @for (word, meaning) in glossary::GLOSSARY {
                    div { dt { (word) } dd { (meaning) } }
                }
            }
        }
    }
}
