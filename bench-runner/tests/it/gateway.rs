//! `tollgate run gateway-split --target cluster`: real backends behind a weighted proxy that stands for a gateway, with the
//! objects going through a server that speaks the API.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener as StdListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tollgate_cluster::double::{Double, GATEWAY_ADDRESS};
use tollgate_cluster::objects::rights::{GATEWAY_RIGHTS, RIGHTS};

use crate::on_cluster::{World, running, start_probe};
use crate::support::{ended, probe, stderr, stdout};

/// Backends by their addresses on this machine; the client is at 127.0.0.1.
const STABLE: &str = "127.0.0.2";
const CANARY: &str = "127.0.0.3";

/// Takes the gateway's address; `None` where this machine gives port 80 to nobody else.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn port() -> Option<StdListener> {
    match StdListener::bind((GATEWAY_ADDRESS, 80)) {
        Ok(listener) => Some(listener),
        Err(error) => {
            eprintln!("SKIPPED: no port 80 on {GATEWAY_ADDRESS}: {error}");
            None
        }
    }
}

/// Hands every connection on: one of so many to the canary, in turn, so that no test hangs on luck.
fn proxy(listener: StdListener, one_of: usize) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            listener.set_nonblocking(true).unwrap();
            let listener = TcpListener::from_std(listener).unwrap();
            for number in 1_usize.. {
                let (mut near, _) = listener.accept().await.unwrap();
                let backend = if number.is_multiple_of(one_of) {
                    CANARY
                } else {
                    STABLE
                };
                tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect((backend, 7789)).await {
                        // Who goes away is no fault.
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
    });
}

/// Starts a backend as its pod does, with its arguments but for the address.
fn backend(pod: &Value, address: &str) -> Child {
    let args = pod.pointer("/spec/containers/0/args").unwrap();
    let args = args
        .as_array()
        .unwrap()
        .iter()
        .map(|arg| match arg.as_str().unwrap() {
            "0.0.0.0" => address,
            arg => arg,
        });
    let mut child = Command::new(probe())
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let out = child.stdout.as_mut().unwrap();
    BufReader::new(out).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on"), "{line}");
    child
}

fn at(address: &str) -> Value {
    let mut status = running();
    status["podIP"] = address.into();
    status["podIPs"] = json!([{"ip": address}]);
    status
}

/// A cluster with a class of gateways, whose pods are backends and a client.
fn world() -> World {
    let world = World::new(|dir, probes, itself| {
        let (dir, probes, itself) = (dir.to_owned(), Arc::clone(probes), Arc::clone(itself));
        Box::new(move |name, pod| {
            let address = match name {
                "tollgate-stable" => STABLE,
                "tollgate-canary" => CANARY,
                _ => {
                    let double: &Double = itself.get().unwrap();
                    let secret = double.object("secrets", "tollgate-token").unwrap();
                    let token = secret["stringData"]["token"].as_str().unwrap();
                    let (child, address) = start_probe(&dir, name, token);
                    double.forward(name, 7788, address);
                    probes.lock().unwrap().push((name.to_owned(), child));
                    return running();
                }
            };
            let served = (name.to_owned(), backend(pod, address));
            probes.lock().unwrap().push(served);
            at(address)
        })
    });
    world.double.put("gatewayclasses", class("tests", "True"));
    world
}

fn class(name: &str, accepted: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": name},
        "spec": {"controllerName": "example.org/tests"},
        "status": {"conditions": [{"type": "Accepted", "status": accepted, "message": "no controller"}]},
    })
}

fn run(world: &World, slice: &str, more: &[&str]) -> (Output, PathBuf) {
    let out = world.dir.path().join("campaign");
    let mut args = vec![
        "run",
        "gateway-split",
        "--target",
        "cluster",
        "--rounds",
        "2",
    ];
    args.extend(["--slice", slice, "--warmup", "20ms", "--json", "--out"]);
    args.push(out.to_str().unwrap());
    args.extend(more);
    let output = world.tollgate(&args);
    drop(args);
    (output, out)
}

fn splits(report: &Value, workload: &str) -> Value {
    let splits = report["splits"].as_array().unwrap().iter();
    let mut found = splits.filter(|splits| splits["workload"] == workload);
    found.next().unwrap().clone()
}

#[test]
fn a_gateway_that_splits_as_declared_is_judged_with_its_toll_and_leaves_nothing() {
    let Some(listener) = port() else { return };
    proxy(listener, 10);
    let world = world();
    let (output, out) = run(&world, "400ms", &[]);
    let told = stderr(&output);
    assert!(ended(&output), "{told}");
    assert!(
        told.contains("wants 3786 requests on new connections"),
        "{told}"
    );
    assert_eq!(world.double.faults(), Vec::<String>::new());
    world.assert_nothing_left();
    for kind in ["gateways", "httproutes"] {
        assert_eq!(world.double.names(kind), Vec::<String>::new(), "{kind}");
    }
    if output.status.code() != Some(0) {
        return; // A busy machine: its rounds were dropped, and their requests with them.
    }
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_all_measured(&report);
    if splits(&report, "new")["split"]["requests"] == 0 {
        return; // As above.
    }
    assert_judged(&report);
    assert_recorded(&world, &out);
    // The reports say it in words, and come out of the folder again.
    let markdown = fs::read_to_string(out.join("report.md")).unwrap();
    assert!(
        markdown.contains("of 90.0 %") && markdown.contains("Backends of gateway"),
        "{markdown}"
    );
    let again = world.tollgate(&["report", out.to_str().unwrap(), "--json"]);
    assert_eq!(stdout(&again), stdout(&output));
}

