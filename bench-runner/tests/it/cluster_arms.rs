//! Arms of a cluster: what they declare against what is found, configurations that a command switches between, several
//! contexts, and the paths that not every cluster has.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tollgate_cluster::double::{Double, Offers};

use crate::on_cluster::{World, pause, running};
use crate::support::{ended, probe, scenario, stderr};

/// A scenario of paths; `ROUNDS` is its rounds' table.
pub(crate) fn paths(rounds: &str, arms: &str) -> String {
    format!(
        "schema = 1\nname = \"paths\"\nabout = \"Paths\"\nreference = \"a\"\n[rounds]\n{rounds}\nslice = \"60ms\"\n\
         warmup = \"20ms\"\n{arms}\n[workload.rr.tcp-rr]\n"
    )
}

/// Runs a scenario of paths; returns what came of it, its record and its slices.
pub(crate) fn ran(world: &World, text: &str, more: &[&str]) -> (Output, Value, Vec<Value>) {
    let file = scenario(world.dir.path(), "paths", text);
    let out = world.dir.path().join("campaign");
    let mut command = world.command();
    command
        .args([
            "run",
            file.to_str().unwrap(),
            "--target",
            "cluster",
            "--json",
        ])
        .args(["--out", out.to_str().unwrap()])
        .args(more);
    let output = command.output().unwrap();
    let (record, slices) = kept(&out);
    (output, record, slices)
}

fn kept(out: &Path) -> (Value, Vec<Value>) {
    let record = fs::read_to_string(out.join("run.json")).unwrap_or_default();
    let slices = fs::read_to_string(out.join("slices.jsonl")).unwrap_or_default();
    let slices = slices
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    (
        serde_json::from_str(&record).unwrap_or_default(),
        slices.collect(),
    )
}

/// Has flannel say that packets go by this backend.
fn flannel(double: &Double, backend: &str) {
    double.put("daemonsets", json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "kube-flannel-ds", "namespace": "kube-flannel"},
        "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "kube-flannel", "image": "flannel:v0.28.9"}]}}},
    }));
    double.put("configmaps", json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-flannel-cfg", "namespace": "kube-flannel"},
        "data": {"net-conf.json": format!("{{\"Backend\": {{\"Type\": \"{backend}\"}}}}")},
    }));
}

pub(crate) fn evidence<'a>(report: &'a Value, arm: &str) -> &'a Value {
    evidence_of(report, arm, "cluster's network")
}

pub(crate) fn evidence_of<'a>(report: &'a Value, arm: &str, about: &str) -> &'a Value {
    let arms = report["arms"].as_array().unwrap();
    let arm = arms.iter().find(|found| found["name"] == arm).unwrap();
    let checks = arm["evidence"]["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["about"] == about);
    found.unwrap()
}

