//! The runner inside a cluster: as the Job of `k8s-manifests/overlays/in-cluster-runner` starts it, with the account of
//! its pod, and with the rights of its role alone.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tollgate_cluster::double::Double;
use tollgate_cluster::objects::rights::RIGHTS;
use tollgate_cluster::objects::runner;
use tollgate_cluster::objects::{Object, Settings};
use tollgate_probes::tls::{HTTP1, Identity};
use tollgate_scenarios::Scenario;

use crate::on_cluster::{World, pause};
use crate::support::{ended, is_root, stderr, tollgate};

/// What the pod's account shows to the API server.
const TOKEN: &str = "the-account-of-the-runner";

/// Puts what a kubelet mounts where programs look for it, in a mount namespace of its own: `$1` is the folder.
const IN_POD: &str = r#"
run=$(readlink -f /var/run) && mount -t tmpfs none "$run" && mkdir -p "$run/secrets/kubernetes.io" &&
ln -s "$1" "$run/secrets/kubernetes.io/serviceaccount" && shift && exec "$@""#;

/// An API server's TLS in front of a double.
struct Front {
    address: SocketAddr,
    identity: String,
    /// The first bytes of each connection.
    heads: Arc<Mutex<Vec<String>>>,
}

impl Front {
    fn before(double: SocketAddr) -> Self {
        let identity = Identity::generate(&["127.0.0.1"]).unwrap();
        let config = identity.server(&[HTTP1]).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let (acceptor, kept) = (acceptor.clone(), Arc::clone(&kept));
                    tokio::spawn(async move {
                        // A client that goes away is no fault.
                        let _ = carry(&acceptor, stream, double, &kept).await;
                    });
                }
            });
        });
        Self {
            address: receiver.recv().unwrap(),
            identity: identity.pem().to_owned(),
            heads,
        }
    }
}

async fn carry(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    double: SocketAddr,
    kept: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut head = vec![0; 4096];
    let read = stream.read(&mut head).await?;
    let text = String::from_utf8_lossy(&head[..read]).into_owned();
    kept.lock().unwrap().push(text);
    let mut behind = TcpStream::connect(double).await?;
    behind.write_all(&head[..read]).await?;
    copy_bidirectional(&mut stream, &mut behind).await?;
    Ok(())
}

fn object(kind: &str) -> Value {
    let objects = runner::in_cluster(&Settings::default());
    let mut found = objects
        .into_iter()
        .filter(|object: &Object| object.kind == kind);
    found.next().unwrap().value
}

/// Returns the arguments of the Job's container, with folders of this machine in the place of its volumes.
fn arguments(scenario: &Path, results: &Path) -> Vec<String> {
    let job = object("Job");
    let args = job
        .pointer("/spec/template/spec/containers/0/args")
        .unwrap();
    let replaced = |arg: &Value| {
        let arg = arg.as_str().unwrap();
        arg.replace(runner::SCENARIO_DIR, scenario.to_str().unwrap())
            .replace(runner::RESULTS_DIR, results.to_str().unwrap())
    };
    let mut args: Vec<String> = args.as_array().unwrap().iter().map(replaced).collect();
    let hold = args.iter().position(|arg| arg == "--hold").unwrap() + 1;
    "10ms".clone_into(&mut args[hold]);
    args
}

/// Returns a command below `unshare`, with a mount namespace of its own.
fn unshared() -> Command {
    let mut command = Command::new("unshare");
    command.arg("--mount").stdin(Stdio::null());
    if !is_root() {
        command.arg("--map-root-user");
    }
    command
}

/// Runs the Job's command in a pod; `None` where this machine has no mount namespaces.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn in_pod(world: &World, front: &Front, results: &Path) -> Option<Output> {
    let can = unshared()
        .args(["mount", "-t", "tmpfs", "none", "/mnt"])
        .output();
    if !can.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: no mount namespaces on this machine");
        return None;
    }
    let account = world.dir.path().join("account");
    let scenario = world.dir.path().join("scenario");
    for made in [&account, &scenario] {
        fs::create_dir_all(made).unwrap();
    }
    fs::write(account.join("token"), TOKEN).unwrap();
    fs::write(account.join("ca.crt"), &front.identity).unwrap();
    fs::write(account.join("namespace"), "tollgate").unwrap();
    let map = object("ConfigMap");
    let (name, text) = map["data"].as_object().unwrap().iter().next().unwrap();
    fs::write(scenario.join(name), text.as_str().unwrap()).unwrap();
    let mut command = unshared();
    command
        .args(["sh", "-c", IN_POD, "sh"])
        .arg(&account)
        .arg(env!("CARGO_BIN_EXE_tollgate"))
        .args(arguments(&scenario, results));
    // The last one counts.
    command.args(["--rounds", "2", "--slice", "60ms", "--warmup", "20ms"]);
    command.args(["--arm", "cluster-ip", "--json"]);
    command
        .env("KUBERNETES_SERVICE_HOST", front.address.ip().to_string())
        .env("KUBERNETES_SERVICE_PORT", front.address.port().to_string())
        .env("HOME", world.dir.path())
        .env_remove("KUBECONFIG");
    Some(command.output().unwrap())
}

