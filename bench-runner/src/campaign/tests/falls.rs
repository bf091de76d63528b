//! Arms that fall in mid-campaign are deployed anew, and not for ever.

use super::*;

#[tokio::test(start_paused = true)]
async fn arms_that_fall_are_deployed_anew_and_the_cut_round_is_replaced() {
    let (mut record, mut journal) = (record(), MemoryJournal::default());
    let mut target = MemoryTarget {
        dying: Some("again"),
        falls: 1,
        ..MemoryTarget::honest()
    };
    let (result, notes) = run(&mut target, &mut record, &mut journal, None).await;
    result.unwrap();
    assert_eq!(record.installs.len(), 2);
    assert_eq!(record.installs[0].reason, None);
    assert_eq!(
        record.installs[1].reason.as_deref(),
        Some("a probe is gone")
    );
    assert!(
        notes.contains(&"a probe is gone; deploying anew".to_owned()),
        "{notes:?}"
    );
    assert_eq!(good_rounds(&record, &journal), record.plan.rounds.count);
    let last = journal
        .slices
        .iter()
        .rfind(|slice| slice.record.install == 0);
    let cut = &last.unwrap().record;
    assert!(matches!(cut.result, SliceResult::Failed { .. }), "{cut:?}");
    assert!(rendered(&record, &journal).contains("a probe is gone"));
}

#[tokio::test(start_paused = true)]
async fn arms_that_fall_again_and_again_end_the_campaign() {
    let (mut record, mut journal) = (record(), MemoryJournal::default());
    let mut target = MemoryTarget {
        dying: Some("again"),
        falls: u32::MAX,
        ..MemoryTarget::honest()
    };
    let error = run(&mut target, &mut record, &mut journal, None)
        .await
        .0
        .unwrap_err();
    assert_eq!(exit::of(&error), Exit::Environment);
    assert!(
        error.to_string().contains(
            "fell 3 times without a whole round between, at last because of a probe is gone"
        ),
        "{error:#}"
    );
    assert_eq!(record.installs.len(), 3);
}
