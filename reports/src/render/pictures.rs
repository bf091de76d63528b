//! Every picture of a report as a file of its own: SVG, and PNG from it.
//!
//! A file has to speak for itself in a slide or a ticket, so it carries the legend, the caption and where it comes from.
//! It is drawn in the light colours of the page's style sheet. PNG is rendered with two fonts that are in the binary, so
//! it looks alike on every machine (`reports/fonts` says which).

use std::fmt::Write as _;

use maud::html;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg;

use super::figures::{self, Figure};
use super::html::STYLE;
use super::legend::Legend;
use super::{number, svg};
use crate::model::Analysis;

/// The fonts of PNG files.
const FONTS: [&[u8]; 2] = [
    include_bytes!("../../fonts/DejaVuSans.ttf"),
    include_bytes!("../../fonts/DejaVuSans-Bold.ttf"),
];

/// What SVG files ask for: the fonts of the PNG files, or one as wide.
const FAMILY: &str = "DejaVu Sans, Verdana, Arial, sans-serif";

/// Room around everything, in pixels.
const PAD: f64 = 16.0;

/// Height of caption text and of its lines, in pixels.
const TEXT: f64 = 11.0;
const LINE: f64 = 15.5;

/// Width of a letter of [`FAMILY`] for its height, on average, and of a bold one.
const LETTER: f64 = 0.58;
const BOLD: f64 = 0.68;

/// Pixels of a PNG for each of the SVG: sharp on a screen and in print.
const SCALE: f32 = 3.0;

/// A PNG has at most so many pixels, four bytes each while it is rendered.
const MOST_PIXELS: f32 = 16e6;

/// One picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// What a file of it is called, without the ending: letters, digits, `-`, `.` and `@`.
    pub name: String,
    /// The picture as SVG, whole without any other file.
    pub svg: String,
}

/// A picture that could not be turned into PNG.
#[derive(Debug, thiserror::Error)]
#[error("failed to render picture `{name}` as PNG")]
pub struct PictureError {
    name: String,
    #[source]
    kind: PictureErrorKind,
}

/// Why a picture could not be turned into PNG.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureErrorKind {
    /// The SVG is not one.
    #[error(transparent)]
    Parse(#[from] usvg::Error),
    /// It has no size, or one beyond all bounds.
    #[error("it has no size that can be drawn")]
    Size,
    /// The pixels could not be written.
    #[error("failed to encode: {0}")]
    Encode(String),
}

/// Draws every picture of a report: pure, and the same bytes for the same analysis.
#[must_use]
pub fn pictures(analysis: &Analysis) -> Vec<Picture> {
    let legend = Legend::of(analysis);
    let mut all: Vec<Figure> = figures::grid(analysis, &legend).into_iter().collect();
    let claims = analysis.claims.iter();
    all.extend(claims.filter_map(|claim| figures::claim(&legend, claim)));
    for workload in &analysis.workloads {
        all.extend(figures::forest(analysis, &legend, workload));
        all.extend(figures::curves(analysis, &legend, workload));
        all.extend(figures::spectra(analysis, &legend, workload));
        all.extend(figures::rounds(analysis, &legend, workload));
        all.extend(figures::timeline(analysis, &legend, workload));
    }
    let panels = figures::panels(analysis, &legend);
    all.extend(panels.into_iter().map(|panel| panel.figure));
    all.extend(figures::programming(analysis, &legend));
    let from = source(analysis);
    all.iter()
        .map(|figure| Picture {
            name: figure.name.clone(),
            svg: standalone(figure, &from),
        })
        .collect()
}

impl Picture {
    /// Returns the picture as PNG, three pixels for each of the SVG.
    ///
    /// # Errors
    ///
    /// When the SVG was changed into one that can't be drawn.
    pub fn png(&self) -> Result<Vec<u8>, PictureError> {
        png(&self.svg).map_err(|kind| PictureError {
            name: self.name.clone(),
            kind,
        })
    }
}

fn png(svg: &str) -> Result<Vec<u8>, PictureErrorKind> {
    let mut options = usvg::Options {
        font_family: "DejaVu Sans".to_owned(),
        ..usvg::Options::default()
    };
    for font in FONTS {
        options.fontdb_mut().load_font_data(font.to_vec());
    }
    let tree = usvg::Tree::from_str(svg, &options)?;
    let size = tree.size();
    let scale = SCALE.min((MOST_PIXELS / (size.width() * size.height())).sqrt());
    let pixels = size.scale_by(scale).map(|size| size.to_int_size());
    let pixels = pixels.ok_or(PictureErrorKind::Size)?;
    let mut pixmap = Pixmap::new(pixels.width(), pixels.height()).ok_or(PictureErrorKind::Size)?;
    resvg::render(
        &tree,
        Transform::from_scale(scale, scale),
        &mut pixmap.as_mut(),
    );
    pixmap
        .encode_png()
        .map_err(|error| PictureErrorKind::Encode(error.to_string()))
}

/// Where a picture comes from.
fn source(analysis: &Analysis) -> String {
    let subject = &analysis.subject;
    format!(
        "Tollgate {}, scenario {}, {}, machine {}",
        subject.tool_version,
        subject.scenario,
        number::date(subject.started_unix_ms),
        subject.fingerprint
    )
}

