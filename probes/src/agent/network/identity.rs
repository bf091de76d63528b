//! What an agent on the network keeps: its certificate and key, and its token. Made at the first start, readable
//! by their owner alone, and never replaced: runners have pinned the certificate.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tollgate_results::door::{Fingerprint, Secret};

use crate::error::ProbeError;
use crate::tls::Identity;

/// Largest file that is read: a certificate and a key are some 600 bytes.
const MOST_BYTES: u64 = 64 * 1024;

/// A certificate and its key.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Certificate {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::digest(&self.certificate).into())
    }
}

/// The file of a certificate: both in DER.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Loads the certificate, or makes it.
///
/// # Errors
///
/// When the file can't be made or read, or others may read it.
pub(super) fn certificate(dir: &Path) -> Result<Certificate, ProbeError> {
    let file = dir.join("agent-certificate.json");
    let text = kept(&file, || {
        let identity = Identity::generate(&["tollgate-agent"])?;
        let kept = Kept {
            certificate: identity.certificate().to_vec(),
            key: identity.key().secret_der().to_vec(),
        };
        Ok(serde_json::to_string(&kept).unwrap_or_default())
    })?;
    let kept: Kept = serde_json::from_str(&text).map_err(|_| {
        let mend = "remove the file: the agent makes another, and has to be joined again";
        let broken = io::Error::new(ErrorKind::InvalidData, "it holds no certificate and key");
        ProbeError::refused(format!("read `{}`", file.display()), broken, mend)
    })?;
    Ok(Certificate {
        certificate: kept.certificate.into(),
        key: PrivatePkcs8KeyDer::from(kept.key).into(),
    })
}

/// Loads the token of the folder, or draws it.
///
/// # Errors
///
/// When the file can't be made or read, or others may read it.
pub(super) fn token(dir: &Path) -> Result<Secret, ProbeError> {
    let file = token_file(dir);
    let text = kept(&file, || draw().map(|token| token.reveal() + "\n"))?;
    parse(&file, &text)
}

/// Returns where the token of a folder is kept.
pub(super) fn token_file(dir: &Path) -> PathBuf {
    dir.join("agent-token")
}

/// Loads a token that somebody else keeps. Its mode is their choice: a secret that an orchestrator mounts is
/// readable by its group.
///
/// # Errors
///
/// When it can't be read, or is no token.
pub fn given_token(file: &Path) -> Result<Secret, ProbeError> {
    let text = read(file).map_err(|error| {
        let mend = "name a file that holds 64 hexadecimal digits";
        ProbeError::refused(format!("read the token `{}`", file.display()), error, mend)
    })?;
    parse(file, &text)
}

fn parse(file: &Path, text: &str) -> Result<Secret, ProbeError> {
    text.trim().parse().map_err(|error| {
        let context = format!("read the token `{}`", file.display());
        let mend = "write one with `openssl rand -hex 32`, or remove the file";
        ProbeError::refused(context, io::Error::other(error), mend)
    })
}

/// Draws a secret from the system's generator.
fn draw() -> Result<Secret, ProbeError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| {
        let mend = "start the agent once the system has randomness";
        ProbeError::refused("draw a token", error.into(), mend)
    })?;
    Ok(Secret::new(bytes))
}

/// Reads a file that only its owner may read; where there is none yet, makes it, whole or not at all.
fn kept(
    file: &Path,
    make: impl FnOnce() -> Result<String, ProbeError>,
) -> Result<String, ProbeError> {
    let refused = |error| {
        let mend = "choose another folder with --state-dir, or mend its rights";
        ProbeError::refused(format!("keep `{}`", file.display()), error, mend)
    };
    match fs::metadata(file) {
        Ok(meta) if meta.mode() & 0o077 != 0 => {
            let context = format!("trust `{}`", file.display());
            let why = format!(
                "its mode is {:03o}, so others may have read it",
                meta.mode() & 0o777
            );
            let mend = "remove it: the agent makes another, and has to be joined again";
            return Err(ProbeError::refused(context, io::Error::other(why), mend));
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            publish(file, &make()?).map_err(refused)?;
        }
        Err(error) => return Err(refused(error)),
    }
    read(file).map_err(refused)
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = fs::File::open(file)?;
    file.take(MOST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a new file under a name that nobody can guess, then gives it its own, unless another was faster.
fn publish(file: &Path, text: &str) -> io::Result<()> {
    let dir = file.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut number = [0; 8];
    getrandom::fill(&mut number)?;
    let draft = dir.join(format!(".draft-{:016x}", u64::from_be_bytes(number)));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let written = options.open(&draft).and_then(|mut open| {
        open.write_all(text.as_bytes())?;
        open.sync_all()?;
        match fs::hard_link(&draft, file) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    });
    // The draft goes in any case; where it stays, it is as closed as the file.
    let _ = fs::remove_file(&draft);
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_kept_stays_the_same_and_is_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("state");
        let (first, token_then) = (certificate(&dir).unwrap(), token(&dir).unwrap());
        let again = certificate(&dir).unwrap();
        assert_eq!(first.fingerprint(), again.fingerprint());
        assert_eq!(token(&dir).unwrap(), token_then);
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&dir), 0o700);
        let files: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        assert_eq!(files.len(), 2, "{files:?}");
        assert!(files.iter().all(|file| mode(file) == 0o600));
    }

    #[test]
    fn what_others_could_read_or_is_damaged_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        token(dir).unwrap();
        let file = token_file(dir);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let line = token(dir).unwrap_err().line();
        assert!(line.contains("644") && line.contains("remove it"), "{line}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, "secret-of-somebody").unwrap();
        let line = token(dir).unwrap_err().line();
        assert!(!line.contains("secret-of"), "{line}");
        certificate(dir).unwrap();
        fs::write(dir.join("agent-certificate.json"), "{}").unwrap();
        assert!(
            certificate(dir)
                .unwrap_err()
                .line()
                .contains("no certificate")
        );
    }

    #[test]
    fn a_token_of_another_keeper_is_read_whatever_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, format!("{}\n", "ab".repeat(32))).unwrap();
        assert_eq!(given_token(&file).unwrap().reveal(), "ab".repeat(32));
        for bad in ["", "ab", &"ab".repeat(33), &"zz".repeat(32)] {
            fs::write(&file, bad).unwrap();
            assert!(given_token(&file).is_err());
        }
        assert!(given_token(&dir.path().join("none")).is_err());
    }
}
