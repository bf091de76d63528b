//! What is in an archive.

use std::collections::BTreeMap;
use std::io::Read as _;

use super::*;

/// A program's header with one program header of a kind.
fn program(machine: u16, kind: u32) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
    bytes[18..20].copy_from_slice(&machine.to_le_bytes());
    bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
    bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
    bytes[56..58].copy_from_slice(&1_u16.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.resize(64 + 56, 0);
    bytes
}

fn unpacked(archive: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let mode = entry.header().mode().unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(path, (mode, bytes));
    }
    files
}

#[test]
fn an_archive_leads_from_its_index_to_the_program() {
    let elf = program(62, 1);
    let programs = ["tollgate-probe", "second"].map(|file| Program {
        file: file.to_owned(),
        bytes: elf.clone(),
    });
    let archive = build(&programs, "amd64", "tollgate-probe:1").unwrap();
    assert_eq!(
        archive,
        build(&programs, "amd64", "tollgate-probe:1").unwrap()
    );
    let files = unpacked(&archive);
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap();
        let (_, bytes) = &files[&format!("blobs/{}", digest.replace(':', "/"))];
        assert_eq!(format!("sha256:{}", super::digest(bytes)), digest);
        assert_eq!(descriptor["size"], bytes.len());
        bytes.clone()
    };
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    assert_eq!(json(&files["oci-layout"].1)["imageLayoutVersion"], "1.0.0");
    let listed = &json(&files["index.json"].1)["manifests"][0];
    assert_eq!(
        listed["annotations"]["io.containerd.image.name"],
        "docker.io/library/tollgate-probe:1"
    );
    let manifest = json(&blob(listed));
    let config = json(&blob(&manifest["config"]));
    assert_eq!(config["config"]["User"], USER);
    assert_eq!(config["config"]["Entrypoint"][0], "/tollgate-probe");
    let packed = blob(&manifest["layers"][0]);
    let mut layer = Vec::new();
    flate2::read::GzDecoder::new(&packed[..])
        .read_to_end(&mut layer)
        .unwrap();
    assert_eq!(
        config["rootfs"]["diff_ids"][0],
        format!("sha256:{}", digest(&layer))
    );
    let layer = unpacked(&layer);
    assert_eq!(layer.len(), 2);
    assert_eq!(layer["tollgate-probe"], (0o755, elf.clone()));
    assert_eq!(layer["second"], (0o755, elf));
}

#[test]
fn a_name_is_completed_as_a_kubelet_does() {
    for (name, full, tag) in [
        ("probe", "docker.io/library/probe:latest", "latest"),
        ("probe:1", "docker.io/library/probe:1", "1"),
        ("us/probe:1", "docker.io/us/probe:1", "1"),
        ("localhost/probe:1", "localhost/probe:1", "1"),
        (
            "registry.example/us/probe:1",
            "registry.example/us/probe:1",
            "1",
        ),
        (
            "registry:5000/probe",
            "registry:5000/probe:latest",
            "latest",
        ),
    ] {
        assert_eq!(full_name(name), (full.to_owned(), tag), "{name}");
    }
}

#[test]
fn only_static_programs_are_packed() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("image.tar");
    for (bytes, part) in [
        (b"#!/bin/sh\n".to_vec(), "not a 64-bit program"),
        (program(62, 3), "not static; build it with"),
        (program(8, 1), "machine Some(8) has no image"),
        (program(183, 1)[..100].to_vec(), ""),
        (program(183, 1)[..65].to_vec(), "it is cut off"),
    ] {
        let file = dir.path().join("tollgate-probe");
        fs::write(&file, bytes).unwrap();
        let packed = pack(&[&file], &archive, None);
        match part {
            "" => assert!(packed.unwrap().contains("linux/arm64")),
            part => assert!(packed.unwrap_err().to_string().contains(part), "{part}"),
        }
    }
    assert!(pack(&[&dir.path().join("none")], &archive, None).is_err());
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    fs::write(&one, program(62, 1)).unwrap();
    fs::write(&other, program(183, 1)).unwrap();
    let told = pack(&[&one, &other], &archive, None)
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("for linux/arm64, the one before for linux/amd64"),
        "{told}"
    );
    assert!(
        pack(&[&one, &one], &archive, None)
            .unwrap()
            .contains(": one:")
    );
}
