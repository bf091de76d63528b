//! The heat map of a mesh: a row and a column for each node, or for groups of them, coloured by latency.
//!
//! It may have thousands of cells: each colour is one path, its colours are classes of the style sheet.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use crate::mesh::{Heat, HeatCell, HeatGroup, MeshReport};

/// Units of the drawing for each pixel of its nominal size, as the style sheet's text counts.
const UNIT: usize = 4;

/// Room at the left for names, in pixels.
const NAMES: usize = 190;

/// Height of a line of text, in pixels.
const LINE: usize = 12;

/// Longest name that fits there.
const LONGEST: usize = 30;

/// Width of the cells together, in pixels, where they may be as large as [`LARGEST`].
const WIDTH: usize = 620;

/// Sides of a cell in pixels.
const LARGEST: usize = 34;
const SMALLEST: usize = 10;

/// Classes by their upper bounds, with what is said of them. The middle one is as near as most margins.
const CLASSES: [(f64, &str); 7] = [
    (0.5, "half or less"),
    (0.8, "down to half"),
    (0.95, "5 to 20 % less"),
    (1.05, "within 5 %"),
    (1.25, "5 to 25 % more"),
    (2.0, "up to twice"),
    (f64::INFINITY, "more than twice"),
];

/// Draws the heat map with its legend; `None` where nothing was measured.
pub(in crate::render) fn heat(report: &MeshReport) -> Option<Markup> {
    let heat = &report.heat;
    let has_cells = heat
        .cells
        .iter()
        .flatten()
        .any(|cell| *cell != HeatCell::Empty);
    if !has_cells {
        return None;
    }
    let rows = heat.groups.len();
    let side = (WIDTH / rows.max(1)).clamp(SMALLEST, LARGEST);
    let (width, height) = (NAMES + side * rows + 2, side * rows + 4);
    let label = format!("latency of every pair of {rows} rows of nodes, by colour");
    let mut svg = String::new();
    let _ = write!(
        svg,
        "<svg class=\"heat\" style=\"max-width:{width}px\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{label}\">",
        width * UNIT,
        height * UNIT
    );
    svg.push_str(&cells(heat, side));
    svg.push_str(&zone_lines(heat, side));
    svg.push_str(&names(report, side).into_string());
    svg.push_str("</svg>");
    Some(html! {
        figure {
            div.scroll { (PreEscaped(svg)) }
            (legend())
            figcaption { (caption(report)) }
        }
    })
}

/// Returns one path for each class of cells.
fn cells(heat: &Heat, side: usize) -> String {
    let mut paths: BTreeMap<&'static str, String> = BTreeMap::new();
    for (row, of_row) in heat.cells.iter().enumerate() {
        for (column, cell) in of_row.iter().enumerate() {
            let Some(class) = class(*cell) else { continue };
            let (x, y) = (NAMES + side * column, side * row + 2);
            let path = paths.entry(class).or_default();
            // A pixel of the surface stays between cells.
            let edge = (side - 1) * UNIT;
            let _ = write!(path, "M{} {}h{edge}v{edge}h-{edge}z", x * UNIT, y * UNIT);
        }
    }
    let mut text = String::new();
    for (class, path) in paths {
        let _ = write!(text, "<path class=\"{class}\" d=\"{path}\"/>");
    }
    text
}

/// Returns the class of a cell; `None` for one without anything.
fn class(cell: HeatCell) -> Option<&'static str> {
    const COLOURS: [&str; 7] = ["h0", "h1", "h2", "h3", "h4", "h5", "h6"];
    match cell {
        HeatCell::Empty => None,
        HeatCell::Failed => Some("hx"),
        HeatCell::Ratio(ratio) => {
            let found = CLASSES.iter().position(|(bound, _)| ratio <= *bound);
            Some(COLOURS[found.unwrap_or(COLOURS.len() - 1)])
        }
    }
}

