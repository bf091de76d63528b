//! What the command says to good and bad input, without a lab.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Output};

use tempfile::tempdir;

use crate::support::{is_root, run, scenario, stderr, stdout};

#[test]
fn every_help_fits_80_columns_and_has_an_example() {
    for command in [
        &["run"][..],
        &["plan"],
        &["report"],
        &["compare"],
        &["history"],
        &["history", "add"],
        &["history", "release"],
        &["history", "remove"],
        &["cluster", "mesh"],
        &["lab", "up"],
        &["lab", "list"],
        &["lab", "show"],
        &["lab", "exec"],
        &["lab", "down"],
    ] {
        let output = run(&[command, &["--help"]].concat());
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        let help = stdout(&output);
        assert!(help.contains("Example"), "{help}");
        let widest = help
            .lines()
            .map(|line| line.chars().count())
            .max()
            .unwrap_or(0);
        assert!(
            widest <= 80,
            "{command:?} has a line of {widest} columns:\n{help}"
        );
    }
}

#[test]
fn a_usage_error_is_2() {
    for args in [
        &["frobnicate"][..],
        &["run"],
        &["run", "quickstart", "--slice", "30"],
        &["run", "quickstart", "--rounds", "x"],
    ] {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
    let output = run(&["run", "quickstart", "--slice", "30"]);
    assert!(stderr(&output).contains("\"30s\""), "{}", stderr(&output));
}

#[test]
fn an_unknown_scenario_is_told_in_one_line() {
    for (name, hint) in [
        ("quickstat", "did you mean `quickstart`?"),
        ("something", "service-scaling"),
    ] {
        let output = run(&["plan", name]);
        assert_eq!(output.status.code(), Some(2));
        let error = stderr(&output);
        assert!(error.contains(hint), "{error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    }
}

#[test]
fn a_scenario_file_gets_all_its_faults_at_once() {
    let dir = tempdir().unwrap();
    let path = scenario(
        dir.path(),
        "faulty",
        "schema = 1\nname = \"faulty\"\nabout = \"x\"\nreference = \"nativ\"\ncolour = \"red\"\n\
         [rounds]\nslice = \"30\"\n[arm.native]\npods = \"brigde\"\nwire = \"native\"\n\
         [workload.rr.tcp-rr]\npayload = \"64\"\ncpu = \"shared\"\n",
    );
    let output = run(&["plan", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let error = stderr(&output);
    for fault in ["colour", "30s", "brigde", "bridge", "64 B", "nativ"] {
        assert!(error.contains(fault), "no word of {fault}:\n{error}");
    }
}

/// Runs the command in a mount namespace in which a program is not there.
fn without(program: &str, args: &str) -> Output {
    let script = format!(
        "mount --bind /dev/null {program} && exec {} {args}",
        env!("CARGO_BIN_EXE_tollgate")
    );
    Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .output()
        .unwrap()
}

#[test]
fn the_plan_says_what_cannot_run_and_how_to_mend_it() {
    if !is_root() {
        eprintln!("SKIPPED: hiding a program needs root");
        return;
    }
    let output = without("/usr/sbin/nft", "plan service-path");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.contains("Skipped here: nftables") && text.contains("package `nftables`"),
        "{text}"
    );

    // The base of every arm is programmed by iptables-nft.
    let output = without("/usr/sbin/xtables-nft-multi", "plan service-path");
    assert_eq!(output.status.code(), Some(4), "{}", stdout(&output));
    assert!(
        stderr(&output).contains("package `iptables`"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_plan_as_json_is_the_plan() {
    let output = run(&[
        "plan",
        "quickstart",
        "--json",
        "--seed",
        "7",
        "--rounds",
        "12",
    ]);
    let plan: tollgate_results::plan::Plan = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((plan.seed, plan.rounds.count), (7, 12));
}

#[test]
fn an_unwritable_output_is_told_before_anything_runs() {
    let output = run(&["run", "quickstart", "--out", "/proc/tollgate-campaign"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("/proc/tollgate-campaign"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_folder_that_is_no_campaign_is_refused() {
    let dir = tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    for args in [
        &["report", path][..],
        &["run", "--resume", path],
        &["report", "/nonexistent"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(
            stderr(&output).trim_end().lines().count(),
            1,
            "{}",
            stderr(&output)
        );
    }
    fs::write(dir.path().join("run.json"), "{").unwrap();
    assert_eq!(run(&["report", path]).status.code(), Some(2));
}

#[test]
fn a_missing_probe_is_named() {
    let output = run(&[
        "run",
        "quickstart",
        "--probe",
        "/nonexistent/tollgate-probe",
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("/nonexistent/tollgate-probe"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn pairs_of_any_tool_get_a_verdict() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("pairs.csv");
    let mut csv = "round,arm,value\n".to_owned();
    for round in 1..=10 {
        let (plain, tunnel) = (
            20.0 + 0.1 * f64::from(round),
            25.0 + 0.12 * f64::from(round),
        );
        writeln!(csv, "{round},plain,{plain}\n{round},tunnel,{tunnel}").unwrap();
    }
    fs::write(&path, csv).unwrap();
    let output = run(&["compare", "--pairs", path.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.contains("\"verdict\": \"slower\"") && text.contains("\"ratio\""),
        "{text}"
    );
    fs::write(&path, "round,arm,value\n1,plain,NaN\n2,plain\n").unwrap();
    let output = run(&["compare", "--pairs", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("line 2") && stderr(&output).contains("line 3"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_plan_says_what_is_claimed_and_how_many_rounds_that_takes() {
    let output = run(&["plan", "overlay-tax", "--rounds", "6"]);
    if output.status.code() == Some(4) {
        // The claims' arms can't stand here: there is nothing to compare.
        return;
    }
    let text = stdout(&output);
    assert!(
        text.contains(
            "Claim to test: “An overlay costs latency” (p50: a rise): vxlan against native."
        ),
        "{text}"
    );
    assert!(
        text.contains(
            "overlay-costs-latency has 3 comparisons, of which 6 rounds can prove nothing"
        ),
        "{text}"
    );
    let output = run(&["plan", "overlay-tax", "--rounds", "7"]);
    assert!(!stdout(&output).contains("prove nothing"));
}
