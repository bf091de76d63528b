//! The whole way through a server that speaks the API: rights, objects, probes that come up or don't, ports, the end.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tollgate_cluster::api::{Cluster, ClusterErrorKind, Made};
use tollgate_cluster::double::{Double, Life, Offers};
use tollgate_cluster::inspect;
use tollgate_cluster::objects::rights::RIGHTS;
use tollgate_cluster::objects::{Run, Settings, load_balancer};
use tollgate_results::cluster::Aspect;

const LIMIT: Duration = Duration::from_secs(20);

fn settings() -> Settings {
    Settings {
        run: Some(Run {
            name: "test-1".to_owned(),
            owner: None,
        }),
        ..Settings::default()
    }
}

fn probes() -> Vec<String> {
    ["client", "near", "far"]
        .map(|role| format!("tollgate-{role}"))
        .to_vec()
}

/// Pods that come up at once.
fn well() -> Life {
    Box::new(|_, _| {
        json!({
            "phase": "Running", "hostIP": "127.0.0.1", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        })
    })
}

fn node(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "spec": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    })
}

/// A server with a namespace and two nodes.
async fn server(life: Life) -> (Double, Cluster) {
    let (double, address) = Double::start(life).await.unwrap();
    double.put(
        "namespaces",
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tollgate"}}),
    );
    for name in ["node1", "node2"] {
        double.put("nodes", node(name));
    }
    let config = kube::Config::new(format!("http://{address}").parse().unwrap());
    (double, Cluster::of(config, None).unwrap())
}

/// Makes a run.
async fn made(cluster: &Cluster, settings: Settings) -> Made {
    let begun = cluster.begin(settings).await.unwrap();
    cluster.make(begun, &"ab".repeat(32)).await.unwrap()
}

#[tokio::test]
async fn a_run_is_made_of_checked_objects_with_the_rights_of_the_role_and_leaves_nothing() {
    let (double, cluster) = server(well()).await;
    let found = cluster.preflight(&settings()).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    assert_eq!(found.version, "v1.34.0");
    let looked_at: Vec<_> = double.requests().into_iter().collect();

    let made = made(&cluster, settings()).await;
    assert_eq!(double.faults(), Vec::<String>::new());
    assert_eq!(made.service_addresses("tollgate-far").len(), 1);
    assert_eq!(made.node_port("tollgate-far-node-port", 7791), Some(7791));
    assert_eq!(made.node_port("tollgate-far-node-port", 7789), None);
    let placed = cluster.ready("test-1", &probes(), LIMIT).await.unwrap();
    assert_eq!(placed.len(), 3);
    let owner = made.settings.run.clone().unwrap().owner.unwrap();
    for pod in double.names("pods") {
        let pod = double.object("pods", &pod).unwrap();
        assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], owner.as_str());
        assert!(pod["spec"]["activeDeadlineSeconds"].as_i64().unwrap() > 0);
    }
    let second = cluster.preflight(&settings()).await.unwrap();
    assert_eq!(second.occupied.as_deref(), Some("test-1"));
    assert!(
        second.problems[0].contains("run test-1 stands in namespace tollgate"),
        "{second:?}"
    );

    let cleaned = cluster.clean(None).await.unwrap();
    assert_eq!(
        (cleaned.runs, cleaned.left),
        (vec!["test-1".to_owned()], vec![])
    );
    for kind in [
        "pods",
        "services",
        "secrets",
        "configmaps",
        "networkpolicies",
        "serviceaccounts",
    ] {
        assert_eq!(double.names(kind), Vec::<String>::new(), "{kind}");
    }
    assert_eq!(
        cluster.clean(None).await.unwrap().runs,
        Vec::<String>::new(),
        "nothing is no fault"
    );

    // Beside what is only looked at (and may be refused), nothing is done that the role doesn't name.
    let granted: Vec<(String, String)> = RIGHTS
        .iter()
        .flat_map(|right| {
            right
                .verbs
                .iter()
                .map(|verb| ((*verb).to_owned(), right.resource.to_owned()))
        })
        .collect();
    for request in double.requests() {
        assert!(
            granted.contains(&request) || looked_at.contains(&request),
            "{request:?}"
        );
    }
}

#[tokio::test]
async fn a_run_removes_itself_and_no_run_that_stands_there_by_then() {
    let (double, cluster) = server(well()).await;
    let first = made(&cluster, settings()).await;
    let owner = |made: &Made| made.settings.run.clone().unwrap().owner.unwrap();
    let error = cluster.begin(settings()).await.unwrap_err();
    let told = error.kind().to_string();
    assert!(
        told.contains("a run stands in namespace tollgate"),
        "{told}"
    );
    assert_eq!(
        double.names("pods").len(),
        3,
        "the first one stands as before"
    );

    // Somebody removes the first one and starts another of the same name.
    cluster.clean(None).await.unwrap();
    let second = made(&cluster, settings()).await;
    let cleaned = cluster.clean(Some(&owner(&first))).await.unwrap();
    assert_eq!((cleaned.runs, cleaned.left), (vec![], vec![]));
    assert_eq!(double.names("pods").len(), 3, "the second one stands");
    let cleaned = cluster.clean(Some(&owner(&second))).await.unwrap();
    assert_eq!(cleaned.runs, ["test-1"]);
    assert_eq!(double.names("pods"), Vec::<String>::new());
}

