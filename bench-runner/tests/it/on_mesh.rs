//! `tollgate cluster mesh` through a server that speaks the API, with real probes behind its port-forward.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::on_cluster::{World, pause};
use crate::support::{stderr, stdout};

/// A cluster of these nodes, whose pods are probes on this machine, each with an address of its own.
fn world(nodes: &[&str]) -> World {
    world_by(nodes, |place| running(&format!("127.0.0.{}", 50 + place)))
}

/// The same with the status that the pod of each place has.
fn world_by(nodes: &[&str], status: impl Fn(u8) -> Value + Send + Sync + 'static) -> World {
    let world = World::with_probes_by(move |pod| {
        let place = pod.rsplit('-').next().unwrap().parse().unwrap();
        status(place)
    });
    for node in nodes {
        world.double.put("nodes", ready(node, &json!({})));
    }
    world
}

fn running(ip: &str) -> Value {
    json!({
        "phase": "Running", "hostIP": "127.0.0.1", "podIP": ip, "podIPs": [{"ip": ip}],
        "conditions": [{"type": "Ready", "status": "True"}],
    })
}

fn without_image() -> Value {
    json!({"phase": "Pending", "containerStatuses": [{
        "name": "probe", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
    }]})
}

fn ready(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": "a"}}, "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    })
}

const QUICK: [&str; 6] = ["cluster", "mesh", "--slice", "30ms", "--warmup", "10ms"];

fn mesh(world: &World, out: &Path, more: &[&str]) -> Output {
    let mut command = world.command();
    command.args(QUICK).arg("--out").arg(out).args(more);
    command.output().unwrap()
}

fn resume(world: &World, out: &Path) -> Output {
    let out = out.to_str().unwrap();
    world.tollgate(&["cluster", "mesh", "--resume", out, "--json"])
}

fn reported(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

fn is_measured(line: &Value) -> bool {
    line["outcome"].get("measured").is_some()
}

fn lines(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("pairs.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn place(line: &Value, key: &str) -> u64 {
    line[key].as_u64().unwrap()
}

#[test]
fn four_nodes_meet_each_once_and_a_tainted_one_is_said_and_skipped() {
    let world = world(&["node1", "node2", "node3", "node4"]);
    let tainted = json!({"taints": [{"key": "gpu", "effect": "NoSchedule"}]});
    world.double.put("nodes", ready("node5", &tainted));
    let out = world.dir.path().join("mesh");
    let output = mesh(&world, &out, &["--json", "--seed", "3"]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(
        told.contains("skipping node5: it is tainted (gpu:NoSchedule)"),
        "{told}"
    );
    assert!(told.contains("since nodes share a machine"), "{told}");
    assert_eq!(world.double.faults(), Vec::<String>::new());
    world.assert_nothing_left();
    world.assert_rights_kept();
    let lines = lines(&out);
    let pairs: BTreeSet<(u64, u64)> = lines
        .iter()
        .map(|line| {
            let (a, b) = (place(line, "client"), place(line, "server"));
            (a.min(b), a.max(b))
        })
        .collect();
    assert_eq!((lines.len(), pairs.len()), (6, 6));
    for line in &lines {
        let measured = &line["outcome"]["measured"];
        assert!(measured["sent"].as_u64().unwrap() > 0, "{line}");
        assert!(measured["p50_ns"].as_u64().unwrap() > 0, "{line}");
    }
    // Each node is in one pair at a time.
    for round in 0..3 {
        let of_round = lines.iter().filter(|line| place(line, "round") == round);
        let nodes: BTreeSet<u64> = of_round
            .flat_map(|line| [place(line, "client"), place(line, "server")])
            .collect();
        assert_eq!(nodes.len(), 4, "{round}");
    }
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["basis"], "nothing", "six pairs tell no outlier");
    assert_eq!(report["subject"]["machines"], 1);
    assert_eq!(report["nodes"][3]["name"], "node4");
    assert_eq!(report["nodes"][0]["zone"], "a");
    assert_eq!(report["subject"]["skipped"][0]["node"], "node5");
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Mesh of 4 nodes") && page.contains("node5"));
    // The report comes out of the folder again, byte for byte.
    let again = world.tollgate(&["cluster", "mesh", "--from", out.to_str().unwrap(), "--json"]);
    assert_eq!(stdout(&again), stdout(&output));
    assert_eq!(fs::read_to_string(out.join("report.html")).unwrap(), page);
    let text = world.tollgate(&["cluster", "mesh", "--from", out.to_str().unwrap()]);
    let text = stdout(&text);
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("measure with --passes 8"), "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
}

#[test]
fn both_ways_and_passes_are_measured_at_once_where_asked() {
    let world = world(&["node1", "node2", "node3"]);
    let out = world.dir.path().join("mesh");
    let more = [
        "--passes",
        "2",
        "--both-ways",
        "--at-once",
        "2",
        "--json",
        "--node",
        "node1,node2,node3",
    ];
    let output = mesh(&world, &out, &more);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = lines(&out);
    let ways: BTreeSet<(u64, u64, u64)> = lines
        .iter()
        .map(|line| {
            (
                place(line, "pass"),
                place(line, "client"),
                place(line, "server"),
            )
        })
        .collect();
    assert_eq!((lines.len(), ways.len()), (12, 12));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["nodes"][0]["sending"]["observations"], 2);
}

#[test]
fn a_node_that_vanishes_is_said_and_the_others_go_on() {
    let world = world(&["node1", "node2", "node3", "node4"]);
    let out = world.dir.path().join("mesh");
    let mut command = world.command();
    command
        .args(QUICK)
        .args(["--passes", "4", "--json", "--out"])
        .arg(&out);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..400 {
        let begun = fs::read_to_string(out.join("pairs.jsonl")).is_ok_and(|text| !text.is_empty());
        if begun {
            break;
        }
        pause();
    }
    world.double.remove_pod("tollgate", "tollgate-mesh-2");
    for (_, child) in world
        .probes
        .lock()
        .unwrap()
        .iter_mut()
        .filter(|(pod, _)| pod == "tollgate-mesh-2")
    {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("node3 is left out from now on"), "{told}");
    world.assert_nothing_left();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        report["nodes"][2]["absent"].as_u64().unwrap() >= 3,
        "{report}"
    );
    for node in [0, 1, 3] {
        assert_eq!(report["nodes"][node]["absent"], 0, "{report}");
    }
    // The pairs of the others were measured in every pass.
    let others = lines(&out)
        .into_iter()
        .filter(|line| place(line, "client") != 2 && place(line, "server") != 2);
    let measured = others.filter(is_measured);
    assert_eq!(measured.count(), 4 * 3);
    let failed = report["subject"]["failed"].as_u64().unwrap();
    assert!(failed < 12, "no pair is tried for ever: {report}");
}

