//! The arms of a campaign on a cluster: the scenario's own paths, or every path in the place of its arms.

use anyhow::ensure;
use tollgate_results::arm::{Arm, Datapath, Family, Name, Pods};
use tollgate_results::change::Change;
use tollgate_results::cluster_path::{ClusterPath, Path};
use tollgate_results::workload::Cpu;
use tollgate_scenarios::Scenario;

use crate::cli::ClusterArgs;

/// Makes the scenario one of paths through a cluster. The arguments come back with the context that arms without one of
/// their own belong to.
pub(in crate::command) fn over(
    mut scenario: Scenario,
    args: &ClusterArgs,
    reference: Option<&Name>,
) -> anyhow::Result<(Scenario, ClusterArgs)> {
    let mut args = args.clone();
    if scenario.arms.iter().any(is_path) {
        ensure!(
            reference.is_none(),
            "--reference: the arms of scenario `{}` are paths already; write `reference` there",
            scenario.name
        );
        contexts(&mut scenario, &mut args)?;
    } else {
        every_path(&mut scenario, &args, reference)?;
    }
    for workload in &mut scenario.workloads {
        // Whose CPUs they are is the cluster's to say.
        workload.cpu = Cpu::Free;
    }
    Ok((scenario, args))
}

const fn is_path(arm: &Arm) -> bool {
    arm.datapath.cluster.is_some()
}

/// Finds the campaign's own context: that of the arms without one, else that of the reference.
fn contexts(scenario: &mut Scenario, args: &mut ClusterArgs) -> anyhow::Result<()> {
    let named = |arm: &Arm| arm.datapath.cluster.as_ref()?.context.clone();
    if scenario.arms.iter().all(|arm| named(arm).is_some()) {
        ensure!(
            args.context.is_none(),
            "--context: every arm of scenario `{}` names its own; leave it out",
            scenario.name
        );
        args.context = scenario.arm(&scenario.reference).and_then(named);
    }
    let paths = scenario.arms.iter_mut();
    for path in paths.filter_map(|arm| arm.datapath.cluster.as_mut()) {
        if path.context == args.context {
            path.context = None;
        }
    }
    Ok(())
}

/// Puts every path in the place of the arms. Those that cost something are there only where they were asked for.
fn every_path(
    scenario: &mut Scenario,
    args: &ClusterArgs,
    reference: Option<&Name>,
) -> anyhow::Result<()> {
    let wanted = |path: &Path| match path {
        Path::Host => args.host_network,
        Path::LoadBalancer => args.load_balancer,
        Path::External => args.external.is_some(),
        _ => true,
    };
    let mut paths: Vec<(String, Path, Family)> = Path::ALL
        .iter()
        .filter(|path| wanted(path))
        .map(|&path| (path.to_string(), path, Family::Ipv4))
        .collect();
    for path in [Path::PodIp, Path::Headless, Path::ClusterIp] {
        paths.push((format!("{path}-v6"), path, Family::Ipv6));
    }
    let names: Vec<&str> = paths.iter().map(|(name, ..)| name.as_str()).collect();
    let reference = match reference {
        Some(reference) => reference.clone(),
        None => Path::PodIp.as_str().parse()?,
    };
    ensure!(
        names.contains(&reference.as_str()),
        "--reference: no path is named `{reference}`; there are {}",
        names.join(", ")
    );
    let workloads: Vec<Name> = scenario
        .workloads
        .iter()
        .map(|workload| workload.name.clone())
        .collect();
    let arm = |(name, path, family): &(String, Path, Family)| {
        let name: Name = name.parse()?;
        anyhow::Ok(Arm {
            reference: (name != reference).then(|| reference.clone()),
            name,
            datapath: Datapath {
                pods: Pods::Host,
                family: *family,
                cluster: Some(ClusterPath::of(*path)),
                ..Datapath::default()
            },
            change: Change::default(),
            workloads: workloads.clone(),
            sweep: None,
        })
    };
    scenario.arms = paths.iter().map(arm).collect::<Result<_, _>>()?;
    // What the scenario is about are its own arms.
    scenario.about = format!("What the paths through this cluster cost against {reference}");
    scenario.reference = reference;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two(a: &str, b: &str) -> Scenario {
        let text = format!(
            "schema = 1\nname = \"two\"\nabout = \"Two\"\nreference = \"b\"\n[arm.a.cluster]\npath = \"pod-ip\"\n{a}\n\
             [arm.b.cluster]\npath = \"cluster-ip\"\n{b}\n[workload.rr.tcp-rr]\n"
        );
        Scenario::parse("two.toml", &text).unwrap()
    }

    fn context_of(scenario: &Scenario, arm: &str) -> Option<String> {
        let arm = scenario.arm(&arm.parse().unwrap()).unwrap();
        arm.datapath.cluster.clone().unwrap().context
    }

    #[test]
    fn without_paths_of_its_own_a_scenario_gets_all_that_cost_nothing() {
        let scenario = Scenario::load("quickstart").unwrap();
        let (scenario, _) = over(scenario, &ClusterArgs::defaults(), None).unwrap();
        let names: Vec<&str> = scenario.arms.iter().map(|arm| arm.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "pod-ip",
                "headless",
                "cluster-ip",
                "node-port",
                "node-port-far",
                "other-zone",
                "near-pod-ip",
                "near-cluster-ip",
                "hairpin",
                "pod-ip-v6",
                "headless-v6",
                "cluster-ip-v6"
            ]
        );
        assert_eq!(scenario.reference.as_str(), "pod-ip");
        let all = ClusterArgs {
            host_network: true,
            load_balancer: true,
            external: Some("far".to_owned()),
            ..ClusterArgs::defaults()
        };
        let quickstart = Scenario::load("quickstart").unwrap();
        let (scenario, _) = over(quickstart, &all, None).unwrap();
        assert_eq!(scenario.arms.len(), Path::ALL.len() + 3);
        let quickstart = Scenario::load("quickstart").unwrap();
        let wrong = "pod".parse().unwrap();
        let error = over(quickstart, &ClusterArgs::defaults(), Some(&wrong)).unwrap_err();
        assert!(
            error.to_string().contains("pod-ip, headless, cluster-ip"),
            "{error}"
        );
    }

    #[test]
    fn the_campaign_s_own_context_is_that_of_arms_without_one_else_the_reference_s() {
        let (scenario, found) = over(
            two("context = \"x\"", "context = \"y\""),
            &ClusterArgs::defaults(),
            None,
        )
        .unwrap();
        assert_eq!(found.context.as_deref(), Some("y"));
        assert_eq!(context_of(&scenario, "a").as_deref(), Some("x"));
        assert_eq!(context_of(&scenario, "b"), None);

        let told = ClusterArgs {
            context: Some("x".to_owned()),
            ..ClusterArgs::defaults()
        };
        let (scenario, found) = over(two("context = \"x\"", ""), &told, None).unwrap();
        assert_eq!(found.context.as_deref(), Some("x"));
        assert_eq!(context_of(&scenario, "a"), None, "it is the same one");
        let both = two("context = \"x\"", "context = \"y\"");
        let error = over(both, &told, None).unwrap_err().to_string();
        assert!(error.contains("--context: every arm"), "{error}");
        let reference = "a".parse().unwrap();
        let error = over(two("", ""), &ClusterArgs::defaults(), Some(&reference)).unwrap_err();
        assert!(error.to_string().contains("--reference"), "{error}");
    }
}
