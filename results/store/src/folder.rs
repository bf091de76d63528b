//! A campaign folder: reading it, and putting reports into it.

use std::fs;
use std::path::{Path, PathBuf};

use tollgate_results::RECORD_SCHEMA;
use tollgate_results::run::{Campaign, RunRecord};

use crate::assemble::{Assembled, assemble};
use crate::error::{StoreError, StoreErrorKind};
use crate::recording::Recording;
use crate::{HISTOGRAMS, RUN, SLICES, atomic, hlog, lines};

/// The folder of a campaign's pictures, in the campaign's.
const PICTURES: &str = "pictures";

/// The folder of a campaign.
#[derive(Debug)]
pub struct CampaignDir {
    path: PathBuf,
    dropped: usize,
}

impl CampaignDir {
    /// Makes the folder of a new campaign and starts to record. The folder must be empty or not exist.
    ///
    /// # Errors
    ///
    /// Where it is not empty or cannot be written to; then nothing of it is left.
    pub fn create(path: &Path, run: &RunRecord) -> Result<Recording, StoreError> {
        Recording::create(path, run)
    }

    /// Opens a campaign for reading, also while it is being recorded. Slices that a writer was killed over are
    /// left out.
    ///
    /// # Errors
    ///
    /// Where it is no campaign folder, damaged elsewhere than at its end, or in another format.
    pub fn open(path: &Path) -> Result<(Self, Campaign), StoreError> {
        let (folder, run, assembled) = Self::read(path)?;
        Ok((
            folder,
            Campaign {
                run,
                slices: assembled.slices,
            },
        ))
    }

    /// Opens a campaign to go on recording. What a killed writer left unfinished is removed.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], and where another process is recording or nothing can be written.
    pub fn resume(path: &Path) -> Result<(Recording, Campaign), StoreError> {
        Recording::resume(path)
    }

    /// Writes a report, whole or not at all, and returns its path.
    ///
    /// # Errors
    ///
    /// Where the name is not a plain file name or is a record's, or the folder cannot be written to.
    pub fn write_report(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let path = self.path.join(name);
        if !is_plain(name) || [RUN, SLICES, HISTOGRAMS].contains(&name) {
            let kind = StoreErrorKind::ReportName(name.to_owned());
            return Err(StoreError::new("write", &path, kind));
        }
        atomic::write(&path, bytes)?;
        Ok(path)
    }

    /// Writes a picture into the folder `pictures`, whole or not at all, and returns its path.
    ///
    /// # Errors
    ///
    /// Where the name is not a plain file name, or the folder cannot be written to.
    pub fn write_picture(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let folder = self.path.join(PICTURES);
        let path = folder.join(name);
        if !is_plain(name) {
            let kind = StoreErrorKind::ReportName(name.to_owned());
            return Err(StoreError::new("write", &path, kind));
        }
        fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
        atomic::write(&path, bytes)?;
        Ok(path)
    }

    /// Returns the folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns how many slices at the end were left out because their histograms are not there.
    #[must_use]
    pub const fn dropped_slices(&self) -> usize {
        self.dropped
    }

    /// A folder of which nothing is left out.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            dropped: 0,
        }
    }

    pub(crate) fn read(path: &Path) -> Result<(Self, RunRecord, Assembled), StoreError> {
        let run = read_run(&path.join(RUN))?;
        // Histograms are written before their slice: read in this order, no slice lacks them because the
        // writer is at work.
        let slices = read_file(&path.join(SLICES))?;
        let histograms = read_file(&path.join(HISTOGRAMS))?;
        let lines = lines::read(&path.join(SLICES), &slices, &run)?;
        let path_of_log = path.join(HISTOGRAMS);
        let found = hlog::read(&path_of_log, &histograms)?;
        let assembled = assemble(&path_of_log, lines, found)?;
        let folder = Self {
            path: path.to_owned(),
            dropped: assembled.dropped,
        };
        Ok((folder, run, assembled))
    }
}

/// Reads the run record.
fn read_run(path: &Path) -> Result<RunRecord, StoreError> {
    let bytes = read_file(path)?;
    let error = |kind| StoreError::new("read", path, kind);
    if let Some(found) = lines::schema(&bytes).filter(|found| *found != RECORD_SCHEMA) {
        return Err(error(StoreErrorKind::OtherSchema { found }));
    }
    serde_json::from_slice(&bytes).map_err(|cause| {
        error(StoreErrorKind::Damaged(format!(
            "not a run record ({cause})"
        )))
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, StoreError> {
    fs::read(path).map_err(StoreError::io("read", path))
}

/// Returns whether a name is that of a file in the folder itself.
pub(crate) fn is_plain(name: &str) -> bool {
    !name.starts_with('.') && Path::new(name).file_name().is_some_and(|file| file == name)
}
