//! The life of a folder: created, appended to, resumed, reported on.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tollgate_store::{CampaignDir, HISTOGRAMS, RUN, SLICES, StoreErrorKind};

use crate::{line, record, run, slice, slices};

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/new/one");
    record(&path, 20);
    let (opened, campaign) = CampaignDir::open(&path).unwrap();
    assert_eq!(campaign.run, run());
    assert_eq!(campaign.slices, slices(20));
    assert_eq!(opened.dropped_slices(), 0);
}

#[test]
fn a_campaign_can_be_read_while_it_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let mut recording = CampaignDir::create(folder.path(), &run()).unwrap();
    recording.append(&slice(0)).unwrap();
    let (_, campaign) = CampaignDir::open(folder.path()).unwrap();
    assert_eq!(campaign.slices, slices(1));
}

#[test]
fn one_process_records_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let recording = CampaignDir::create(folder.path(), &run()).unwrap();
    let error = CampaignDir::resume(folder.path()).unwrap_err();
    assert!(
        matches!(error.kind(), StoreErrorKind::InUse),
        "{}",
        line(&error)
    );
    drop(recording);
    CampaignDir::resume(folder.path()).unwrap();
}

#[test]
fn a_resumed_campaign_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 5);
    let (mut recording, campaign) = CampaignDir::resume(folder.path()).unwrap();
    assert_eq!(campaign.slices, slices(5));
    let mut run = campaign.run;
    run.installs.push(run.installs[0].clone());
    recording.write_run(&run).unwrap();
    recording.append(&slice(5)).unwrap();
    let (_, campaign) = CampaignDir::open(folder.path()).unwrap();
    assert_eq!(campaign.run, run);
    assert_eq!(campaign.slices, slices(6));
}

#[test]
fn only_a_recording_without_slices_is_discarded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("campaign");
    CampaignDir::create(&path, &run()).unwrap().discard();
    assert!(!path.exists());
    record(&path, 1);
    CampaignDir::resume(&path).unwrap().0.discard();
    assert_eq!(CampaignDir::open(&path).unwrap().1.slices, slices(1));
}

#[test]
fn a_slice_is_recorded_once() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 2);
    let (mut recording, _) = CampaignDir::resume(folder.path()).unwrap();
    let error = recording.append(&slice(1)).unwrap_err();
    assert!(line(&error).ends_with("slice 0/rr/vxlan is there already; each is measured once"));
    assert_eq!(
        CampaignDir::open(folder.path()).unwrap().1.slices,
        slices(2)
    );
}

#[test]
fn a_folder_with_anything_in_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("diary.txt"), "dear diary").unwrap();
    let error = CampaignDir::create(folder.path(), &run()).unwrap_err();
    assert!(
        line(&error)
            .ends_with("the folder is not empty; name a new one, or resume the campaign in it")
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let line = line(&CampaignDir::create(&path, &run()).unwrap_err());
        assert!(line.contains(&path.display().to_string()), "{line}");
        assert!(
            line.ends_with("; name a folder that can be written to"),
            "{line}"
        );
    }
    // Not even root writes here.
    let line = line(&CampaignDir::create("/proc/tollgate".as_ref(), &run()).unwrap_err());
    assert!(line.contains("`/proc/tollgate`"), "{line}");
}

#[test]
fn an_ordinary_user_is_told_that_a_folder_is_not_theirs() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 1);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let may_write_anywhere = fs::write(folder.path().join("probe"), "").is_ok();
    let written = CampaignDir::open(folder.path())
        .unwrap()
        .0
        .write_report("report.md", b"x");
    match written {
        Ok(_) => assert!(may_write_anywhere),
        Err(error) => {
            let line = line(&error);
            assert!(
                line.ends_with("; name a folder that can be written to"),
                "{line}"
            );
        }
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn reports_are_written_whole_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 1);
    let (opened, campaign) = CampaignDir::open(folder.path()).unwrap();
    for text in ["first", "second"] {
        let path = opened.write_report("report.html", text.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), text);
    }
    for bad in [
        "",
        ".",
        "..",
        "../report.html",
        "a/b",
        "/tmp/x",
        ".hidden",
        RUN,
        SLICES,
        HISTOGRAMS,
    ] {
        let error = opened.write_report(bad, b"x").unwrap_err();
        assert!(
            matches!(error.kind(), StoreErrorKind::ReportName(_)),
            "{bad}"
        );
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    let picture = opened.write_picture("a.svg", b"x").unwrap();
    assert_eq!(picture, folder.path().join("pictures").join("a.svg"));
    for bad in ["", "..", "../a.svg", "a/b", "/tmp/x", ".hidden"] {
        assert!(opened.write_picture(bad, b"x").is_err(), "{bad}");
    }
    assert_eq!(CampaignDir::open(folder.path()).unwrap().1, campaign);
}

#[test]
fn the_log_is_one_that_other_hdr_tools_read() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 4);
    let log = fs::read_to_string(folder.path().join(HISTOGRAMS)).unwrap();
    let intervals: Vec<_> = log
        .lines()
        .filter(|line| line.starts_with("Tag="))
        .collect();
    let tags: Vec<_> = intervals
        .iter()
        .filter_map(|line| line.split(',').next())
        .collect();
    assert_eq!(
        tags,
        [
            "Tag=0/rr/native/latency",
            "Tag=0/rr/native/connect",
            "Tag=0/rr/vxlan/latency",
            "Tag=1/rr/native/latency",
            "Tag=1/rr/vxlan/latency",
            "Tag=1/rr/vxlan/connect",
        ]
    );
    // Tag, start in seconds, length in seconds, largest value, compressed histogram (the Java reader takes no
    // other; "HISTFAAA" is the cookie of compressed V2 in base64).
    let fields: Vec<_> = intervals[0].split(',').collect();
    assert_eq!(fields[1..3], ["1700000000.000", "1.000"]);
    assert!(fields[4].starts_with("HISTFAAA"), "{}", fields[4]);
}
