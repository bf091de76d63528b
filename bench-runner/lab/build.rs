//! Compiles the eBPF programs with clang: every `bpf/NAME.c` once for each address family, into `NAME4.o` and `NAME6.o`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Where the programs and their headers lie.
const SOURCES: &str = "bpf";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed={SOURCES}");
    println!("cargo::rerun-if-env-changed=CLANG");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    match sources().and_then(|sources| compile_all(&sources, &out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            println!("cargo::error=cannot compile the eBPF programs: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Lists the C files.
fn sources() -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(SOURCES).map_err(|error| format!("{SOURCES}: {error}"))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths: Vec<_> = paths
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{SOURCES}: {error}"))?;
    let is_c = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "c");
    Ok(paths.into_iter().filter(is_c).collect())
}

fn compile_all(sources: &[PathBuf], out: &Path) -> Result<(), String> {
    for source in sources {
        let stem = source.file_stem().unwrap_or_default().to_string_lossy();
        for (number, family) in [("4", None), ("6", Some("-DIPV6"))] {
            compile(source, &out.join(format!("{stem}{number}.o")), family)
                .map_err(|fault| format!("{}: {fault}", source.display()))?;
        }
    }
    Ok(())
}

fn compile(source: &Path, object: &Path, family: Option<&str>) -> Result<(), String> {
    let clang = env::var_os("CLANG").unwrap_or_else(|| OsString::from("clang"));
    let output = Command::new(&clang)
        .args(["-target", "bpf", "-O2", "-g", "-Wall", "-Wextra", "-Werror"])
        .args(multiarch().map(|name| format!("-I/usr/include/{name}")))
        .args(family)
        .arg("-c")
        .arg(source)
        .arg("-o")
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
