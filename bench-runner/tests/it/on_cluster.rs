//! `--target cluster` through a server that speaks the API, with real probes behind its port-forward.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate_cluster::double::{Double, Life};
use tollgate_cluster::objects::rights::RIGHTS;

use crate::support::{ended, is_root, probe, stderr, stdout};

/// A cluster in this process, whose pods are probes on this machine.
pub(crate) struct World {
    pub(crate) double: Double,
    pub(crate) dir: TempDir,
    /// Where its server listens, in plain text.
    pub(crate) address: SocketAddr,
    pub(crate) probes: Probes,
}

/// The probes that run, by their pods' names.
pub(crate) type Probes = Arc<Mutex<Vec<(String, Child)>>>;

impl Drop for World {
    fn drop(&mut self) {
        for (_, child) in self.probes.lock().unwrap().iter_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl World {
    /// Starts a server whose pods come up as told.
    pub(crate) fn new(life: impl FnOnce(&Path, &Probes, &Arc<OnceLock<Double>>) -> Life) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let probes = Probes::default();
        let itself = Arc::new(OnceLock::new());
        let life = life(dir.path(), &probes, &itself);
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                sender.send(Double::start(life).await.unwrap()).unwrap();
                std::future::pending::<()>().await;
            });
        });
        let (double, address) = receiver.recv().unwrap();
        itself.set(double.clone()).unwrap();
        double.put(
            "namespaces",
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tollgate"}}),
        );
        for name in ["node1", "node2"] {
            double.put(
                "nodes",
                json!({
                    "apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {},
                    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
                }),
            );
        }
        fs::write(dir.path().join("kubeconfig"), kubeconfig(address)).unwrap();
        Self {
            double,
            dir,
            address,
            probes,
        }
    }

    /// Starts a server whose pods are probes.
    pub(crate) fn with_probes() -> Self {
        Self::with_probes_at(running())
    }

    /// The same with this status of each pod.
    pub(crate) fn with_probes_at(status: Value) -> Self {
        Self::with_probes_by(move |_| status.clone())
    }

    /// The same with the status that each pod's name has.
    pub(crate) fn with_probes_by(status: impl Fn(&str) -> Value + Send + Sync + 'static) -> Self {
        Self::new(|dir, probes, itself| {
            let (dir, probes, itself) = (dir.to_owned(), Arc::clone(probes), Arc::clone(itself));
            Box::new(move |name, _| {
                let double: &Double = itself.get().unwrap();
                let secret = double.object("secrets", "tollgate-token").unwrap();
                let token = secret["stringData"]["token"].as_str().unwrap();
                let mut probes = probes.lock().unwrap();
                // Where a pod of this name stood, it is gone by now.
                for (_, child) in probes.iter_mut().filter(|(pod, _)| pod == name) {
                    let _ = child.kill();
                    let _ = child.wait();
                }
                let (child, address) = start_probe(&dir, name, token);
                double.forward(name, 7788, address);
                probes.push((name.to_owned(), child));
                status(name)
            })
        })
    }

    /// Ends a pod and its probe, as somebody who deletes it does.
    pub(crate) fn delete_pod(&self, name: &str) {
        let mut probes = self.probes.lock().unwrap();
        for (_, child) in probes.iter_mut().filter(|(pod, _)| pod == name) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        self.double.remove_pod("tollgate", name);
    }

    pub(crate) fn tollgate(&self, args: &[&str]) -> Output {
        let mut command = self.command();
        command.args(args).output().unwrap()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.env("KUBECONFIG", self.dir.path().join("kubeconfig"));
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, more: &[&str]) -> (Output, PathBuf) {
        let out = self.dir.path().join("campaign");
        let quick = [
            "--rounds", "2", "--slice", "60ms", "--warmup", "20ms", "--json", "--out",
        ];
        let mut command = self.command();
        command
            .args(["run", "quickstart", "--target", "cluster"])
            .args(quick)
            .arg(&out)
            .args(more);
        (command.output().unwrap(), out)
    }

    /// Nothing but the role's rights was used, and looking at what may be looked at.
    pub(crate) fn assert_rights_kept(&self) {
        for (verb, resource) in self.double.requests() {
            let granted = RIGHTS
                .iter()
                .any(|right| right.resource == resource && right.verbs.contains(&verb.as_str()));
            let looks = verb == "get" || verb == "list";
            assert!(granted || looks, "{verb} {resource}");
            let writes = resource == "secrets" && verb != "patch";
            assert!(!writes, "{verb} {resource}");
        }
    }

    pub(crate) fn assert_nothing_left(&self) {
        for kind in [
            "pods",
            "services",
            "secrets",
            "configmaps",
            "networkpolicies",
            "serviceaccounts",
        ] {
            // The cluster's own stays.
            let mut left = self.double.names(kind);
            left.retain(|name| !name.starts_with("kube-"));
            assert_eq!(left, Vec::<String>::new(), "{kind}");
        }
    }
}