#[tokio::test]
async fn a_run_that_gets_no_token_goes_by_its_owner() {
    let (double, cluster) = server(well()).await;
    double.refuse("tollgate-token", "secrets are counted here");
    let begun = cluster.begin(settings()).await.unwrap();
    let owner = begun.run.clone().unwrap().owner.unwrap();
    let error = cluster.make(begun, &"ab".repeat(32)).await.unwrap_err();
    assert!(
        error.kind().to_string().contains("secrets are counted"),
        "{}",
        error.kind()
    );
    cluster.clean(Some(&owner)).await.unwrap();
    assert_eq!(double.names("configmaps"), Vec::<String>::new());
}

#[tokio::test]
async fn pods_of_a_run_that_is_over_are_told_before_the_next_and_by_cleaning() {
    let (double, cluster) = server(well()).await;
    made(&cluster, settings()).await;
    let mut pod = double.object("pods", "tollgate-near").unwrap();
    cluster.clean(None).await.unwrap();
    // Its node doesn't answer: the server keeps it until then.
    pod["metadata"]["ownerReferences"] = json!([]);
    pod["spec"]["nodeName"] = "node2".into();
    double.put("pods", pod);
    let told = cluster.preflight(&settings()).await.unwrap().problems;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("tollgate-near on node2"), "{told:?}");
    let cleaned = cluster.clean(None).await.unwrap();
    assert_eq!(cleaned.runs, Vec::<String>::new());
    assert!(cleaned.still_going().is_some());
}

#[tokio::test]
async fn everything_that_stands_against_a_run_is_told_at_once() {
    let (double, cluster) = server(well()).await;
    for (verb, resource) in [
        ("create", "secrets"),
        ("patch", "pods"),
        ("get", "pods/portforward"),
        ("list", "events"),
    ] {
        double.deny(verb, resource);
    }
    double.put("namespaces", json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "tollgate", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    }));
    double.put("resourcequotas", json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small", "namespace": "tollgate"},
        "spec": {"hard": {"pods": "3", "limits.cpu": "4"}}, "status": {"used": {"pods": "2"}},
    }));
    let wanted = Settings {
        host_network: true,
        nodes: Some(("node1".to_owned(), "node9".to_owned())),
        ..settings()
    };
    let found = cluster.preflight(&wanted).await.unwrap();
    let told = found.problems.join("\n");
    for part in [
        "no right to create secrets",
        "no right to patch pods",
        "no right to get pods/portforward",
        "no right to list events",
        "forbids probes in the nodes' network",
        "room for 1 more pods, a run needs 5",
        "CPU limit",
        "node node9",
    ] {
        assert!(told.contains(part), "{part} in:\n{told}");
    }
    assert_eq!(found.problems.len(), 8, "{told}");
    assert!(found.problems.iter().all(|problem| !problem.contains('\n')));
}

