//! The folder of a mesh: `mesh.json`, and `pairs.jsonl` to which each meeting is appended as it ends.
//!
//! A meeting that failed may be held again when the mesh goes on: its last line is what counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use tollgate_results::RECORD_SCHEMA;
use tollgate_results::mesh::{Meeting, MeetingKey, MeshRecord, Met};

use crate::error::{StoreError, StoreErrorKind};
use crate::recording::{append, create, cut, lock};
use crate::{atomic, folder, lines};

/// Name of the record in a mesh's folder.
pub const MESH: &str = "mesh.json";
/// Name of the meetings in a mesh's folder.
pub const PAIRS: &str = "pairs.jsonl";

/// Largest file that is read: the meetings of [`tollgate_results::mesh::MOST_MEETINGS`] are below it.
const LARGEST: u64 = 1 << 30;

/// The folder of a mesh.
#[derive(Debug, Clone)]
pub struct MeshDir {
    path: PathBuf,
}

/// A mesh and what was measured of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Mesh {
    /// What was asked.
    pub record: MeshRecord,
    /// The meetings, in the order in which they first ended.
    pub meetings: Vec<Meeting>,
}

/// A mesh's folder that this process, and no other, is recording to.
#[derive(Debug)]
pub struct MeshRecording {
    folder: MeshDir,
    /// Locked as long as it is open.
    pairs: File,
    measured: BTreeSet<MeetingKey>,
}

impl MeshDir {
    /// Opens a mesh for reading, also while it is recorded. A line that was never finished is left out.
    ///
    /// # Errors
    ///
    /// When it is no mesh's folder, damaged elsewhere than at its end, or in another format.
    pub fn open(path: &Path) -> Result<(Self, Mesh), StoreError> {
        let (mesh, _) = read(path)?;
        let folder = Self {
            path: path.to_owned(),
        };
        Ok((folder, mesh))
    }

    /// Makes the folder of a new mesh and starts to record. The folder must be empty or not exist.
    ///
    /// # Errors
    ///
    /// When it is not empty or cannot be written to.
    pub fn create(path: &Path, record: &MeshRecord) -> Result<MeshRecording, StoreError> {
        fs::create_dir_all(path).map_err(StoreError::io("create the folder", path))?;
        let mut entries = fs::read_dir(path).map_err(StoreError::io("create a mesh in", path))?;
        if entries.next().is_some() {
            let kind = StoreErrorKind::NotEmpty;
            return Err(StoreError::new("create a mesh in", path, kind));
        }
        let file = path.join(PAIRS);
        let pairs = create(&file).map_err(StoreError::io("create", &file))?;
        lock(&pairs, path)?;
        let recording = MeshRecording {
            folder: Self {
                path: path.to_owned(),
            },
            pairs,
            measured: BTreeSet::new(),
        };
        recording.write_record(record)?;
        Ok(recording)
    }

