//! Renderers: an analysis in, bytes out; [`gate`] has those of a gate's report.
//!
//! All are pure: they read no clock, file or environment, and write equal bytes for equal analyses. They
//! format what the analysis says and decide nothing.

mod anatomy;
mod claims;
mod csv;
mod differences;
mod figures;
pub mod gate;
mod glossary;
pub mod history;
mod html;
mod imported;
mod json;
pub mod lab;
mod layout;
mod legend;
mod markdown;
mod matrix;
mod mesh;
mod number;
mod palette;
mod paths;
mod pictures;
mod remarks;
mod svg;
mod table;
mod terminal;
mod unpaired;
mod words;

pub use anatomy::anatomy_text;
pub use csv::{CellsCsv, RoundsCsv};
pub use html::{Html, anatomy_page, mesh_page};
pub use imported::imported;
pub use json::Json;
pub use markdown::Markdown;
pub use mesh::mesh_text;
pub(crate) use number::date;
pub use pictures::{Picture, PictureError, PictureErrorKind, pictures};
pub use terminal::Terminal;
pub use unpaired::comparison;
pub(crate) use words::target;
