//! Whether several clients sent at once.

use tollgate_results::arm::Arm;
use tollgate_results::slice::Measured;

use super::{CLIENTS, Finding};

/// Judges whether as many clients sent as are declared, and began as one; `None` for an arm of one client.
pub(super) fn judge(arm: &Arm, measured: &Measured) -> Option<Finding> {
    let declared = arm.datapath.cluster.as_ref()?.clients;
    if declared <= 1 {
        return None;
    }
    let sent = measured.together.as_ref();
    let each = sent.map_or(&[][..], |together| &together.replied);
    if each.len() != usize::from(declared) {
        let text = format!(
            "declared {declared} clients at once, but {} sent",
            each.len().max(1)
        );
        return Some(Finding::of(CLIENTS, false, text));
    }
    let window_ns = measured.outcome.window_ns;
    let skew_ns = sent.map_or(0, |together| together.skew_ns);
    // While some haven't begun, or have ended, the others have the server for themselves.
    if skew_ns > window_ns / 10 {
        let text = format!(
            "{declared} clients began within {}, which is more than a tenth of the window",
            milliseconds(skew_ns)
        );
        return Some(Finding::unknown(CLIENTS, text));
    }
    Some(Finding::of(CLIENTS, true, told(declared, skew_ns)))
}

/// Says that so many clients sent at once, and how far apart they began at most.
pub(super) fn told(clients: impl std::fmt::Display, skew_ns: u64) -> String {
    format!(
        "{clients} clients sent at once: they began within {}",
        milliseconds(skew_ns)
    )
}

#[expect(clippy::cast_precision_loss, reason = "a window has less than 2^53 ns")]
fn milliseconds(ns: u64) -> String {
    format!("{:.1} ms", ns as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use tollgate_results::arm::Datapath;
    use tollgate_results::cluster_path::{ClusterPath, Path};
    use tollgate_results::slice::SliceResult;
    use tollgate_results::together::Together;

    use super::*;
    use crate::model::Judgement;
    use crate::synthetic::Synthetic;

    /// Judges an arm of so many clients whose slice was sent like that, in a window of 100 ms.
    fn judged(clients: u8, together: Option<Together>) -> Option<Finding> {
        let campaign = Synthetic::overlay().campaign();
        let mut arm = campaign.run.plan.arms[0].clone();
        arm.datapath = Datapath {
            cluster: Some(ClusterPath {
                clients,
                ..ClusterPath::of(Path::PodIp)
            }),
            ..Datapath::default()
        };
        let SliceResult::Measured(measured) = &campaign.slices[0].record.result else {
            panic!("the first slice is measured");
        };
        let mut measured = Measured {
            together,
            ..(**measured).clone()
        };
        measured.outcome.window_ns = 100_000_000;
        judge(&arm, &measured)
    }

    #[test]
    fn clients_that_are_fewer_or_began_apart_are_told() {
        let sent = |skew_ns: u64, clients: usize| {
            Some(Together {
                skew_ns,
                replied: vec![7; clients],
            })
        };
        assert!(judged(1, None).is_none());
        let fine = judged(4, sent(1_500_000, 4)).unwrap();
        assert_eq!(fine.judgement, Judgement::Ok);
        assert_eq!(
            fine.text,
            "4 clients sent at once: they began within 1.5 ms"
        );
        let apart = judged(4, sent(10_000_001, 4)).unwrap();
        assert_eq!(apart.judgement, Judgement::Unknown);
        assert!(apart.text.contains("within 10.0 ms"), "{}", apart.text);
        for (together, number) in [(None, 1), (sent(0, 3), 3)] {
            let fewer = judged(4, together).unwrap();
            assert_eq!(fewer.judgement, Judgement::Contradicts);
            let told = format!("declared 4 clients at once, but {number} sent");
            assert_eq!(fewer.text, told);
        }
    }
}
