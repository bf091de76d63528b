//! A mesh through a server that speaks the API: nodes that take probes and nodes that don't.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate_cluster::api::Cluster;
use tollgate_cluster::double::{Double, Life};
use tollgate_cluster::objects::rights::RIGHTS;
use tollgate_cluster::objects::{Run, Settings};

const LIMIT: Duration = Duration::from_secs(20);

fn node(name: &str, zone: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
        "spec": spec, "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    })
}

async fn server(life: Life) -> (Double, Cluster) {
    let (double, address) = Double::start(life).await.unwrap();
    double.put(
        "namespaces",
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tollgate"}}),
    );
    let config = kube::Config::new(format!("http://{address}").parse().unwrap());
    (double, Cluster::of(config, None).unwrap())
}

fn running() -> Value {
    json!({
        "phase": "Running", "hostIP": "127.0.0.1", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}],
        "conditions": [{"type": "Ready", "status": "True"}],
    })
}

#[tokio::test]
async fn every_node_is_surveyed_and_those_that_take_pods_get_one() {
    let life: Life = Box::new(|name, _| match name {
        "tollgate-mesh-1" => json!({"phase": "Pending", "containerStatuses": [{
            "name": "probe", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ErrImageNeverPull", "message": "Container image \"x\" is not present"}},
        }]}),
        _ => running(),
    });
    let (double, cluster) = server(life).await;
    let tainted = json!({"taints": [{"key": "gpu", "effect": "NoSchedule"}]});
    double.put("nodes", node("node3", "b", &json!({})));
    double.put("nodes", node("node1", "a", &json!({})));
    double.put("nodes", node("node2", "a", &tainted));
    let surveyed = cluster.survey().await.unwrap().unwrap();
    let told: Vec<_> = surveyed
        .iter()
        .map(|node| {
            (
                node.name.as_str(),
                node.zone.as_deref(),
                node.unable.is_some(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("node1", Some("a"), false),
            ("node2", Some("a"), true),
            ("node3", Some("b"), false)
        ]
    );

    let settings = Settings {
        run: Some(Run {
            name: "mesh-1".to_owned(),
            owner: None,
        }),
        ..Settings::default()
    };
    let found = cluster.preflight_for(&settings, 2).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    let looked_at = double.requests();
    let nodes = ["node1", "node3"].map(str::to_owned);
    let begun = cluster.begin(settings).await.unwrap();
    cluster
        .make_mesh(&begun, &"ab".repeat(32), &nodes)
        .await
        .unwrap();
    assert_eq!(double.faults(), Vec::<String>::new());
    let pods: Vec<String> = (0..2)
        .map(|place| format!("tollgate-mesh-{place}"))
        .collect();
    let stood = cluster.ready_or_not("mesh-1", &pods, LIMIT).await.unwrap();
    assert_eq!(stood.placed["tollgate-mesh-0"].node, "node1");
    assert!(stood.missing["tollgate-mesh-1"].contains("ErrImageNeverPull"));
    assert_eq!((stood.placed.len(), stood.missing.len()), (1, 1));
    cluster.clean(None).await.unwrap();
    for kind in [
        "pods",
        "secrets",
        "configmaps",
        "networkpolicies",
        "serviceaccounts",
    ] {
        assert_eq!(double.names(kind), Vec::<String>::new(), "{kind}");
    }
    // A mesh wants no right that a run doesn't.
    for (verb, resource) in double.requests().difference(&looked_at) {
        let granted = RIGHTS
            .iter()
            .any(|right| right.resource == resource && right.verbs.contains(&verb.as_str()));
        assert!(granted, "{verb} {resource}");
    }
}

#[tokio::test]
async fn nodes_that_may_not_be_read_are_unknown_and_no_error() {
    let (double, cluster) = server(Box::new(|_, _| running())).await;
    double.deny("list", "nodes");
    assert_eq!(cluster.survey().await.unwrap(), None);
}
