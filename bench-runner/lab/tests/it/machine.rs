//! What this machine can do is found by trying, and what is missing is named.

use std::process::Command;

use tollgate_results::arm::Service;

use crate::harness::{MAKER, capabilities, few, lab, name, native, vxlan, with_service};

#[test]
fn a_missing_program_is_named_with_its_package() {
    if lab().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Debian's own folders are searched too, so they are covered by an empty one.
    let script = format!(
        "mount -t tmpfs none /usr/sbin && exec env PATH={} \"$0\" --exact machine::missing_step --nocapture \
         --include-ignored",
        folder.path().display()
    );
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(MAKER, "missing")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("install the package `iptables`"), "{said}");
    assert!(said.contains("install the package `nftables`"), "{said}");
}

/// The test above, in a process that sees no iptables and no nft.
#[test]
#[ignore = "a step of a_missing_program_is_named_with_its_package"]
fn missing_step() {
    if std::env::var_os(MAKER).is_none() {
        return;
    }
    let capabilities = capabilities();
    println!("{:?}", capabilities.missing(&native()));
    println!(
        "{:?}",
        capabilities.missing(&with_service(Service::Nftables, few()))
    );
    println!("{capabilities:?}");
}

#[test]
fn this_machine_is_found_out() {
    if lab().is_none() {
        return;
    }
    let capabilities = capabilities();
    // What is found to work works.
    for datapath in [
        native(),
        vxlan(),
        with_service(Service::IptablesLegacy, few()),
    ] {
        let lab = lab().unwrap();
        let deployed = lab.deploy(&name("arm"), &datapath, 1);
        let missing = capabilities.missing(&datapath);
        assert_eq!(
            deployed.is_ok(),
            missing.is_none(),
            "{datapath}: {missing:?}"
        );
    }
}
