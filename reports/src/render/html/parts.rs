//! Small parts that sections share.

use maud::{Markup, html};
use tollgate_results::arm::Name;

use super::super::figures::Figure;
use super::super::legend::Legend;
use super::super::{paths, svg};
use crate::model::{Analysis, ClaimVerdict, Judgement, ScalingVerdict, Verdict};
use crate::split::SplitVerdict;

/// A verdict as a coloured word with a symbol, since not everybody sees the colour.
pub(super) fn verdict(verdict: Verdict) -> Markup {
    let symbol = super::super::words::symbol(verdict);
    badge(verdict.as_str(), symbol, verdict.as_str())
}

/// A verdict on a rise.
pub(super) fn scaling(verdict: ScalingVerdict) -> Markup {
    let (class, symbol) = match verdict {
        ScalingVerdict::Grows => ("slower", "↗"),
        ScalingVerdict::Falls => ("faster", "↘"),
        ScalingVerdict::Flat => ("equivalent", "→"),
        ScalingVerdict::Inconclusive | ScalingVerdict::Insufficient => ("inconclusive", "?"),
        ScalingVerdict::Invalid => ("invalid", "✕"),
    };
    badge(class, symbol, verdict.as_str())
}

/// A verdict on a claim.
pub(super) fn claim(verdict: ClaimVerdict) -> Markup {
    let class = match verdict {
        ClaimVerdict::Holds => "equivalent",
        ClaimVerdict::HoldsInPart => "warning",
        ClaimVerdict::DoesNotHold => "slower",
        ClaimVerdict::Undecided | ClaimVerdict::Untested => "inconclusive",
        ClaimVerdict::Invalid => "invalid",
    };
    badge(
        class,
        super::super::words::claim_symbol(verdict),
        verdict.as_str(),
    )
}

/// A verdict on a split.
pub(super) fn split(verdict: SplitVerdict) -> Markup {
    match verdict {
        SplitVerdict::AsDeclared => badge("equivalent", "✓", "as declared"),
        SplitVerdict::Off => badge("slower", "✕", "off"),
        SplitVerdict::Insufficient => badge("inconclusive", "?", "insufficient"),
    }
}

/// The style sheet's class of a verdict.
pub(super) const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Slower => "slower",
        Verdict::Faster => "faster",
        Verdict::Equivalent => "equivalent",
        Verdict::Inconclusive | Verdict::Insufficient => "inconclusive",
        Verdict::Invalid => "invalid",
    }
}

/// A value that an arm's reference has otherwise: marked by more than its colour.
pub(super) fn differing(text: &str, differs: bool) -> Markup {
    html! {
        @if differs { mark { span aria-hidden="true" { "≠ " } (text) } } @else { (text) }
    }
}

/// A judgement on evidence.
pub(super) fn judgement(judgement: Judgement) -> Markup {
    let (class, symbol) = match judgement {
        Judgement::Ok => ("equivalent", "✓"),
        Judgement::Unknown => ("inconclusive", "?"),
        Judgement::Contradicts => ("invalid", "✕"),
    };
    badge(class, symbol, super::super::words::judgement(judgement))
}

/// A coloured word.
pub(super) fn badge(class: &str, symbol: &str, word: &str) -> Markup {
    html! {
        span class={ "badge " (class) } { span aria-hidden="true" { (symbol) } " " (word) }
    }
}

/// An arm's marker and name.
pub(super) fn arm(legend: &Legend, name: &Name) -> Markup {
    html! { span.arm { (svg::swatch(legend.arm(name))) (name) } }
}

/// The marker and name of a sweep's series.
pub(super) fn series(legend: &Legend, name: &Name) -> Markup {
    html! { span.arm { (svg::swatch(legend.series(name))) (name) } }
}

/// The markers of all arms, once before each group of figures; a series once.
pub(super) fn key(analysis: &Analysis, legend: &Legend) -> Markup {
    html! {
        ul.key aria-label="Markers" {
            @for path in paths::paths(analysis) {
                li {
                    @match path.series {
                        Some(_) => (series(legend, path.name)),
                        None => (arm(legend, path.name)),
                    }
                }
            }
        }
    }
}

/// A table under its title, in a box of its own that scrolls, with the keyboard too, so that the page never does.
pub(super) fn table(title: &str, inner: &Markup) -> Markup {
    html! {
        div.table {
            p.caption aria-hidden="true" { (title) }
            div.scroll role="region" aria-label=(title) tabindex="0" {
                table aria-label=(title) { (inner) }
            }
        }
    }
}

/// Figures side by side where there is room.
pub(super) fn gallery(figures: &[Figure]) -> Markup {
    html! {
        div.gallery { @for figure in figures { (self::figure(figure)) } }
    }
}

/// One figure with its caption.
pub(super) fn figure(figure: &Figure) -> Markup {
    html! { figure { (figure.svg) figcaption { (figure.caption) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_people_are_escaped() {
        let markup = badge("slower", "▲", "<script>alert(1)</script>").into_string();
        assert!(!markup.contains("<script"), "{markup}");
    }
}
