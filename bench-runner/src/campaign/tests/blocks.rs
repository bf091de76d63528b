//! A campaign over one cluster that a command switches between the arms.

use tollgate_reports::model::{Cell, Metric, Verdict};
use tollgate_results::change::{Command, Place};
use tollgate_results::cluster_path::{ClusterPath, Path};

use super::*;

/// The usual plan, with arms that can't stand at the same time.
fn switched(installs: u32, rounds: u32) -> RunRecord {
    let mut record = record();
    record.plan.rounds.count = rounds;
    record.plan.rounds.installs = installs;
    for arm in &mut record.plan.arms {
        arm.datapath.cluster = Some(ClusterPath::of(Path::PodIp));
        arm.change.apply = vec![Command {
            on: Place::Runner,
            run: vec!["switch".to_owned(), arm.name.to_string()],
            within: Nanoseconds(1_000_000_000),
        }];
    }
    record
}

#[tokio::test(start_paused = true)]
async fn each_install_has_every_arm_once_with_all_its_rounds() {
    let (mut record, mut journal) = (switched(6, 24), MemoryJournal::default());
    run(&mut MemoryTarget::honest(), &mut record, &mut journal, None)
        .await
        .0
        .unwrap();
    assert_eq!(record.installs.len(), 6);
    for (number, install) in (0..).zip(&record.installs) {
        // Four rounds, and one before them that is discarded.
        assert_eq!(install.first_round, 5 * number);
        assert_eq!(install.order.len(), 3);
        let of_install = journal
            .slices
            .iter()
            .filter(|slice| slice.record.install == number);
        let mut arms: Vec<&Name> = of_install.map(|slice| &slice.record.key.arm).collect();
        assert_eq!(arms.len(), 3 * 2 * 5);
        arms.dedup();
        assert_eq!(arms, install.order.iter().collect::<Vec<_>>());
        if number % 2 == 1 {
            let before = &record.installs[number as usize - 1].order;
            assert!(install.order.iter().eq(before.iter().rev()));
        }
    }
    assert_eq!(good_rounds(&record, &journal), 24);
    assert!(rendered(&record, &journal).contains("each of 6 installs has its rounds"));
    let analysis = analyse(&Campaign {
        run: record,
        slices: journal.slices,
    });
    let of_p50 = |cell: &&Cell| cell.metric == Metric::P50;
    let cells: Vec<&Cell> = analysis.cells.iter().filter(of_p50).collect();
    assert_eq!(cells.len(), 2 * 2);
    for cell in cells {
        assert_eq!(cell.pairs.len(), 6, "installs are what repeats");
        let slower = cell.arm.as_str() == "vxlan";
        assert_eq!(cell.verdict == Verdict::Slower, slower, "{cell:?}");
    }
    let note = analysis.conduct.notes.join("\n");
    assert!(note.contains("Each of 6 installs counts once"), "{note}");
}

#[tokio::test(start_paused = true)]
async fn too_few_installs_are_too_few_however_many_rounds() {
    let (mut record, mut journal) = (switched(3, 24), MemoryJournal::default());
    run(&mut MemoryTarget::honest(), &mut record, &mut journal, None)
        .await
        .0
        .unwrap();
    let analysis = analyse(&Campaign {
        run: record,
        slices: journal.slices,
    });
    let reason = analysis.cells[0].reason.as_deref();
    assert_eq!(
        reason,
        Some("3 valid installs of both arms: an interval needs at least 6")
    );
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_install_is_cut_and_the_next_is_a_new_one() {
    let (mut record, mut journal) = (switched(2, 4), MemoryJournal::default());
    let mut target = MemoryTarget::honest();
    run(&mut target, &mut record, &mut journal, Some(8))
        .await
        .0
        .unwrap_err();
    run(&mut target, &mut record, &mut journal, None)
        .await
        .0
        .unwrap();
    assert_eq!(good_rounds(&record, &journal), 4);
    assert_eq!(record.installs.len(), 3);
    let keys: BTreeSet<SliceKey> = journal
        .slices
        .iter()
        .map(|slice| slice.record.key.clone())
        .collect();
    assert_eq!(keys.len(), journal.slices.len(), "no slice stands twice");
}
