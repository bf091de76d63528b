//! The folder of a gate: every run of it, and the report of the last.
//!
//! ```text
//! gate.json          the report of the last run, in every form (gate.html, gate.md, junit.xml, annotations.txt)
//! run-1/request.json what was asked for
//! run-1/gate.json    what that run said
//! run-1/stage-1      a campaign folder
//! run-1/stage-2      another, where cells were left open
//! ```
//!
//! A gate that runs again in the same folder adds a run: how often it was tried is part of its report.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use tollgate_reports::calibration::Calibration;
use tollgate_reports::gate::{EarlierRun, GateReport, Policy};
use tollgate_results::RECORD_SCHEMA;
use tollgate_results::plan::Plan;

/// Name of the file that says what was asked for.
const REQUEST: &str = "request.json";

/// Name of the report as JSON.
const REPORT: &str = "gate.json";

/// Most runs in a folder: nobody reads the report of more.
const MOST_RUNS: u32 = 1_000;

/// What a run of a gate was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Request {
    /// [`RECORD_SCHEMA`] of the writer.
    pub(super) schema: u32,
    /// Wall clock at the start, for stamping only.
    pub(super) started_unix_ms: u64,
    /// What is demanded.
    pub(super) policy: Policy,
    /// The plan of the first stage.
    pub(super) plan: Plan,
    /// The stored campaign that everything is compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) against: Option<PathBuf>,
    /// The policy's file, as it was named: where annotations stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) policy_file: Option<String>,
    /// What was known of the machine's noise when the run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) calibration: Option<Calibration>,
}

impl Request {
    pub(super) const fn new(policy: Policy, plan: Plan, started_unix_ms: u64) -> Self {
        Self {
            schema: RECORD_SCHEMA,
            started_unix_ms,
            policy,
            plan,
            against: None,
            policy_file: None,
            calibration: None,
        }
    }
}

/// The folder, and one run in it.
#[derive(Debug)]
pub(super) struct GateDir {
    path: PathBuf,
    run: u32,
    /// Whether no run in the folder is newer.
    newest: bool,
    request: Request,
}

/// Whether a folder is a gate's.
pub(in crate::command) fn is_gate(path: &Path) -> bool {
    last_run(path) > 0
}

impl GateDir {
    /// Begins a run: the first of a new folder, or one more in a folder of gates.
    ///
    /// # Errors
    ///
    /// When the folder holds anything else, or cannot be written.
    pub(super) fn begin(path: &Path, request: Request) -> anyhow::Result<Self> {
        let shown = path.display();
        let last = last_run(path);
        ensure!(
            last > 0 || is_free(path),
            "`{shown}` is not empty and no gate's folder; name a new one"
        );
        if last > 0 {
            let earlier = read_request(&run_path(path, last))?;
            ensure!(
                earlier.plan.scenario == request.plan.scenario,
                "`{shown}` is the folder of a gate on `{}`, this is one on `{}`; name another",
                earlier.plan.scenario,
                request.plan.scenario
            );
        }
        let run = last + 1;
        ensure!(
            run <= MOST_RUNS,
            "`{shown}` has {MOST_RUNS} runs already; name a new folder"
        );
        let own = run_path(path, run);
        fs::create_dir_all(path).with_context(|| format!("failed to make the folder `{shown}`"))?;
        fs::create_dir(&own)
            .with_context(|| format!("failed to make the folder `{}`", own.display()))?;
        let mut json = serde_json::to_vec_pretty(&request)?;
        json.push(b'\n');
        tollgate_store::write_whole(&own.join(REQUEST), &json)?;
        Ok(Self {
            path: path.to_owned(),
            run,
            newest: true,
            request,
        })
    }

    /// Opens the last run of a gate to go on with it.
    ///
    /// # Errors
    ///
    /// When it is no gate's folder, or is damaged.
    pub(super) fn resume(path: &Path) -> anyhow::Result<Self> {
        let last = Self::runs(path)?.pop();
        last.with_context(|| {
            format!(
                "`{}` is no gate's folder: it has no run-1; name the folder that `tollgate gate` wrote to",
                path.display()
            )
        })
    }

