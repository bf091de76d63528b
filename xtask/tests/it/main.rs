//! Tests of the repository's structure.

mod house;
