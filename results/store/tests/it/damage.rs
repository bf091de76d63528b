//! Damage that no killed writer leaves: one line that names the file, the line and what is wrong.

use std::fs;
use std::path::Path;

use tollgate_store::{CampaignDir, HISTOGRAMS, RUN, SLICES};

use crate::{line, record};

/// Records four slices, changes a file and returns the line with which the folder is refused.
#[track_caller]
fn refused(file: &str, change: impl FnOnce(&str) -> String) -> String {
    let folder = tempfile::tempdir().expect("files can be written");
    record(folder.path(), 4);
    let path = folder.path().join(file);
    let before = fs::read_to_string(&path).expect("files can be written");
    let after = change(&before);
    assert_ne!(before, after, "nothing was changed");
    fs::write(&path, after).expect("files can be written");
    let told = line(&CampaignDir::open(folder.path()).expect_err("the folder is damaged"));
    let at = format!("failed to read `{}`: ", path.display());
    assert!(told.starts_with(&at), "{told}");
    // A campaign that cannot be read is not resumed either, and nothing of it is touched.
    let damaged = fs::read(&path).expect("files can be written");
    CampaignDir::resume(folder.path()).expect_err("the folder is damaged");
    assert_eq!(fs::read(&path).expect("files can be written"), damaged);
    told[at.len()..].to_owned()
}

/// Replaces one line, counted from 1.
fn with_line(text: &str, number: usize, change: impl Fn(&str) -> String) -> String {
    let lines = text.split_inclusive('\n').zip(1..);
    lines
        .map(|(line, at)| {
            if at == number {
                change(line)
            } else {
                line.to_owned()
            }
        })
        .collect()
}

const RESTORE: &str = "; the file was edited or damaged: restore it from a copy";

#[test]
fn a_damaged_slice_is_named_by_its_line() {
    let told = refused(SLICES, |text| {
        with_line(text, 2, |_| "garbage\n".to_owned())
    });
    assert_eq!(
        told,
        format!("line 2: not a slice (expected value at line 1 column 1){RESTORE}")
    );
    let told = refused(SLICES, |text| {
        with_line(text, 3, |line| line.replace("\"position\":0,", ""))
    });
    assert!(
        told.starts_with("line 3: not a slice (missing field `position`"),
        "{told}"
    );
    let told = refused(SLICES, |text| with_line(text, 4, |_| "\n".to_owned()));
    assert!(told.starts_with("line 4: not a slice"), "{told}");
}

#[test]
fn a_slice_that_is_there_twice_is_refused() {
    let told = refused(SLICES, |text| with_line(text, 2, |line| line.repeat(2)));
    assert_eq!(
        told,
        format!("line 3: slice 0/rr/vxlan is there twice{RESTORE}")
    );
}

#[test]
fn a_slice_of_another_campaign_is_refused() {
    let told = refused(SLICES, |text| {
        text.replacen("\"arm\":\"vxlan\"", "\"arm\":\"wlan\"", 1)
    });
    assert_eq!(told, format!("line 2: the plan has no arm `wlan`{RESTORE}"));
    let told = refused(SLICES, |text| {
        text.replacen("\"workload\":\"rr\"", "\"workload\":\"x\"", 1)
    });
    assert_eq!(
        told,
        format!("line 1: the plan has no workload `x` on `native`{RESTORE}")
    );
    let told = refused(SLICES, |text| {
        text.replacen("\"install\":0", "\"install\":7", 1)
    });
    assert_eq!(told, format!("line 1: install 7 of 1{RESTORE}"));
}

#[test]
fn other_formats_are_refused() {
    let told = refused(RUN, |text| {
        text.replacen("\"schema\": 1", "\"schema\": 2, \"new\": {}", 1)
    });
    assert_eq!(
        told,
        "record format 2, and this version of Tollgate reads 1; use the version that wrote it"
    );
    let told = refused(SLICES, |text| {
        with_line(text, 3, |line| line.replace("\"schema\":1", "\"schema\":2"))
    });
    assert_eq!(
        told,
        format!("line 3: record format 2 in a campaign of format 1{RESTORE}")
    );
}

#[test]
fn a_damaged_run_record_is_refused() {
    let told = refused(RUN, |text| text[..text.len() / 2].to_owned());
    assert!(told.starts_with("not a run record ("), "{told}");
    let told = refused(RUN, |_| String::new());
    assert!(told.starts_with("not a run record ("), "{told}");
}

#[test]
fn a_damaged_histogram_is_named_by_its_line() {
    let told = refused(HISTOGRAMS, |text| {
        with_line(text, 6, |_| "garbage\n".to_owned())
    });
    assert_eq!(
        told,
        format!("line 6: not a line of an HDR interval log{RESTORE}")
    );
    let told = refused(HISTOGRAMS, |text| {
        with_line(text, 6, |line| line.replace("HISTFAAA", "HISTFAA!"))
    });
    assert!(
        told.starts_with("line 6: its histogram is damaged ("),
        "{told}"
    );
    let told = refused(HISTOGRAMS, |text| {
        with_line(text, 6, |line| {
            format!("{}=\n", &line[..line.len() / 8 * 4])
        })
    });
    assert!(
        told.starts_with("line 6: its histogram is damaged ("),
        "{told}"
    );
    let told = refused(HISTOGRAMS, |text| {
        with_line(text, 6, |line| line.replace("Tag=", "Tag=x"))
    });
    assert_eq!(
        told,
        format!("line 6: tag `x0/rr/native/connect` names no slice{RESTORE}")
    );
    let told = refused(HISTOGRAMS, |text| with_line(text, 6, |line| line.repeat(2)));
    assert_eq!(
        told,
        format!("line 7: histogram 0/rr/native/connect is there twice{RESTORE}")
    );
}

#[test]
fn histograms_gone_from_the_middle_are_missed() {
    let told = refused(HISTOGRAMS, |text| with_line(text, 7, |_| String::new()));
    assert_eq!(
        told,
        "the histograms of slice 0/rr/vxlan are gone, though those of 1/rr/native are there; it was \
         edited or damaged: restore it from a copy"
    );
}

#[test]
fn what_is_not_there_is_named() {
    let told = |path: &Path| line(&CampaignDir::open(path).unwrap_err());
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    let expected = |path: &Path| {
        let path = path.display();
        format!("failed to read `{path}`: there is no such file; name the folder of a campaign")
    };
    assert_eq!(told(&gone), expected(&gone.join(RUN)));
    assert_eq!(told(folder.path()), expected(&folder.path().join(RUN)));
    for file in [RUN, SLICES, HISTOGRAMS] {
        let folder = tempfile::tempdir().unwrap();
        record(folder.path(), 2);
        let path = folder.path().join(file);
        fs::remove_file(&path).unwrap();
        assert_eq!(told(folder.path()), expected(&path));
        assert_eq!(
            line(&CampaignDir::resume(folder.path()).unwrap_err()),
            expected(&path)
        );
    }
}
