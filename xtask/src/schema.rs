//! The JSON Schemas of all that Tollgate reads and writes, generated from the types.

use std::fs;
use std::io;
use std::path::Path;

use schemars::{Schema, schema_for};
use serde_json::Value;
use tollgate_reports::anatomy::Anatomy;
use tollgate_reports::calibration::Calibration;
use tollgate_reports::gate::{GateReport, Policy};
use tollgate_reports::history::History;
use tollgate_reports::import::ImportedComparison;
use tollgate_reports::mesh::MeshReport;
use tollgate_reports::model::Analysis;
use tollgate_reports::unpaired::Comparison;
use tollgate_results::anatomy::AnatomyRecord;
use tollgate_results::cluster::ClusterFacts;
use tollgate_results::mesh::{Meeting, MeshRecord};
use tollgate_results::run::RunRecord;
use tollgate_store::SliceLine;

/// Returns each schema with its place in the repository.
fn all() -> Vec<(&'static str, Schema)> {
    vec![
        (
            "scenarios/scenario.schema.json",
            tollgate_scenarios::schema(),
        ),
        ("results/schema/run.schema.json", schema_for!(RunRecord)),
        ("results/schema/slice.schema.json", schema_for!(SliceLine)),
        ("results/schema/report.schema.json", schema_for!(Analysis)),
        (
            "results/schema/cluster.schema.json",
            schema_for!(ClusterFacts),
        ),
        ("results/schema/history.schema.json", schema_for!(History)),
        ("results/schema/policy.schema.json", schema_for!(Policy)),
        ("results/schema/gate.schema.json", schema_for!(GateReport)),
        (
            "results/schema/comparison.schema.json",
            schema_for!(Comparison),
        ),
        (
            "results/schema/imported.schema.json",
            schema_for!(ImportedComparison),
        ),
        (
            "results/schema/calibration.schema.json",
            schema_for!(Calibration),
        ),
        (
            "results/schema/anatomy.schema.json",
            schema_for!(AnatomyRecord),
        ),
        (
            "results/schema/anatomy-report.schema.json",
            schema_for!(Anatomy),
        ),
        ("results/schema/mesh.schema.json", schema_for!(MeshRecord)),
        ("results/schema/meeting.schema.json", schema_for!(Meeting)),
        (
            "results/schema/mesh-report.schema.json",
            schema_for!(MeshReport),
        ),
    ]
}

/// Writes all schemas.
pub(crate) fn write(root: &Path) -> io::Result<()> {
    for (file, schema) in all() {
        let path = root.join(file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, format!("{:#}\n", schema.to_value()))?;
    }
    Ok(())
}

/// Says which schemas are not those of the types. Compares values: the order of keys may differ by how
/// `serde_json` was built.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let stale: Vec<_> = all()
        .into_iter()
        .filter(|(file, schema)| {
            let text = fs::read_to_string(root.join(file)).unwrap_or_default();
            let found: Option<Value> = serde_json::from_str(&text).ok();
            found.as_ref() != Some(schema.as_value())
        })
        .map(|(file, _)| format!("{file}: not what the types say; run `cargo xtask schema`"))
        .collect();
    if stale.is_empty() {
        Ok(())
    } else {
        Err(stale.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_up_to_date_until_it_is_changed() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(check(root.path()).unwrap_err().lines().count(), all().len());
        write(root.path()).unwrap();
        assert_eq!(check(root.path()), Ok(()));
        let path = root.path().join("results/schema/run.schema.json");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("seed", "sneed")).unwrap();
        let told = check(root.path()).unwrap_err();
        assert!(
            told.starts_with("results/schema/run.schema.json: "),
            "{told}"
        );
        assert_eq!(told.lines().count(), 1);
    }

    #[test]
    fn the_committed_schemas_are_up_to_date() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert_eq!(check(&root), Ok(()));
    }
}
