//! `tollgate cluster results`: a folder as a tar archive on standard output, out of a pod that has no `tar`.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::Path;

use anyhow::{Context as _, ensure};
use tar::{Builder, Header};

use crate::cli::ResultsArgs;
use crate::exit::Exit;
use crate::output;

/// The folder's name in the archive.
const TOP: &str = "results";

/// Packs the folder.
pub(super) fn results(args: &ResultsArgs) -> anyhow::Result<Exit> {
    ensure!(
        !output::is_terminal(),
        "the archive goes to standard output, which is a terminal; write: tollgate cluster results > results.tar"
    );
    ensure!(
        args.dir.is_dir(),
        "`{}` is no folder; name the one with the results, which the runner was told by --out",
        args.dir.display()
    );
    let mut archive = Builder::new(io::stdout().lock());
    // What lies outside of the folder is none of its results.
    archive.follow_symlinks(false);
    pack_folder(&mut archive, &args.dir, Path::new(TOP))?;
    let ended = archive.into_inner().and_then(|mut out| out.flush());
    ended.with_context(|| failed(&args.dir))?;
    Ok(Exit::Done)
}

fn failed(path: &Path) -> String {
    format!("failed to pack `{}`", path.display())
}

/// Packs a folder and what is in it.
fn pack_folder(archive: &mut Builder<impl Write>, path: &Path, name: &Path) -> anyhow::Result<()> {
    let context = || failed(path);
    archive.append_dir(name, path).with_context(context)?;
    let entries = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.with_context(context)?;
    // `slices.jsonl` before `histograms.hlog`, the reverse of how they are written: no slice lacks its histograms.
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
    for entry in entries {
        let (path, name) = (entry.path(), name.join(entry.file_name()));
        let kind = entry.file_type().with_context(|| failed(&path))?;
        if kind.is_dir() {
            pack_folder(archive, &path, &name)?;
        } else if kind.is_file() {
            pack_file(archive, &path, &name)?;
        } else {
            let packed = archive.append_path_with_name(&path, &name);
            packed.with_context(|| failed(&path))?;
        }
    }
    Ok(())
}

/// Packs a file as long as it is now: a campaign that runs goes on writing to it.
fn pack_file(archive: &mut Builder<impl Write>, path: &Path, name: &Path) -> anyhow::Result<()> {
    let context = || failed(path);
    let file = match File::open(path) {
        // A file that is written beside its place is renamed at any time.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened.with_context(context)?,
    };
    let metadata = file.metadata().with_context(context)?;
    let mut header = Header::new_gnu();
    header.set_metadata(&metadata);
    let mut whole = file.take(metadata.len());
    let packed = archive.append_data(&mut header, name, &mut whole);
    packed.with_context(context)?;
    ensure!(
        whole.limit() == 0,
        "failed to pack `{}`: it became shorter meanwhile",
        path.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::path::PathBuf;

    use super::*;

    /// Has a file changed by somebody else each time that something is written.
    struct Meanwhile<F> {
        out: Vec<u8>,
        change: F,
    }

    impl<F: FnMut()> Write for Meanwhile<F> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            (self.change)();
            self.out.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns a campaign's folder, and the file of it that changes.
    fn campaign() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        for name in ["histograms.hlog", "run.json", "slices.jsonl"] {
            fs::write(dir.path().join(name), format!("the {name}\n")).unwrap();
        }
        let file = dir.path().join("slices.jsonl");
        (dir, file)
    }

    #[test]
    fn a_file_that_grows_meanwhile_is_packed_as_long_as_it_was() {
        let (dir, file) = campaign();
        let mut growing = OpenOptions::new().append(true).open(&file).unwrap();
        let mut appended = 0..8;
        let mut archive = Builder::new(Meanwhile {
            out: Vec::new(),
            change: || {
                if appended.next().is_some() {
                    growing.write_all(&[b'x'; 700]).unwrap();
                }
            },
        });
        pack_folder(&mut archive, dir.path(), Path::new(TOP)).unwrap();
        let packed = archive.into_inner().unwrap().out;
        let mut names = Vec::new();
        for entry in tar::Archive::new(&packed[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            if let Some(file) = name.strip_prefix("results/").filter(|it| !it.is_empty()) {
                let text = text.trim_end_matches('x');
                assert_eq!(text, format!("the {file}\n"));
            }
            names.push(name);
        }
        let all = ["", "/slices.jsonl", "/run.json", "/histograms.hlog"];
        assert_eq!(names, all.map(|name| format!("{TOP}{name}")));
        assert!(fs::metadata(&file).unwrap().len() > 2_000, "it did grow");
    }

    #[test]
    fn a_file_that_becomes_shorter_is_said() {
        let (dir, file) = campaign();
        let mut archive = Builder::new(Meanwhile {
            out: Vec::new(),
            change: || fs::write(&file, "").unwrap(),
        });
        let name = Path::new("results/slices.jsonl");
        let error = pack_file(&mut archive, &file, name).unwrap_err();
        let told = format!("{error:#}");
        assert!(told.contains("slices.jsonl`: it became shorter"), "{told}");
        assert_eq!(told.lines().count(), 1);
        let gone = dir.path().join(".run.json.7.tmp");
        pack_file(&mut archive, &gone, Path::new("results/gone")).unwrap();
    }
}
