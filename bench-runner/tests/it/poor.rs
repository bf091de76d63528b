//! Records that have too little in them, or are damaged: a clear sentence or `insufficient`, never a number that isn't
//! one. Without a lab: campaigns and gates are synthetic, written as a run writes them.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, tempdir};
use tollgate_reports::gate::GateReport;
use tollgate_reports::model::{Analysis, Metric, Verdict};
use tollgate_reports::synthetic::{Synthetic, measured_mut};
use tollgate_results::histogram::Histogram;
use tollgate_results::run::Campaign;

use crate::compare::{campaign, write};
use crate::support::{run, stderr, stdout};

/// Makes the replies of some arms all lost: nothing came back, so nothing was timed.
fn lose_all(campaign: &mut Campaign, arms: &[&str]) {
    for slice in &mut campaign.slices {
        if arms.contains(&slice.record.key.arm.as_str()) {
            slice.histograms.values_mut().for_each(Histogram::clear);
            let outcome = &mut measured_mut(slice).unwrap().outcome;
            outcome.lost = outcome.sent;
            (outcome.replied, outcome.bytes_received) = (0, 0);
        }
    }
}

/// Rebuilds a campaign's reports; returns the exit code, the analysis, and all that people read.
fn report(folder: &Path) -> (i32, Analysis, String) {
    let output = run(&["report", folder.to_str().unwrap()]);
    let json = fs::read(folder.join("report.json"));
    let json = json.unwrap_or_else(|_| panic!("no report: {}", stderr(&output)));
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    // The CSV files say `inf` of a percentile among the lost, as their documentation says.
    let text = stdout(&output) + &read("report.md") + &read("report.html");
    let analysis = serde_json::from_slice(&json).unwrap();
    (output.status.code().unwrap(), analysis, text)
}

/// Checks that nothing in a text is what floating point makes of no number.
fn has_no_non_number(text: &str) {
    let words = text.split(|c: char| !c.is_alphanumeric());
    for word in words {
        assert!(
            !["nan", "inf", "infinity"].contains(&word.to_lowercase().as_str()),
            "`{word}` in the report"
        );
    }
}

#[test]
fn replies_that_are_all_lost_are_no_latency() {
    for lost in [&["vxlan"][..], &["native"], &["native", "vxlan"]] {
        let dir = tempdir().unwrap();
        let mut campaign = campaign(1, 1.2, 10);
        lose_all(&mut campaign, lost);
        let folder = write(dir.path(), "lost", &campaign);
        let (code, analysis, text) = report(&folder);
        assert!(matches!(code, 0 | 4), "{code}");
        has_no_non_number(&text);
        for cell in &analysis.cells {
            let judged = matches!(cell.verdict, Verdict::Slower | Verdict::Faster);
            if cell.metric.quantile().is_some() && judged {
                // Who answers is faster than who doesn't, by no figure.
                assert!(
                    cell.words.ends_with("is among its lost replies"),
                    "{lost:?}: {}",
                    cell.words
                );
            }
            if cell.metric != Metric::Loss && lost.len() == 2 {
                assert_eq!(cell.verdict, Verdict::Insufficient, "{}", cell.words);
            }
        }
    }
}

#[test]
fn one_arm_is_shown_and_compared_with_nothing() {
    let dir = tempdir().unwrap();
    let mut synthetic = Synthetic::overlay();
    synthetic.arms.truncate(1);
    let folder = write(dir.path(), "alone", &synthetic.referenced().campaign());
    let (code, analysis, text) = report(&folder);
    assert_eq!((code, analysis.cells.len()), (0, 0));
    assert!(!analysis.levels.is_empty());
    assert!(text.contains("nothing is compared"), "not said");
    has_no_non_number(&text);
    let twice = run(&[
        "compare",
        folder.to_str().unwrap(),
        folder.to_str().unwrap(),
    ]);
    assert_eq!(twice.status.code(), Some(2));
    let calibrated = run(&["calibrate", "--from", folder.to_str().unwrap()]);
    assert_eq!(calibrated.status.code(), Some(2));
    let told = stderr(&calibrated);
    assert!(
        told.contains("no arm is its reference deployed a second time"),
        "{told}"
    );
}

/// A stage to which no round is to be added: it has as many beyond the planned ones as are ever added.
fn stage(seed: u64) -> Campaign {
    let mut campaign = campaign(seed, 1.4, 15);
    campaign.run.plan.rounds.count = 10;
    campaign
}

/// A gate's folder with a first stage, as `tollgate gate` leaves it.
fn gate_folder() -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let gate = dir.path().join("g");
    let run = gate.join("run-1");
    fs::create_dir_all(&run).unwrap();
    let first = stage(1);
    let demanded = serde_json::json!({ "rounds": 10, "installs": 1 });
    let request = serde_json::json!({
        "schema": 1,
        "started_unix_ms": first.run.started_unix_ms,
        "policy": { "margins": { "p50": "5%" }, "first": demanded, "second": demanded },
        "plan": first.run.plan,
        "policy_file": "ci/gate.toml",
    });
    fs::write(run.join("request.json"), request.to_string()).unwrap();
    write(&run, "stage-1", &first);
    (dir, gate)
}

fn rebuild(gate: &Path) -> (i32, String, String) {
    let output = run(&["report", gate.to_str().unwrap()]);
    (
        output.status.code().unwrap(),
        stdout(&output),
        stderr(&output),
    )
}

