//! Calibrations of this machine, kept in the user's state directory: one for each fingerprint and scenario.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tollgate_reports::calibration::{CALIBRATION_SCHEMA, Calibration};
use tollgate_results::plan::Plan;

/// Returns the calibration that fits a plan on this machine, as far as there is one.
///
/// # Errors
///
/// When there is one that cannot be read.
pub fn load(fingerprint: &str, plan: &Plan) -> anyhow::Result<Option<Calibration>> {
    let found = of_scenario(fingerprint, plan.scenario.as_str())?;
    Ok(found.map(|found| found.fitting(plan)))
}

/// Returns the calibration of a scenario on a machine, whatever of it fits a plan.
///
/// # Errors
///
/// When there is one that cannot be read.
pub fn of_scenario(fingerprint: &str, scenario: &str) -> anyhow::Result<Option<Calibration>> {
    match path(fingerprint, scenario) {
        Some(path) => read(&path, "run `tollgate calibrate` again"),
        None => Ok(None),
    }
}

/// Reads a calibration; `None` where there is none, or one of another version.
///
/// # Errors
///
/// When there is one that cannot be read: the error says how to mend that.
pub fn read(path: &Path, mend: &str) -> anyhow::Result<Option<Calibration>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| shown("failed to read", path)),
    };
    let damaged = || format!("`{}` was edited or damaged; {mend}", path.display());
    let value: serde_json::Value = serde_json::from_slice(&bytes).with_context(damaged)?;
    // One of another version is as good as none.
    if value.get("schema").and_then(serde_json::Value::as_u64)
        != Some(u64::from(CALIBRATION_SCHEMA))
    {
        return Ok(None);
    }
    serde_json::from_value(value).with_context(damaged)
}

/// Keeps a calibration for later gates and plans; returns where.
///
/// # Errors
///
/// When there is no state directory, or it cannot be written.
pub fn save(calibration: &Calibration) -> anyhow::Result<PathBuf> {
    let path = path(&calibration.fingerprint, calibration.scenario.as_str())
        .context("no state directory for the calibration; set XDG_STATE_HOME or HOME")?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("failed to make the folder `{}`", folder.display()))?;
    }
    let mut json = serde_json::to_vec_pretty(calibration)?;
    json.push(b'\n');
    tollgate_store::write_whole(&path, &json)?;
    Ok(path)
}

/// `$XDG_STATE_HOME/tollgate/calibration/FINGERPRINT/SCENARIO.json`, by default below `~/.local/state`.
fn path(fingerprint: &str, scenario: &str) -> Option<PathBuf> {
    let set =
        |name: &str| -> Option<OsString> { env::var_os(name).filter(|value| !value.is_empty()) };
    // A history holds fingerprints that others wrote: none of them is to lead elsewhere.
    if !fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let state = set("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/state")))?;
    let folder = state.join("tollgate/calibration").join(fingerprint);
    Some(folder.join(format!("{scenario}.json")))
}

fn shown(what: &str, path: &Path) -> String {
    format!("{what} `{}`", path.display())
}
