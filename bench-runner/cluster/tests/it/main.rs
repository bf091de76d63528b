//! Tests of the crate as others use it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod api;
mod inspect;
mod manifests;
mod mesh;