/// Draws lines where one zone ends and the next begins.
fn zone_lines(heat: &Heat, side: usize) -> String {
    let mut text = String::new();
    let all = side * heat.groups.len();
    for (row, pair) in heat.groups.windows(2).enumerate() {
        if pair[0].zone != pair[1].zone {
            let at = side * (row + 1);
            let _ = write!(
                text,
                "<path class=\"zone\" d=\"M{} {}h{}M{} {}v{}\"/>",
                NAMES * UNIT,
                (at + 1) * UNIT,
                all * UNIT,
                (NAMES + at) * UNIT - UNIT / 2,
                2 * UNIT,
                all * UNIT
            );
        }
    }
    text
}

/// Names the rows where there is room, else those of nodes that were told and the first of each zone.
fn names(report: &MeshReport, side: usize) -> Markup {
    let heat = &report.heat;
    let is_first =
        |place: usize| place == 0 || heat.groups[place - 1].zone != heat.groups[place].zone;
    let mut labels: Vec<(usize, String)> = Vec::new();
    let mut free = 0;
    for (place, group) in heat.groups.iter().enumerate() {
        let wanted = side >= LINE || group.told || is_first(place);
        let middle = side * place + side / 2 + 2;
        if wanted && middle >= free {
            labels.push((middle, name(report, group)));
            free = middle + LINE;
        }
    }
    html! {
        @for (middle, name) in &labels {
            text x=((NAMES - 8) * UNIT) y=(middle * UNIT) { (shortened(name)) }
        }
    }
}

/// Names a row: its node, or how many of which zone there are.
fn name(report: &MeshReport, group: &HeatGroup) -> String {
    let node = match group.nodes.as_slice() {
        [only] => report.nodes.get(*only as usize),
        _ => None,
    };
    node.map_or_else(
        || {
            let zone = group.zone.as_deref().map(|zone| format!(" of {zone}"));
            format!("{} nodes{}", group.nodes.len(), zone.unwrap_or_default())
        },
        |node| node.name.clone(),
    )
}

/// Shortens a name in its middle: what tells names apart often stands at their end.
fn shortened(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= LONGEST {
        return name.to_owned();
    }
    let half = LONGEST / 2;
    let head: String = letters[..half].iter().collect();
    let tail: String = letters[letters.len() - half..].iter().collect();
    format!("{head}…{tail}")
}

fn legend() -> Markup {
    let swatch = |class: &str| {
        let svg = format!(
            "<svg viewBox=\"0 0 12 12\" aria-hidden=\"true\"><path class=\"{class}\" d=\"M0 0h12v12h-12z\"/></svg>"
        );
        PreEscaped(svg)
    };
    html! {
        ul.key aria-label="Colours" {
            @for (place, (_, words)) in CLASSES.iter().enumerate() {
                li { span.arm { (swatch(&format!("h{place}"))) (words) } }
            }
            li { span.arm { (swatch("hx")) "failed" } }
        }
    }
}

fn caption(report: &MeshReport) -> Markup {
    let groups = report.heat.groups.len();
    html! {
        b { "Every pair" }
        ": median round trip against the median of all pairs. The row sends, columns stand in the order of rows"
        @if !report.subject.both_ways { "; where one of two nodes sent alone, its figure stands for both ways" }
        ". Zones stand together, lines between them."
        @if groups < report.nodes.len() {
            " " (report.nodes.len()) " nodes share " (groups) " rows: a cell is the median over its pairs; nodes that were told "
            "from the others have rows of their own, at the start of their zone."
        }
        " A description without interval."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ratio_has_a_colour() {
        for (ratio, expected) in [
            (0.1, "h0"),
            (0.7, "h1"),
            (0.9, "h2"),
            (1.0, "h3"),
            (1.2, "h4"),
            (1.9, "h5"),
            (9.0, "h6"),
            (f64::INFINITY, "h6"),
        ] {
            assert_eq!(class(HeatCell::Ratio(ratio)), Some(expected), "{ratio}");
        }
        assert_eq!(class(HeatCell::Empty), None);
        assert_eq!(shortened(&"ä".repeat(40)).chars().count(), LONGEST + 1);
    }
}