fn granted() -> BTreeSet<(String, String)> {
    let pairs = RIGHTS.iter().flat_map(|right| {
        let of = |verb: &&str| ((*verb).to_owned(), right.resource.to_owned());
        right.verbs.iter().map(of).collect::<Vec<_>>()
    });
    pairs.collect()
}

#[test]
fn the_job_measures_with_the_rights_of_its_role_and_uses_each_of_them() {
    let world = World::with_probes();
    world.double.grant_only(granted());
    let front = Front::before(world.address);
    let results = world.dir.path().join("results");
    fs::create_dir_all(&results).unwrap();
    let Some(output) = in_pod(&world, &front, &results) else {
        return;
    };
    let told = stderr(&output);
    assert!(ended(&output), "{told}");
    assert!(told.contains("Staying for 10 ms"), "{told}");
    assert_eq!(world.double.faults(), Vec::<String>::new());
    world.assert_nothing_left();
    let record = fs::read(results.join("in-cluster/run.json")).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["plan"]["scenario"], "in-cluster");
    let server = record["cluster"]["server"].as_str().unwrap();
    assert!(
        server.starts_with(&format!("https://{}", front.address)),
        "{server}"
    );
    let bearer = format!("Bearer {TOKEN}");
    assert!(
        front
            .heads
            .lock()
            .unwrap()
            .iter()
            .any(|head| head.contains(&bearer))
    );

    // What it only needs when probes don't come up.
    let failing = World::new(|_, _, _| Box::new(|_, _| json!({"phase": "Pending"})));
    failing.double.grant_only(granted());
    let front = Front::before(failing.address);
    let double = failing.double.clone();
    let spoiling = std::thread::spawn(move || spoil(&double));
    let output = in_pod(&failing, &front, &failing.dir.path().join("results")).unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("ImagePullBackOff"),
        "{}",
        stderr(&output)
    );

    spoiling.join().unwrap();
    let mut used = world.double.requests();
    used.extend(failing.double.requests());
    for (verb, resource) in granted() {
        // A server asks for `create` too where what is applied isn't there yet, and before a port is forwarded.
        let implied = verb == "create"
            && ["patch", "get"]
                .iter()
                .any(|by| used.contains(&((*by).to_owned(), resource.clone())));
        assert!(
            implied || used.contains(&(verb.clone(), resource.clone())),
            "{verb} {resource} isn't used"
        );
    }
}

/// Lets an image be missing, once the runner watches the pods.
fn spoil(double: &Double) {
    let watched = ("watch".to_owned(), "pods".to_owned());
    for _ in 0..400 {
        if double.requests().contains(&watched) {
            break;
        }
        pause();
    }
    let mut pod = double.object("pods", "tollgate-far").unwrap();
    pod["status"] = pulled_back();
    double.put("pods", pod);
}

fn pulled_back() -> Value {
    json!({"phase": "Pending", "containerStatuses": [{
        "name": "probe", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}},
    }]})
}

#[test]
fn the_scenario_of_the_config_map_is_a_good_one() {
    let scenario = Scenario::parse(runner::SCENARIO_FILE, runner::SCENARIO).unwrap();
    assert_eq!(scenario.workloads.len(), 3);
}

#[test]
fn results_come_out_as_an_archive() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("in-cluster")).unwrap();
    fs::write(dir.path().join("in-cluster/run.json"), "{}").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", dir.path().join("elsewhere")).unwrap();
    let output = tollgate(&["cluster", "results", dir.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let mut files = BTreeSet::new();
    let mut archive = tar::Archive::new(&output.stdout[..]);
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        if entry.header().entry_type().is_symlink() {
            assert!(path.ends_with("elsewhere"), "{path}");
        } else if entry.header().entry_type().is_file() {
            files.insert(path);
        }
    }
    assert_eq!(files, ["results/in-cluster/run.json".to_owned()].into());
    let missing = tollgate(&["cluster", "results", "/nowhere"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(
        stderr(&missing).contains("`/nowhere` is no folder"),
        "{}",
        stderr(&missing)
    );
}