#[tokio::test]
async fn probes_that_don_t_come_up_are_told_with_the_reason() {
    let life: Life = Box::new(|name, _| match name {
        "tollgate-far" => json!({"phase": "Pending", "containerStatuses": [{
            "name": "probe", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ErrImageNeverPull", "message": "Container image \"x\" is not present"}},
        }]}),
        _ => json!({"phase": "Pending"}),
    });
    let (double, cluster) = server(life).await;
    double.put(
        "events",
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "tollgate"},
            "involvedObject": {"name": "tollgate-near"}, "type": "Warning",
            "message": "0/2 nodes are available", "lastTimestamp": "2026-11-22T20:00:00Z",
        }),
    );
    made(&cluster, settings()).await;
    let error = cluster.ready("test-1", &probes(), LIMIT).await.unwrap_err();
    let told = format!("{error}: {}", error.kind());
    assert!(
        told.contains("tollgate-far: ErrImageNeverPull: Container image"),
        "{told}"
    );
    assert!(
        told.contains("tollgate-near: not ready") && told.contains("0/2 nodes are available"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[tokio::test]
async fn a_probe_that_comes_up_late_or_is_deleted_is_seen_at_once() {
    let life: Life = Box::new(|_, _| json!({"phase": "Pending"}));
    let (double, cluster) = server(life).await;
    made(&cluster, settings()).await;
    let waiting = tokio::spawn({
        let cluster = cluster.clone();
        async move { cluster.ready("test-1", &probes(), LIMIT).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    for pod in probes() {
        let mut object = double.object("pods", &pod).unwrap();
        object["status"] = well()("", &Value::Null);
        double.put("pods", object);
    }
    assert_eq!(waiting.await.unwrap().unwrap().len(), 3);

    cluster.clean(None).await.unwrap();
    made(&cluster, settings()).await;
    let waiting = tokio::spawn({
        let cluster = cluster.clone();
        async move { cluster.ready("test-1", &probes(), LIMIT).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    double.remove_pod("tollgate", "tollgate-near");
    let error = waiting.await.unwrap().unwrap_err();
    assert!(
        error
            .kind()
            .to_string()
            .contains("tollgate-near: somebody deleted it"),
        "{}",
        error.kind()
    );
}

#[tokio::test]
async fn probes_that_stood_are_looked_at_again() {
    let (double, cluster) = server(well()).await;
    made(&cluster, settings()).await;
    let placed = cluster.ready("test-1", &probes(), LIMIT).await.unwrap();
    cluster.stand("test-1", &placed, LIMIT).await.unwrap();
    let told = async || {
        let error = cluster.stand("test-1", &placed, LIMIT).await.unwrap_err();
        assert!(
            matches!(error.kind(), ClusterErrorKind::Probes(_)),
            "{error}"
        );
        error.kind().to_string()
    };
    let mut pod = double.object("pods", "tollgate-near").unwrap();
    pod["status"]["podIPs"] = json!([{"ip": "127.0.0.7"}]);
    double.put("pods", pod);
    let moved = told().await;
    assert!(
        moved.contains("tollgate-near: it came up again with another address"),
        "{moved}"
    );
    double.remove_pod("tollgate", "tollgate-far");
    let gone = told().await;
    assert_eq!(
        gone,
        "tollgate-far: it is gone; somebody deleted it, or its node went away"
    );
    double.outage(true);
    let error = cluster.stand("test-1", &placed, LIMIT).await.unwrap_err();
    assert!(
        matches!(error.kind(), ClusterErrorKind::Unreachable(_)),
        "{}",
        error.kind()
    );
}

#[tokio::test]
async fn a_load_balancer_s_address_is_waited_for() {
    let (double, cluster) = server(well()).await;
    let wanted = Settings {
        load_balancer: true,
        ..settings()
    };
    let made = made(&cluster, wanted).await;
    let service = load_balancer(&made.settings);
    let soon = Duration::from_millis(10);
    assert_eq!(cluster.balanced(&service, soon).await.unwrap(), None);
    double.offer(Offers {
        load_balancer: Some([127, 0, 0, 9].into()),
        ..Offers::default()
    });
    let given = cluster.balanced(&service, LIMIT).await.unwrap();
    assert_eq!(given.as_deref(), Some("127.0.0.9"));
    assert_eq!(double.faults(), Vec::<String>::new());
}

#[tokio::test]
async fn a_port_is_forwarded_and_a_port_without_a_listener_refused() {
    let (double, cluster) = server(well()).await;
    made(&cluster, settings()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    double.forward("tollgate-far", 7788, listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 200_000];
        stream.read_exact(&mut bytes).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
    });
    let mut forward = cluster.forward("tollgate-far", 7788).await.unwrap();
    let sent: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    forward.stream.write_all(&sent).await.unwrap();
    let mut back = vec![0; sent.len()];
    forward.stream.read_exact(&mut back).await.unwrap();
    assert_eq!(back, sent);

    let refused = cluster.forward("tollgate-near", 7788).await.unwrap();
    let why = refused.refusal.await.unwrap();
    assert!(why.contains("connection refused"), "{why}");
    let error = cluster.forward("nobody", 7788).await.unwrap_err();
    assert!(
        error.to_string().contains("port 7788 of pod nobody"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_gathered_tells_the_network_and_what_may_not_be_read() {
    let (double, cluster) = server(well()).await;
    double.put("daemonsets", json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "kube-flannel-ds", "namespace": "kube-flannel"},
        "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "kube-flannel", "image": "flannel:v0.28.9"}]}}},
    }));
    double.put("configmaps", json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-flannel-cfg", "namespace": "kube-flannel"},
        "data": {"net-conf.json": "{\"Backend\": {\"Type\": \"host-gw\"}}"},
    }));
    double.deny("list", "services");
    let gathered = cluster.gather().await.unwrap();
    assert_eq!(gathered.refused, ["services may not be read"]);
    let facts = inspect(&gathered.snapshot);
    assert_eq!(facts.value(Aspect::Wire), Some("native"));
    assert_eq!(facts.value(Aspect::ServiceCount), None);
    assert_eq!(
        facts.value(Aspect::Policies),
        Some("0"),
        "none is not unknown"
    );
    assert_eq!(facts.value(Aspect::Nodes), Some("2 (2 ready)"));
    let secrets = double
        .requests()
        .into_iter()
        .filter(|(_, resource)| resource == "secrets");
    assert_eq!(secrets.count(), 0);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_in_one_line() {
    let config = kube::Config::new("http://127.0.0.1:9".parse().unwrap());
    let cluster = Cluster::of(config, None).unwrap();
    let error = cluster.preflight(&settings()).await.unwrap_err();
    let told = format!("{error}: {}", error.kind());
    assert!(
        told.contains("is the API server up") && told.contains("127.0.0.1:9"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
}
