//! Whether a cluster is what an arm declares of it, as far as its API tells.

use tollgate_results::arm::{Arm, Name};
use tollgate_results::cluster::{Aspect, ClusterFacts};
use tollgate_results::cluster_path::Held;
use tollgate_results::run::RunRecord;

use super::{DECLARED, Finding};
use crate::model::Judgement;

/// What is told of a cluster where nothing is declared: what carries packets, and what translates addresses.
const TOLD: [Aspect; 2] = [Aspect::Wire, Aspect::Services];

/// Judges what an arm declares against what was found when its install was deployed; `None` for an arm that is no path
/// through a cluster.
pub(super) fn judge(run: &RunRecord, arm: &Arm, install: u32) -> Option<Finding> {
    let path = arm.datapath.cluster.as_ref()?;
    let found = network(run, &arm.name, install);
    if path.declares.is_empty() {
        return Some(Finding::unknown(DECLARED, told(found?)));
    }
    let declared: Vec<_> = path.declared(found).collect();
    let of = |held: Held| {
        let of = declared.iter().filter(|declared| declared.held() == held);
        of.map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let (yes, no, unknown) = (of(Held::Yes), of(Held::No), of(Held::Unknown));
    let judgement = match (no.is_empty(), yes.is_empty()) {
        (false, _) => Judgement::Contradicts,
        (true, true) => Judgement::Unknown,
        (true, false) => Judgement::Ok,
    };
    // What contradicts is told alone; what isn't known never goes unsaid.
    let parts = if no.is_empty() {
        [yes, unknown]
    } else {
        [no, unknown]
    };
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Some(Finding {
        about: DECLARED,
        judgement,
        text: parts.join("; "),
    })
}

/// Returns what a cluster's network was when an install was deployed: the arm's own finding, or that of the campaign's
/// start.
fn network<'a>(run: &'a RunRecord, arm: &Name, install: u32) -> Option<&'a ClusterFacts> {
    let install = usize::try_from(install).ok();
    let own = install.and_then(|install| {
        let facts = run.installs.get(install)?.arms.get(arm)?;
        facts.network.as_ref()
    });
    own.or_else(|| {
        let mut all = run.cluster.as_ref()?.all();
        Some(&all.find(|one| one.paths.contains_key(arm))?.network)
    })
}

fn told(found: &ClusterFacts) -> String {
    let told: Vec<String> = TOLD
        .iter()
        .filter_map(|aspect| {
            let finding = found.findings.get(aspect)?;
            let value = finding.value.as_deref().unwrap_or("unknown");
            let whence = finding.evidence.first().map_or("", String::as_str);
            Some(format!("{} {value} ({whence})", aspect.label()))
        })
        .collect();
    format!("nothing is declared; as the API tells: {}", told.join(", "))
}

#[cfg(test)]
mod tests {
    use tollgate_results::arm::Datapath;
    use tollgate_results::cluster::Finding as Found;
    use tollgate_results::cluster_path::{ClusterPath, Path};
    use tollgate_results::run::Campaign;

    use super::*;
    use crate::synthetic::Synthetic;

    /// Judges a wire that is declared and found so.
    fn judged(declared: Option<&str>, found: Found) -> Finding {
        let Campaign { mut run, .. } = Synthetic::overlay().campaign();
        let mut arm = run.plan.arms[0].clone();
        let wires = declared.map(|wire| (Aspect::Wire, wire.to_owned()));
        arm.datapath = Datapath {
            cluster: Some(ClusterPath {
                declares: wires.into_iter().collect(),
                ..ClusterPath::of(Path::PodIp)
            }),
            ..Datapath::default()
        };
        let facts = run.installs[0].arms.get_mut(&arm.name).unwrap();
        facts.network = Some(ClusterFacts {
            findings: [(Aspect::Wire, found)].into(),
            ..ClusterFacts::default()
        });
        judge(&run, &arm, 0).unwrap()
    }

    #[test]
    fn a_declaration_that_isn_t_what_is_found_contradicts_and_an_unknown_one_doesn_t() {
        let native = || Found::stated("native", "config map x");
        let wrong = judged(Some("vxlan"), native());
        assert_eq!(wrong.judgement, Judgement::Contradicts);
        assert!(
            wrong
                .text
                .contains("declared wire between nodes vxlan, but the cluster's is native"),
            "{}",
            wrong.text
        );
        assert_eq!(judged(Some("native"), native()).judgement, Judgement::Ok);
        let unknown = judged(Some("native"), Found::unknown("no map was read"));
        assert_eq!(unknown.judgement, Judgement::Unknown);
        assert!(unknown.text.contains("no map was read"), "{}", unknown.text);
        let nothing = judged(None, native());
        assert_eq!(nothing.judgement, Judgement::Unknown);
        assert!(
            nothing.text.contains("nothing is declared") && nothing.text.contains("native"),
            "{}",
            nothing.text
        );
    }
}