fn kubeconfig(address: SocketAddr) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "test", "user": {}}],
    })
    .to_string()
}

pub(crate) fn running() -> Value {
    json!({
        "phase": "Running", "hostIP": "127.0.0.1", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}],
        "conditions": [{"type": "Ready", "status": "True"}],
    })
}

/// Returns a command that runs a program with the `hosts` and `resolv.conf` of this folder in the place of the machine's.
fn with_names(etc: &Path) -> Command {
    let mut command = Command::new("unshare");
    if !is_root() {
        command.arg("--map-root-user");
    }
    let mount = r#"for file in hosts resolv.conf; do mount --bind "$0/$file" "/etc/$file" || exit; done; exec "$@""#;
    command.args(["--mount", "sh", "-c", mount]).arg(etc);
    command
}

/// Has pods resolve names by this text as a kubelet's `hosts`, and by no DNS server. Returns whether this machine can.
pub(crate) fn names(world: &World, hosts: &str) -> bool {
    let etc = world.dir.path().join("etc");
    fs::create_dir(&etc).unwrap();
    fs::write(etc.join("hosts"), hosts).unwrap();
    // Nobody answers there, which is told at once.
    fs::write(
        etc.join("resolv.conf"),
        "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    )
    .unwrap();
    let tried = with_names(&etc).arg("true").output();
    tried.is_ok_and(|tried| tried.status.success())
}

/// Starts an agent as a pod does, and returns where it listens.
pub(crate) fn start_probe(dir: &Path, name: &str, token: &str) -> (Child, SocketAddr) {
    let file = dir.join(format!("{name}.token"));
    fs::write(&file, token).unwrap();
    let etc = dir.join("etc");
    let mut command = if etc.exists() {
        let mut command = with_names(&etc);
        command.arg(probe());
        command
    } else {
        Command::new(probe())
    };
    let mut child = command
        .args([
            "agent",
            "--listen",
            "127.0.0.1:0",
            "--plain",
            "--token-file",
        ])
        .arg(&file)
        .arg("--state-dir")
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let line = said.into_iter().find(|line| line.contains("echo")).unwrap();
    let address = line
        .split(['\'', '"'])
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    (child, address.parse().unwrap())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test waits for another process"
)]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

