//! The service proxy of Kubernetes itself: its mode.

use k8s_openapi::api::core::v1::{Container, Pod};
use serde::Deserialize;
use tollgate_results::cluster::Finding;

use super::{Settings, containers, daemon_set};
use crate::snapshot::Snapshot;

/// What is read of kube-proxy's own configuration.
#[derive(Debug, Deserialize)]
struct Configuration {
    #[serde(default)]
    mode: String,
}

/// Finds kube-proxy as a daemon set, as kubeadm and most distributions run it, or as static pods.
pub(super) fn find(snapshot: &Snapshot) -> Option<Finding> {
    if let Some(set) = snapshot.daemon_set(&["kube-proxy"]) {
        let flag = mode_flag(containers(set));
        return Some(mode(snapshot, &daemon_set(set), flag));
    }
    let pod = snapshot.pods.iter().find(|pod| is_proxy(pod))?;
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let spec = pod.spec.as_ref();
    let flag = mode_flag(spec.map_or(&[], |spec| &spec.containers));
    Some(mode(snapshot, &format!("static pod {name}"), flag))
}

/// The flag goes before the configuration's file, as in kube-proxy itself where no file is given.
fn mode(snapshot: &Snapshot, whence: &str, flag: Option<String>) -> Finding {
    if let Some(flag) = flag {
        return named(&flag, format!("{whence}: --proxy-mode={flag}"));
    }
    let settings = Settings::of(snapshot, "kube-proxy");
    let Some(text) = settings.get("config.conf") else {
        return Finding::unknown(format!(
            "{whence} runs; its mode is in the config map {}, which was not read",
            settings.name
        ));
    };
    match serde_saphyr::from_str::<Configuration>(text) {
        Ok(configuration) => named(
            &configuration.mode,
            format!(
                "config map {}: config.conf: mode = {:?}",
                settings.name, configuration.mode
            ),
        )
        .and(format!("{whence} runs")),
        Err(error) => Finding::unknown(format!(
            "config map {}: config.conf can't be read: {}",
            settings.name,
            error.to_string().lines().next().unwrap_or_default()
        )),
    }
}

fn named(mode: &str, evidence: String) -> Finding {
    match mode {
        "" => Finding::implied("iptables", evidence).and("the default on Linux"),
        "iptables" | "nftables" | "ipvs" => Finding::stated(mode, evidence),
        _ => Finding::unknown(format!("{evidence}, a mode that this version doesn't know")),
    }
}

/// Returns what `--proxy-mode` says, as one word or two.
fn mode_flag(containers: &[Container]) -> Option<String> {
    let words = containers.iter().flat_map(|container| {
        let command = container.command.iter().flatten();
        command.chain(container.args.iter().flatten())
    });
    // Managed clusters run it below a shell, in one line.
    let mut words = words.flat_map(|word| word.split_whitespace());
    while let Some(word) = words.next() {
        if let Some(mode) = word.strip_prefix("--proxy-mode=") {
            return Some(mode.to_owned());
        }
        if word == "--proxy-mode" {
            return words.next().map(ToOwned::to_owned);
        }
    }
    None
}

fn is_proxy(pod: &Pod) -> bool {
    let labels = pod.metadata.labels.as_ref();
    let says = |key: &str| {
        labels
            .and_then(|labels| labels.get(key))
            .map(String::as_str)
    };
    let system = pod.metadata.namespace.as_deref() == Some("kube-system");
    system && (says("k8s-app") == Some("kube-proxy") || says("component") == Some("kube-proxy"))
}
