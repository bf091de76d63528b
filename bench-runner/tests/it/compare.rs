//! `tollgate compare` on good and bad input, without a lab: campaigns are synthetic, written as a run writes them.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, tempdir};
use tollgate_reports::synthetic::Synthetic;
use tollgate_results::run::Campaign;
use tollgate_store::CampaignDir;

use crate::support::{run, stderr, stdout};

/// Native against an overlay that costs `toll` on each packet.
pub(crate) fn campaign(seed: u64, toll: f64, rounds: u32) -> Campaign {
    let mut synthetic = Synthetic::overlay();
    (synthetic.seed, synthetic.rounds) = (seed, rounds);
    synthetic.arms[1].per_packet = toll;
    let mut campaign = synthetic.referenced().campaign();
    campaign.run.started_unix_ms += 1_000_000 * seed;
    campaign
}

pub(crate) fn write(dir: &Path, name: &str, campaign: &Campaign) -> PathBuf {
    let path = dir.join(name);
    let mut recording = CampaignDir::create(&path, &campaign.run).unwrap();
    for slice in &campaign.slices {
        recording.append(slice).unwrap();
    }
    recording.finish().unwrap();
    path
}

/// Two folders, the second's overlay twice as dear.
fn folders() -> (TempDir, PathBuf, PathBuf) {
    let dir = tempdir().unwrap();
    let before = write(dir.path(), "before", &campaign(1, 1.2, 10));
    let after = write(dir.path(), "after", &campaign(2, 1.4, 10));
    (dir, before, after)
}

/// Runs `tollgate compare`; returns exit code, standard output and standard error.
fn compare(args: &[&dyn AsRef<Path>]) -> (i32, String, String) {
    let args: Vec<&str> = args
        .iter()
        .map(|arg| arg.as_ref().to_str().unwrap())
        .collect();
    let output = run(&[&["compare"], args.as_slice()].concat());
    (
        output.status.code().unwrap(),
        stdout(&output),
        stderr(&output),
    )
}

/// Runs it on what has to be refused: exit code 2, nothing printed; returns what was said.
fn refused(args: &[&dyn AsRef<Path>]) -> String {
    let (code, out, error) = compare(args);
    assert_eq!((code, out.as_str()), (2, ""), "{error}");
    assert!(error.starts_with("error: "), "{error}");
    error
}

#[test]
fn two_campaigns_get_a_verdict_that_says_it_is_unpaired() {
    let (_dir, before, after) = folders();
    let (code, text, error) = compare(&[&before, &after]);
    assert_eq!(code, 0, "{error}");
    for part in [
        "slower",
        "compared unpaired",
        "For these installs only",
        "What this can't tell",
    ] {
        assert!(text.contains(part), "no word of {part}:\n{text}");
    }
    let (code, text, _) = compare(&[&before, &after, &"--json"]);
    assert_eq!(code, 0);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&json["paired"], &json["cells"][0]["verdict"]),
        (&false.into(), &"slower".into())
    );
}

#[test]
fn another_machine_is_refused_unless_told_otherwise() {
    let (dir, before, _) = folders();
    let mut elsewhere = campaign(3, 1.2, 10);
    elsewhere.run.facts.kernel = "6.1.0".to_owned();
    let elsewhere = write(dir.path(), "elsewhere", &elsewhere);
    let error = refused(&[&before, &elsewhere]);
    assert!(
        error.contains("--anyway") && error.contains("machine: fingerprint"),
        "{error}"
    );
    let (code, text, error) = compare(&[&before, &elsewhere, &"--anyway"]);
    assert_eq!(code, 0, "{error}");
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("may be the machine's doing"), "{text}");
}

#[test]
fn folders_that_are_damaged_or_of_another_format_are_refused_in_one_line_each() {
    let (dir, before, after) = folders();
    let slices = after.join("slices.jsonl");
    let whole = fs::read_to_string(&slices).unwrap();
    let edited = |text: String| {
        fs::write(&slices, text).unwrap();
        let error = refused(&[&before, &after]);
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
        error
    };
    assert!(edited(whole.replacen("\"schema\":1", "\"schema\":2", 1)).contains("record format 2"));
    assert!(edited(whole.replacen("\"replied\":", "\"replied\":NaN,\"x\":", 1)).contains("line 1"));
    assert!(edited(whole.replacen("\"arm\":\"native\"", "\"arm\":\"nativ\"", 1)).contains("nativ"));
    fs::write(&slices, &whole).unwrap();
    fs::write(after.join("histograms.hlog"), "").unwrap();
    assert!(refused(&[&before, &after]).contains("damaged"));
    fs::write(after.join("run.json"), "{").unwrap();
    let both = refused(&[&dir.path().join("nothing"), &after]);
    assert_eq!(both.trim_end().lines().count(), 2, "{both}");
    assert!(refused(&[&before, &before, &"--anyway"]).contains("one campaign"));
}

