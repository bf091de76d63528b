//! `tollgate lab show`: kept labs as text, picture and JSON, and what is said where there is none.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::support::{no_lab, stderr, stdout, tollgate};

/// A user's runtime directory of a test's own; its labs end with it.
struct Runtime {
    directory: TempDir,
    labs: Vec<&'static str>,
}

impl Runtime {
    fn new() -> Self {
        Self {
            directory: tempdir().unwrap(),
            labs: Vec::new(),
        }
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = tollgate(args);
        command.env("XDG_RUNTIME_DIR", self.directory.path());
        command.output().unwrap()
    }

    fn up(&mut self, name: &'static str, more: &[&str]) {
        self.labs.push(name);
        let output = self.run(&[&["lab", "up", name][..], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        for name in &self.labs {
            let _ = self.run(&["lab", "down", name]);
        }
    }
}

/// Takes one line that an error is told in.
fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{}", stderr(output));
    let said = stderr(output);
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    said
}

#[test]
fn without_a_lab_there_is_nothing_to_show_and_the_way_to_one_is_told() {
    let runtime = Runtime::new();
    for args in [&["lab", "show"][..], &["lab", "show", "demo"]] {
        let said = error(&runtime.run(args));
        assert!(said.contains("no lab is up; start one"), "{said}");
    }
    let picture = runtime.directory.path().join("none.svg");
    let picture = picture.to_str().unwrap();
    error(&runtime.run(&["lab", "show", "--all", "--svg", picture]));
    assert!(!Path::new(picture).exists());
    let output = runtime.run(&["lab", "show", "--all"]);
    assert_eq!(stdout(&output), "No lab stands.\n");
    let output = runtime.run(&["lab", "show", "--all", "--json"]);
    assert_eq!(stdout(&output), "[]\n");
    let output = runtime.run(&["lab", "show", "demo", "--all"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_kept_lab_is_shown_as_it_is_now() {
    if no_lab() {
        return;
    }
    let mut runtime = Runtime::new();
    runtime.up("demo", &["--wire", "vxlan", "--service", "iptables-nft"]);
    let output = runtime.run(&["lab", "show"]);
    let shown = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    for part in [
        "Lab demo: bridge, vxlan, iptables-nft",
        "node A\n├─ client pod",
        "flannel.1",
        "ip nat",
        "10.244.1.2",
    ] {
        assert!(shown.contains(part), "`{part}` is not in\n{shown}");
    }
    let widest = shown.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(80), "{shown}");
    assert!(!shown.contains("MISSING"), "{shown}");

    let delete = ["ip", "link", "delete", "flannel.1"];
    let exec = ["lab", "exec", "demo", "node-b", "--"];
    let output = runtime.run(&[&exec[..], &delete].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let shown = stdout(&runtime.run(&["lab", "show", "demo"]));
    assert_eq!(shown.matches("MISSING").count(), 1, "{shown}");

    runtime.up("second", &[]);
    let said = error(&runtime.run(&["lab", "show"]));
    assert!(said.contains("demo, second"), "{said}");
    let said = error(&runtime.run(&["lab", "show", "third"]));
    assert!(said.contains("these are up: demo, second"), "{said}");

    let file = runtime.directory.path().join("labs.svg");
    let path = file.to_str().unwrap();
    let output = runtime.run(&["lab", "show", "--all", "--json", "--svg", path]);
    assert!(output.status.success(), "{}", stderr(&output));
    let labs: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let names: Vec<&str> = labs
        .as_array()
        .unwrap()
        .iter()
        .map(|lab| lab["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["demo", "second"]);
    let missing = &labs[0]["arms"][0]["places"][1]["missing"];
    assert_eq!(missing, &serde_json::json!(["flannel.1"]));
    let picture = fs::read_to_string(&file).unwrap();
    assert!(picture.starts_with("<svg ") && picture.contains("Lab second"));
    let nowhere = "/nowhere/labs.svg";
    let said = error(&runtime.run(&["lab", "show", "demo", "--svg", nowhere]));
    assert!(said.contains(nowhere), "{said}");
}