/// A drawing with title, legend, caption and source.
fn standalone(figure: &Figure, from: &str) -> String {
    let drawing = &figure.svg;
    let (wide, tall) = (f64::from(drawing.width), f64::from(drawing.height));
    let width = wide.max(380.0) + 2.0 * PAD;
    let room = width - 2.0 * PAD;
    let mut body = String::new();
    let mut y = PAD;
    let caption = plain(&figure.caption.0);
    let (title, rest) = caption
        .split_once(": ")
        .unwrap_or((figure.name.as_str(), caption.as_str()));
    for line in wrapped(title, room / (14.0 * BOLD)) {
        y += 17.0;
        let line = html! { (line) }.into_string();
        let _ = write!(
            body,
            "<text x=\"{PAD}\" y=\"{y}\" font-size=\"14\" font-weight=\"bold\">{line}</text>"
        );
    }
    y += 10.0;
    let _ = write!(
        body,
        "<svg class=\"d\" x=\"{PAD}\" y=\"{y}\" width=\"{wide}\" height=\"{tall}\" viewBox=\"{}\">{}</svg>",
        drawing.view_box(),
        drawing.body
    );
    y += tall + 6.0;
    y = key(&mut body, figure, y, width);
    let lines = wrapped(rest, room / (TEXT * LETTER));
    let from = wrapped(from, room / (TEXT * LETTER));
    for (line, colour) in lines
        .iter()
        .map(|line| (line, "--ink"))
        .chain(from.iter().map(|line| (line, "--muted")))
    {
        y += LINE;
        let line = html! { (line) }.into_string();
        let _ = write!(
            body,
            "<text x=\"{PAD}\" y=\"{y:.1}\" font-size=\"{TEXT}\" fill=\"var({colour})\">{line}</text>"
        );
    }
    let height = y + PAD;
    let text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"{FAMILY}\" fill=\"var(--ink)\" role=\"img\"><title>{}</title>\
         <style>.d text{{font-size:50px}}.d polyline{{fill:none;stroke-linejoin:round;stroke-linecap:round}}</style>\
         <rect width=\"100%\" height=\"100%\" fill=\"var(--surface)\"/>{body}</svg>\n",
        html! { (caption) }.into_string()
    );
    coloured(&text)
}

/// Draws names with their marks below a drawing and returns where it ended.
fn key(body: &mut String, figure: &Figure, mut y: f64, width: f64) -> f64 {
    let mut x = PAD;
    for (index, (name, mark)) in figure.key.iter().enumerate() {
        let letters = f64::from(u32::try_from(name.as_str().len()).unwrap_or(64));
        let wide = 30.0 + letters * TEXT * LETTER;
        if index == 0 || x + wide > width - PAD {
            x = PAD;
            y += 18.0;
        }
        let swatch = svg::swatch(*mark);
        let _ = write!(
            body,
            "<svg class=\"d\" x=\"{x}\" y=\"{}\" width=\"14\" height=\"14\" viewBox=\"{}\">{}</svg>\
             <text x=\"{}\" y=\"{y}\" font-size=\"{TEXT}\">{}</text>",
            y - 11.0,
            swatch.view_box(),
            swatch.body,
            x + 17.0,
            html! { (name) }.into_string()
        );
        x += wide;
    }
    y + 4.0
}

/// Breaks text into lines of so many letters, at spaces.
fn wrapped(text: &str, letters: f64) -> Vec<String> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few hundred letters"
    )]
    super::layout::wrap(text, letters as usize)
}

/// The text of markup: tags taken out, entities read.
fn plain(markup: &str) -> String {
    let mut text = String::new();
    let mut rest = markup;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        rest = tag.split_once('>').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

/// Puts the style sheet's light colours in place of its variables.
fn coloured(text: &str) -> String {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, variable)) = rest.split_once("var(") {
        let (name, after) = variable.split_once(')').unwrap_or((variable, ""));
        done.push_str(before);
        done.push_str(light(name));
        rest = after;
    }
    done.push_str(rest);
    done
}

/// The light colour of a variable: the style sheet sets it first.
pub(super) fn light(name: &str) -> &'static str {
    colour(STYLE, name)
}

/// The dark colour of a variable.
pub(super) fn dark(name: &str) -> &'static str {
    let dark = STYLE.split_once("prefers-color-scheme: dark");
    colour(dark.map_or("", |(_, dark)| dark), name)
}

/// The first colour that a style sheet gives a variable.
fn colour(style: &'static str, name: &str) -> &'static str {
    let colour = style
        .split_once(&format!("{name}: "))
        .and_then(|(_, rest)| rest.split_once(';').map(|(colour, _)| colour));
    colour.unwrap_or("#000000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_the_text_that_people_read() {
        assert_eq!(plain("<b>a &amp; b</b>: 1 &lt; 2"), "a & b: 1 < 2");
    }

    #[test]
    fn variables_become_colours() {
        assert_eq!(coloured("fill=\"var(--surface)\""), "fill=\"#ffffff\"");
        assert_eq!(light("--a1"), "#c44e00");
        assert_eq!(dark("--a1"), "#ff9550");
        assert_ne!(light("--page"), dark("--page"));
    }
}
