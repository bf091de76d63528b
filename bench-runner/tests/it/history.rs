//! Histories on the command line: from campaign folders to a table, a page and JSON; bad folders change nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::{TempDir, tempdir};
use tollgate_reports::history::History;
use tollgate_reports::synthetic::Synthetic;
use tollgate_store::{CampaignDir, RUN, SLICES};

use crate::support::{stderr, stdout, tollgate};

/// A folder with campaigns in `campaigns/`, as `run` leaves them.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new(campaigns: u32) -> Self {
        let place = Self {
            dir: tempdir().unwrap(),
        };
        for number in 1..=campaigns {
            place.record(number);
        }
        place
    }

    fn folder(&self, number: u32) -> PathBuf {
        self.dir.path().join(format!("campaigns/overlay-{number}"))
    }

    fn record(&self, number: u32) {
        let mut campaign = Synthetic {
            seed: number.into(),
            rounds: 6,
            ..Synthetic::overlay()
        }
        .campaign();
        campaign.run.started_unix_ms += u64::from(number) * 86_400_000;
        let mut recording = CampaignDir::create(&self.folder(number), &campaign.run).unwrap();
        for slice in &campaign.slices {
            recording.append(slice).unwrap();
        }
        let folder = recording.finish().unwrap();
        folder.write_report("report.html", b"a report").unwrap();
    }

    fn run(&self, args: &[&str]) -> Output {
        let args = [&["history"], args].concat();
        tollgate(&args)
            .current_dir(self.dir.path())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{args:?}: {}",
            stderr(&output)
        );
        stdout(&output)
    }

    /// Returns what is told of bad input: exit code 2, and nothing on standard output.
    #[track_caller]
    fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{args:?}: {}",
            stdout(&output)
        );
        assert_eq!(stdout(&output), "");
        stderr(&output)
    }

    fn json(&self) -> History {
        serde_json::from_str(&self.done(&["--json"])).unwrap()
    }
}

#[test]
fn folders_become_a_history() {
    let place = Place::new(3);
    place.done(&["add", "campaigns"]);
    let history = place.json();
    let titles: Vec<&str> = history
        .campaigns
        .iter()
        .map(|campaign| campaign.title.as_str())
        .collect();
    assert_eq!(titles, ["overlay-1", "overlay-2", "overlay-3"]);
    assert!(history.series.iter().all(|series| series.points.len() == 3));
    // Again, by its other name, with a label and a release: replaced.
    let last = "campaigns/overlay-3";
    place.done(&["import", "--label", "3f2a91c", last]);
    place.done(&["add", "--release", "v1.2", "campaigns/overlay-2"]);
    let history = place.json();
    assert_eq!(history.campaigns.len(), 3);
    assert_eq!(history.campaigns[2].title, "3f2a91c");
    let main = history.series.iter().find(|series| series.main).unwrap();
    assert_eq!(
        main.budget.as_ref().map(|since| since.release.as_str()),
        Some("v1.2")
    );
    let text = place.done(&["overlay"]);
    assert!(text.starts_with("overlay: 3 campaigns, "), "{text}");
    assert!(text.contains("since release v1.2"), "{text}");
    let listed = place.done(&["--campaigns"]);
    assert!(listed.contains("overlay-2 (release v1.2)"), "{listed}");
    place.done(&["release", "none", &history.campaigns[1].id.to_string()]);
    place.done(&["remove", &history.campaigns[0].id.to_string()]);
    let history = place.json();
    assert_eq!(history.campaigns.len(), 2);
    assert!(
        history
            .campaigns
            .iter()
            .all(|campaign| campaign.release.is_none())
    );
}

#[test]
fn the_page_links_to_reports_wherever_it_lies() {
    let place = Place::new(2);
    place.done(&["add", "campaigns"]);
    fs::remove_file(place.folder(2).join("report.html")).unwrap();
    fs::create_dir(place.dir.path().join("public")).unwrap();
    for (page, link) in [
        ("campaigns/index.html", "./overlay-1/report.html"),
        (
            "public/history.html",
            "./../campaigns/overlay-1/report.html",
        ),
        ("here.html", "./campaigns/overlay-1/report.html"),
    ] {
        place.done(&["--html", page]);
        let text = fs::read_to_string(place.dir.path().join(page)).unwrap();
        assert!(text.contains(&format!("href=\"{link}\"")), "{page}");
        assert!(
            !text.contains("overlay-2/report.html"),
            "a report that is gone is not linked"
        );
    }
    // All of it may be moved together.
    let moved = place.dir.path().join("moved");
    fs::rename(place.dir.path().join("campaigns"), &moved).unwrap();
    place.done(&["--db", "moved/history.sqlite", "--html", "moved/index.html"]);
    let text = fs::read_to_string(moved.join("index.html")).unwrap();
    assert!(text.contains("href=\"./overlay-1/report.html\""));
    let told = place.refused(&["--db", "moved/history.sqlite", "--html", "nowhere/x.html"]);
    assert!(told.contains("nowhere/x.html"), "{told}");
}

#[test]
fn a_bad_folder_is_named_and_nothing_is_added() {
    let place = Place::new(4);
    fs::write(place.folder(2).join(RUN), "{}").unwrap();
    fs::remove_file(place.folder(4).join(SLICES)).unwrap();
    let told = place.refused(&["add", "campaigns"]);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    assert!(
        lines[0].contains("overlay-2") && lines[1].contains("overlay-4"),
        "{told}"
    );
    assert_eq!(lines[2], "nothing was added");
    let told = place.refused(&["add", "campaigns/overlay-1", ".", "nowhere"]);
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(
        told.contains("has none in it") && told.contains("nowhere"),
        "{told}"
    );
    assert!(!place.dir.path().join("campaigns/history.sqlite").exists());
}

#[test]
fn what_cannot_be_is_told_in_one_line() {
    let place = Place::new(2);
    let none = place.refused(&[]);
    assert!(none.contains("history add FOLDER"), "{none}");
    for args in [
        &["add", "--label", "x", "campaigns"][..],
        &["add", "--label", "", "campaigns/overlay-1"],
        &["add", "--release", "a\nb", "campaigns/overlay-1"],
    ] {
        assert_eq!(place.refused(args).lines().count(), 1, "{args:?}");
    }
    place.done(&["add", "campaigns"]);
    for args in [
        &["something"][..],
        &["release", "v1", "99"],
        &["remove", "1", "99"],
        &["--db", "campaigns/overlay-1/run.json"],
        &["--db", "campaigns"],
    ] {
        assert_eq!(place.refused(args).lines().count(), 1, "{args:?}");
    }
    assert_eq!(place.json().campaigns.len(), 2);
    // The file may be named before what is done with it; what is told may not.
    place.done(&["--db", "other.sqlite", "add", "campaigns"]);
    place.done(&["remove", "--db", "other.sqlite", "1"]);
    let told = place.refused(&["overlay", "--json", "remove", "1"]);
    assert!(told.contains("leave them out here"), "{told}");
    let file = Path::new("campaigns/history.sqlite");
    fs::write(place.dir.path().join(file), "no history").unwrap();
    assert!(place.refused(&[]).contains("not a history of Tollgate"));
    assert!(
        place
            .refused(&["add", "campaigns"])
            .contains("not a history of Tollgate")
    );
}
