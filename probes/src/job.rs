//! One measurement: armed, run, aborted.

use tollgate_results::agent::Job;
use tollgate_results::outcome::JobReport;

use crate::error::ProbeError;

/// A job that stands ready: connected and warm, its threads blocked.
#[derive(Debug)]
pub struct ArmedJob {}

/// Ends a job from another thread, within 100 ms.
#[derive(Debug, Clone)]
pub struct Aborter {}

/// Connects and warms up.
pub fn arm(_job: &Job) -> Result<ArmedJob, ProbeError> {
    Err(ProbeError::invalid("arm a job", vec![]))
}

impl ArmedJob {
    /// Returns the OS thread ids of the sending threads, which live until the job is dropped.
    #[must_use]
    pub fn threads(&self) -> Vec<i32> {
        vec![]
    }

    /// Returns a handle that ends the job from another thread.
    #[must_use]
    pub fn aborter(&self) -> Aborter {
        Aborter {}
    }

    /// Runs the measured window; the threads stay blocked afterwards until the job is dropped.
    pub fn run(&mut self) -> JobReport {
        JobReport {
            outcome: tollgate_results::outcome::Outcome::default(),
            histograms: tollgate_results::outcome::Histograms::new(),
        }
    }
}

impl Aborter {
    /// Ends the job.
    pub fn abort(&self) {}
}
