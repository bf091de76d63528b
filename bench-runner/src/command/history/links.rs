//! Where campaigns lie, seen from the history's file and from its page, so that all of it can be moved together.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Component, Path, PathBuf};

use tollgate_reports::history::History;

/// Returns the folder that a file is in, as the system knows it.
pub(super) fn folder_of(file: &Path) -> io::Result<PathBuf> {
    let parent = file.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new(".")).canonicalize()
}

/// Returns the path of a campaign's folder as the history keeps it: from the history's folder. `None` where it is no
/// text.
pub(super) fn from_history(db: &Path, folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    // Where the history is yet to be made, so may be its folder.
    let from = folder_of(db).unwrap_or_else(|_| absolute(db.parent().unwrap_or(db)));
    relative(&from, &folder).to_str().map(str::to_owned)
}

/// Returns the address of each campaign's report from the page's folder, of those that are there.
pub(super) fn links(history: &History, db: &Path, page: &Path) -> BTreeMap<i64, String> {
    let Ok(from) = folder_of(db) else {
        return BTreeMap::new();
    };
    let link = |folder: &str| {
        let report = from.join(folder).join("report.html").canonicalize().ok()?;
        Some(address(relative(page, &report).to_str()?))
    };
    let campaigns = history.campaigns.iter();
    campaigns
        .filter_map(|campaign| Some((campaign.id, link(campaign.folder.as_deref()?)?)))
        .collect()
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The way from one absolute folder to a path, with `..` where needed.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let shared = from
        .components()
        .zip(to.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = from.components().skip(shared).map(|_| Component::ParentDir);
    let way: PathBuf = up.chain(to.components().skip(shared)).collect();
    if way.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        way
    }
}

/// Writes a relative path as a URL: all but unreserved characters and slashes in percent.
fn address(path: &str) -> String {
    // A first part with a colon would be a scheme.
    let mut address = "./".to_owned();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            address.push(char::from(byte));
        } else {
            write!(address, "%{byte:02X}").expect("writing to memory cannot fail");
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_the_shortest() {
        for (from, to, way) in [
            ("/a/b", "/a/b/c/d", "c/d"),
            ("/a/b", "/a/x/y", "../x/y"),
            ("/a/b", "/a/b", "."),
            ("/a", "/z", "../z"),
        ] {
            assert_eq!(
                relative(Path::new(from), Path::new(to)),
                Path::new(way),
                "{from} {to}"
            );
        }
    }

    #[test]
    fn no_path_leaves_its_link() {
        assert_eq!(address("a/report.html"), "./a/report.html");
        assert_eq!(address("a b\"<>#?%"), "./a%20b%22%3C%3E%23%3F%25");
        assert_eq!(address("javascript:x"), "./javascript%3Ax");
    }
}
