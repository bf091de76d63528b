//! Renderers: an analysis in, bytes out.