#[test]
fn a_gate_is_rebuilt_from_its_stages_byte_for_byte() {
    let (_dir, gate) = gate_folder();
    write(&gate.join("run-1"), "stage-2", &stage(2));
    let (code, text, told) = rebuild(&gate);
    assert_eq!(code, 1, "{text}{told}");
    assert!(text.contains("FAIL"), "{text}");
    let names = ["gate.json", "gate.md", "junit.xml", "annotations.txt"];
    let read = || names.map(|name| fs::read(gate.join(name)).unwrap());
    let first = read();
    let annotations = String::from_utf8_lossy(&first[3]).into_owned();
    assert!(annotations.contains("file=ci/gate.toml"), "{annotations}");
    for name in names {
        fs::remove_file(gate.join(name)).unwrap();
    }
    assert_eq!(rebuild(&gate).0, 1);
    assert!(read() == first, "not the same bytes");
    assert!(gate.join("run-1/stage-1/report.html").exists());
    let pictures = run(&["report", gate.to_str().unwrap(), "--pictures"]);
    assert_eq!(pictures.status.code(), Some(2));
    assert!(stderr(&pictures).contains("name one of its stages"));
}

#[test]
fn a_gate_that_lacks_a_stage_has_no_verdict() {
    let (_dir, gate) = gate_folder();
    let (code, text, told) = rebuild(&gate);
    assert_eq!((code, text.as_str()), (2, ""), "{told}");
    assert!(
        told.contains("was never finished; go on with it by `tollgate gate --resume"),
        "{told}"
    );
    assert!(!gate.join("gate.json").exists());
}

#[test]
fn a_stage_of_other_formats_or_machines_is_refused_in_one_line() {
    let (_dir, gate) = gate_folder();
    let second = write(&gate.join("run-1"), "stage-2", &stage(2));
    let refused = |told: &str| {
        let (code, _, error) = rebuild(&gate);
        assert_eq!((code, error.trim_end().lines().count()), (2, 1), "{error}");
        assert!(error.contains(told), "{told} in {error}");
        assert!(!gate.join("gate.json").exists(), "a verdict: {error}");
    };
    let slices = second.join("slices.jsonl");
    let whole = fs::read_to_string(&slices).unwrap();
    let half = whole.len() / 2;
    let mixed = whole[..half].to_owned() + &whole[half..].replace("\"schema\":1", "\"schema\":2");
    fs::write(&slices, mixed).unwrap();
    refused("record format 2");
    fs::write(&slices, &whole).unwrap();
    let record = second.join("run.json");
    let own = fs::read_to_string(&record).unwrap();
    fs::write(&record, own.replace("6.18.0", "6.1.0")).unwrap();
    refused("measure both stages on one machine");
    fs::write(&record, own).unwrap();
    assert_eq!(rebuild(&gate).0, 1);
}

#[test]
fn a_gate_on_lost_replies_speaks_of_the_loss() {
    let (_dir, gate) = gate_folder();
    let stages = ["stage-1", "stage-2"];
    fs::remove_dir_all(gate.join("run-1/stage-1")).unwrap();
    for (name, seed) in stages.into_iter().zip([1, 2]) {
        let mut campaign = stage(seed);
        lose_all(&mut campaign, &["native", "vxlan"]);
        write(&gate.join("run-1"), name, &campaign);
    }
    let (code, text, told) = rebuild(&gate);
    // No margin on loss: the environment can't be gated, which is no failure of the arm.
    assert!(matches!(code, 0 | 4), "{text}{told}");
    has_no_non_number(&text);
    let report: GateReport =
        serde_json::from_slice(&fs::read(gate.join("gate.json")).unwrap()).unwrap();
    assert!(
        report.cells.iter().all(|cell| cell.effect.is_none()),
        "{text}"
    );
}

#[test]
fn a_calibration_of_the_machine_is_drawn_once_it_is_in_the_folder() {
    let dir = tempdir().unwrap();
    let state = dir.path().join("state");
    let tollgate = |args: &[&str]| {
        let mut command = crate::support::tollgate(args);
        command.env("XDG_STATE_HOME", &state);
        command.output().unwrap()
    };
    let twins = |seed| {
        let mut synthetic = Synthetic::overlay();
        synthetic.seed = seed;
        let native = (
            synthetic.arms[0].arm.datapath.clone(),
            synthetic.arms[0].carried.clone(),
        );
        (synthetic.arms[1].arm.datapath, synthetic.arms[1].carried) = native;
        synthetic.arms[1].per_packet = 1.0;
        let mut campaign = synthetic.referenced().campaign();
        campaign.run.started_unix_ms += 1_000_000 * seed;
        campaign
    };
    let folder = write(dir.path(), "one", &twins(1));
    let path = folder.to_str().unwrap();
    let basis = || {
        let (_, analysis, _) = report(&folder);
        serde_json::to_string(&analysis.noise_floor.floors).unwrap()
    };
    let own = basis();
    let none = tollgate(&["report", path, "--calibration"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(
        stderr(&none).contains("was never calibrated on machine"),
        "{}",
        stderr(&none)
    );

    let more = write(dir.path(), "two", &twins(2));
    let calibrated = tollgate(&["calibrate", "--from", path, more.to_str().unwrap()]);
    assert_eq!(calibrated.status.code(), Some(0), "{}", stderr(&calibrated));
    assert_eq!(basis(), own, "a report depends on its folder alone");
    assert_eq!(
        tollgate(&["report", path, "--calibration"]).status.code(),
        Some(0)
    );
    assert!(basis().contains("\"calibration\""), "{}", basis());
    // From now on without it, wherever the folder is.
    fs::remove_dir_all(&state).unwrap();
    assert!(basis().contains("\"calibration\""), "{}", basis());
    fs::write(folder.join("calibration.json"), "{").unwrap();
    let damaged = tollgate(&["report", path]);
    assert_eq!(damaged.status.code(), Some(2));
    assert!(
        stderr(&damaged).contains("was edited or damaged; remove it"),
        "{}",
        stderr(&damaged)
    );
}
