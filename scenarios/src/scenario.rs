//! A checked scenario: everything in it can be run, on some machine.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tollgate_results::arm::{Arm, Name};
use tollgate_results::claim::Claim;
use tollgate_results::plan::Rounds;
use tollgate_results::workload::Workload;

use crate::check::check;
use crate::document::Document;
use crate::fault::{Fault, Faults, suggestion};
use crate::shipped::shipped;
use crate::toml_file::read_text;

/// A scenario as its file says, defaults filled in and sweeps spread out.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name, equal to the file's.
    pub name: Name,
    /// One sentence: what it compares.
    pub about: String,
    /// SHA-256 of the file's text, in hexadecimal.
    pub hash: String,
    /// How often and how long is measured.
    pub rounds: Rounds,
    /// The arm with which the others are compared unless they name another.
    pub reference: Name,
    /// The arms, in the file's order; a sweep has one for each level.
    pub arms: Vec<Arm>,
    /// The workloads, in the file's order.
    pub workloads: Vec<Workload>,
    /// The statements of folklore that it tests, in the file's order.
    pub claims: Vec<Claim>,
    /// Weights of the backends behind a gateway; empty where nothing is split. Such a scenario is for a cluster.
    pub split: BTreeMap<Name, u32>,
}

impl Scenario {
    /// Loads a shipped scenario by its name, or a scenario file by its path.
    ///
    /// # Errors
    ///
    /// All faults of the file, or the one that it cannot be read.
    ///
    /// # Examples
    ///
    /// ```
    /// let scenario = tollgate_scenarios::Scenario::load("quickstart").unwrap();
    /// assert_eq!(scenario.reference.as_str(), "native");
    /// let faults = tollgate_scenarios::Scenario::load("quikstart").unwrap_err();
    /// assert!(faults.to_string().contains("did you mean `quickstart`?"));
    /// ```
    pub fn load(name_or_file: &str) -> Result<Self, Faults> {
        if let Some(shipped) = shipped().iter().find(|known| known.name == name_or_file) {
            return Self::parse(&format!("{}.toml", shipped.name), shipped.text);
        }
        let is_path = name_or_file.contains(['/', '.']) || Path::new(name_or_file).exists();
        if !is_path {
            let names: Vec<&str> = shipped().iter().map(|known| known.name).collect();
            let known = match suggestion(name_or_file, names.iter().copied()) {
                none if none.is_empty() => format!("; shipped are {}", names.join(", ")),
                known => known,
            };
            let message = format!("neither a shipped scenario nor a file{known}");
            return Err(Fault::new(name_or_file, message).into());
        }
        let text = read_text(name_or_file)?;
        Self::parse(name_or_file, &text)
    }

    /// Reads a scenario from its text. `file` is the file's path or name; its stem must equal the `name` in
    /// the text.
    ///
    /// # Errors
    ///
    /// All faults, in the order of the file.
    pub fn parse(file: &str, text: &str) -> Result<Self, Faults> {
        let mut document = Document::parse(file, text)?;
        let Some(tables) = document.read() else {
            return document.finish(None);
        };
        let stem = Path::new(file).file_stem().unwrap_or_default();
        check(document, &tables, &stem.to_string_lossy(), hash(text))
    }

    /// Returns the arm of this name.
    #[must_use]
    pub fn arm(&self, name: &Name) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.name == *name)
    }
}

/// SHA-256 in hexadecimal.
fn hash(text: &str) -> String {
    use std::fmt::Write as _;
    let mut hex = String::new();
    for byte in Sha256::digest(text.as_bytes()) {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
    }
    hex
}
