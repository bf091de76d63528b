//! The first screen: what was compared, the answer, and what it rests on.

use maud::{Markup, html};

use super::super::legend::Legend;
use super::super::{number, paths, words};
use super::parts;
use crate::model::{Analysis, Answer, AnswerKind, Judgement};

/// Sentences shown at once; the rest unfolds.
const ANSWERS: usize = 6;

/// Arms and series shown at once; the rest unfolds.
const PATHS: usize = 8;

/// What the page is about.
pub(super) fn header(analysis: &Analysis) -> Markup {
    let subject = &analysis.subject;
    html! {
        header {
            p.eyebrow {
                b { "Tollgate" } " report · scenario " (subject.scenario) " · " (number::date(subject.started_unix_ms))
            }
            h1 { (subject.about) }
        }
    }
}

/// The answer in sentences.
pub(super) fn answer(analysis: &Analysis) -> Markup {
    let (shown, folded) = analysis
        .answers
        .split_at(analysis.answers.len().min(ANSWERS));
    html! {
        section.answer #answer aria-labelledby="answer-title" {
            h2 #answer-title { "The answer" }
            (sentences(analysis, shown))
            @if !folded.is_empty() {
                details {
                    summary { (folded.len()) " more findings" }
                    (sentences(analysis, folded))
                }
            }
        }
    }
}

fn sentences(analysis: &Analysis, answers: &[Answer]) -> Markup {
    let invalid = analysis.conduct.invalid.as_ref();
    let damns =
        |answer: &Answer| invalid.is_some_and(|reason| answer.text.contains(reason.as_str()));
    html! {
            ul.answers {
                @for answer in answers {
                    li {
                        @match answer.kind {
                            AnswerKind::Verdict(verdict) => (parts::verdict(verdict)),
                            AnswerKind::Scaling(verdict) => (parts::scaling(verdict)),
                            AnswerKind::Claim(verdict) => (parts::claim(verdict)),
                            AnswerKind::Split(verdict) => (parts::split(verdict)),
    AnswerKind::Warning if damns(answer) => (parts::badge("invalid", "✕", "invalid")),
                            AnswerKind::Warning => (parts::badge("warning", "!", "note")),
                        }
                        p { (words::unbroken(&answer.text)) }
                    }
                }
            }
        }
}

/// Arms and workloads in plain words.
pub(super) fn compared(analysis: &Analysis, legend: &Legend) -> Markup {
    let all = paths::paths(analysis);
    let (shown, folded) = all.split_at(all.len().min(PATHS));
    let list = |paths: &[paths::Path<'_>]| {
        html! {
            dl.pairs {
                @for path in paths {
                    dt {
                        @match path.series {
                            Some(arms) => {
                                (parts::series(legend, path.name)) " " span.role { (arms) " arms" }
                            }
                            None => {
                                (parts::arm(legend, path.name))
                                @if path.is_reference { " " span.role { "reference" } }
                            }
                        }
                    }
                    dd { (path.text) }
                }
            }
        }
    };
    let shared = paths::shared(analysis);
    html! {
        section.card aria-labelledby="compared-title" {
            h2 #compared-title { "What was compared" }
            p {
                "Ways for a packet from a client to a server on another node."
                @if !shared.is_empty() { " All have in common: " (shared.join("; ")) "." }
            }
            (list(shown))
            @if !folded.is_empty() {
                details { summary { (folded.len()) " more" } (list(folded)) }
            }
            @if !analysis.subject.skipped.is_empty() {
                p.skipped {
                    b { "Skipped: " }
                    (words::list(analysis.subject.skipped.iter().map(|skipped| &skipped.arm)))
                    ", which can't run here (" a href="#skipped" { "why" } ")."
                }
            }
            p { "Traffic:" }
            dl.pairs {
                @for workload in &analysis.workloads {
                    dt { (workload.name) }
                    dd { (words::sends(workload)) "; " (words::placement(workload.cpu)) }
                }
            }
        }
    }
}

/// What the answer rests on.
pub(super) fn rests(analysis: &Analysis) -> Markup {
    let subject = &analysis.subject;
    let conduct = &analysis.conduct;
    let proved = analysis
        .arms
        .iter()
        .filter(|arm| arm.evidence.judgement == Judgement::Ok)
        .count();
    html! {
        section.card aria-labelledby="rests-title" {
            h2 #rests-title { "What it rests on" }
            ul.tiles {
                (tile(&format!("{} of {}", conduct.kept, conduct.could_count()), "rounds count"))
                (tile(&conduct.dropped.to_string(), "dropped for noise"))
                (tile(&format!("{proved} of {}", analysis.arms.len()), "arms with proved path"))
                (tile("95 %", "confidence, exact"))
            }
            dl.pairs {
                dt { "How sure" }
                dd { (words::unbroken(&analysis.noise_floor.statement)) }
                dt { "Rounds" }
                dd { (words::rounds(analysis)) "." }
                dt { "Evidence" }
                dd { (words::evidence(analysis)) " (" a href="#evidence" { "see" } ")." }
                dt { "Margin" }
                dd {
                    (number::share(subject.rounds.margin.0))
                    ", chosen before measuring: smaller differences count as equivalent where that is proved."
                }
                dt { "Machine" }
                dd { (words::machine(&subject.facts)) " (" a href="#facts" { "all facts" } ")." }
                dt { "Place" }
                dd { (words::target(subject.target)) "." }
                @for note in words::notes(analysis) {
                    dt { "Note" }
                    dd { (words::unbroken(note)) }
                }
            }
        }
    }
}

fn tile(figure: &str, what: &str) -> Markup {
    html! { li { b { (words::unbroken(figure)) } " " span { (what) } } }
}
