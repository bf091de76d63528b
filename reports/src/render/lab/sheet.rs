//! A sheet to draw on: shapes and text as SVG, in the roles' colours of the reports, light and dark.

use std::fmt::Write as _;

use maud::html;
use unicode_width::UnicodeWidthStr as _;

use super::super::pictures::{dark, light};
use super::super::words::to_f64;

/// Room around everything, in pixels.
pub(super) const MARGIN: f64 = 20.0;

/// Height of text, in pixels: no text is smaller than [`SMALL`].
pub(super) const TEXT: f64 = 12.0;
/// Height of text that is said beside, and of badges.
pub(super) const SMALL: f64 = 11.0;
/// Height of an arm's title.
pub(super) const TITLE: f64 = 14.0;

/// Width of a letter for its height. All letters of a typewriter's font are as wide: `DejaVu`, Menlo, Liberation and Courier have
/// 0.60, Consolas 0.55.
const LETTER: f64 = 0.61;

/// What SVG asks for, the best known first.
const FAMILY: &str = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace";

/// What a class of shapes or of text is coloured with: its property, and the style sheet's variable.
const COLOURS: [(&str, &str, &str); 18] = [
    (".page", "fill", "--page"),
    (".machine", "fill", "--surface"),
    (".machine", "stroke", "--line"),
    (".pod", "fill", "--page"),
    (".pod", "stroke", "--line"),
    (".card", "fill", "--surface"),
    (".card", "stroke", "--muted"),
    (".gone", "stroke", "--worse"),
    (".program", "fill", "--better-bg"),
    (".rules", "fill", "--equal-bg"),
    ("text", "fill", "--ink"),
    (".aside", "fill", "--muted"),
    (".fault", "fill", "--worse"),
    (".on-program", "fill", "--better"),
    (".on-rules", "fill", "--equal"),
    (".pair", "stroke", "--link"),
    (".part", "stroke", "--muted"),
    (".line", "stroke", "--a1"),
];

/// What is the same in light and dark.
const SHAPES: &str = ".name{font-weight:bold}.gone{fill:none;stroke-dasharray:4 3}path{fill:none;stroke-width:1.5}\
                      .part{stroke-dasharray:3 3}.line{stroke-width:2.5;stroke-dasharray:8 4}";

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Area {
    pub(super) fn right(&self) -> f64 {
        self.left + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

/// A drawing as it grows: wires lie over frames and under cards.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    frames: Vec<String>,
    wires: String,
    cards: String,
    /// How far the drawing reaches.
    right: f64,
    bottom: f64,
}

/// A frame that is still to be drawn, behind those that come after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(usize);

impl Sheet {
    /// Keeps a place for a frame whose height is not known yet.
    pub(super) fn reserve(&mut self) -> Place {
        self.frames.push(String::new());
        Place(self.frames.len() - 1)
    }

    /// Draws a frame in its place.
    pub(super) fn frame(&mut self, place: Place, class: &str, area: Area) {
        self.reach(area.right(), area.bottom());
        if let Some(frame) = self.frames.get_mut(place.0) {
            *frame = rectangle(class, area, 8.0);
        }
    }

    /// Draws a card.
    pub(super) fn card(&mut self, class: &str, area: Area) {
        self.reach(area.right(), area.bottom());
        self.cards.push_str(&rectangle(class, area, 5.0));
    }

    /// Draws what lies behind a badge's text.
    pub(super) fn badge(&mut self, class: &str, area: Area) {
        self.cards.push_str(&rectangle(class, area, 3.0));
    }

    /// Writes text whose letters stand on `bottom`.
    pub(super) fn text(&mut self, (left, bottom): (f64, f64), size: f64, class: &str, text: &str) {
        self.reach(left + wide(text, size), bottom + size / 3.0);
        let text = html! { (text) }.into_string();
        let _ = write!(
            self.cards,
            "<text x=\"{left:.1}\" y=\"{bottom:.1}\" font-size=\"{size}\" class=\"{class}\">{text}</text>"
        );
    }

    /// Draws a wire through points.
    pub(super) fn wire(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut path = String::new();
        for (index, (x, y)) in points.iter().enumerate() {
            self.reach(*x, *y);
            let step = if index == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{step}{x:.1} {y:.1}");
        }
        let _ = write!(self.wires, "<path class=\"{class}\" d=\"{path}\"/>");
    }

    fn reach(&mut self, right: f64, bottom: f64) {
        self.right = self.right.max(right);
        self.bottom = self.bottom.max(bottom);
    }

    /// Returns the drawing as a file.
    pub(super) fn finish(self, title: &str) -> String {
        let (width, height) = (self.right + MARGIN, self.bottom + MARGIN);
        let title = html! { (title) }.into_string();
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"{FAMILY}\" role=\"img\"><title>{title}</title>\n\
             <style>{SHAPES}{}@media (prefers-color-scheme: dark){{{}}}</style>\n\
             <rect class=\"page\" width=\"100%\" height=\"100%\"/>\n{}\n{}\n{}\n</svg>\n",
            colours(light),
            colours(dark),
            self.frames.concat(),
            self.wires,
            self.cards
        )
    }
}

/// Returns how wide a text is in pixels.
pub(super) fn wide(text: &str, size: f64) -> f64 {
    to_f64(text.width() as u64) * LETTER * size
}

fn colours(colour: fn(&str) -> &'static str) -> String {
    let rules = COLOURS.iter();
    let rules =
        rules.map(|(class, property, name)| format!("{class}{{{property}:{}}}", colour(name)));
    rules.collect()
}

fn rectangle(class: &str, area: Area, corner: f64) -> String {
    format!(
        "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"{corner}\"/>",
        area.left, area.top, area.width, area.height
    )
}
