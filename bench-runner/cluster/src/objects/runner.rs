//! The runner as a Job inside the cluster: its scenario from a config map, its results in a volume.
//!
//! It reaches the probes' agents as a runner outside does, by port-forward through the API server. Agents that it could
//! connect to directly would have to listen on their pods' addresses, with TLS and a hole in the policy; what is gained
//! isn't measured anyway, since nothing of it crosses a measured window.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, EmptyDirVolumeSource, PodSpec, PodTemplateSpec, Volume,
    VolumeMount,
};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::{Object, ROLE, Settings, cluster_wide, metadata, namespace, namespaced, pods, rights};

/// The image with both programs; its entry point is `tollgate`.
pub const IMAGE: &str = concat!("tollgate:", env!("CARGO_PKG_VERSION"));

/// The label that marks the runner's pod.
const RUNNER: &str = "runner";

/// The config map with the scenario.
const SCENARIO_MAP: &str = "tollgate-scenario";

/// Where the scenario lies in the container, and where results go.
pub const SCENARIO_DIR: &str = "/scenario";
/// The volume of the results.
pub const RESULTS_DIR: &str = "/results";

/// The scenario's file; its stem is the scenario's name.
pub const SCENARIO_FILE: &str = "in-cluster.toml";

/// The scenario that the config map holds until somebody puts another in its place.
pub const SCENARIO: &str = include_str!("runner/in-cluster.toml");

/// How long the pod stays after the campaign, so that its results can be copied out.
const HOLD: &str = "1h";

/// When the Job ends whatever it is at, in seconds: three hours are several times the scenario and its hold.
const DEADLINE: i64 = 3 * 3_600;

/// What a runner that is told to end has to remove its probes, in seconds.
const GRACE: i64 = 90;

/// Returns all that a runner inside the cluster needs: the namespace, its rights, its policy, its scenario, itself. The
/// probes it makes by itself.
#[must_use]
pub fn in_cluster(settings: &Settings) -> Vec<Object> {
    let mut objects = vec![cluster_wide(namespace(settings))];
    objects.extend(rights::of_runner(settings));
    objects.push(namespaced(policy(settings)));
    objects.push(namespaced(scenario(settings)));
    objects.push(namespaced(job(settings)));
    objects
}

/// Returns the Job.
fn job(settings: &Settings) -> Job {
    let file = format!("{SCENARIO_DIR}/{SCENARIO_FILE}");
    let out = format!("{RESULTS_DIR}/in-cluster");
    let args = [
        "run",
        &file,
        "--target",
        "cluster",
        "--namespace",
        &settings.namespace,
        "--image",
        &settings.image,
        "--out",
        &out,
        "--hold",
        HOLD,
    ];
    let own = Settings {
        image: IMAGE.to_owned(),
        ..settings.clone()
    };
    let pod = pods::pod(&own, rights::RUNNER, RUNNER, &args, &[]);
    let labels = pod.metadata.labels.clone();
    Job {
        metadata: metadata(settings, rights::RUNNER),
        spec: Some(JobSpec {
            active_deadline_seconds: Some(DEADLINE),
            // A campaign that failed is looked at, not tried until it works.
            backoff_limit: Some(0),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels,
                    ..ObjectMeta::default()
                }),
                spec: pod.spec.map(running),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}

/// Turns a probe's pod into the runner's: it may talk to the API server, and has its two volumes.
fn running(pod: PodSpec) -> PodSpec {
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let mut containers = pod.containers;
    for container in &mut containers {
        RUNNER.clone_into(&mut container.name);
        container.volume_mounts = Some(vec![
            mount("scenario", SCENARIO_DIR, true),
            mount("results", RESULTS_DIR, false),
        ]);
    }
    PodSpec {
        containers,
        // The Job's counts.
        active_deadline_seconds: None,
        automount_service_account_token: Some(true),
        restart_policy: Some("Never".to_owned()),
        service_account_name: Some(rights::RUNNER.to_owned()),
        termination_grace_period_seconds: Some(GRACE),
        volumes: Some(vec![
            Volume {
                name: "scenario".to_owned(),
                config_map: Some(ConfigMapVolumeSource {
                    name: SCENARIO_MAP.to_owned(),
                    ..ConfigMapVolumeSource::default()
                }),
                ..Volume::default()
            },
            Volume {
                name: "results".to_owned(),
                empty_dir: Some(EmptyDirVolumeSource {
                    // A hundred rounds of seven paths and three workloads take some 20 MiB.
                    size_limit: Some(Quantity("1Gi".to_owned())),
                    ..EmptyDirVolumeSource::default()
                }),
                ..Volume::default()
            },
        ]),
        ..pod
    }
}

fn scenario(settings: &Settings) -> ConfigMap {
    ConfigMap {
        metadata: metadata(settings, SCENARIO_MAP),
        data: Some(BTreeMap::from([(
            SCENARIO_FILE.to_owned(),
            SCENARIO.to_owned(),
        )])),
        ..ConfigMap::default()
    }
}

/// Returns the runner's policy, for namespaces that let nothing through by default: nobody may come in, and out it may by
/// TCP alone, since the API server's address and port are the distribution's to choose.
fn policy(settings: &Settings) -> NetworkPolicy {
    NetworkPolicy {
        metadata: metadata(settings, rights::RUNNER),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(LabelSelector {
                match_labels: Some([(ROLE.to_owned(), RUNNER.to_owned())].into()),
                ..LabelSelector::default()
            }),
            policy_types: Some(vec!["Ingress".to_owned(), "Egress".to_owned()]),
            ingress: None,
            egress: Some(vec![NetworkPolicyEgressRule {
                ports: Some(vec![NetworkPolicyPort {
                    protocol: Some("TCP".to_owned()),
                    ..NetworkPolicyPort::default()
                }]),
                to: None,
            }]),
        }),
    }
}
