//! Whether the name of a service without an address of its own led the client to the server's pod.

use tollgate_results::arm::Arm;
use tollgate_results::cluster_path::Path;
use tollgate_results::facts::NameFacts;
use tollgate_results::run::RunRecord;

use super::{Finding, NAME};

/// Judges where the name led when an install was deployed; `None` for an arm whose client goes by an address.
pub(super) fn judge(run: &RunRecord, arm: &Arm, install: u32) -> Option<Finding> {
    let path = arm.datapath.cluster.as_ref()?;
    if path.path != Path::Headless {
        return None;
    }
    let install = usize::try_from(install).ok();
    let install = install.and_then(|install| run.installs.get(install));
    let named = install.and_then(|install| install.arms.get(&arm.name)?.named.as_ref());
    let Some(named) = named else {
        let text = "where its name led isn't in the record".to_owned();
        return Some(Finding::unknown(NAME, text));
    };
    Some(Finding::of(NAME, named.holds(), told(named)))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a look-up takes less than 2^53 ns"
)]
fn told(named: &NameFacts) -> String {
    let led: Vec<String> = named.addresses.iter().map(ToString::to_string).collect();
    let led = match led.as_slice() {
        [] => "nowhere".to_owned(),
        led => format!("to {}", led.join(", ")),
    };
    let name = &named.name;
    if !named.holds() {
        return format!(
            "{name} led the client {led}, but the server's pod is {}",
            named.pod
        );
    }
    format!(
        "{name} led the client {led}, the pod's own address; looked up in {:.1} ms when the arm was deployed, which is in \
         no figure",
        named.took_ns as f64 / 1e6
    )
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tollgate_results::arm::Datapath;
    use tollgate_results::cluster_path::ClusterPath;
    use tollgate_results::run::Campaign;

    use super::*;
    use crate::model::Judgement;
    use crate::synthetic::Synthetic;

    const POD: [u8; 4] = [10, 0, 1, 7];

    /// Judges an arm of this path whose name led to these addresses.
    fn judged(path: Path, led: Option<&[[u8; 4]]>) -> Option<Finding> {
        let Campaign { mut run, .. } = Synthetic::overlay().campaign();
        let mut arm = run.plan.arms[0].clone();
        arm.datapath = Datapath {
            cluster: Some(ClusterPath::of(path)),
            ..Datapath::default()
        };
        let facts = run.installs[0].arms.get_mut(&arm.name).unwrap();
        facts.named = led.map(|led| NameFacts {
            name: "far".to_owned(),
            addresses: led.iter().map(|address| IpAddr::from(*address)).collect(),
            pod: POD.into(),
            took_ns: 1_200_000,
        });
        judge(&run, &arm, 0)
    }

    #[test]
    fn a_name_that_leads_to_the_pod_alone_is_evidence() {
        let right = judged(Path::Headless, Some(&[POD])).unwrap();
        assert_eq!(right.judgement, Judgement::Ok);
        assert!(
            right.text.starts_with(
                "far led the client to 10.0.1.7, the pod's own address; looked up in 1.2 ms"
            ),
            "{}",
            right.text
        );
        for wrong in [&[[10, 0, 1, 8]][..], &[POD, [10, 0, 1, 8]], &[]] {
            let found = judged(Path::Headless, Some(wrong)).unwrap();
            assert_eq!(found.judgement, Judgement::Contradicts, "{wrong:?}");
            assert!(found.text.ends_with("but the server's pod is 10.0.1.7"));
        }
        let unknown = judged(Path::Headless, None).unwrap();
        assert_eq!(unknown.judgement, Judgement::Unknown);
        assert!(judged(Path::PodIp, Some(&[POD])).is_none());
    }
}
