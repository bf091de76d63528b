//! The `tollgate` command as a user meets it.

mod campaign;
mod cli;
mod support;
