//! Inline SVG, drawn by plotters into memory.
//!
//! Figures are drawn once, in colours that mean roles ([`Ink`]); [`draw`] turns them into variables of the
//! page's style sheet, so that one drawing serves light, dark and print. plotters counts in whole units:
//! a drawing has [`UNIT`] of them for each pixel of its nominal size, for smooth curves.

mod axis;
mod plot;

use std::fmt::Write as _;

use maud::Render;
use plotters::coord::Shift;
use plotters::element::{Circle, PathElement, Polygon};
use plotters::prelude::{
    Color, DrawingArea, IntoDrawingArea as _, IntoFont as _, RGBColor, Rectangle, SVGBackend,
    ShapeStyle, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub(super) use self::axis::{Axis, Tick};
pub(super) use self::plot::{Margins, Plot};
use super::palette::{Mark, Shape};
use crate::model::Verdict;

/// Units of a drawing for each pixel of its nominal size.
const UNIT: f64 = 4.0;

/// Height of text, in pixels of the nominal size.
const TEXT: f64 = 12.5;

/// What a colour means; the style sheet says which it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// Text and the line of the reference.
    Text,
    /// Labels of axes.
    Muted,
    /// Grid lines.
    Grid,
    /// The margin of equivalence.
    Band,
    /// A verdict's word.
    Verdict(Verdict),
    /// What lies behind a verdict's word.
    Wash(Verdict),
    /// An arm, by the number of [`Mark::colour`].
    Arm(usize),
}

/// The style sheet's variables of the roles that are no arm's.
const ROLES: [&str; 14] = [
    "--ink",
    "--muted",
    "--grid",
    "--band",
    "--worse",
    "--worse-bg",
    "--better",
    "--better-bg",
    "--equal",
    "--equal-bg",
    "--open",
    "--open-bg",
    "--bad",
    "--bad-bg",
];

impl Ink {
    /// The stand-in that plotters draws with.
    fn colour(self) -> RGBColor {
        let role = match self {
            Self::Text => 0,
            Self::Muted | Self::Arm(Mark::DISCARDED) => 1,
            Self::Grid => 2,
            Self::Band => 3,
            Self::Verdict(verdict) => Self::of_verdict(verdict),
            Self::Wash(verdict) => Self::of_verdict(verdict) + 1,
            Self::Arm(number) => 16 + u8::try_from(number % 64).unwrap_or(0),
        };
        RGBColor(SENTINEL.0, SENTINEL.1, role)
    }

    const fn of_verdict(verdict: Verdict) -> u8 {
        match verdict {
            Verdict::Slower => 4,
            Verdict::Faster => 6,
            Verdict::Equivalent => 8,
            Verdict::Inconclusive | Verdict::Insufficient => 10,
            Verdict::Invalid => 12,
        }
    }

    /// The style sheet's variable for a stand-in's last byte.
    fn variable(role: u8) -> String {
        match ROLES.get(usize::from(role)) {
            Some(name) => format!("var({name})"),
            None => format!("var(--a{})", role.saturating_sub(16)),
        }
    }
}

/// Red and green of every stand-in.
const SENTINEL: (u8, u8) = (0xFE, 0x01);

/// [`SENTINEL`] as plotters writes it.
const SENTINEL_TEXT: &str = "\"#FE01";

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Left,
    Middle,
    Right,
}

/// What is drawn on; positions are in pixels of the nominal size.
pub(super) struct Canvas<'a> {
    root: DrawingArea<SVGBackend<'a>, Shift>,
}

/// A finished drawing: in the page as it is, in a file by its parts.
pub(super) struct Drawing {
    /// Nominal width and height in pixels.
    pub width: u32,
    pub height: u32,
    /// What it shows, for who can't see it; empty for a mere ornament.
    label: String,
    /// Its elements, with colours as variables of the style sheet.
    pub body: String,
}

impl Drawing {
    /// The coordinates that its elements count in.
    pub(super) fn view_box(&self) -> String {
        let size = [self.width, self.height].map(|pixels| units(f64::from(pixels)));
        format!("0 0 {} {}", size[0], size[1])
    }
}

impl Render for Drawing {
    fn render_to(&self, page: &mut String) {
        let role = if self.label.is_empty() {
            "aria-hidden=\"true\"".to_owned()
        } else {
            let label = maud::html! { (self.label) }.into_string();
            format!(
                "role=\"img\" aria-label=\"{}\"",
                label.replace('"', "&quot;")
            )
        };
        let view_box = self.view_box();
        let _ = write!(
            page,
            "<svg viewBox=\"{view_box}\" {role}>{}</svg>",
            self.body
        );
    }
}

