//! Tests of analysis and of pairs, from records to verdicts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod analysis;
mod goldens;
mod pairs;
mod properties;
mod scaling;
mod validity;
