//! What can go wrong on a cluster: each told in one line, the campaign going on or ended cleanly, nothing left behind.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};

use serde_json::{Value, json};

use crate::on_cluster::{World, pause, running};
use crate::support::{ended, stderr};

/// A campaign that runs beside the test.
struct Running {
    runner: Child,
    out: PathBuf,
}

impl Running {
    /// Starts a campaign of two arms over some seconds.
    fn start(world: &World) -> Self {
        let out = world.dir.path().join("campaign");
        let mut command = world.command();
        command
            .args(["run", "quickstart", "--target", "cluster", "--json"])
            .args(["--arm", "cluster-ip"])
            .args(["--rounds", "2", "--slice", "150ms", "--warmup", "20ms"])
            .arg("--out")
            .arg(&out)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self {
            runner: command.spawn().unwrap(),
            out,
        }
    }

    fn slices(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.out.join("slices.jsonl")).unwrap_or_default();
        let whole = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        whole
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Waits until so many slices were measured.
    fn wait_for(&self, count: usize) {
        for _ in 0..400 {
            if self.slices().len() >= count {
                return;
            }
            pause();
        }
        panic!("{:?}", self.slices());
    }

    /// Waits for its end; returns what came of it and its record.
    fn ended(self) -> (Output, Value, Vec<Value>) {
        let slices = self.out.clone();
        let output = self.runner.wait_with_output().unwrap();
        let record = fs::read(slices.join("run.json")).unwrap();
        let lines = fs::read_to_string(slices.join("slices.jsonl")).unwrap();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        (
            output,
            serde_json::from_slice(&record).unwrap(),
            lines.collect(),
        )
    }
}

fn failed(slices: &[Value]) -> usize {
    let failed = |slice: &&Value| slice["result"].get("failed").is_some();
    slices.iter().filter(failed).count()
}

#[test]
fn a_pod_that_is_deleted_in_mid_slice_is_named_and_replaced() {
    let world = World::with_probes();
    let running = Running::start(&world);
    running.wait_for(3);
    world.delete_pod("tollgate-far");
    let (output, record, slices) = running.ended();
    let told = stderr(&output);
    assert!(ended(&output), "{told}");
    assert!(
        told.contains(
            "tollgate-far: it is gone; somebody deleted it, or its node went away; deploying anew"
        ),
        "{told}"
    );
    let installs = record["installs"].as_array().unwrap();
    assert_eq!(installs.len(), 2);
    let reason = installs[1]["reason"].as_str().unwrap();
    assert!(reason.contains("tollgate-far"), "{reason}");
    assert_eq!(failed(&slices), 1, "one slice is what it costs");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        report["conduct"]["notes"]
            .to_string()
            .contains("tollgate-far")
    );
    world.assert_nothing_left();
}

#[test]
fn an_api_server_that_goes_and_comes_back_costs_slices_and_no_install() {
    let world = World::with_probes();
    let running = Running::start(&world);
    running.wait_for(3);
    world.double.outage(true);
    for _ in 0..20 {
        pause();
    }
    world.double.outage(false);
    let (output, record, slices) = running.ended();
    let told = stderr(&output);
    assert!(ended(&output), "{told}");
    assert_eq!(record["installs"].as_array().unwrap().len(), 1, "{told}");
    assert!(failed(&slices) > 0, "{told}");
    assert_eq!(world.probes.lock().unwrap().len(), 3, "the probes stayed");
    world.assert_nothing_left();
}

#[test]
fn a_probe_that_is_not_ready_for_a_moment_keeps_its_place() {
    let world = World::with_probes();
    let running_campaign = Running::start(&world);
    running_campaign.wait_for(3);
    let status = |ready: &str| {
        let mut pod = world.double.object("pods", "tollgate-far").unwrap();
        pod["status"] = running();
        pod["status"]["conditions"][0]["status"] = json!(ready);
        world.double.put("pods", pod);
    };
    status("False");
    world.double.outage(true);
    pause();
    world.double.outage(false);
    for _ in 0..10 {
        pause();
    }
    status("True");
    let (output, record, _) = running_campaign.ended();
    let told = stderr(&output);
    assert!(ended(&output), "{told}");
    assert_eq!(record["installs"].as_array().unwrap().len(), 1, "{told}");
    world.assert_nothing_left();
}