    /// Opens a mesh to go on. What a killed writer left unfinished is removed.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], and when another process is recording or nothing can be written.
    pub fn resume(path: &Path) -> Result<(MeshRecording, Mesh), StoreError> {
        let file = path.join(PAIRS);
        let opened = OpenOptions::new().write(true).open(&file);
        let mut pairs = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::io("read", &file)(error),
            _ => StoreError::io("resume", &file)(error),
        })?;
        lock(&pairs, path)?;
        let (mesh, end) = read(path)?;
        cut(&mut pairs, end).map_err(StoreError::io("resume", &file))?;
        let recording = MeshRecording {
            folder: Self {
                path: path.to_owned(),
            },
            pairs,
            measured: mesh.meetings.iter().filter_map(measured).collect(),
        };
        Ok((recording, mesh))
    }

    /// Writes a report, whole or not at all, and returns its path.
    ///
    /// # Errors
    ///
    /// When the name is not a plain file name or is a record's, or the folder cannot be written to.
    pub fn write_report(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, StoreError> {
        let path = self.path.join(name);
        if !folder::is_plain(name) || [MESH, PAIRS].contains(&name) {
            let kind = StoreErrorKind::ReportName(name.to_owned());
            return Err(StoreError::new("write", &path, kind));
        }
        atomic::write(&path, bytes)?;
        Ok(path)
    }

    /// Returns the folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl MeshRecording {
    /// Appends a meeting. It is handed to the kernel when this returns, so a killed writer doesn't lose it.
    ///
    /// # Errors
    ///
    /// When it was measured already or the disk takes no more; then the file is as before.
    pub fn append(&mut self, meeting: &Meeting) -> Result<(), StoreError> {
        let path = self.folder.path.join(PAIRS);
        if self.has(&meeting.key()) {
            let kind = StoreErrorKind::Duplicate(word(&meeting.key()));
            return Err(StoreError::new("append to", &path, kind));
        }
        let written = serde_json::to_vec(meeting)
            .map_err(io::Error::from)
            .and_then(|mut line| {
                line.push(b'\n');
                append(&mut self.pairs, &line)
            });
        written.map_err(StoreError::io("append to", &path))?;
        self.measured.extend(measured(meeting));
        Ok(())
    }

    /// Returns how many meetings were measured.
    #[must_use]
    pub fn measured(&self) -> usize {
        self.measured.len()
    }

    /// Returns whether a meeting was measured already.
    #[must_use]
    pub fn has(&self, key: &MeetingKey) -> bool {
        self.measured.contains(key)
    }

    /// Returns whether no meeting was recorded, not even one that failed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.metadata().is_ok_and(|file| file.len() == 0)
    }

    /// Replaces the record, whole or not at all.
    ///
    /// # Errors
    ///
    /// When it cannot be written; then the old one stands.
    pub fn write_record(&self, record: &MeshRecord) -> Result<(), StoreError> {
        let path = self.folder.path.join(MESH);
        let mut json = serde_json::to_vec_pretty(record)
            .map_err(|cause| StoreError::io("write", &path)(cause.into()))?;
        json.push(b'\n');
        atomic::write(&path, &json)
    }

    /// Ends the recording: everything is on the disk, and another process may record.
    ///
    /// # Errors
    ///
    /// When the disk takes no more.
    pub fn finish(self) -> Result<MeshDir, StoreError> {
        let path = self.folder.path.join(PAIRS);
        self.pairs
            .sync_all()
            .map_err(StoreError::io("write", &path))?;
        Ok(self.folder)
    }

    /// Ends a recording without a meeting: its files go, and the folder if nothing else is in it. Else everything stays.
    pub fn discard(self) {
        if self.is_empty() {
            let path = &self.folder.path;
            for name in [MESH, PAIRS] {
                let _ = fs::remove_file(path.join(name));
            }
            let _ = fs::remove_dir(path);
        }
    }

    /// Returns the folder.
    #[must_use]
    pub const fn folder(&self) -> &MeshDir {
        &self.folder
    }
}

/// Reads a folder; returns where its last complete line ends.
fn read(path: &Path) -> Result<(Mesh, usize), StoreError> {
    let record = record(&path.join(MESH))?;
    let file = path.join(PAIRS);
    let bytes = bounded(&file)?;
    let mut meetings: Vec<Meeting> = Vec::new();
    let mut places: BTreeMap<MeetingKey, usize> = BTreeMap::new();
    let mut end = 0;
    for line in lines::complete(&bytes) {
        let damaged = |reason| {
            let line = line.number;
            StoreError::new("read", &file, StoreErrorKind::DamagedLine { line, reason })
        };
        let meeting: Meeting = serde_json::from_slice(line.item)
            .map_err(|cause| damaged(format!("not a meeting ({cause})")))?;
        if let Some(reason) = record.foreign(&meeting) {
            return Err(damaged(reason));
        }
        match places.get(&meeting.key()) {
            Some(&place) if measured(&meetings[place]).is_some() => {
                let reason = format!("meeting {} is there twice", word(&meeting.key()));
                return Err(damaged(reason));
            }
            Some(&place) => meetings[place] = meeting,
            None => {
                places.insert(meeting.key(), meetings.len());
                meetings.push(meeting);
            }
        }
        end = line.end;
    }
    Ok((Mesh { record, meetings }, end))
}

fn record(path: &Path) -> Result<MeshRecord, StoreError> {
    let bytes = bounded(path)?;
    let error = |kind| StoreError::new("read", path, kind);
    if let Some(found) = lines::schema(&bytes).filter(|found| *found != RECORD_SCHEMA) {
        return Err(error(StoreErrorKind::OtherSchema { found }));
    }
    let damaged = |reason| error(StoreErrorKind::Damaged(reason));
    let record: MeshRecord = serde_json::from_slice(&bytes)
        .map_err(|cause| damaged(format!("not a mesh's record ({cause})")))?;
    match record.fault() {
        Some(reason) => Err(damaged(reason)),
        None => Ok(record),
    }
}

fn bounded(path: &Path) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(StoreError::io("read", path))?;
    if bytes.len() as u64 > LARGEST {
        let reason = "it has more than 1 GiB".to_owned();
        return Err(StoreError::new(
            "read",
            path,
            StoreErrorKind::Damaged(reason),
        ));
    }
    Ok(bytes)
}

/// Returns the key of a meeting that was measured; `None` where it failed.
fn measured(meeting: &Meeting) -> Option<MeetingKey> {
    matches!(meeting.outcome, Met::Measured(_)).then(|| meeting.key())
}

/// Returns a meeting's key in one word.
fn word(key: &MeetingKey) -> String {
    format!("{}/{}/{}", key.pass, key.client, key.server)
}
