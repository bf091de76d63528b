//! A writer killed at any moment: what was complete is read, and recording goes on.

use std::fs::{self, OpenOptions};
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;
use tollgate_results::slice::Slice;
use tollgate_store::{CampaignDir, HISTOGRAMS, SLICES};

use crate::{record, slice, slices};

fn cut(path: &Path, at: Index) {
    let length = fs::metadata(path).expect("the folder is good").len();
    let at = at.index(usize::try_from(length).expect("the folder is good") + 1);
    OpenOptions::new()
        .write(true)
        .open(path)
        .expect("the folder is good")
        .set_len(at as u64)
        .expect("the folder is good");
}

fn read(path: &Path) -> Vec<Slice> {
    CampaignDir::open(path)
        .expect("the folder is good")
        .1
        .slices
}

#[test]
fn a_line_without_its_end_is_left_out_and_removed_on_resume() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 3);
    let lines = folder.path().join(SLICES);
    let text = fs::read_to_string(&lines).unwrap();
    // All but the line break: the line reads well, but its writer had not ended it.
    fs::write(&lines, text.trim_end()).unwrap();
    assert_eq!(read(folder.path()), slices(2));
    let (mut recording, campaign) = CampaignDir::resume(folder.path()).unwrap();
    assert_eq!(campaign.slices, slices(2));
    recording.append(&slice(2)).unwrap();
    assert_eq!(fs::read_to_string(&lines).unwrap(), text);
    assert_eq!(read(folder.path()), slices(3));
}

#[test]
fn a_slice_without_its_histograms_is_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 9);
    let log = folder.path().join(HISTOGRAMS);
    let text = fs::read_to_string(&log).unwrap();
    let kept: Vec<_> = text
        .split_inclusive('\n')
        .take_while(|line| !line.contains("=1/rr/vxlan/connect"))
        .collect();
    fs::write(&log, kept.concat()).unwrap();
    // The fourth slice has one of its two histograms. The seventh failed and needs none, and still goes: what
    // is kept is a beginning.
    let (folder, campaign) = CampaignDir::open(folder.path()).unwrap();
    assert_eq!(campaign.slices, slices(3));
    assert_eq!(folder.dropped_slices(), 6);
}

#[test]
fn histograms_without_a_slice_do_not_disturb() {
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), 4);
    let lines = folder.path().join(SLICES);
    let text = fs::read_to_string(&lines).unwrap();
    let first: Vec<_> = text.split_inclusive('\n').take(3).collect();
    fs::write(&lines, first.concat()).unwrap();
    assert_eq!(read(folder.path()), slices(3));
    // The slice may be measured again: its old histograms are removed, else there would be two.
    let (mut recording, _) = CampaignDir::resume(folder.path()).unwrap();
    recording.append(&slice(3)).unwrap();
    assert_eq!(read(folder.path()), slices(4));
}

proptest! {
    #[test]
    fn files_cut_anywhere_give_a_beginning(
        count in 0..12_u32,
        cut_lines: Index,
        cut_log: Index,
        which in 0..3,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        record(path, count);
        if which != 1 {
            cut(&path.join(SLICES), cut_lines);
        }
        if which != 0 {
            cut(&path.join(HISTOGRAMS), cut_log);
        }
        let all = slices(count);
        let read_back = read(path);
        prop_assert_eq!(&all[..read_back.len()], &read_back[..]);
        let (mut recording, campaign) = CampaignDir::resume(path).unwrap();
        prop_assert_eq!(&campaign.slices, &read_back);
        // What was lost is recorded again: nothing of the cut is left.
        for slice in &all[read_back.len()..] {
            recording.append(slice).unwrap();
        }
        drop(recording);
        let (folder, campaign) = CampaignDir::open(path).unwrap();
        prop_assert_eq!(campaign.slices, all);
        prop_assert_eq!(folder.dropped_slices(), 0);
    }

    #[test]
    fn no_damage_panics(
        file in prop::sample::select(vec![SLICES, HISTOGRAMS, tollgate_store::RUN]),
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        record(folder.path(), 4);
        let path = folder.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        fs::write(&path, bytes).unwrap();
        if let Ok((_, campaign)) = CampaignDir::open(folder.path()) {
            prop_assert!(campaign.slices.len() <= 4);
        }
    }
}