/// A writer that was killed leaves whole rounds and a piece: the piece is left out, as a report does.
#[test]
fn a_folder_cut_short_gives_what_its_rounds_allow() {
    let (_dir, before, after) = folders();
    let slices = after.join("slices.jsonl");
    let whole = fs::read_to_string(&slices).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    // Round 0, four rounds of two arms, and a torn line.
    let torn = format!("{}{}", lines[..10].concat(), &lines[10][..40]);
    fs::write(&slices, torn).unwrap();
    let (code, text, error) = compare(&[&before, &after]);
    assert!(matches!(code, 0 | 4), "{error}");
    assert!(
        text.contains("insufficient") || text.contains("invalid"),
        "{text}"
    );
    assert!(no_cell_is_slower(&text), "{text}");
}

/// The legend explains the word; only a row of the table ends with it.
fn no_cell_is_slower(text: &str) -> bool {
    !text.lines().any(|line| line.trim_end().ends_with("slower"))
}

#[test]
fn fewer_than_six_rounds_are_insufficient() {
    let (dir, before, _) = folders();
    let short = write(dir.path(), "short", &campaign(3, 1.4, 5));
    let (_, text, error) = compare(&[&before, &short]);
    assert!(
        text.contains("insufficient") && no_cell_is_slower(&text),
        "{text}{error}"
    );
}

#[test]
fn one_thing_at_a_time_is_compared() {
    for args in [
        &[][..],
        &["only-one"],
        &["a", "b", "c"],
        &["a", "b", "--pairs", "x.csv"],
        &["--pairs", "x.csv", "--anyway"],
        &["a", "b", "--higher-is-better"],
    ] {
        let output = run(&[&["compare"], args].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            stderr(&output).contains("--help"),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_margin_out_of_range_says_the_range() {
    for (margin, told) in [
        ("80%", "80% is not in 0.1% to 50%"),
        ("0%", "0% is not in 0.1% to 50%"),
        ("-5%", "`-5%` is not a share in percent"),
        ("NaN%", "is not a share in percent"),
        ("5", "write \"5%\""),
    ] {
        let output = run(&["compare", "--pairs", "x.csv", "--margin", margin]);
        assert_eq!(output.status.code(), Some(2), "{margin}");
        assert!(
            stderr(&output).contains(told),
            "{margin}: {}",
            stderr(&output)
        );
    }
}

const RUN: &str = r#"{"start": {"test_start": {"protocol": "TCP", "num_streams": 1}},
    "end": {"sum_received": {"bits_per_second": SPEED}}}"#;

/// Writes runs of two arms into folders of their own; returns their paths, the reference's first.
fn runs(dir: &Path, count: usize) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (arm, speed) in [("native", 1_000_000_000), ("vxlan", 800_000_000)] {
        fs::create_dir(dir.join(arm)).unwrap();
        for index in 0..count {
            let file = dir.join(arm).join(format!("{index}.json"));
            let text = RUN.replace("SPEED", &(speed + 1_000_000 * index).to_string());
            fs::write(&file, text).unwrap();
            files.push(file);
        }
    }
    files
}

fn import(files: &[PathBuf], more: &[&str]) -> (i32, String, String) {
    let mut args: Vec<&str> = vec!["compare", "--import"];
    args.extend(files.iter().map(|file| file.to_str().unwrap()));
    args.extend(more);
    let output = run(&args);
    (
        output.status.code().unwrap(),
        stdout(&output),
        stderr(&output),
    )
}

#[test]
fn other_tools_are_arms_by_folder_and_tagged() {
    let dir = tempdir().unwrap();
    let files = runs(dir.path(), 7);
    let (code, text, error) = import(&files, &[]);
    assert_eq!(code, 0, "{error}");
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "slower",
        "not mergeable",
        "Unpaired",
        "native: 7 files; vxlan: 7 files",
    ] {
        assert!(flat.contains(part), "no word of {part}:\n{text}");
    }
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    let (_, json, _) = import(&files, &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["mergeable"], false);
    assert_eq!(json["cells"][0]["verdict"], "slower");
}

#[test]
fn imported_files_tell_all_their_faults_at_once() {
    let dir = tempdir().unwrap();
    let mut files = runs(dir.path(), 2);
    let (code, text, _) = import(&files, &[]);
    assert_eq!(code, 0);
    assert!(
        text.contains("insufficient") && text.contains("2 runs on one side"),
        "{text}"
    );
    fs::write(&files[0], "{\"start\":").unwrap();
    fs::write(&files[1], [0xff, 0xfe, 0x00]).unwrap();
    files.push(dir.path().join("missing.json"));
    files.push(dir.path().to_owned());
    let (code, text, error) = import(&files, &[]);
    assert_eq!((code, text.as_str()), (2, ""));
    for told in [
        "not whole as JSON",
        "not text",
        "missing.json",
        "it is not a file",
    ] {
        assert!(error.contains(told), "no word of {told}:\n{error}");
    }
    assert_eq!(error.trim_end().lines().count(), 4, "{error}");
    let (code, _, error) = import(&files[2..3], &[]);
    assert_eq!(code, 2);
    assert!(error.contains("all files are of one arm"), "{error}");
}