/// Draws a figure of a nominal size in pixels; `label` says to readers that can't see it what it shows.
pub(super) fn draw(
    width: u32,
    height: u32,
    label: &str,
    paint: impl FnOnce(&Canvas<'_>),
) -> Drawing {
    let mut svg = String::new();
    {
        let size = (units(f64::from(width)), units(f64::from(height)));
        let backend =
            SVGBackend::with_string(&mut svg, (size.0.unsigned_abs(), size.1.unsigned_abs()));
        let canvas = Canvas {
            root: backend.into_drawing_area(),
        };
        paint(&canvas);
        canvas
            .root
            .present()
            .expect("drawing into memory cannot fail");
    }
    Drawing {
        width,
        height,
        label: label.to_owned(),
        body: finished(&svg),
    }
}

/// Draws one marker alone, for legends.
pub(super) fn swatch(mark: Mark) -> Drawing {
    draw(12, 12, "", |canvas| canvas.marker((6.0, 6.0), mark))
}

impl Canvas<'_> {
    /// Draws a line through points.
    pub(super) fn line(&self, points: &[(f64, f64)], ink: Ink, width: f64) {
        let points: Vec<_> = points.iter().map(|&point| place(point)).collect();
        self.put(&PathElement::new(points, stroke(ink, width)));
    }

    /// Fills a rectangle.
    pub(super) fn fill(&self, from: (f64, f64), to: (f64, f64), ink: Ink) {
        self.put(&Rectangle::new(
            [place(from), place(to)],
            ink.colour().filled(),
        ));
    }

    /// Fills an outline so that what lies behind shows through.
    pub(super) fn wash(&self, outline: &[(f64, f64)], ink: Ink) {
        let points: Vec<_> = outline.iter().map(|&point| place(point)).collect();
        self.put(&Polygon::new(points, ink.colour().mix(0.22).filled()));
    }

    /// Writes text, centred in height on its point.
    pub(super) fn text(&self, at: (f64, f64), text: &str, anchor: Anchor, ink: Ink) {
        let side = match anchor {
            Anchor::Left => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::Right => HPos::Right,
        };
        let style = ("sans-serif", units(TEXT))
            .into_font()
            .color(&ink.colour())
            .pos(Pos::new(side, VPos::Center));
        self.put(&Text::new(text.to_owned(), place(at), style));
    }

    /// Draws an arm's marker.
    pub(super) fn marker(&self, at: (f64, f64), mark: Mark) {
        let ink = Ink::Arm(mark.colour);
        let filled = ink.colour().filled();
        let corners = |corners: &[(f64, f64)]| {
            let corners = corners
                .iter()
                .map(|&corner| beside(at, corner))
                .collect::<Vec<_>>();
            self.put(&Polygon::new(corners, filled));
        };
        match mark.shape {
            Shape::Circle => self.put(&Circle::new(place(at), units(3.6), filled)),
            Shape::Square => corners(&[(-3.3, -3.3), (3.3, -3.3), (3.3, 3.3), (-3.3, 3.3)]),
            Shape::Triangle => corners(&[(-4.2, 3.4), (4.2, 3.4), (0.0, -4.2)]),
            Shape::Down => corners(&[(-4.2, -3.4), (4.2, -3.4), (0.0, 4.2)]),
            Shape::Diamond => corners(&[(0.0, -4.8), (4.8, 0.0), (0.0, 4.8), (-4.8, 0.0)]),
            Shape::Cross => self.strokes(
                at,
                ink,
                [(-3.2, -3.2), (3.2, 3.2), (-3.2, 3.2), (3.2, -3.2)],
            ),
            Shape::Plus => {
                self.strokes(at, ink, [(-4.2, 0.0), (4.2, 0.0), (0.0, -4.2), (0.0, 4.2)]);
            }
        }
    }

    /// Draws two short strokes around a point.
    fn strokes(&self, at: (f64, f64), ink: Ink, ends: [(f64, f64); 4]) {
        for pair in ends.chunks(2) {
            let points: Vec<_> = pair.iter().map(|&end| beside(at, end)).collect();
            self.put(&PathElement::new(points, stroke(ink, 2.2)));
        }
    }

    fn put<'e, E>(&self, element: &'e E)
    where
        &'e E: plotters::element::PointCollection<'e, (i32, i32)>,
        E: for<'b> plotters::element::Drawable<SVGBackend<'b>>,
    {
        self.root
            .draw(element)
            .expect("drawing into memory cannot fail");
    }
}

fn stroke(ink: Ink, width: f64) -> ShapeStyle {
    ink.colour().stroke_width(units(width).unsigned_abs())
}

/// Pixels of the nominal size in units of the drawing.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a drawing is a few thousand units wide"
)]
fn units(pixels: f64) -> i32 {
    (pixels * UNIT).round() as i32
}

fn place((x, y): (f64, f64)) -> (i32, i32) {
    (units(x), units(y))
}

/// A point so many pixels from another.
fn beside(at: (f64, f64), by: (f64, f64)) -> (i32, i32) {
    place((at.0 + by.0, at.1 + by.1))
}

/// Makes plotters' text fit for the page: its elements alone, colours from the style sheet.
fn finished(svg: &str) -> String {
    let body = svg.find('>').map_or("", |end| &svg[end + 1..]);
    let body = body.trim_end().trim_end_matches("</svg>");
    let mut text = String::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.find(SENTINEL_TEXT) {
        let digits = at + SENTINEL_TEXT.len();
        text.push_str(&rest[..=at]);
        let number = rest
            .get(digits..digits + 2)
            .and_then(|d| u8::from_str_radix(d, 16).ok());
        text.push_str(&Ink::variable(number.unwrap_or(0)));
        rest = rest.get(digits + 2..).unwrap_or("");
    }
    text.push_str(rest);
    // What every element repeats is said once, by the style sheet.
    text.replace(" opacity=\"1\"", "")
        .replace(" font-family=\"sans-serif\"", "")
        .replace(" stroke-width=\"1\"", "")
        .replace('\n', "")
}
