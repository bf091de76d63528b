//! What is said of pods that don't come up.

use serde_json::json;

use super::*;

fn of(status: &Value) -> State {
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "node1", "containers": []}, "status": status});
    state(&serde_json::from_value(pod).unwrap())
}

fn container(state: &Value) -> Value {
    json!({"phase": "Pending", "containerStatuses": [{
        "name": "probe", "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": state,
    }]})
}

#[test]
fn a_probe_that_runs_has_a_place() {
    let ready = of(&json!({
        "phase": "Running", "hostIP": "192.0.2.1", "podIP": "10.0.0.9",
        "podIPs": [{"ip": "10.0.0.9"}, {"ip": "fd00::9"}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }));
    let State::Ready(placed) = ready else {
        panic!("{ready:?}")
    };
    assert_eq!(placed.node, "node1");
    assert_eq!(placed.addresses.len(), 2);
    assert_eq!(placed.node_addresses, [IpAddr::from([192, 0, 2, 1])]);
}

#[test]
fn what_won_t_mend_itself_fails_with_its_reason() {
    for (reason, message) in [
        (
            "ImagePullBackOff",
            "Back-off pulling image \"tollgate-probe:0.1.0\"",
        ),
        (
            "CreateContainerConfigError",
            "secret \"tollgate-token\" not found",
        ),
    ] {
        let found = of(&container(
            &json!({"waiting": {"reason": reason, "message": message}}),
        ));
        assert_eq!(found, State::Failed(format!("{reason}: {message}")));
    }
    let found = of(
        &json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory.\nmore"}),
    );
    assert_eq!(
        found,
        State::Failed("Evicted: The node was low on memory.".to_owned())
    );
    let mut crashing = container(&json!({"waiting": {"reason": "CrashLoopBackOff"}}));
    crashing["containerStatuses"][0]["lastState"] = json!({"terminated": {"exitCode": 2}});
    let State::Failed(why) = of(&crashing) else {
        panic!("a crash is a failure")
    };
    assert_eq!(why, "CrashLoopBackOff; it ended with exit code 2");
}

#[test]
fn what_may_come_is_waited_for() {
    let found = of(&container(
        &json!({"waiting": {"reason": "ContainerCreating"}}),
    ));
    assert_eq!(found, State::Waiting("ContainerCreating".to_owned()));
    let found = of(&json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes are available",
    }]}));
    assert_eq!(found, State::Waiting("0/2 nodes are available".to_owned()));
    assert!(matches!(of(&json!({})), State::Waiting(_)));
}