/// Runs a short campaign that can't be.
fn refused(world: &World, more: &[&str]) -> String {
    let out = world.dir.path().join("refused");
    let mut command = world.command();
    command
        .args(["run", "quickstart", "--target", "cluster", "--rounds", "1"])
        .args(more)
        .arg("--out")
        .arg(&out);
    let output = command.output().unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(!out.exists(), "{told}");
    world.assert_nothing_left();
    told
}

/// Returns the one line of an error.
fn error(told: &str) -> &str {
    let mut lines = told.lines().filter(|line| line.contains("failed to"));
    let only = lines.next().unwrap_or_else(|| panic!("{told}"));
    assert_eq!(lines.next(), None, "{told}");
    only
}

#[test]
fn what_a_quota_or_an_admission_controller_refuses_is_told_in_one_line() {
    let world = World::with_probes();
    let quota = "exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2";
    world.double.refuse("tollgate-client", quota);
    let told = refused(&world, &[]);
    let line = error(&told);
    assert!(
        line.contains("failed to apply pod tollgate-client") && line.contains(quota),
        "{line}"
    );
    let world = World::with_probes();
    let standard = "violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)";
    world.double.refuse("tollgate-host-client", standard);
    let told = refused(&world, &["--host-network"]);
    let line = error(&told);
    assert!(
        line.contains("tollgate-host-client") && line.contains(standard),
        "{line}"
    );
}

#[test]
fn a_node_that_is_not_ready_is_told_before_anything_is_made() {
    let world = World::with_probes();
    let mut node = world.double.object("nodes", "node2").unwrap();
    node["status"]["conditions"][0]["status"] = json!("Unknown");
    world.double.put("nodes", node);
    let told = refused(&world, &[]);
    assert!(
        told.contains("1 of 2 nodes are ready and take pods; paths between nodes need two"),
        "{told}"
    );
    let told = refused(&world, &["--nodes", "node1,node2"]);
    assert!(
        told.contains("node node2 isn't there, isn't ready"),
        "{told}"
    );
    assert!(world.probes.lock().unwrap().is_empty());
}

#[test]
fn an_image_that_is_nowhere_is_told_with_what_the_kubelet_says() {
    let world = World::new(|_, _, _| {
        Box::new(|name, _| match name {
            "tollgate-far" => json!({"phase": "Pending", "containerStatuses": [{
                "name": "probe", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "ErrImageNeverPull", "message": "Container image \"x\" is not present with pull policy of Never"}},
            }]}),
            _ => running(),
        })
    });
    world.double.put("events", json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "tollgate"},
        "involvedObject": {"name": "tollgate-far"}, "type": "Warning",
        "message": "Failed to pull image \"x\": not found", "lastTimestamp": "2026-11-22T20:00:00Z",
    }));
    let told = refused(&world, &[]);
    let line = error(&told);
    assert!(
        line.contains("tollgate-far: ErrImageNeverPull: Container image")
            && line.contains("Failed to pull image"),
        "{line}"
    );
}

#[test]
fn a_server_that_stays_away_is_told_and_what_is_left_can_be_cleaned_later() {
    let world = World::with_probes();
    let running = Running::start(&world);
    running.wait_for(2);
    world.double.outage(true);
    // Nobody waits for three minutes here: an interrupt ends the waiting, and nothing can be removed.
    let runner = nix::unistd::Pid::from_raw(i32::try_from(running.runner.id()).unwrap());
    for _ in 0..10 {
        pause();
    }
    nix::sys::signal::kill(runner, nix::sys::signal::Signal::SIGINT).unwrap();
    let (output, ..) = running.ended();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(
        told.contains("the run's objects are left behind")
            && told.contains("tollgate cluster clean"),
        "{told}"
    );
    world.double.outage(false);
    assert_eq!(world.double.names("pods").len(), 3);
    let clean = world.tollgate(&["cluster", "clean"]);
    assert!(clean.status.success(), "{}", stderr(&clean));
    world.assert_nothing_left();
}
