//! Compiles the eBPF programs with clang, once for each address family.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const SOURCE: &str = "bpf/socket_lb.c";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-env-changed=CLANG");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    for (object, family) in [("socket_lb4.o", None), ("socket_lb6.o", Some("-DIPV6"))] {
        if let Err(fault) = compile(&out.join(object), family) {
            println!("cargo::error=cannot compile {SOURCE}: {fault}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn compile(object: &Path, family: Option<&str>) -> Result<(), String> {
    let clang = env::var_os("CLANG").unwrap_or_else(|| OsString::from("clang"));
    let output = Command::new(&clang)
        .args(["-target", "bpf", "-O2", "-g", "-Wall", "-Wextra", "-Werror"])
        .args(multiarch().map(|name| format!("-I/usr/include/{name}")))
        .args(family)
        .args(["-c", SOURCE, "-o"])
        .arg(object)
        .output()
        .map_err(|error| {
            let clang = clang.to_string_lossy();
            format!(
                "`{clang}` does not run ({error}): install the Debian package `clang`, or set \
                 CLANG to its path"
            )
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(package_of(&said).map_or_else(
        || said.replace('\n', " / "),
        |package| format!("a header is missing: install the Debian package `{package}` ({said})"),
    ))
}

/// Names the package of a header that clang did not find.
fn package_of(said: &str) -> Option<&'static str> {
    let (before, _) = said.split_once("file not found")?;
    let header = before.rsplit_once('\'').map(|(name, _)| name)?;
    Some(if header.contains("'bpf/") {
        "libbpf-dev"
    } else {
        "linux-libc-dev"
    })
}

/// Returns the directory of Debian's per-architecture headers, which clang leaves out for the bpf target.
fn multiarch() -> Option<String> {
    let output = Command::new("cc").arg("-print-multiarch").output().ok()?;
    let name = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!name.is_empty()).then_some(name)
}
