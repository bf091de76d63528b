//! An OCI archive with static programs in it, written without Docker: for clusters without a registry.
//!
//! `docker load`, `podman load` and `ctr images import` read it. The same programs give the same bytes.

mod elf;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The user of the image: nobody's, as the manifests say.
const USER: &str = "65532:65532";

/// Largest image of one program, packed: more means that something crept in.
const MOST_BYTES: usize = 12_000_000;

/// A program that can't be packed.
#[derive(Debug)]
pub(crate) struct ImageError {
    path: PathBuf,
    kind: String,
}

impl std::fmt::Display for ImageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "failed to pack `{}`: {}", self.path.display(), self.kind)
    }
}

/// A program of an image.
struct Program {
    /// Its file name, which is its path in the image.
    file: String,
    bytes: Vec<u8>,
}

/// Packs programs, of which the first is what the image runs; returns what was made, in one line.
///
/// # Errors
///
/// When a program isn't a static one for Linux, two are for different machines, the image is too large, or a file can't
/// be read or written.
pub(crate) fn pack(
    programs: &[&Path],
    archive: &Path,
    name: Option<&str>,
) -> Result<String, ImageError> {
    let failed = |path: &Path, kind: String| ImageError {
        path: path.to_owned(),
        kind,
    };
    let mut packed = Vec::new();
    let mut built_for: Option<&'static str> = None;
    for program in programs {
        let bytes = fs::read(program).map_err(|error| failed(program, error.to_string()))?;
        let machine = elf::machine_of_static(&bytes).map_err(|why| failed(program, why))?;
        if let Some(other) = built_for.filter(|other| *other != machine) {
            let why = format!("it is for linux/{machine}, the one before for linux/{other}");
            return Err(failed(program, why));
        }
        built_for = Some(machine);
        let file = program.file_name().and_then(|name| name.to_str());
        let file = file.unwrap_or("program").to_owned();
        packed.push(Program { file, bytes });
    }
    let (Some(first), Some(machine)) = (packed.first(), built_for) else {
        return Err(failed(archive, "no program is named".to_owned()));
    };
    let default = format!("{}:{}", first.file, env!("CARGO_PKG_VERSION"));
    let name = name.unwrap_or(&default);
    let made = build(&packed, machine, name).map_err(|error| failed(archive, error.to_string()))?;
    let most = MOST_BYTES * packed.len();
    if made.len() > most {
        let why = format!(
            "the image has {} bytes, more than {most}: build with --release and strip the programs",
            made.len()
        );
        return Err(failed(archive, why));
    }
    fs::write(archive, &made).map_err(|error| failed(archive, error.to_string()))?;
    Ok(format!(
        "{}: {name}, linux/{machine}, {:.1} MB",
        archive.display(),
        mega(made.len())
    ))
}

#[expect(clippy::cast_precision_loss, reason = "a size that people read")]
fn mega(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

/// Returns an image's name with all that a kubelet adds before it looks for one, and its tag: the registry, the folder and the
/// tag that a short name leaves out (`splitDockerDomain` of github.com/distribution/reference).
fn full_name(name: &str) -> (String, &str) {
    let (path, tag) = match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, tag),
        _ => (name, "latest"),
    };
    let domain = match path.split_once('/') {
        None => "docker.io/library/",
        Some((first, _)) if first == "localhost" || first.contains(['.', ':']) => "",
        Some(_) => "docker.io/",
    };
    (format!("{domain}{path}:{tag}"), tag)
}

/// Returns the archive's bytes.
fn build(programs: &[Program], machine: &str, name: &str) -> io::Result<Vec<u8>> {
    let mut layer = tar::Builder::new(Vec::new());
    for Program { file, bytes } in programs {
        append(&mut layer, file, bytes, 0o755)?;
    }
    let file = programs.first().map_or("", |first| first.file.as_str());
    let layer = layer.into_inner()?;
    let config = json!({
        "architecture": machine,
        "os": "linux",
        "config": {
            "User": USER,
            "Entrypoint": [format!("/{file}")],
            "Labels": {"org.opencontainers.image.title": file},
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]},
    });
    let config = text(&config);
    // No time and no name in the header: the same program gives the same bytes.
    let mut packed = GzBuilder::new()
        .mtime(0)
        .write(Vec::new(), Compression::best());
    packed.write_all(&layer)?;
    let packed = packed.finish()?;
    let manifest = text(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &packed)],
    }));
    let mut listed = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    listed["platform"] = json!({"architecture": machine, "os": "linux"});
    // The first is what containerd goes by, the second what the specification says: the tag alone.
    let (full, tag) = full_name(name);
    listed["annotations"] = json!({
        "io.containerd.image.name": full,
        "org.opencontainers.image.ref.name": tag,
    });
    let index = text(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [listed],
    }));
    let mut archive = tar::Builder::new(Vec::new());
    append(
        &mut archive,
        "oci-layout",
        br#"{"imageLayoutVersion":"1.0.0"}"#,
        0o644,
    )?;
    append(&mut archive, "index.json", &index, 0o644)?;
    for blob in [&config, &manifest, &packed] {
        append(
            &mut archive,
            &format!("blobs/sha256/{}", digest(blob)),
            blob,
            0o644,
        )?;
    }
    archive.into_inner()
}

fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    path: &str,
    bytes: &[u8],
    mode: u32,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    archive.append_data(&mut header, path, bytes)
}

fn descriptor(kind: &str, blob: &[u8]) -> Value {
    json!({"mediaType": kind, "digest": format!("sha256:{}", digest(blob)), "size": blob.len()})
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests;
