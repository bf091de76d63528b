//! Arms with several clients.

use tollgate_results::cluster_path::{ClusterPath, Path};
use tollgate_results::outcome::Timed;

use super::*;

#[tokio::test(start_paused = true)]
async fn several_clients_are_one_slice() {
    let (mut record, mut journal) = (record(), MemoryJournal::default());
    let several = record.plan.arms[1].name.clone();
    record.plan.arms[1].datapath.cluster = Some(ClusterPath {
        clients: 3,
        ..ClusterPath::of(Path::PodIp)
    });
    run(&mut MemoryTarget::honest(), &mut record, &mut journal, None)
        .await
        .0
        .unwrap();
    for slice in &journal.slices {
        let SliceResult::Measured(measured) = &slice.record.result else {
            panic!("{:?}", slice.record);
        };
        let clients = if slice.record.key.arm == several {
            3
        } else {
            1
        };
        let replied = clients * agent::REQUESTS;
        assert_eq!(measured.outcome.replied, replied);
        assert_eq!(measured.outcome.window_ns, 1_000_000_000);
        let latency = &slice.histograms[&Timed::Latency];
        let counted: u64 = latency.buckets().map(|(_, count)| count).sum();
        assert_eq!(counted, replied);
        let each = measured.together.as_ref().map(|together| &together.replied);
        let expected = (clients > 1).then(|| vec![agent::REQUESTS; 3]);
        assert_eq!(each, expected.as_ref());
    }
}
