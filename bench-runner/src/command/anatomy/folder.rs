//! An anatomy's folder: its record, and the reports that are made from it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tollgate_reports::anatomy::Anatomy;
use tollgate_reports::render;
use tollgate_results::RECORD_SCHEMA;
use tollgate_results::anatomy::AnatomyRecord;

const RECORD: &str = "anatomy.json";
const PAGE: &str = "report.html";
const REPORT: &str = "report.json";

/// Largest record that is read: one of 1,000 rounds of a dozen arms is below it.
const LARGEST_RECORD: u64 = 1 << 30;

/// A folder that has, or will have, an anatomy.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes a new folder.
    ///
    /// # Errors
    ///
    /// When there is something in it, or it cannot be made.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let doing = || format!("failed to make the folder `{}`", path.display());
        fs::create_dir_all(path).with_context(doing)?;
        if fs::read_dir(path).with_context(doing)?.next().is_some() {
            bail!(
                "`{}` is not empty; name another folder with --out",
                path.display()
            );
        }
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Opens a folder that has an anatomy.
    ///
    /// # Errors
    ///
    /// When it has none.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if !path.join(RECORD).is_file() {
            bail!(
                "`{}` has no {RECORD}; name a folder that `tollgate anatomy` wrote",
                path.display()
            );
        }
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Removes the folder, if nothing is in it.
    pub(super) fn discard(self) {
        // What somebody put there meanwhile stays.
        let _ = fs::remove_dir(self.path);
    }

    /// Returns where the page is.
    pub(super) fn page(&self) -> PathBuf {
        self.path.join(PAGE)
    }

    /// Reads the record.
    ///
    /// # Errors
    ///
    /// When it is damaged or of another version.
    pub(super) fn read(&self) -> anyhow::Result<AnatomyRecord> {
        let path = self.path.join(RECORD);
        let doing = || format!("failed to read `{}`", path.display());
        let size = fs::metadata(&path).with_context(doing)?.len();
        if size > LARGEST_RECORD {
            bail!("{}: it is larger than 1 GiB", doing());
        }
        let text = fs::read(&path).with_context(doing)?;
        let record: AnatomyRecord = serde_json::from_slice(&text).with_context(doing)?;
        if record.schema != RECORD_SCHEMA {
            bail!(
                "{}: it has schema {}, this tollgate reads {RECORD_SCHEMA}",
                doing(),
                record.schema
            );
        }
        Ok(record)
    }

    /// Writes the record.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn write(&self, record: &AnatomyRecord) -> anyhow::Result<()> {
        self.put(RECORD, &serde_json::to_vec(record)?)
    }

    /// Writes the reports.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    pub(super) fn report(&self, anatomy: &Anatomy) -> anyhow::Result<()> {
        let mut json = serde_json::to_vec_pretty(anatomy)?;
        json.push(b'\n');
        self.put(REPORT, &json)?;
        self.put(PAGE, &render::anatomy_page(anatomy))
    }

    /// Puts a whole file in the place of an earlier one.
    fn put(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.path.join(name);
        let doing = || format!("failed to write `{}`", path.display());
        let new = self.path.join(format!("{name}.new"));
        fs::write(&new, bytes).with_context(doing)?;
        match fs::rename(&new, &path) {
            Err(error) if error.kind() == ErrorKind::NotFound => bail!("{}: it is gone", doing()),
            renamed => renamed.with_context(doing),
        }
    }
}