#[test]
fn an_arm_whose_declaration_the_cluster_contradicts_is_invalid_and_what_isn_t_known_is_said() {
    let world = World::with_probes();
    flannel(&world.double, "host-gw");
    let text = paths(
        "count = 1",
        "[arm.a.cluster]\npath = \"pod-ip\"\ndeclares = { wire = \"native\", cni = \"flannel\" }\n\
         [arm.lying.cluster]\npath = \"near-pod-ip\"\ndeclares = { wire = \"vxlan\" }\n\
         [arm.unknown.cluster]\npath = \"cluster-ip\"\ndeclares = { services = \"ipvs\" }\n",
    );
    let (output, record, _) = ran(&world, &text, &[]);
    let told = stderr(&output);
    assert!(
        told.contains(
            "lying will be invalid: declared wire between nodes vxlan, but the cluster's is native"
        ),
        "{told}"
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let cells = report["cells"].as_array().unwrap();
    let verdict = |arm: &str| {
        let cell = cells.iter().find(|cell| cell["arm"] == arm).unwrap();
        (
            cell["verdict"].as_str().unwrap(),
            cell["reason"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let (lying, reason) = verdict("lying");
    assert_eq!(lying, "invalid");
    assert!(
        reason.contains("lying is not what it declares") && reason.contains("net-conf.json"),
        "{reason}"
    );
    assert_eq!(
        verdict("unknown").0,
        "insufficient",
        "one round has no interval"
    );
    assert_eq!(evidence(&report, "a")["judgement"], "ok");
    let unknown = evidence(&report, "unknown");
    assert_eq!(unknown["judgement"], "unknown");
    assert!(
        unknown["text"]
            .as_str()
            .unwrap()
            .contains("service proxy ipvs: not known"),
        "{unknown}"
    );
    let wire = &record["installs"][0]["arms"]["a"]["network"]["findings"]["wire"];
    assert_eq!(
        (&wire["value"], &wire["basis"]),
        (&json!("native"), &json!("stated"))
    );
    world.assert_nothing_left();
}

/// Switches the cluster as a command asks for by a file, until this goes.
struct Switch {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Switch {
    fn of(world: &World) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (double, dir) = (world.double.clone(), world.dir.path().to_owned());
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut made = String::new();
            while !stopped.load(Ordering::Relaxed) {
                let wanted = fs::read_to_string(dir.join("wanted")).unwrap_or_default();
                if wanted != made && wanted.ends_with('\n') {
                    flannel(&double, wanted.trim());
                    fs::write(dir.join("made"), &wanted).unwrap();
                    made = wanted;
                }
                pause();
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

#[test]
fn a_command_switches_the_cluster_between_installs() {
    let world = World::with_probes();
    let _switch = Switch::of(&world);
    let dir = world.dir.path().to_str().unwrap();
    let arm = |name: &str, wire: &str, backend: &str| {
        format!(
            "[arm.{name}]\ncluster = {{ path = \"pod-ip\", declares = {{ wire = \"{wire}\" }} }}\n\
             apply = [{{ run = [\"sh\", \"-c\", \"echo {backend} > {dir}/wanted\"] }}]\n\
             ready = {{ run = [\"grep\", \"-qx\", \"{backend}\", \"{dir}/made\"], within = \"20s\" }}\n"
        )
    };
    let arms = arm("a", "native", "host-gw") + &arm("b", "vxlan", "vxlan");
    let text = paths("count = 2\ninstalls = 2", &arms);
    let (output, record, slices) = ran(&world, &text, &[]);
    let told = stderr(&output);
    assert!(ended(&output), "{told}");
    assert!(!told.contains("will be invalid"), "{told}");
    let installs = record["installs"].as_array().unwrap();
    assert_eq!(installs.len(), 2);
    let orders: Vec<&Value> = installs.iter().map(|install| &install["order"]).collect();
    assert_ne!(
        orders[0], orders[1],
        "the second has the arms the other way round"
    );
    for install in installs {
        for (arm, wire) in [("a", "native"), ("b", "vxlan")] {
            let facts = &install["arms"][arm];
            assert_eq!(facts["network"]["findings"]["wire"]["value"], wire);
            assert_eq!(facts["applied"][0]["on"], "runner");
            assert_eq!(facts["applied"].as_array().unwrap().len(), 2);
        }
    }
    // Of each install the discarded round and one more, all of an arm before the other's.
    assert_eq!(slices.len(), 2 * 2 * 2);
    let of_install: Vec<&Value> = slices
        .iter()
        .filter(|slice| slice["install"] == 0)
        .map(|slice| &slice["key"]["arm"])
        .collect();
    assert_eq!(of_install[0], of_install[1]);
    assert_ne!(of_install[1], of_install[2]);
    assert!(
        slices
            .iter()
            .all(|slice| slice["result"].get("measured").is_some())
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for arm in ["a", "b"] {
        assert_eq!(evidence(&report, arm)["judgement"], "ok");
    }
    // Four switches, each behind probes of its own, and those that were met first.
    assert_eq!(world.probes.lock().unwrap().len(), 3 * 5);
    world.assert_nothing_left();
}

#[test]
fn a_command_that_fails_says_which_and_leaves_nothing() {
    let world = World::with_probes();
    let arm = |name: &str, run: &str| {
        format!(
            "[arm.{name}]\ncluster = {{ path = \"pod-ip\" }}\napply = [{{ run = [\"sh\", \"-c\", \"{run}\"] }}]\n"
        )
    };
    let arms = arm("a", "echo no such CNI >&2; exit 7") + &arm("b", "true");
    let (output, ..) = ran(&world, &paths("count = 1", &arms), &[]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(
        told.contains("runner: sh -c") && told.contains("exit status: 7: no such CNI"),
        "{told}"
    );
    world.assert_nothing_left();
}

/// Lets one kubeconfig lead to several servers, by these contexts.
fn contexts(world: &World, named: &[(&str, &World)]) {
    let entries = |entry: fn(&str, &World) -> Value| -> Vec<Value> {
        named
            .iter()
            .map(|(name, world)| entry(name, world))
            .collect()
    };
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": named[0].0,
        "contexts": entries(|name, _| json!({"name": name, "context": {"cluster": name, "user": "test"}})),
        "clusters": entries(|name, world| json!({
            "name": name, "cluster": {"server": format!("http://{}", world.address)},
        })),
        "users": [{"name": "test", "user": {}}],
    });
    fs::write(world.dir.path().join("kubeconfig"), config.to_string()).unwrap();
}

const TWO: &str = "[arm.a.cluster]\npath = \"pod-ip\"\ncontext = \"one\"\ndeclares = { wire = \"native\" }\n\
                   [arm.b.cluster]\npath = \"near-pod-ip\"\ncontext = \"two\"\ndeclares = { wire = \"vxlan\" }\n";

#[test]
fn two_contexts_are_arms_of_one_campaign() {
    let (one, two) = (World::with_probes(), World::with_probes());
    flannel(&one.double, "host-gw");
    flannel(&two.double, "vxlan");
    contexts(&one, &[("one", &one), ("two", &two)]);
    let (output, record, slices) = ran(&one, &paths("count = 1", TWO), &[]);
    let told = stderr(&output);
    assert!(ended(&output), "{told}");
    assert!(
        slices
            .iter()
            .all(|slice| slice["result"].get("measured").is_some())
    );
    let cluster = &record["cluster"];
    assert_eq!(cluster["context"], "one");
    assert_eq!(cluster["network"]["findings"]["wire"]["value"], "native");
    let beside = &cluster["beside"][0];
    assert_eq!(beside["context"], "two");
    assert_eq!(beside["network"]["findings"]["wire"]["value"], "vxlan");
    assert!(beside["paths"]["b"].as_str().unwrap().contains("same node"));
    assert!(beside["client_facts"]["kernel"].is_string());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for arm in ["a", "b"] {
        assert_eq!(evidence(&report, arm)["judgement"], "ok", "{report}");
    }
    let notes = report["conduct"]["notes"].to_string();
    assert!(
        notes.contains("The cluster of context two as its API tells"),
        "{notes}"
    );
    for world in [&one, &two] {
        world.assert_nothing_left();
        assert_eq!(world.probes.lock().unwrap().len(), 3);
    }
    // It goes on where it left off, with both clusters.
    let out = one.dir.path().join("campaign");
    let again = one.tollgate(&["run", "--resume", out.to_str().unwrap(), "--json"]);
    assert!(ended(&again), "{}", stderr(&again));
    assert_eq!(two.probes.lock().unwrap().len(), 6);
}

#[test]
fn contexts_that_lead_to_one_cluster_are_refused_and_problems_say_whose_they_are() {
    let (one, two) = (World::with_probes(), World::with_probes());
    contexts(&one, &[("one", &one), ("two", &one)]);
    let (output, ..) = ran(&one, &paths("count = 1", TWO), &[]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("context two leads to the cluster of another arm's"),
        "{told}"
    );
    contexts(&one, &[("one", &one), ("two", &two)]);
    two.double.deny("create", "secrets");
    let (output, ..) = ran(&one, &paths("count = 1", TWO), &[]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(
        told.contains("context two: no right to create secrets"),
        "{told}"
    );
    for world in [&one, &two] {
        world.assert_nothing_left();
        assert!(world.probes.lock().unwrap().is_empty());
    }
}

#[test]
fn paths_that_a_cluster_lacks_are_skipped_with_the_reason() {
    let world = World::with_probes();
    let arms = ["cluster-ip", "pod-ip-v6", "cluster-ip-v6", "other-zone"];
    let arms: Vec<&str> = arms.iter().flat_map(|&arm| ["--arm", arm]).collect();
    let out = world.dir.path().join("campaign");
    let mut command = world.command();
    command
        .args([
            "run",
            "quickstart",
            "--target",
            "cluster",
            "--json",
            "--rounds",
            "1",
        ])
        .args([
            "--slice",
            "40ms",
            "--warmup",
            "10ms",
            "--out",
            out.to_str().unwrap(),
        ])
        .args(arms);
    let output = command.output().unwrap();
    let told = stderr(&output);
    assert!(ended(&output), "{told}");
    for part in [
        "skipping pod-ip-v6: the pod has no IPv6 address; is the cluster dual-stack?",
        "skipping cluster-ip-v6: the service has no IPv6 address",
        "skipping other-zone: the nodes don't stand in two zones",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert_eq!(kept(&out).0["plan"]["skipped"].as_array().unwrap().len(), 3);
    world.assert_nothing_left();
}

/// A machine outside the cluster: an agent behind TLS, and the file that lets one in.
struct Outside {
    agent: Child,
    invitation: PathBuf,
}

impl Outside {
    fn at(dir: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let state = dir.join("outside");
        let mut agent = Command::new(probe())
            .args(["agent", "--listen", &port.to_string(), "--state-dir"])
            .arg(&state)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(agent.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let line = said.find(|line| line.contains("tollgate join")).unwrap();
        let mut words = line.split_whitespace();
        let fingerprint = words.find(|word| word.starts_with("sha256:")).unwrap();
        let token = fs::read_to_string(state.join("agent-token")).unwrap();
        let invitation = dir.join("invitation");
        fs::write(&invitation, format!("{port} {fingerprint} {token}")).unwrap();
        fs::set_permissions(&invitation, fs::Permissions::from_mode(0o600)).unwrap();
        Self { agent, invitation }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

#[test]
fn a_load_balancer_another_zone_and_a_machine_outside_are_paths_too() {
    let world = World::with_probes();
    world.double.offer(Offers {
        load_balancer: Some([127, 0, 0, 9].into()),
        ..Offers::default()
    });
    for (name, zone) in [("node1", "a"), ("node2", "b")] {
        let mut node = world.double.object("nodes", name).unwrap();
        node["metadata"]["labels"] = json!({"topology.kubernetes.io/zone": zone});
        world.double.put("nodes", node);
    }
    let outside = Outside::at(world.dir.path());
    let text = paths(
        "count = 1",
        "[arm.a.cluster]\npath = \"pod-ip\"\n[arm.zone.cluster]\npath = \"other-zone\"\n\
         [arm.balancer.cluster]\npath = \"load-balancer\"\n[arm.outside.cluster]\npath = \"external\"\n",
    );
    let nobody = ran(&world, &text, &[]).0;
    let told = stderr(&nobody);
    assert_eq!(nobody.status.code(), Some(2), "{told}");
    assert!(
        told.contains("arm `outside` leads to a machine outside"),
        "{told}"
    );
    let invitation = outside.invitation.to_str().unwrap();
    let (output, record, slices) = ran(&world, &text, &["--external", invitation]);
    let told = stderr(&output);
    assert!(ended(&output), "{told}");
    let measured: Vec<&Value> = slices
        .iter()
        .filter(|slice| slice["result"].get("measured").is_some())
        .collect();
    assert_eq!(measured.len(), 2 * 4, "{told}");
    let paths = &record["cluster"]["paths"];
    assert!(
        paths["balancer"]
            .as_str()
            .unwrap()
            .ends_with("127.0.0.9:7797"),
        "{paths}"
    );
    assert!(
        paths["outside"]
            .as_str()
            .unwrap()
            .contains("a machine outside"),
        "{paths}"
    );
    assert_eq!(record["cluster"]["placed"]["tollgate-zone"], "node2");
    let ends = record["installs"][0]["arms"]["zone"]["notes"][0]
        .as_str()
        .unwrap();
    assert!(
        ends.contains("client on node1 (zone a), server on node2 (zone b)"),
        "{ends}"
    );
    assert_eq!(world.double.faults(), Vec::<String>::new());
    world.assert_nothing_left();
}

#[test]
fn a_dual_stack_cluster_has_paths_of_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: no IPv6 on loopback here");
        return;
    }
    let mut status = running();
    status["podIPs"] = json!([{"ip": "127.0.0.1"}, {"ip": "::1"}]);
    status["hostIPs"] = json!([{"ip": "127.0.0.1"}, {"ip": "::1"}]);
    let world = World::with_probes_at(status);
    world.double.offer(Offers {
        dual_stack: true,
        ..Offers::default()
    });
    let text = paths(
        "count = 1",
        "[arm.a.cluster]\npath = \"pod-ip\"\n[arm.b]\nfamily = \"ipv6\"\ncluster = { path = \"pod-ip\" }\n\
         [arm.c]\nfamily = \"ipv6\"\ncluster = { path = \"cluster-ip\" }\n\
         [arm.d]\nfamily = \"ipv6\"\ncluster = { path = \"node-port\" }\n",
    );
    let (output, record, slices) = ran(&world, &text, &[]);
    let told = stderr(&output);
    assert!(ended(&output), "{told}");
    assert!(
        slices.len() == 2 * 4
            && slices
                .iter()
                .all(|slice| slice["result"].get("measured").is_some()),
        "{told}"
    );
    let paths = &record["cluster"]["paths"];
    for (arm, address) in [
        ("a", "127.0.0.1:7789"),
        ("b", "[::1]:7821"),
        ("c", "[::1]:7822"),
    ] {
        assert!(paths[arm].as_str().unwrap().ends_with(address), "{paths}");
    }
}
