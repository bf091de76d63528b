//! Campaign folders: what a campaign measured, kept so that nothing done is lost.
//!
//! | file | what | written |
//! |---|---|---|
//! | `run.json` | [`tollgate_results::run::RunRecord`] | whole, by renaming |
//! | `slices.jsonl` | one [`SliceLine`] a line | appended as each slice ends |
//! | `histograms.hlog` | HDR V2 interval log, tag `ROUND/WORKLOAD/ARM/TIMED` | appended before its slice |
//! | `report.*` | reports | whole, by renaming |
//!
//! A writer may end at any byte: what it was writing is left out when the folder is opened, and removed when
//! the campaign is resumed. Damage anywhere else is refused with the line.
//!
//! - [`CampaignDir`]: a folder to read and to put reports into
//! - [`Recording`]: a folder that a campaign is being written to, by one writer at a time
//! - [`HistoryDb`]: what campaigns said, one after the other, in one file
//! - [`MeshDir`]: all pairs of a cluster's nodes
//! - [`StoreError`]: what went wrong, where, and how to mend it

mod assemble;
mod atomic;
mod error;
mod folder;
mod history;
mod hlog;
mod lines;
mod mesh;
mod recording;

pub use atomic::write as write_whole;
pub use error::{StoreError, StoreErrorKind};
pub use folder::CampaignDir;
pub use history::{Added, HistoryDb, Kept};
pub use lines::SliceLine;
pub use mesh::{MESH, Mesh, MeshDir, MeshRecording, PAIRS};
pub use recording::Recording;

/// Name of the run record in a campaign folder.
pub const RUN: &str = "run.json";
/// Name of the slices in a campaign folder.
pub const SLICES: &str = "slices.jsonl";
/// Name of the histograms in a campaign folder.
pub const HISTOGRAMS: &str = "histograms.hlog";
