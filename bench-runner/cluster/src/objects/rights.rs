//! What the runner may do in its namespace, and nothing else: the role, and what is asked before a run.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};

use super::{Object, Settings, metadata, namespaced};

/// The account that probes run as, which may do nothing.
pub const PROBE: &str = "tollgate-probe";

/// The account, role and binding of a runner inside the cluster.
pub const RUNNER: &str = "tollgate-runner";

/// A right: an API group, a resource, and what may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// Group; empty for the core.
    pub group: &'static str,
    /// Resource, with its part after a `/`.
    pub resource: &'static str,
    /// Verbs.
    pub verbs: &'static [&'static str],
    /// What it is for.
    pub purpose: &'static str,
}

/// All rights of a runner. Whoever removes the owner of a run removes the run: nothing else need be deleted. Secrets
/// are written, and never read.
pub const RIGHTS: [Right; 8] = [
    Right {
        group: "",
        resource: "configmaps",
        verbs: &["create", "list", "delete"],
        purpose: "the object that owns a run",
    },
    Right {
        group: "",
        resource: "secrets",
        verbs: &["create", "patch"],
        purpose: "the run's token",
    },
    Right {
        group: "",
        resource: "serviceaccounts",
        verbs: &["create", "patch"],
        purpose: "the account of the probes",
    },
    Right {
        group: "",
        resource: "services",
        verbs: &["create", "patch"],
        purpose: "the services under test",
    },
    Right {
        group: "",
        resource: "pods",
        verbs: &["create", "patch", "list", "watch"],
        purpose: "the probes",
    },
    Right {
        group: "",
        resource: "pods/portforward",
        verbs: &["create", "get"],
        purpose: "the way to the probes' agents",
    },
    Right {
        group: "",
        resource: "events",
        verbs: &["list"],
        purpose: "why a probe doesn't start",
    },
    Right {
        group: "networking.k8s.io",
        resource: "networkpolicies",
        verbs: &["create", "patch"],
        purpose: "the policy that admits probes only",
    },
];

/// What a runner of a split through a gateway may do besides.
pub const GATEWAY_RIGHTS: [Right; 2] = [
    Right {
        group: "gateway.networking.k8s.io",
        resource: "gateways",
        verbs: &["create", "patch", "get"],
        purpose: "the gateway under test",
    },
    Right {
        group: "gateway.networking.k8s.io",
        resource: "httproutes",
        verbs: &["create", "patch", "get"],
        purpose: "the split under test",
    },
];

/// The role and binding of [`GATEWAY_RIGHTS`].
const GATEWAY_RUNNER: &str = "tollgate-runner-gateway";

/// Returns the account of the probes.
pub(super) fn probe_account(settings: &Settings) -> ServiceAccount {
    account(settings, PROBE)
}

/// Returns an account whose pods get no token of it.
pub(super) fn account(settings: &Settings, name: &str) -> ServiceAccount {
    ServiceAccount {
        metadata: metadata(settings, name),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}

/// Returns account, role and binding of a runner.
pub(super) fn of_runner(settings: &Settings) -> Vec<Object> {
    let mut objects = vec![namespaced(account(settings, RUNNER))];
    objects.extend(granted(settings, RUNNER, &RIGHTS));
    objects
}

/// Returns the role and binding that a runner of a split needs beside the others.
#[must_use]
pub fn of_gateway(settings: &Settings) -> Vec<Object> {
    granted(settings, GATEWAY_RUNNER, &GATEWAY_RIGHTS)
}

/// Returns a role with these rights, and what binds it to the runner's account.
fn granted(settings: &Settings, name: &str, rights: &[Right]) -> Vec<Object> {
    let policy = |right: &Right| PolicyRule {
        api_groups: Some(vec![right.group.to_owned()]),
        resources: Some(vec![right.resource.to_owned()]),
        verbs: right.verbs.iter().map(|&verb| verb.to_owned()).collect(),
        ..PolicyRule::default()
    };
    let role = Role {
        metadata: metadata(settings, name),
        rules: Some(rights.iter().map(policy).collect()),
    };
    let binding = RoleBinding {
        metadata: metadata(settings, name),
        role_ref: RoleRef {
            api_group: "rbac.authorization.k8s.io".to_owned(),
            kind: "Role".to_owned(),
            name: name.to_owned(),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: RUNNER.to_owned(),
            namespace: Some(settings.namespace.clone()),
            ..Subject::default()
        }]),
    };
    vec![namespaced(role), namespaced(binding)]
}
