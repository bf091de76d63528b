//! Runs a test in a network namespace of its own, in which nothing stands but loopback.

use std::env;
use std::process::Command;

/// Set in the process that is inside.
const INSIDE: &str = "TOLLGATE_TEST_INSIDE";

/// Runs `body` inside, which is the body of the test `name` of the calling module: this program starts itself again
/// for that one test.
pub(crate) fn inside(module: &str, name: &str, body: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        let up = Command::new("ip")
            .args(["link", "set", "lo", "up"])
            .status();
        assert!(up.is_ok_and(|status| status.success()), "loopback comes up");
        return body();
    }
    // As in the lab: root needs no user namespace, others get one in which they are root.
    let own = nix::unistd::geteuid().is_root();
    let status = Command::new("unshare")
        .arg(if own { "-n" } else { "-rn" })
        .arg(env::current_exe().unwrap())
        .args([&format!("{module}::{name}"), "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "inside: {status}");
}
