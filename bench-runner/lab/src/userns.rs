//! The user namespace of a lab without root, and why a machine may refuse it.

use std::fs;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::error::LabError;

/// What is being done, for every message of this module.
const DOING: &str = "start a lab without root";

/// Sysctls that forbid user namespaces to ordinary users: the value that forbids and how to lift it.
const BARRIERS: &[(&str, &str, &str)] = &[
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "this system keeps user namespaces from ordinary users: \
         run `sysctl kernel.unprivileged_userns_clone=1` as root, or run Tollgate as root",
    ),
    (
        "user/max_user_namespaces",
        "0",
        "this system allows no user namespaces: \
         run `sysctl user.max_user_namespaces=15000` as root, or run Tollgate as root",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor takes the rights away from user namespaces of ordinary users: \
         run `sysctl kernel.apparmor_restrict_unprivileged_userns=0` as root, or run Tollgate as root",
    ),
];

/// Moves this process into a new user namespace, in which its user is root.
pub(crate) fn enter() -> Result<(), LabError> {
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|error| explain(&error.into()))?;
    let write = |file: &str, text: &str| {
        fs::write(format!("/proc/self/{file}"), text).map_err(|error| explain(&error))
    };
    write("setgroups", "deny")?;
    write("uid_map", &format!("0 {user} 1"))?;
    write("gid_map", &format!("0 {group} 1"))?;
    // Where AppArmor strips a user namespace of its rights, this is the first thing to fail.
    unshare(CloneFlags::CLONE_NEWNS).map_err(|error| explain(&error.into()))
}

/// Says why root cannot make namespaces.
pub(crate) fn explain_root(error: nix::Error) -> LabError {
    match error {
        nix::Error::EPERM => LabError::said(
            "start a lab",
            "this root lacks CAP_SYS_ADMIN, as in an ordinary container: \
             run it privileged (`docker run --privileged`), or as an ordinary user of the machine",
        ),
        other => LabError::new("start a lab", other),
    }
}

/// Says why a lab cannot have a `/proc` of its own.
pub(crate) fn explain_proc(error: nix::Error) -> LabError {
    let doing = "mount `/proc` for the lab";
    match error {
        nix::Error::EPERM => LabError::said(
            doing,
            "parts of this `/proc` are hidden, as in an ordinary container: \
             run it privileged (`docker run --privileged`)",
        ),
        other => LabError::new(doing, other),
    }
}

fn explain(error: &std::io::Error) -> LabError {
    let read = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).ok();
    match barrier(read) {
        Some(how) => LabError::said(DOING, how),
        None => LabError::said(
            DOING,
            format!(
                "user namespaces are refused ({error}): \
                 a container's seccomp profile does that; run Tollgate as root"
            ),
        ),
    }
}

/// Finds the setting that forbids user namespaces.
fn barrier(read: impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    let stands = |name: &str, value: &str| read(name).is_some_and(|found| found.trim() == value);
    BARRIERS
        .iter()
        .find(|(name, value, _)| stands(name, value))
        .map(|(_, _, how)| *how)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_forbids_is_named() {
        for (name, value, word) in [
            (
                "kernel/unprivileged_userns_clone",
                "0\n",
                "kernel.unprivileged_userns_clone=1",
            ),
            (
                "user/max_user_namespaces",
                "0\n",
                "user.max_user_namespaces",
            ),
            (
                "kernel/apparmor_restrict_unprivileged_userns",
                "1\n",
                "AppArmor",
            ),
        ] {
            let how = barrier(|asked| (asked == name).then(|| value.to_owned())).unwrap();
            assert!(how.contains(word), "{how}");
        }
        assert_eq!(barrier(|_| Some("15000".to_owned())), None);
    }
}