#[test]
fn a_mesh_that_was_interrupted_goes_on_with_what_it_lacks() {
    let world = world(&["node1", "node2", "node3", "node4"]);
    let out = world.dir.path().join("mesh");
    let output = mesh(&world, &out, &["--passes", "2", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let file = out.join("pairs.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    // As a killed runner leaves it: five lines, and half of one.
    let kept: String = whole.split_inclusive('\n').take(5).collect();
    fs::write(&file, format!("{kept}{{\"pass\":0,")).unwrap();
    let again = resume(&world, &out);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    let lines = lines(&out);
    assert_eq!(lines.len(), 12);
    assert!(fs::read_to_string(&file).unwrap().starts_with(&kept));
    let report: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(report["subject"]["installs"], 2);
    world.assert_nothing_left();
}

#[test]
fn a_mesh_does_not_go_on_where_no_probe_stands() {
    let spoilt = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&spoilt);
    let world = world_by(&["node1", "node2", "node3"], move |place| {
        if seen.load(Ordering::Relaxed) {
            without_image()
        } else {
            running(&format!("127.0.0.{}", 50 + place))
        }
    });
    let out = world.dir.path().join("mesh");
    let output = mesh(&world, &out, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let file = out.join("pairs.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    let kept = whole.split_inclusive('\n').next().unwrap();
    fs::write(&file, kept).unwrap();
    let record = fs::read_to_string(out.join("mesh.json")).unwrap();
    spoilt.store(true, Ordering::Relaxed);
    let output = resume(&world, &out);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(told.contains("there are 0\nskipped node1: "), "{told}");
    assert_eq!(fs::read_to_string(&file).unwrap(), kept);
    assert_eq!(fs::read_to_string(out.join("mesh.json")).unwrap(), record);
    world.assert_nothing_left();
    spoilt.store(false, Ordering::Relaxed);
    let output = resume(&world, &out);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(lines(&out).len(), 3, "{}", stderr(&output));
}

#[test]
fn an_outage_at_the_end_blames_no_node_and_is_measured_later() {
    let world = world(&["node1", "node2", "node3", "node4"]);
    let out = world.dir.path().join("mesh");
    let mut command = world.command();
    command
        .args(["cluster", "mesh", "--slice", "500ms", "--warmup", "10ms"])
        .args(["--json", "--out"])
        .arg(&out);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..400 {
        let begun = fs::read_to_string(out.join("pairs.jsonl"));
        if begun.is_ok_and(|text| text.lines().count() >= 3) {
            break;
        }
        pause();
    }
    for (_, probe) in world.probes.lock().unwrap().iter_mut() {
        probe.kill().unwrap();
        probe.wait().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("without an answer, which are not"), "{told}");
    assert!(told.contains("--resume measures them"), "{told}");
    assert!(lines(&out).iter().all(is_measured), "{told}");
    let report = reported(&output);
    assert_eq!(report["subject"]["failed"], 0);
    assert!(report["subject"]["measured"].as_u64().unwrap() < 6);
    world.assert_nothing_left();
    let output = resume(&world, &out);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let measured = lines(&out).into_iter().filter(is_measured);
    assert_eq!(measured.count(), 6, "{}", stderr(&output));
}

#[test]
fn a_mesh_of_which_every_meeting_failed_is_said_and_goes_on() {
    let shut = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&shut);
    let world = world_by(&["node1", "node2"], move |place| {
        if seen.load(Ordering::Relaxed) {
            // A probe can listen at a broadcast address, and nobody connects to one.
            running("127.255.255.255")
        } else {
            running(&format!("127.0.0.{}", 50 + place))
        }
    });
    let out = world.dir.path().join("mesh");
    let first = mesh(&world, &out, &["--json"]);
    for output in [first, resume(&world, &out)] {
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{told}");
        assert!(told.contains("no pair of nodes could be meas"), "{told}");
        let kept = format!("kept in `{}`; go on with --resume", out.display());
        assert!(told.contains(&kept), "{told}");
        assert_eq!(reported(&output)["subject"]["failed"], 1);
        assert!(out.join("report.html").exists());
    }
    assert_eq!(lines(&out).len(), 2, "it was tried again");
    shut.store(false, Ordering::Relaxed);
    let output = resume(&world, &out);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report = reported(&output);
    assert_eq!(report["subject"]["measured"], 1);
    assert_eq!(report["subject"]["failed"], 0);
    world.assert_nothing_left();
    let again = world.tollgate(&["cluster", "mesh", "--from", out.to_str().unwrap(), "--json"]);
    assert_eq!(stdout(&again), stdout(&output));
}

#[test]
fn a_mesh_without_an_answer_leaves_no_folder() {
    let world = world(&["node1", "node2"]);
    // Its probe answers, and can't listen: another has its place.
    let taken = TcpListener::bind("127.0.0.50:7789");
    let other = TcpListener::bind("127.0.0.51:7789");
    assert!(taken.is_ok() && other.is_ok());
    let out = world.dir.path().join("mesh");
    let output = mesh(&world, &out, &[]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(told.contains("no pair of nodes could be meas"), "{told}");
    assert!(!told.contains("--resume"), "{told}");
    assert!(!out.exists());
    world.assert_nothing_left();
}

#[test]
fn what_is_no_mesh_is_refused_before_anything_is_made() {
    let world = world(&["node1", "node2"]);
    let out = world.dir.path().join("mesh");
    let tainted = json!({"taints": [{"key": "gpu", "effect": "NoSchedule"}]});
    world.double.put("nodes", ready("node2", &tainted));
    for (more, code, part) in [
        (&[][..], 4, "there are 1\nskipped node2: it is tainted"),
        (&["--node", "node9"], 2, "there is no node9"),
        (
            &["--workload", "nothing"],
            2,
            "there is no `nothing`; there are tcp-rr",
        ),
        (&["--workload", "http"], 2, "no request and response"),
        (&["--passes", "0"], 2, "0 is not in 1..=100"),
        (&["--at-once", "501"], 2, "501 is not in 1..=500"),
        (&["--margin", "90%"], 2, "not in 0.1% to 50%"),
    ] {
        let output = mesh(&world, &out, more);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {told}");
        assert!(told.contains(part), "{more:?}: {told}");
        assert!(!out.exists(), "{more:?}");
    }
    let short = world.tollgate(&["cluster", "mesh", "--slice", "1ms"]);
    assert_eq!(short.status.code(), Some(2));
    assert!(
        stderr(&short).contains("1ms is not in 10ms to"),
        "{}",
        stderr(&short)
    );
    world.double.deny("list", "nodes");
    let output = mesh(&world, &out, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("name them with --node"),
        "{}",
        stderr(&output)
    );
    assert!(world.probes.lock().unwrap().is_empty());
    world.assert_nothing_left();
    fs::create_dir(&out).unwrap();
    fs::write(out.join("mine"), "").unwrap();
    let output = mesh(&world, &out, &[]);
    assert!(
        stderr(&output).contains("is not empty"),
        "{}",
        stderr(&output)
    );
    let nowhere = world.dir.path().join("nowhere");
    let output = world.tollgate(&["cluster", "mesh", "--from", nowhere.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("mesh.json"), "{}", stderr(&output));
}
