//! The `tollgate` command: a scenario goes in, a verdict comes out.
//!
//! - [`cli`]: what can be typed; [`command`]: what each command does; [`exit`]: exit codes
//! - [`target`]: where a scenario runs, with one adapter for each kind of target
//! - [`agent`]: the client of a probe agent, over any byte stream
//! - [`campaign`]: the loop over rounds and slices; [`schedule`]: their order; [`placement`]: their CPUs
//! - [`gate`]: the two stages of a gate; [`calibration`]: where what is known of this machine's noise is kept
//! - [`progress`]: what a terminal shows meanwhile
//! - [`clock`]: the only place where time is read; [`output`]: the only place that prints

pub mod agent;
pub mod calibration;
pub mod campaign;
pub mod cli;
pub mod clock;
pub mod command;
pub mod exit;
pub mod gate;
pub mod output;
pub mod placement;
pub mod progress;
pub mod schedule;
pub mod target;
