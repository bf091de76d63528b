//! A campaign being written: by one process at a time, slice by slice.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use tollgate_results::RECORD_SCHEMA;
use tollgate_results::run::{Campaign, RunRecord};
use tollgate_results::slice::{Slice, SliceKey};

use crate::error::{StoreError, StoreErrorKind};
use crate::folder::CampaignDir;
use crate::lines::SliceLine;
use crate::{HISTOGRAMS, RUN, SLICES, atomic, hlog, lines};

/// A campaign folder that this process, and no other, is recording to.
#[derive(Debug)]
pub struct Recording {
    folder: CampaignDir,
    /// Locked as long as it is open.
    slices: File,
    histograms: File,
    written: BTreeSet<SliceKey>,
}

impl Recording {
    pub(crate) fn create(path: &Path, run: &RunRecord) -> Result<Self, StoreError> {
        let made = !path.exists();
        fs::create_dir_all(path).map_err(StoreError::io("create the folder", path))?;
        let entries = fs::read_dir(path).map_err(StoreError::io("create a campaign in", path))?;
        if entries.into_iter().next().is_some() {
            let kind = StoreErrorKind::NotEmpty;
            return Err(StoreError::new("create a campaign in", path, kind));
        }
        let first = path.join(SLICES);
        let slices = create(&first).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                StoreError::new("record to", path, StoreErrorKind::InUse)
            }
            _ => StoreError::io("create", &first)(error),
        });
        let slices = slices.inspect_err(|_| {
            if made {
                let _ = fs::remove_dir(path);
            }
        })?;
        // From here on the files are this process's: what fails leaves nothing behind.
        Self::begin(path, run, slices).inspect_err(|_| {
            remove_records(path);
            if made {
                let _ = fs::remove_dir(path);
            }
        })
    }

    /// Makes the rest of a new campaign; the run record last, since it makes the folder a campaign's.
    fn begin(path: &Path, run: &RunRecord, slices: File) -> Result<Self, StoreError> {
        lock(&slices, path)?;
        let log = path.join(HISTOGRAMS);
        let histograms = create(&log).and_then(|mut file| {
            file.write_all(&hlog::header(run.started_unix_ms))?;
            Ok(file)
        });
        let recording = Self {
            folder: CampaignDir::new(path),
            slices,
            histograms: histograms.map_err(StoreError::io("create", &log))?,
            written: BTreeSet::new(),
        };
        recording.write_run(run)?;
        Ok(recording)
    }

    pub(crate) fn resume(path: &Path) -> Result<(Self, Campaign), StoreError> {
        let open = |name: &str| {
            let path = path.join(name);
            let file = OpenOptions::new().write(true).open(&path);
            file.map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => StoreError::io("read", &path)(error),
                _ => StoreError::io("resume", &path)(error),
            })
        };
        let slices = open(SLICES)?;
        lock(&slices, path)?;
        let histograms = open(HISTOGRAMS)?;
        let (folder, run, assembled) = CampaignDir::read(path)?;
        let mut recording = Self {
            folder,
            slices,
            histograms,
            written: assembled
                .slices
                .iter()
                .map(|slice| slice.record.key.clone())
                .collect(),
        };
        cut(&mut recording.slices, assembled.slices_end)
            .map_err(StoreError::io("resume", &path.join(SLICES)))?;
        let header = hlog::header(run.started_unix_ms);
        let log = &mut recording.histograms;
        let mended = if assembled.histograms_end == 0 {
            cut(log, 0).and_then(|()| log.write_all(&header))
        } else {
            cut(log, assembled.histograms_end)
        };
        mended.map_err(StoreError::io("resume", &path.join(HISTOGRAMS)))?;
        Ok((
            recording,
            Campaign {
                run,
                slices: assembled.slices,
            },
        ))
    }

    /// Appends a slice: its histograms first, so that the slice's line makes it complete. Both are handed to the
    /// kernel when this returns, so a killed writer loses nothing of them.
    ///
    /// # Errors
    ///
    /// Where the slice is there already or the disk takes no more; then the files are as before.
    pub fn append(&mut self, slice: &Slice) -> Result<(), StoreError> {
        let path = self.folder.path().join(SLICES);
        if self.written.contains(&slice.record.key) {
            let kind = StoreErrorKind::Duplicate(lines::key(&slice.record));
            return Err(StoreError::new("append to", &path, kind));
        }
        let line = SliceLine {
            schema: RECORD_SCHEMA,
            record: slice.record.clone(),
            histograms: slice.histograms.keys().copied().collect(),
        };
        let mut line = serde_json::to_vec(&line)
            .map_err(|cause| StoreError::io("append to", &path)(cause.into()))?;
        line.push(b'\n');
        let log = self.folder.path().join(HISTOGRAMS);
        let start = append(&mut self.histograms, &hlog::lines(slice))
            .map_err(StoreError::io("append to", &log))?;
        append(&mut self.slices, &line).map_err(|error| {
            let _ = cut_at(&mut self.histograms, start);
            StoreError::io("append to", &path)(error)
        })?;
        self.written.insert(slice.record.key.clone());
        Ok(())
    }

    /// Replaces the run record, whole or not at all.
    ///
    /// # Errors
    ///
    /// Where it cannot be written; then the old one stands.
    pub fn write_run(&self, run: &RunRecord) -> Result<(), StoreError> {
        let path = self.folder.path().join(RUN);
        let mut json = serde_json::to_vec_pretty(run)
            .map_err(|cause| StoreError::io("write", &path)(cause.into()))?;
        json.push(b'\n');
        atomic::write(&path, &json)
    }

    /// Ends the recording: everything is on the disk, and another process may record.
    ///
    /// # Errors
    ///
    /// Where the disk takes no more.
    pub fn finish(self) -> Result<CampaignDir, StoreError> {
        for (file, name) in [(&self.histograms, HISTOGRAMS), (&self.slices, SLICES)] {
            let path = self.folder.path().join(name);
            file.sync_all().map_err(StoreError::io("write", &path))?;
        }
        Ok(self.folder)
    }

    /// Ends a recording in which nothing was measured: its files go, and the folder if nothing else is in it.
    /// Where a slice was recorded, everything stays.
    pub fn discard(self) {
        if self.written.is_empty() {
            remove_records(self.folder.path());
            let _ = fs::remove_dir(self.folder.path());
        }
    }

    /// Returns the folder, to put reports into.
    #[must_use]
    pub const fn folder(&self) -> &CampaignDir {
        &self.folder
    }
}

/// Removes the files of a campaign. What cannot be removed stays: it holds nothing that was measured.
fn remove_records(path: &Path) {
    for name in [RUN, SLICES, HISTOGRAMS] {
        let _ = fs::remove_file(path.join(name));
    }
}

/// Makes a file that must not be there yet.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Takes the folder for this process until the file is closed.
pub(crate) fn lock(slices: &File, path: &Path) -> Result<(), StoreError> {
    slices.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => StoreError::new("record to", path, StoreErrorKind::InUse),
        TryLockError::Error(error) => StoreError::io("lock", path)(error),
    })
}

/// Appends all bytes or none, and returns where they start.
pub(crate) fn append(file: &mut File, bytes: &[u8]) -> io::Result<u64> {
    let start = file.stream_position()?;
    file.write_all(bytes).inspect_err(|_| {
        let _ = cut_at(file, start);
    })?;
    Ok(start)
}

pub(crate) fn cut(file: &mut File, end: usize) -> io::Result<()> {
    cut_at(file, end as u64)
}

/// Cuts a file off and goes on writing there.
fn cut_at(file: &mut File, end: u64) -> io::Result<()> {
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    Ok(())
}