#[test]
fn a_campaign_runs_on_a_cluster_and_leaves_nothing() {
    let world = World::with_probes();
    let (output, out) = world.run(&[
        "--arm",
        "cluster-ip",
        "--arm",
        "node-port",
        "--arm",
        "hairpin",
    ]);
    let told = stderr(&output);
    assert!(ended(&output), "{told}");
    assert_eq!(world.double.faults(), Vec::<String>::new());
    world.assert_nothing_left();
    let record: Value = serde_json::from_slice(&fs::read(out.join("run.json")).unwrap()).unwrap();
    assert_eq!(record["target"], "cluster");
    let cluster = &record["cluster"];
    assert!(
        cluster["paths"]["pod-ip"]
            .as_str()
            .unwrap()
            .contains("pod to pod on another node: 127.0.0.1:7789")
    );
    assert!(
        cluster["paths"]["node-port"]
            .as_str()
            .unwrap()
            .contains("127.0.0.1:7791")
    );
    assert_eq!(
        cluster["network"]["findings"]["nodes"]["value"],
        "2 (2 ready)"
    );
    assert_eq!(cluster["placed"]["tollgate-far"], "node2");
    assert_eq!(
        world.probes.lock().unwrap().len(),
        3,
        "the pods of the first install are those that were met"
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(
        report.to_string().contains("The cluster as its API tells"),
        "{report}"
    );
    let html = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(html.contains("pod to ClusterIP, itself"));
    let measured = fs::read_to_string(out.join("slices.jsonl")).unwrap();
    let slices: Vec<Value> = measured
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let arms: BTreeSet<String> = slices
        .iter()
        .map(|slice| slice["key"]["arm"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        arms,
        ["cluster-ip", "hairpin", "node-port", "pod-ip"]
            .map(str::to_owned)
            .into()
    );
    assert!(
        slices
            .iter()
            .all(|slice| slice["result"].get("measured").is_some()),
        "{measured}"
    );
    world.assert_rights_kept();
    // The report comes out of the folder again.
    let again = world.tollgate(&["report", out.to_str().unwrap(), "--json"]);
    assert_eq!(stdout(&again), stdout(&output));
}

#[test]
fn what_stands_against_a_run_is_told_before_anything_is_made() {
    let world = World::new(|_, _, _| Box::new(|_, _| running()));
    world.double.deny("create", "secrets");
    world.double.deny("get", "pods/portforward");
    let (output, out) = world.run(&[]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(
        told.contains("no right to create secrets")
            && told.contains("no right to get pods/portforward"),
        "{told}"
    );
    assert!(!out.exists());
    world.assert_nothing_left();
    let check = world.tollgate(&["cluster", "check"]);
    assert_eq!(check.status.code(), Some(4));
    assert!(stderr(&check).contains("no right to create secrets"));
    let missing = world.tollgate(&["cluster", "check", "--namespace", "nowhere"]);
    assert!(
        stderr(&missing).contains("kubectl create namespace nowhere"),
        "{}",
        stderr(&missing)
    );
    let other = world.tollgate(&["cluster", "check", "--context", "nowhere"]);
    assert_eq!(other.status.code(), Some(2), "{}", stderr(&other));
}

#[test]
fn probes_that_don_t_come_up_end_a_run_with_their_reason_and_are_removed() {
    let world = World::new(|_, _, _| {
        Box::new(|_, _| {
            json!({"phase": "Pending", "containerStatuses": [{
                "name": "probe", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}},
            }]})
        })
    });
    let (output, out) = world.run(&[]);
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(
        told.contains("tollgate-client: ImagePullBackOff: Back-off pulling image"),
        "{told}"
    );
    assert!(!out.exists());
    world.assert_nothing_left();
}

#[test]
fn what_a_killed_runner_left_is_cleaned() {
    let world = World::with_probes();
    let out = world.dir.path().join("killed");
    let mut command = world.command();
    command
        .args([
            "run",
            "quickstart",
            "--target",
            "cluster",
            "--arm",
            "cluster-ip",
            "--out",
        ])
        .arg(&out);
    let mut runner = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..200 {
        let begun =
            fs::read_to_string(out.join("slices.jsonl")).is_ok_and(|slices| !slices.is_empty());
        if begun {
            break;
        }
        pause();
    }
    runner.kill().unwrap();
    runner.wait().unwrap();
    assert_eq!(world.double.names("pods").len(), 3);
    let check = world.tollgate(&["cluster", "check"]);
    assert!(
        stderr(&check).contains("tollgate cluster clean"),
        "{}",
        stderr(&check)
    );
    let clean = world.tollgate(&["cluster", "clean"]);
    assert!(
        stdout(&clean).contains("Removed quickstart-"),
        "{}",
        stderr(&clean)
    );
    world.assert_nothing_left();
    let again = world.tollgate(&["cluster", "clean"]);
    assert_eq!(stdout(&again), "No run stands in namespace tollgate.\n");
}

#[test]
fn who_interrupts_while_probes_come_up_leaves_nothing() {
    let world = World::with_probes_at(json!({"phase": "Pending"}));
    let out = world.dir.path().join("interrupted");
    let mut command = world.command();
    command
        .args(["run", "quickstart", "--target", "cluster", "--out"])
        .arg(&out);
    let runner = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..200 {
        if world.double.names("pods").len() == 3 {
            break;
        }
        pause();
    }
    assert_eq!(world.double.names("pods").len(), 3);
    let pid = Pid::from_raw(runner.id().try_into().unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    let ended = runner.wait_with_output().unwrap();
    let told = stderr(&ended);
    assert_eq!(ended.status.code(), Some(130), "{told}");
    assert!(
        told.contains("interrupted before anything was measured"),
        "{told}"
    );
    assert!(!out.exists());
    world.assert_nothing_left();
}

#[test]
fn a_live_cluster_is_inspected() {
    let world = World::new(|_, _, _| Box::new(|_, _| running()));
    world.double.put("daemonsets", json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
        "spec": {"selector": {}, "template": {"spec": {"containers": [
            {"name": "kube-proxy", "image": "kube-proxy:v1.34.0", "command": ["kube-proxy", "--proxy-mode=nftables"]},
        ]}}},
    }));
    world.double.deny("list", "nodes");
    let output = world.tollgate(&["cluster", "inspect"]);
    let told = stdout(&output);
    assert!(told.contains("nftables"), "{told}{}", stderr(&output));
    assert!(stderr(&output).contains("nodes may not be read"));
}