    /// Opens every run in a folder, in order.
    ///
    /// # Errors
    ///
    /// When one of them is damaged.
    pub(super) fn runs(path: &Path) -> anyhow::Result<Vec<Self>> {
        let last = last_run(path);
        let open = |run| {
            Ok(Self {
                path: path.to_owned(),
                run,
                newest: run == last,
                request: read_request(&run_path(path, run))?,
            })
        };
        (1..=last).map(open).collect()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn request(&self) -> &Request {
        &self.request
    }

    /// Returns the campaign folder of a stage.
    pub(super) fn stage(&self, number: u32) -> PathBuf {
        run_path(&self.path, self.run).join(format!("stage-{number}"))
    }

    /// Says where what was measured is, for an error that ends a gate.
    pub(super) fn kept(&self) -> String {
        format!("gate in `{}`", self.path.display())
    }

    /// Removes this run where nothing was measured in it, and the folder where nothing else is in it: it was no try.
    pub(super) fn forget_empty(&self) {
        if !self.stage(1).exists() {
            let run = run_path(&self.path, self.run);
            // What can't be removed stays, and is counted.
            let _ = fs::remove_file(run.join(REQUEST));
            let _ = fs::remove_dir(run);
            let _ = fs::remove_dir(&self.path);
        }
    }

    /// Returns what the runs before this one said.
    ///
    /// # Errors
    ///
    /// When one of them is damaged.
    pub(super) fn earlier(&self) -> anyhow::Result<Vec<EarlierRun>> {
        (1..self.run)
            .map(|run| {
                let path = run_path(&self.path, run);
                let started_unix_ms = read_request(&path)?.started_unix_ms;
                let path = path.join(REPORT);
                let Ok(bytes) = fs::read(&path) else {
                    return Ok(EarlierRun {
                        started_unix_ms,
                        exit: None,
                        words: "It was never finished.".to_owned(),
                    });
                };
                let report: GateReport = serde_json::from_slice(&bytes).with_context(|| {
                    format!(
                        "`{}` was edited or damaged; restore it from a copy",
                        path.display()
                    )
                })?;
                Ok(EarlierRun {
                    started_unix_ms,
                    exit: Some(report.exit),
                    words: report.words,
                })
            })
            .collect()
    }

    /// Writes a report of this run, which is also the folder's where no run is newer.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        tollgate_store::write_whole(&run_path(&self.path, self.run).join(name), bytes)?;
        if self.newest {
            tollgate_store::write_whole(&self.path.join(name), bytes)?;
        }
        Ok(())
    }
}

fn run_path(path: &Path, run: u32) -> PathBuf {
    path.join(format!("run-{run}"))
}

/// Returns the number of the last run in a folder; 0 where there is none.
fn last_run(path: &Path) -> u32 {
    let runs = (1..=MOST_RUNS).take_while(|run| run_path(path, *run).join(REQUEST).exists());
    u32::try_from(runs.count()).unwrap_or(MOST_RUNS)
}

fn is_free(path: &Path) -> bool {
    fs::read_dir(path).map_or(!path.exists(), |mut entries| entries.next().is_none())
}

fn read_request(run: &Path) -> anyhow::Result<Request> {
    let path = run.join(REQUEST);
    let bytes = fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let damaged = || {
        format!(
            "`{}` was edited or damaged; restore it from a copy",
            path.display()
        )
    };
    let value: serde_json::Value = serde_json::from_slice(&bytes).with_context(damaged)?;
    let schema = value.get("schema").and_then(serde_json::Value::as_u64);
    ensure!(
        schema == Some(u64::from(RECORD_SCHEMA)),
        "`{}` is of record format {}, and this version of Tollgate reads {RECORD_SCHEMA}; use the version that wrote it",
        path.display(),
        schema.map_or_else(|| "unknown".to_owned(), |schema| schema.to_string())
    );
    serde_json::from_value(value).with_context(damaged)
}