/// No slice failed. Rounds may have been dropped.
fn assert_all_measured(report: &Value) {
    let mut answers = report["answers"].as_array().unwrap().iter();
    let failed = answers.find(|answer| {
        let text = answer["text"].as_str().unwrap();
        text.contains("could not be measured")
    });
    assert_eq!(failed, None);
}

/// The report judges the split, and times each backend.
fn assert_judged(report: &Value) {
    let new = splits(report, "new");
    let verdict = new["split"]["verdict"].as_str().unwrap();
    assert!(["as-declared", "insufficient"].contains(&verdict), "{new}");
    assert_eq!(new["split"]["strangers"], 0);
    let shares = new["split"]["shares"].as_array().unwrap();
    assert_eq!(
        (&shares[0]["name"], &shares[1]["name"]),
        (&json!("canary"), &json!("stable"))
    );
    assert!(
        shares
            .iter()
            .all(|share| share["hits"].as_u64().unwrap() > 0),
        "{new}"
    );
    let timed: Vec<u64> = new["latencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| of["replies"].as_u64().unwrap())
        .collect();
    let hits: Vec<u64> = shares
        .iter()
        .map(|share| share["hits"].as_u64().unwrap())
        .collect();
    assert_eq!(timed, hits, "every reply is timed by its backend");
    // One connection in each slice, all of whose requests went one way.
    let kept = splits(report, "kept");
    assert!(
        kept["split"]["clustered"]["groups"].as_u64().unwrap() <= 2,
        "{kept}"
    );
    let cells = report["cells"].as_array().unwrap();
    assert!(
        cells
            .iter()
            .any(|cell| cell["arm"] == "gateway" && cell["reference"] == "direct")
    );
}

/// The campaign's record says what stood, made with no more than the runner's rights.
fn assert_recorded(world: &World, out: &Path) {
    let record: Value = serde_json::from_slice(&fs::read(out.join("run.json")).unwrap()).unwrap();
    let cluster = &record["cluster"];
    assert_eq!(cluster["gateway"]["class"], "tests");
    assert_eq!(cluster["gateway"]["controller"], "example.org/tests");
    assert_eq!(
        cluster["gateway"]["weights"],
        json!({"canary": 10, "stable": 90})
    );
    let path = |arm: &str| cluster["paths"][arm].as_str().unwrap().to_owned();
    assert!(
        path("direct").ends_with(&format!("{STABLE}:7789")),
        "{}",
        path("direct")
    );
    assert!(
        path("gateway").ends_with(&format!("{GATEWAY_ADDRESS}:80")),
        "{}",
        path("gateway")
    );
    let granted: BTreeSet<(String, String)> = RIGHTS
        .iter()
        .chain(&GATEWAY_RIGHTS)
        .flat_map(|right| {
            right
                .verbs
                .iter()
                .map(|verb| ((*verb).to_owned(), right.resource.to_owned()))
        })
        .collect();
    for (verb, resource) in world.double.requests() {
        let looks = verb == "get" || verb == "list";
        assert!(
            looks || granted.contains(&(verb.clone(), resource.clone())),
            "{verb} {resource}"
        );
    }
}

#[test]
fn a_gateway_that_splits_otherwise_is_off() {
    let Some(listener) = port() else { return };
    proxy(listener, 2);
    let world = world();
    let (output, _) = run(&world, "200ms", &["--gateway-class", "tests"]);
    assert!(ended(&output), "{}", stderr(&output));
    if output.status.code() != Some(0) {
        return; // A busy machine: its rounds were dropped, and their requests with them.
    }
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_all_measured(&report);
    let new = splits(&report, "new");
    if new["split"]["requests"] == 0 {
        return; // As above.
    }
    assert_eq!(new["split"]["verdict"], "off", "{new}");
    let first = report["answers"][0]["text"].as_str().unwrap();
    assert!(
        first.contains("does not split requests as its weights say"),
        "{first}"
    );
}

#[test]
fn what_stands_against_a_split_is_told_before_anything_is_made() {
    let world = World::new(|_, _, _| Box::new(|_, _| running()));
    let told = |more: &[&str]| {
        let (output, out) = run(&world, "100ms", more);
        assert!(!out.exists());
        world.assert_nothing_left();
        (output.status.code(), stderr(&output))
    };
    let (code, none) = told(&[]);
    assert_eq!(code, Some(4), "{none}");
    assert!(
        none.contains("no GatewayClass is there: install a controller"),
        "{none}"
    );
    world.double.put("gatewayclasses", class("one", "True"));
    world.double.put("gatewayclasses", class("two", "False"));
    world.double.deny("patch", "httproutes");
    let (_, several) = told(&[]);
    assert!(
        several.contains("choose one with --gateway-class: one, two"),
        "{several}"
    );
    assert!(
        several.contains("no right to patch httproutes"),
        "{several}"
    );
    let (_, late) = told(&["--gateway-class", "two"]);
    assert!(
        late.contains("GatewayClass two: not Accepted: no controller"),
        "{late}"
    );
    let (code, reference) = told(&["--reference", "gateway"]);
    assert_eq!(code, Some(2), "{reference}");
    assert!(
        reference.contains("compared with the direct path"),
        "{reference}"
    );
    let lab = world.tollgate(&["run", "gateway-split"]);
    assert_eq!(lab.status.code(), Some(2));
    assert!(
        stderr(&lab).contains("tollgate run gateway-split --target cluster"),
        "{}",
        stderr(&lab)
    );
}
