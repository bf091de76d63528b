//! Tests of analysis, of pairs and of renderers, from records to verdicts and reports.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod analysis;
mod claims;
mod description;
mod evidence;
mod files;
mod floors;
mod flows;
mod gate;
mod gate_render;
mod history;
mod html;
mod import;
mod lab;
mod mesh;
mod open;
mod outside;
mod pairs;
mod properties;
mod render;
mod scaling;
mod unpaired;
mod validity;
